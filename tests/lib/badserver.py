"""An HTTP server that misbehaves, on a free port of 127.0.0.1 (or `address`), by the path:

    /ok         200
    /slow       takes the request and says nothing
    /reset      resets the connection
    /endless    a body without an end
    /drip       the headers, then a byte of the body every DRIP seconds, without an end in sight
    /driphead   as slowly a line of the headers
    /away       a redirect to a private address, or to what `away` says
    /status/N   that status

    with BadServer() as s:
        … s.url("/slow") …; s.seen        # paths, as they came

It keeps count of the requests: `now` and `most` of those under way at once, `times` when each came. `pause` is how long /ok takes.
"""
import socket
import struct
import threading
import time

DRIP = 0.05  # less than any limit on silence: only one on the whole ends it


class BadServer:
    def __init__(self, pause=0, status=200, address="127.0.0.1"):
        self.pause, self.status, self.address, self.away = pause, status, address, "http://10.11.12.13/"
        self.lock, self.seen, self.times, self.now, self.most = threading.Lock(), [], [], 0, 0

    def __enter__(self):
        self.sock = socket.create_server((self.address, 0), backlog=256)
        self.port = self.sock.getsockname()[1]
        self.open = set()
        self.thread = threading.Thread(target=self.listen)
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.sock.shutdown(socket.SHUT_RDWR)
        self.thread.join()
        self.sock.close()
        with self.lock:
            for s in self.open:
                try:
                    s.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass  # whoever called has gone, and its guest has not seen it yet

    def url(self, path="/ok", host=None):
        return f"http://{host or self.address}:{self.port}{path}"

    def listen(self):
        while True:
            try:
                s, _ = self.sock.accept()
            except OSError:
                return
            with self.lock:
                self.open.add(s)
            threading.Thread(target=self.guest, args=(s,), daemon=True).start()

    def guest(self, s):
        try:
            with s:
                while self.serve(s):
                    pass
        except OSError:
            pass  # it did not wait
        with self.lock:
            self.open.discard(s)

    def serve(self, s):
        head = b""
        while b"\r\n\r\n" not in head:
            more = s.recv(4096)
            if not more:
                return False
            head += more
        path = head.split(b" ")[1].decode()
        with self.lock:
            self.seen.append(path)
            self.times.append(time.monotonic())
            self.now += 1
            self.most = max(self.most, self.now)
        left = []

        def leave():  # once: before the answer that lets the caller go on, or when there is none
            if not left:
                left.append(True)
                with self.lock:
                    self.now -= 1
        try:
            return self.answer(s, path, leave)
        finally:
            leave()

    def say(self, s, status, leave, headers=""):
        leave()
        s.sendall(f"HTTP/1.1 {status} Said\r\nContent-Length: 0\r\n{headers}\r\n".encode())
        return True

    def drip(self, s, start, more):  # until the other side goes
        s.sendall(start)
        while True:
            s.sendall(more)
            time.sleep(DRIP)

    def answer(self, s, path, leave):
        if path == "/slow":
            s.recv(1)  # until the other side goes
            return False
        if path == "/reset":
            s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            return False
        if path == "/endless":
            s.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
            while True:
                s.sendall(b"1000\r\n" + b"x" * 4096 + b"\r\n")
        if path == "/drip":
            return self.drip(s, b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n", b"x")
        if path == "/driphead":
            return self.drip(s, b"HTTP/1.1 200 OK\r\n", b"X-More: and more\r\n")
        if path == "/away":
            return self.say(s, 302, leave, f"Location: {self.away}\r\n")
        if path.startswith("/status/"):
            return self.say(s, path[8:], leave)
        time.sleep(self.pause)
        return self.say(s, self.status, leave)


# What becomes of an item that asks for a path, where 127.0.0.1 may be reached and an answer has at most a MiB.
ENDS = {"/ok": None, "/slow": "timeout", "/reset": "unreachable", "/endless": "item-too-large", "/drip": "timeout", "/driphead": "timeout",
        "/away": "forbidden-address", "/status/404": "rejected", "/status/503": "upstream"}


def counts(paths):
    """How many items are done, and how many of them failed."""
    return len(paths), sum(ENDS[path] is not None for path in paths)


def check_ends(server, results, paths):
    """Each of the paths ended as it had to, at its own place, and says why."""
    got = [r["error"]["type"] if r["state"] == "failed" else None for r in results]
    assert got == [ENDS[path] for path in paths], list(zip(paths, got))
    assert all(r["error"]["detail"] for r in results if r["state"] == "failed"), results
