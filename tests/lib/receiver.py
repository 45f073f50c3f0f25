"""An HTTP server that takes webhooks and other requests, on a free port of 127.0.0.1, and answers as its `answer` says.

    with Receiver(lambda call: 204) as r:
        … r.url("/done") …
        call = r.next()     # .path, .headers, .body, as they came

`answer(call)` gives a status, or a status and headers; it may wait. Nobody waits longer than the deadline for a call.
"""
import queue
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from proc import DEADLINE


class Call:
    def __init__(self, path, headers, body):
        self.path, self.headers, self.body = path, headers, body


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        call = Call(self.path, self.headers, body)
        self.server.owner.calls.put(call)
        said = self.server.owner.answer(call)
        status, headers = said if isinstance(said, tuple) else (said, {})
        try:
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", "0")
            self.end_headers()
        except OSError:
            self.close_connection = True  # it did not wait for the answer

    do_GET = do_POST

    def log_message(self, *args):
        pass


class Receiver:
    def __init__(self, answer):
        self.answer, self.calls = answer, queue.Queue()

    def __enter__(self):
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.server.owner = self
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.05})
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()

    def url(self, path="/"):
        return f"http://127.0.0.1:{self.server.server_port}{path}"

    def next(self, seconds=DEADLINE):
        return self.calls.get(timeout=seconds)
