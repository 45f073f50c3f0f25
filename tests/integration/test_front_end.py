#!/usr/bin/env python3
"""The FastCGI front, with nothing behind it (front_probe.c): its bounds, its end, and nginx before it."""
import http.client
import json
import os
import select
import signal
import socket
import sys
import threading

sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "..", "lib"))
sys.dont_write_bytecode = True
from fcgi_client import Closed, request  # noqa: E402
from front import LIMIT_BODY, Probe, Setup, pattern, problem  # noqa: E402
from proc import ROOT, wait_until  # noqa: E402
from tap import main  # noqa: E402


def t01_queue_full(s):
    "more than the queue holds: 503 at once, and the connection is good"
    p = Probe(s.stack, threads=1, queue=2)
    blocker = p.client()
    blocker.send(request("/block"))
    clients = [p.client() for _ in range(20)]
    for c in clients:
        c.send(request("/echo", b"z" * 100))
    refused = set()
    wait_until("18 are refused", lambda: refused.update(select.select(clients, [], [], 0)[0]) or len(refused) >= 18)
    for c in refused:
        a = c.answer()
        problem(a, 503, "busy")
        assert a.headers["retry-after"] == "1"
    p.signal(signal.SIGHUP)
    assert blocker.answer().body == b"unblocked\n"
    for c in clients:
        assert c in refused or c.answer().body == b"z" * 100
    for c in refused:
        assert c.call("/fast").status == 200
    p.end()


class Load(threading.Thread):
    """Calls until the front is gone. A request that was written as a whole must be answered as a whole."""

    paths = ("/fast", "/park?3", "/big?200000", "/echo", "/stream?100000", "/fast")

    def __init__(self, probe, kept):
        super().__init__(daemon=True)
        self.probe, self.kept, self.answered, self.lost = probe, kept, 0, []

    def run(self):
        c = None
        for i in range(10 ** 9):
            path = self.paths[i % len(self.paths)]
            try:
                c = c or self.probe.client()
                c.send(request(path, b"e" * 3000 if path == "/echo" else b"", keep=self.kept))
            except OSError:
                return
            try:
                if c.answer().status != 200:
                    self.lost.append(f"{path}: not 200")
                self.answered += 1
            except (Closed, OSError) as e:
                self.lost.append(f"{path}: {e!r}")
                return
            if not self.kept:
                c.close()
                c = None


def t02_term_under_load(s):
    "SIGTERM under load: every request that was sent is answered, and the exit is 0"
    for _ in range(5):
        p = Probe(s.stack, threads=4)
        loads = [Load(p, kept=i % 3 > 0) for i in range(16)]
        for t in loads:
            t.start()
        wait_until("all are under way", lambda: all(t.answered > 20 for t in loads))
        p.end()
        for t in loads:
            t.join(30)
            assert not t.is_alive() and not t.lost, t.lost
        begun, answered = map(int, p.wait_log(r"begun=(\d+) answered=(\d+)").groups())
        assert begun == answered >= sum(t.answered for t in loads)


def t03_term_with_parked(s):
    "SIGTERM with calls parked: they are answered; idle connections are closed first"
    p = Probe(s.stack)
    idle, parked = p.client(), [p.client() for _ in range(20)]
    idle.call("/fast")
    for c in parked:
        c.send(request("/park"))
    p.wait_status(parked=20)
    releaser = p.client()  # connected, nothing sent: the front waits a moment for it
    p.signal(signal.SIGTERM)
    assert idle.is_closed()
    releaser.send(request("/release"))
    assert releaser.answer().body == b"released\n"
    for c in parked:
        assert c.answer().body == b"parked\n"
        assert c.is_closed()
    assert p.wait() == 0  # told once


def t04_drain_has_an_end(s):
    "a parked call that nobody answers does not keep a stopping front for ever"
    p = Probe(s.stack, drain_ms=200)
    with p.client() as c:
        c.send(request("/park"))
        p.wait_status(parked=1)
        p.end(3)
        assert c.is_closed()


def t05_calls_that_wait(s):
    "calls that may wait leave a thread for those that do not; more of them are held, in order, and then refused"
    p = Probe(s.stack, threads=3, queue=4)
    clients = [p.client() for _ in range(6)]
    for i, c in enumerate(clients):
        c.send(request("/wait"))
        if i < 2:
            p.wait_status(blocked=i + 1)
        assert p.call("/fast").status == 200  # by the one thread left, which has read the one before by then
    problem(p.call("/wait"), 503, "busy")
    problem(p.call("/wait", b"a body is not held"), 503, "busy")
    assert p.call("/fast").status == 200 and not select.select(clients, [], [], 0)[0]
    clients[5].close()  # while it is held
    for first in (0, 2):
        p.signal(signal.SIGHUP)
        for c in clients[first:first + 2]:
            assert c.answer().body == b"unblocked\n"
        p.wait_status(blocked=2)
    p.signal(signal.SIGHUP)
    assert clients[4].answer().body == b"unblocked\n" and clients[4].call("/fast").status == 200
    p.wait_status(blocked=0)
    for c in clients:
        c.close()
    p.end()


