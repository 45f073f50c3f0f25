"""The program tests/integration/front_probe.c, for the tests of the FastCGI front."""
import json
import os
import resource

from fcgi_client import Client
from proc import BUILD, Proc, answers, wait_until
from stack import Stack


LIMIT_BODY = 16 << 20


class Probe(Proc):
    count = 0

    def __init__(self, stack, threads=8, queue=1024, drain_ms=20000):
        Probe.count += 1
        self.socket = os.path.join(stack.dir, f"probe-{Probe.count}.sock")
        super().__init__(stack, f"probe-{Probe.count}", [os.path.join(BUILD, "tests/integration/front_probe"), self.socket,
                                                         str(threads), str(queue), str(drain_ms)])
        self.start()

    def ready(self):
        return answers(self.socket)

    def client(self):
        return Client(self.socket)

    def call(self, path, body=b"", **more):
        with self.client() as c:
            return c.call(path, body, **more)

    def status(self):
        return json.loads(self.call("/status").body)

    def wait_status(self, seconds=30, **wanted):
        def look():
            s = self.status()
            return all(s[k] == v for k, v in wanted.items())
        try:
            wait_until(f"{wanted}", look, seconds)
        except AssertionError as e:
            raise AssertionError(f"{e}, but {self.status()}") from None

    def end(self, status=0):
        got = self.stop()
        assert got == status, f"exit {got}\n{self.tail()}"


class Setup:
    """One stack and, for most tests, one probe, whose descriptors are counted at the end."""

    def __enter__(self):
        most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(most, 8192), most))
        self.stack = Stack().__enter__()
        try:
            self.probe = Probe(self.stack)
            self.base = self.probe.status()["fds"]
        except BaseException:
            self.stack.__exit__(RuntimeError, None, None)
            raise
        return self

    def tails(self):
        return self.stack.tails()

    def __exit__(self, *error):
        try:
            self.probe.wait_status(fds=self.base, parked=0)
            self.probe.end()
        finally:
            self.stack.__exit__(*error)


def pattern(n):
    return bytes(97 + (i * 7 + i // 26) % 26 for i in range(n))


def problem(a, status, slug):
    assert a.status == status, (a.status, a.body)
    assert a.headers["content-type"] == "application/problem+json", a.headers
    p = json.loads(a.body)
    assert p["type"] == "/problems/" + slug and p["status"] == status and p["title"] and p["detail"], p
    return p
