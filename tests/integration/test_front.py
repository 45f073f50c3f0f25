#!/usr/bin/env python3
"""The FastCGI front, with nothing behind it (front_probe.c), spoken to in raw FastCGI: requests good and bad, and who is
answered while who is not. Waits are for events."""
import json
import multiprocessing
import os
import random
import select
import socket
import sys
import threading

sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "..", "lib"))
sys.dont_write_bytecode = True
from fcgi_client import BEGIN, PARAMS, STDIN, Client, Closed, pairs, record, request, stream  # noqa: E402
from front import LIMIT_BODY, Setup, pattern, problem  # noqa: E402
from tap import main  # noqa: E402


def t01_answers(s):
    "a request, and another on the same connection"
    with s.probe.client() as c:
        for id in (1, 2, 77):
            a = c.call("/fast", id=id)
            assert (a.status, a.body, a.headers["content-length"]) == (200, b"ok\n", "3"), vars(a)
            assert a.headers["x-request-id"] == "0123456789abcdef" * 2 and a.headers["x-path"] == "ab"
    with s.probe.client() as c:
        assert c.call("/fast", keep=False).status == 200
        assert c.is_closed()


def t02_understood(s):
    "what a request says reaches its handler"
    a = s.probe.call("/request?a=b", b"12345", method="PUT", CONTENT_TYPE="text/x", HTTP_ACCEPT="*/*", HTTP_PREFER="wait=1",
                     HTTP_IF_NONE_MATCH='"e"', HTTP_COOKIE="not read")
    assert json.loads(a.body) == {
        "method": 3, "path": "/request", "query": "a=b", "content_type": "text/x", "accept": "*/*", "prefer": "wait=1",
        "if_none_match": '"e"', "request_id": "0123456789abcdef" * 2, "body": 5}


def t03_no_body_where_none_belongs(s):
    "HEAD and 204 have no body; a problem has its document"
    with s.probe.client() as c:
        a = c.call("/big?1000", method="HEAD")
        assert (a.status, a.body, a.headers["content-length"]) == (200, b"", "1000")
        a = c.call("/stream?1000", method="HEAD")
        assert (a.status, a.body) == (200, b"") and "content-length" not in a.headers
        a = c.call("/empty")
        assert (a.status, a.body) == (204, b"") and "content-type" not in a.headers and "content-length" not in a.headers
        p = problem(c.call("/none"), 503, "busy")
        assert p["errors"][0]["pointer"] == "/items/3" and p["request_id"] == "0123456789abcdef" * 2
        a = c.call("/none", method="HEAD")
        assert (a.status, a.body, a.headers["retry-after"]) == (503, b"", "1")


def t04_idle_connections(s):
    "200 idle kept connections on 8 threads stall nobody"
    clients = [s.probe.client() for _ in range(200)]
    for c in clients:
        assert c.call("/fast").status == 200
    assert s.probe.call("/fast").status == 200
    for c in reversed(clients):
        assert c.call("/fast").status == 200
    assert s.probe.status()["fds"] >= s.base + 200
    for c in clients:
        c.close()
    s.probe.wait_status(fds=s.base)


def t05_parked(s):
    "1,000 parked calls on 8 threads: another is answered while all of them wait"
    clients = [s.probe.client() for _ in range(1000)]
    for c in clients:
        c.send(request("/park"))
    s.probe.wait_status(parked=1000)
    for _ in range(100):
        assert s.probe.call("/fast").status == 200
    assert s.probe.call("/echo", b"x" * 100000).body == b"x" * 100000
    assert s.probe.status()["parked"] == 1000
    assert not select.select(clients, [], [], 0)[0]
    s.probe.call("/release")
    for c in clients:
        assert c.answer().body == b"parked\n"
    for c in clients:  # and each connection is good for another
        c.send(request("/park?1"))
    for c in clients:
        assert c.answer().body == b"parked\n"
        c.close()
    s.probe.wait_status(fds=s.base)