# ---- through nginx

class Http(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("localhost", timeout=60)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)

    def ask(self, method, path, body=None, headers={}):
        self.request(method, path, body, headers)
        r = self.getresponse()
        r.body = r.read()
        return r


def raw(path, text):
    """What nginx says to bytes that no client of HTTP would send."""
    with socket.socket(socket.AF_UNIX) as c:
        c.settimeout(60)
        c.connect(path)
        c.sendall(text)
        r = http.client.HTTPResponse(c)
        r.begin()
        r.body = r.read()
        return r


def http_problem(r, status, slug):
    assert r.status == status and r.getheader("Content-Type") == "application/problem+json", (r.status, r.body)
    p = json.loads(r.body)
    assert p["type"] == "/problems/" + slug and p["status"] == status, p
    ids = [v for n, v in r.getheaders() if n.lower() == "x-request-id"]
    assert ids == [p["request_id"]], (ids, p)
    return p


def t06_through_nginx(s):
    "through nginx: answers, bodies, problems of ours and of nginx, all with one request id"
    p = Probe(s.stack)
    path = os.path.join(s.stack.folder("sock"), "http.sock")
    nginx = s.stack.nginx(os.path.join(ROOT, "conf", "nginx"), path, LISTEN=f"unix:{path}", SOCKET=f"unix:{p.socket}")
    s.stack.allow("client intended to send too large body")
    h = Http(path)
    r = h.ask("GET", "/fast")
    assert (r.status, r.reason, r.body) == (200, "OK", b"ok\n"), (r.status, r.reason, r.body)
    assert len(r.getheader("X-Request-Id")) == 32
    r = h.ask("GET", "/request?x=%20y", headers={"X-Request-Id": "from-the-caller.1", "Prefer": "wait=2",
                                                "If-None-Match": '"e"',
                                                "Accept": "a/b", "Cookie": "not read"})
    got = json.loads(r.body)
    assert r.getheader("X-Request-Id") == got["request_id"] == "from-the-caller.1"
    assert [got[k] for k in ("query", "prefer", "if_none_match", "accept")] \
        == ["x=%20y", "wait=2", '"e"', "a/b"], got
    assert json.loads(h.ask("GET", "/%72equest/../request").body)["path"] == "/request"
    assert len(h.ask("GET", "/fast", headers={"X-Request-Id": "no \"word\""}).getheader("X-Request-Id")) == 32
    http_problem(h.ask("GET", "/none"), 503, "busy")
    http_problem(h.ask("GET", "/fast%0Ax"), 400, "bad-request")
    http_problem(h.ask("GET", "/fast", headers={"Idempotency-Key": "k"}), 400, "bad-request")
    http_problem(Http(path).ask("GET", "/fast", headers={"X-Long": "x" * 9000}), 431, "too-large")
    http_problem(Http(path).ask("GET", "/" + "x" * 9000), 414, "too-large")
    http_problem(raw(path, b"GET /fast HTTP/9.9\r\nHost: x\r\n\r\n"), 505, "bad-request")
    http_problem(raw(path, b"nonsense\r\n\r\n"), 400, "bad-request")
    r = h.ask("HEAD", "/big?1000")
    assert (r.status, r.body, r.getheader("Content-Length")) == (200, b"", "1000")
    r = h.ask("GET", "/empty")
    assert (r.status, r.body) == (204, b"")
    assert h.ask("POST", "/echo", b"x" * LIMIT_BODY).body == b"x" * LIMIT_BODY
    http_problem(h.ask("POST", "/echo", b"x" * (LIMIT_BODY + 1)), 413, "too-large")
    for how in ("big", "stream"):
        assert Http(path).ask("GET", f"/{how}?5000000").body == pattern(5000000)
    # a slow reader: nginx takes the answer off us, and the next is served
    slow = Http(path)
    slow.request("GET", "/big?5000000")
    assert h.ask("GET", "/fast").status == 200
    assert slow.getresponse().read() == pattern(5000000)
    s.stack.allow("upstream prematurely closed connection")
    try:
        r = Http(path).ask("GET", "/broken?200000")
        assert False, f"a broken stream looks whole: {len(r.body)} bytes"
    except http.client.IncompleteRead:
        pass
    # many at once, kept and not
    waiting = [Http(path) for _ in range(200)]
    for w in waiting:
        w.request("GET", "/park")
    p.wait_status(parked=200)
    assert h.ask("GET", "/fast").status == 200
    waiting[0].close()  # nginx closes its connection to us when its client leaves
    p.wait_status(parked_gone=1)
    h.ask("POST", "/release")
    for w in waiting[1:]:
        assert w.getresponse().read() == b"parked\n"
        w.close()
    p.end()
    s.stack.allow("connect\\(\\) to unix:.* failed")
    r = h.ask("GET", "/fast")
    http_problem(r, 502, "unavailable")
    assert r.getheader("Retry-After") == "1"
    nginx.stop()


if __name__ == "__main__":
    main(globals(), Setup)
