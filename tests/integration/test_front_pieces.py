#!/usr/bin/env python3
"""The FastCGI front, with nothing behind it (front_probe.c): bodies that are taken in pieces, two at a time. Waits are for events."""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "..", "lib"))
sys.dont_write_bytecode = True
from fcgi_client import STDIN, Closed, record, request  # noqa: E402
from front import LIMIT_BODY, Probe, Setup, pattern, problem  # noqa: E402
from proc import wait_until  # noqa: E402
from tap import main  # noqa: E402

BODY = pattern(3 * LIMIT_BODY // 16)


def told(body):
    sum = 0
    for byte in body:
        sum = (sum * 31 + byte) & 0xffffffff
    return f"{len(body)} {sum}\n".encode()


def begin(s, body, path="/pieces", length=None, keep=True):
    """A request of which `body` has come, and no end; the probe has taken all of it."""
    before = s.probe.status()["taken"]
    c = s.probe.client()
    whole = request(path, body, method="POST", length=length, keep=keep)
    end = record(STDIN)
    assert whole.endswith(end)
    c.send(whole[:-len(end)])
    wait_until("it was taken", lambda: s.probe.status()["taken"] >= before + len(body))
    return c


def t01_whole(s):
    "what was sent is what comes, in one go and in drips, and the connection is good for more"
    with s.probe.client() as c:
        for body in (b"", b"x", BODY[:100], BODY[:8184], BODY, b"y" * 40000):
            a = c.call("/pieces", body, method="POST")
            assert (a.status, a.body) == (200, told(body)), vars(a)
        assert c.call("/fast").status == 200
        big = bytes(1 << 20) * 40  # more than a body that is taken whole may have
        a = c.call("/pieces", big, method="POST")
        assert a.status == 200 and a.body.startswith(b"%d " % len(big)), vars(a)
        for i in range(0, len(whole := request("/pieces", BODY[:3000], method="POST")), 17):
            c.send(whole[i:i + 17])
        assert c.answer().body == told(BODY[:3000])
        assert c.call("/fast").status == 200


def t02_answered_early(s):
    "answered before its end: the rest is read, the answer comes, and the connection is good for more"
    with s.probe.client() as c:
        for most in (1, 100000):
            a = c.call(f"/pieces?{most}", BODY, method="POST")
            n = int(a.body.split()[0])
            assert a.status == 200 and most <= n < most + 10000, vars(a)
        assert c.call("/fast").status == 200


def t03_wrong_length(s):
    "longer or shorter than it said, or too long altogether: refused"
    for length in (len(BODY) - 1, 10):
        with s.probe.client() as c:
            p = problem(c.call("/pieces", BODY, method="POST", length=length), 400, "bad-request")
            assert "longer than its Content-Length" in p["detail"], p
            assert c.is_closed()
    with s.probe.client() as c:
        p = problem(c.call("/pieces", BODY, method="POST", length=len(BODY) + 1), 400, "bad-request")
        assert f"has {len(BODY)} bytes" in p["detail"], p
        assert c.call("/fast").status == 200
    with s.probe.client() as c:
        problem(c.call("/pieces", BODY, method="POST", length=65 << 20), 413, "too-large")
        assert c.call("/fast").status == 200


def t04_broken_off(s):
    "a client that leaves, or stops for longer than a read may last: closed without an answer, and its place is free"
    for _ in range(3):
        held = [begin(s, BODY[:50000], length=len(BODY)) for _ in range(2)]
        for c in held:
            c.close()
        wait_until("there is a place", lambda: s.probe.call("/pieces", b"1", method="POST").status == 200)
    c = begin(s, BODY[:50000], length=len(BODY))
    try:
        c.answer()
        raise AssertionError("an answer")
    except Closed:
        pass
    c.close()


def t05_places(s):
    "two at once; a third is told to come again, whatever its length; nobody else waits for them"
    at, held = 50000, [begin(s, BODY[:50000], length=100000) for _ in range(2)]

    def go_on():
        nonlocal at
        for c in held:
            c.send(record(STDIN, BODY[at:at + 10000]))  # one that says nothing for long is given up
        at += 10000

    for body in (b"x", BODY, bytes(8 << 20)):
        with s.probe.client() as c:
            a = c.call("/pieces", body, method="POST")
            problem(a, 503, "busy")
            assert a.headers["retry-after"] == "1"
        go_on()
    for _ in range(20):
        assert s.probe.call("/fast").status == 200
        assert s.probe.call("/echo", b"body").body == b"body"
    go_on()
    go_on()
    for c in held:
        c.send(record(STDIN))
        assert c.answer().body == told(BODY[:100000])
        assert c.call("/fast").status == 200
        c.close()


def t06_parked(s):
    "one that waits for something after its end has no thread and no place, and is answered from another thread"
    held = []
    for _ in range(20):
        with_room = s.probe.client()
        with_room.send(request("/pieces-park", BODY[:20000], method="POST"))
        held.append(with_room)
        s.probe.wait_status(parked=len(held))
    assert s.probe.call("/pieces", BODY, method="POST").body == told(BODY)
    held.pop().close()
    s.probe.wait_status(parked_gone=1)
    s.probe.call("/release", b"", method="POST")
    for c in held:
        assert c.answer().body == b"parked\n"
        assert c.call("/fast").status == 200
        c.close()


def t07_stopping(s):
    "a front that stops lets an upload come to its end; one that does not end holds it no longer than its drain"
    p = Probe(s.stack, threads=1)

    class Of:
        probe = p

    c = begin(Of, BODY[:50000], length=60000)
    p.popen.terminate()
    c.send(record(STDIN, BODY[50000:60000]) + record(STDIN))
    assert c.answer().body == told(BODY[:60000])
    c.close()
    p.end()


if __name__ == "__main__":
    main(globals(), Setup)
