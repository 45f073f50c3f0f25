"""A connection to PostgreSQL without a driver: simple queries over a unix socket, rows as text. For tests that ask several
times a second, that must survive a server that goes away, or that hold a connection and nothing else.

    with Pg(folder_of_the_socket) as db:
        db.query("select 1, null")      # [("1", None)]

Whoever is cut off gets OSError, a refused statement PgError; the next query connects anew. Trust is the only way in.
"""
import os
import socket
import struct

TIMEOUT = 60.0  # seconds for an answer


class PgError(Exception):
    def __init__(self, fields):
        self.code = fields.get("C", "")
        super().__init__(f"{fields.get('S')}: {self.code}: {fields.get('M')}")


class Pg:
    def __init__(self, folder, name="fault-suite", timeout=TIMEOUT):
        self.path = os.path.join(folder, ".s.PGSQL.5432")
        self.name, self.timeout, self.sock, self.rest = name, timeout, None, b""

    def __enter__(self):
        return self.open()

    def __exit__(self, *_):
        self.close()

    def open(self):
        if self.sock:
            return self
        self.sock, self.rest = socket.socket(socket.AF_UNIX), b""
        try:
            self.sock.settimeout(self.timeout)
            self.sock.connect(self.path)
            words = ("user", "lathe", "database", "lathe", "application_name", self.name, "")
            body = struct.pack("!I", 196608) + b"".join(w.encode() + b"\0" for w in words)
            self.sock.sendall(struct.pack("!I", len(body) + 4) + body)
            self.answer()
        except BaseException:
            self.close()
            raise
        return self

    def close(self):
        if self.sock:
            self.sock.close()
        self.sock = None

    def query(self, sql):
        """The rows of the statement, or of the last of several."""
        self.open()
        try:
            text = sql.encode() + b"\0"
            self.sock.sendall(b"Q" + struct.pack("!I", len(text) + 4) + text)
            return self.answer()
        except OSError:
            self.close()
            raise

    def one(self, sql):
        return self.query(sql)[0][0]

    def number(self, sql):
        return int(self.one(sql))

    def take(self, n):
        while len(self.rest) < n:
            got = self.sock.recv(1 << 16)
            if not got:
                raise ConnectionError("PostgreSQL has closed the connection")
            self.rest += got
        part, self.rest = self.rest[:n], self.rest[n:]
        return part

    def answer(self):
        rows, error = [], None
        while True:
            kind = self.take(1)
            body = self.take(struct.unpack("!I", self.take(4))[0] - 4)
            if kind == b"T":
                rows = []
            elif kind == b"D":
                rows.append(row(body))
            elif kind == b"E":
                error = PgError({f[:1].decode(): f[1:].decode(errors="replace") for f in body.split(b"\0") if f})
                if error.code.startswith("57P") or not self.rest and error.code.startswith("53"):
                    self.close()  # it ends, or never began
                    raise ConnectionError(str(error))
            elif kind == b"Z":
                if error:
                    raise error
                return rows


def row(body):
    count, at, values = struct.unpack("!H", body[:2])[0], 2, []
    for _ in range(count):
        n = struct.unpack("!i", body[at:at + 4])[0]
        at += 4
        values.append(None if n < 0 else body[at:at + n].decode(errors="replace"))
        at += max(n, 0)
    return tuple(values)