def t06_client_leaves(s):
    "a client that leaves while its call is parked: told to the call, nothing leaks, the others are answered"
    before = s.probe.status()["gone"]
    clients = [s.probe.client() for _ in range(100)]
    for c in clients:
        c.send(request("/park"))
    s.probe.wait_status(parked=100)
    for c in clients[::2]:
        c.close()
    s.probe.wait_status(parked_gone=50, fds=s.base + 50)
    newcomers = [s.probe.client() for _ in range(50)]  # take the numbers of the descriptors that were closed
    for c in newcomers:
        assert c.call("/fast").status == 200
    s.probe.call("/release")
    for c in clients[1::2]:
        assert c.answer().body == b"parked\n"
    for c in newcomers:
        assert c.call("/fast").body == b"ok\n"
    s.probe.wait_status(parked=0, gone=before + 50)
    for c in clients + newcomers:
        c.close()
    s.probe.wait_status(fds=s.base)


def t07_leaves_at_once(s):
    "a client that has sent its request and is gone already"
    for _ in range(50):
        c = s.probe.client()
        c.send(request("/park"))
        c.close()
    for _ in range(50):
        c = s.probe.client()
        c.send(request("/big?300000"))
        c.close()
    s.probe.wait_status(fds=s.base)
    s.probe.call("/release")
    s.probe.wait_status(parked=0)


def t08_unread_body(s):
    "a body that nobody reads, then the next request on the same connection"
    with s.probe.client() as c:
        for n in (65536, 1, 7, 8, 8191, 8192, 8193, 16384, 65535, 131072, 1000000, 0):
            assert c.call("/fast", b"b" * n).body == b"ok\n"
            assert c.call("/fast", b"b" * n, method="GET").body == b"ok\n"
            body = pattern(min(n, 70000))
            assert c.call("/echo", body).body == body


def t09_large_answer(s):
    "5 MB to a slow reader, whole and streamed, while others are served"
    whole = pattern(5000000)
    slow = [s.probe.client() for _ in range(12)]  # more than threads
    for c in slow:
        c.send(request("/big?5000000"))
    for c in slow:
        assert select.select([c], [], [], 30)[0]
    for _ in range(50):
        assert s.probe.call("/fast").status == 200
    assert s.probe.call("/big?5000000").body == whole
    streams = [s.probe.client() for _ in range(4)]  # a stream holds its thread, and 4 are left
    for c in streams:
        c.send(request("/stream?5000000"))
    for _ in range(50):
        assert s.probe.call("/fast").status == 200
    for c in streams:
        assert c.answer().body == whole
        assert c.call("/fast").status == 200
        c.close()
    for c in slow[1:]:
        c.close()  # in the middle
    s.probe.wait_status(fds=s.base + 1)
    slow[0].close()


def t10_slow_to_the_end(s):
    "a slow reader gets every byte, and then the next answer"
    with s.probe.client() as c:
        c.send(request("/big?5000000"))
        assert s.probe.call("/fast").status == 200
        assert c.answer().body == pattern(5000000)
        assert c.call("/fast").status == 200


def t11_stream_fails(s):
    "a stream that fails ends without an end"
    with s.probe.client() as c:
        try:
            c.call("/broken?200000")
            assert False, "it was answered in full"
        except Closed as e:
            assert e.got > 100000


def t12_large_body(s):
    "16 MiB are taken, one byte more is 413 and the connection is good; far more is 413 and the end"
    with s.probe.client() as c:
        assert json.loads(c.call("/request", b"x" * LIMIT_BODY).body)["body"] == LIMIT_BODY
        problem(c.call("/request", b"x" * (LIMIT_BODY + 1)), 413, "too-large")
        assert c.call("/fast").status == 200
    with s.probe.client() as c:
        sender = threading.Thread(target=lambda: ignore(lambda: c.send(request("/echo", b"x" * (3 * LIMIT_BODY)))))
        sender.start()
        problem(c.answer(), 413, "too-large")
        sender.join()
    s.probe.wait_status(fds=s.base)


def ignore(f):
    try:
        f()
    except OSError:
        pass


