"""FastCGI as a web server speaks it, over a unix socket, for tests that need more say than nginx gives them.

    c = Client(path)
    a = c.call("/fast")                       # a.status, a.headers, a.body; the connection is kept
    c.send(request("/echo", body=b"x")[:10])  # half a request
    a = c.answer()

answer() raises Closed if the connection ended before END_REQUEST; Closed.got says how many bytes of an answer had come.
Standard library only.
"""
import socket
import struct

BEGIN, END, PARAMS, STDIN, STDOUT = 1, 3, 4, 5, 6
KEEP = 1


class Closed(Exception):
    def __init__(self, got):
        super().__init__(f"closed after {got} bytes of an answer")
        self.got = got


def record(kind, content=b"", id=1, padding=None):
    padding = -len(content) % 8 if padding is None else padding
    return struct.pack(">BBHHBx", 1, kind, id, len(content), padding) + content + b"\0" * padding


def stream(kind, content, id=1, piece=32768):
    pieces = [content[i:i + piece] for i in range(0, len(content), piece)]
    return b"".join(record(kind, p, id) for p in pieces) + record(kind, id=id)


def pairs(params):
    def length(n):
        return struct.pack(">B", n) if n < 128 else struct.pack(">I", n | 1 << 31)
    return b"".join(length(len(n)) + length(len(v)) + n.encode() + v.encode("latin-1") for n, v in params.items())


def request(path, body=b"", method=None, keep=True, id=1, length=None, **more):
    """The bytes of a request; `more` are further parameters."""
    path, _, query = path.partition("?")
    params = {"REQUEST_METHOD": method or ("POST" if body else "GET"), "DOCUMENT_URI": path, "QUERY_STRING": query,
              "CONTENT_LENGTH": str(len(body) if length is None else length),
              "REQUEST_ID": "0123456789abcdef0123456789abcdef", **more}
    return (record(BEGIN, struct.pack(">HB5x", 1, KEEP if keep else 0), id) + stream(PARAMS, pairs(params), id)
            + stream(STDIN, body, id))


class Answer:
    def __init__(self, text):
        head, _, self.body = text.partition(b"\r\n\r\n")
        self.headers = {}
        for line in head.decode().split("\r\n"):
            name, _, value = line.partition(": ")
            assert name.lower() not in self.headers, f"{name} twice"
            self.headers[name.lower()] = value
        self.status = int(self.headers["status"].split()[0])


class Client:
    def __init__(self, path, seconds=30.0):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(seconds)
        self.socket.connect(path)
        self.buffer = b""
        self.got = 0

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.close()

    def close(self):
        self.socket.close()

    def fileno(self):
        return self.socket.fileno()

    def send(self, data):
        self.socket.sendall(data)

    def read(self, n):
        """Exactly n bytes."""
        while len(self.buffer) < n:
            try:
                more = self.socket.recv(262144)
            except ConnectionError:
                more = b""
            if not more:
                raise Closed(self.got)
            self.got += len(more)
            self.buffer += more
        data, self.buffer = self.buffer[:n], self.buffer[n:]
        return data

    def answer(self, id=1):
        text, ended = [], False
        self.got = len(self.buffer)
        while True:
            version, kind, for_id, content, padding = struct.unpack(">BBHHBx", self.read(8))
            assert version == 1 and for_id == id, (version, for_id)
            data = self.read(content + padding)[:content]
            if kind == END:
                assert ended and data == b"\0" * 8, data
                return Answer(b"".join(text))
            assert kind == STDOUT and not ended, kind
            ended = not content
            text.append(data)

    def call(self, path, body=b"", **more):
        self.send(request(path, body, **more))
        return self.answer(more.get("id", 1))

    def is_closed(self):
        """Waits for the other side to close, and takes it that it says nothing more."""
        try:
            return self.socket.recv(1) == b""
        except ConnectionError:
            return True