def t13_bad_input(s):
    "lengths that lie, NUL, control characters, caps: a 4xx, and the connection is good"
    with s.probe.client() as c:
        for body, length in ((b"12345", 3), (b"12345", 9), (b"", 1), (b"x" * 100000, 99999), (b"x" * 100000, 100001)):
            problem(c.call("/echo", body, length=length), 400, "bad-request")
        for length in ("-1", "1e3", "99999999999999999999"):
            p = problem(c.call("/echo", b"12345", length=length), 400, "bad-request")
            assert p["errors"][0]["pointer"] == "CONTENT_LENGTH"
        problem(c.call("/fast\0x"), 400, "bad-request")
        problem(c.call("/fast\nx"), 400, "bad-request")
        problem(c.call("fast"), 400, "bad-request")
        problem(c.call("/fast", HTTP_PREFER="x" * 4097), 413, "too-large")
        problem(c.call("/" + "x" * 1024), 413, "too-large")
        assert json.loads(c.call("/request", method="BREW").body)["method"] == 6
        assert c.call("/fast", HTTP_COOKIE="x" * 60000).status == 200


def t14_drips(s):
    "requests that stop half-way hold no thread; one that goes on is answered"
    whole = request("/echo", b"0123456789")
    halves = [s.probe.client() for _ in range(30)]
    for i, c in enumerate(halves):
        c.send(whole[:1 + i * (len(whole) - 2) // 29])
    for _ in range(20):
        assert s.probe.call("/fast").status == 200
    for c in halves[:10]:
        c.close()
    for i, c in list(enumerate(halves))[20:]:
        c.send(whole[1 + i * (len(whole) - 2) // 29:])
        assert c.answer().body == b"0123456789"
    for bytes_at_once, text in ((1, request("/echo", b"0123456789")), (7, request("/echo", b"z" * 5000))):
        with s.probe.client() as c:  # more small writes than the socket would hold
            for i in range(0, len(text), bytes_at_once):
                c.send(text[i:i + bytes_at_once])
            assert c.answer().body in (b"0123456789", b"z" * 5000)
            assert c.call("/fast").status == 200
    big = request("/echo", b"y" * 100000)
    stuck = [s.probe.client() for _ in range(4)]  # these do hold a thread each, for a while
    for c in stuck:
        c.send(big[:50000])
    for _ in range(20):
        assert s.probe.call("/fast").status == 200
    for c in halves[10:20] + stuck:
        assert c.is_closed()
    for c in halves + stuck:
        c.close()
    s.probe.wait_status(fds=s.base)


def t15_garbage(s):
    "garbage closes its own connection and nothing else"
    rng = random.Random(7)
    good = request("/fast")
    tries = [b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"\0" * 100, b"\1\1\0\0\0\10\0\0\0\1\1\0\0\0\0\0",
             record(9, pairs({"FCGI_MPXS_CONNS": ""}) * 6, id=0), record(2), record(STDIN) + good, good + good,
             record(BEGIN, b"\0\2\1\0\0\0\0\0") + good[16:], record(BEGIN, b"\0\1\1\0\0\0\0\0") * 2,
             good[:16] + stream(PARAMS, b"\xff\xff\xff\xff\xff\xff\xff\xffA") + record(STDIN),
             good[:16] + stream(PARAMS, b"\x0e\x04REQUEST") + record(STDIN)]
    for _ in range(200):
        b = bytearray(request("/echo", b"body"))
        for _ in range(rng.randrange(1, 6)):
            b[rng.randrange(len(b))] = rng.randrange(256)
        tries.append(bytes(b))
    tries += [rng.randbytes(rng.randrange(1, 3000)) for _ in range(100)]
    for t in tries:
        with s.probe.client() as c:
            ignore(lambda: c.send(t))
            ignore(lambda: c.socket.shutdown(socket.SHUT_WR))
            while not c.is_closed():
                pass
    assert s.probe.call("/fast").status == 200
    s.probe.wait_status(fds=s.base)


def hurry(path, rounds):
    for _ in range(rounds):
        with Client(path) as c:
            c.send(request("/park?0"))
            assert c.answer().body == b"parked\n"
            c.send(request("/fast"))


def t16_answered_before_it_is_parked(s):
    "a call answered before its own thread has left it: the next on that connection is nobody's but its own thread's"
    others = [multiprocessing.Process(target=hurry, args=(s.probe.socket, 1500), daemon=True) for _ in range(12)]
    for o in others:
        o.start()
    for o in others:
        o.join(120)
        assert o.exitcode == 0 and s.probe.running(), (o.exitcode, s.probe.tail())
    s.probe.wait_status(fds=s.base, parked=0)


if __name__ == "__main__":
    main(globals(), Setup)
