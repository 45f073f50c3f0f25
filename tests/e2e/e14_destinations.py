#!/usr/bin/env python3
"""Outgoing calls to servers that fail, misbehave, or may be called only so often; counted at the server."""
import os
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "..", "lib"))
from badserver import ENDS, BadServer, check_ends, counts  # noqa: E402
from proc import wait_until  # noqa: E402
from tap import main  # noqa: E402
from web import Web  # noqa: E402

CONF = """
[destination 127.0.0.1]
concurrency = 4
rate = 60
per_s = 1
breaker_failures = 1000000

[destination localhost]
breaker_failures = 3
breaker_open_ms = 3000
"""
SHAPED = ["sequential", "threading", "multiprocessing", "async-batch", "concurrent-futures", "hybrid"]


class Limited(Web):
    def lathe_env(self):
        path = os.path.join(self.dir, "lathe.conf")
        with open(path, "w") as f:
            f.write(CONF)
        return dict(super().lathe_env(), LATHE_CONF=path)


def crowd(server, seconds):
    "The most requests that came within so many seconds."
    times = sorted(server.times)
    return max(sum(1 for t in times if begin <= t < begin + seconds) for begin in times)


def t01_together(w):
    "two workers, threads and children of both, keep one limit: so many at once, so many in a second"
    other = w.lathe("worker")
    with BadServer(pause=0.05) as s:
        ids = [w.submit("background", handler="http.fetch", items=[s.url()] * 60, batch_size=15, inner=inner)
               for inner in ("hybrid", "multiprocessing")]
        for id in ids:
            task = w.finished(id)
            assert (task["state"], task["items"]["failed"]) == ("succeeded", 0), task
        assert len(s.seen) == 120, len(s.seen)
        assert 2 <= s.most <= 4, s.most
        assert crowd(s, 0.9) <= 60, crowd(s, 0.9)
    other.stop()


def t02_without_redis(w):
    "Redis away: each process keeps the limit by itself, and nobody stands still"
    w.allow(r"event=(redis|cache)\.")
    w.redis.stop()
    with BadServer(pause=0.02) as s:
        task = w.finished(w.submit("hybrid", handler="http.fetch", items=[s.url()] * 40))
        assert (task["state"], task["items"]["failed"]) == ("succeeded", 0), task
        assert len(s.seen) == 40 and s.most <= 4, (len(s.seen), s.most)
    w.redis.start()


def t03_dead_worker(w):
    "the places of a worker that was killed come back by themselves, and its units run again"
    with BadServer() as s:
        id = w.submit("hybrid", handler="http.fetch", items=[s.url("/slow")] * 8, params={"timeout_ms": 1000})
        wait_until("all places are taken", lambda: s.now >= 4)
        assert s.most == 4, s.most
        w.worker.kill()
        w.worker.start()
        task = w.finished(id, 60)
        assert (task["state"], task["items"]["failed"]) == ("failed", 8), task
        assert s.most < 8, s.most  # it hears late of calls that were given up
        check_ends(s, w.results(id), ["/slow"] * 8)
        task = w.finished(w.submit("hybrid", handler="http.fetch", items=[s.url()] * 8))
        assert task["state"] == "succeeded", task


def circuits(w):
    return w.metric("lathe_circuits_opened_total"), w.metric("lathe_circuit_refused_total")


def t04_circuit(w):
    "a server that fails again and again is left alone, tried again by one call, and used again when it answers"
    with BadServer(status=500) as s:
        url = s.url(host="localhost")
        same = url.replace("localhost", "localhost.", 1)  # said in full
        id = w.submit("sequential", handler="http.fetch", items=[url] * 10 + [same])
        assert w.finished(id)["state"] == "failed"
        errors = [r["error"] for r in w.results(id)]
        assert [e["type"] for e in errors] == ["upstream"] * 3 + ["circuit-open"] * 8, errors
        assert len(s.seen) == 3, s.seen
        assert f"http://localhost:{s.port} " in errors[-1]["detail"] and "tried again" in errors[-1]["detail"], errors[-1]

        def another():
            task = w.finished(w.submit("sequential", handler="http.fetch", items=[url] * 2))
            return len(s.seen) > 3 and task
        wait_until("it is tried again", another)
        assert len(s.seen) == 4, s.seen  # one probe, and the circuit is open again
        s.status = 200
        wait_until("it works", lambda: another()["state"] == "succeeded")
        task = w.finished(w.submit("sequential", handler="http.fetch", items=[url] * 10))
        assert task["items"]["failed"] == 0, task
        id = w.submit("async-batch", handler="http.fetch", items=[url] * 20)
        assert w.finished(id)["items"]["failed"] == 0
    opened, refused = circuits(w)
    assert opened >= 1 and refused >= 8, (opened, refused)
    assert w.metric("lathe_circuits_open") == 0


def t04b_in_a_child(w):
    "a child process has a circuit of its own, and what it does counts in the metrics too"
    opened, refused = circuits(w)
    with BadServer(status=500) as s:
        id = w.submit("multiprocessing", handler="http.fetch", items=[s.url(host="localhost")] * 10, workers=1)
        w.finished(id)
        assert [r["error"]["type"] for r in w.results(id)] == ["upstream"] * 3 + ["circuit-open"] * 7, w.results(id)
    assert circuits(w) == (opened + 1, refused + 7), (opened, refused, circuits(w))


def t05_until_it_is_back(w):
    "item_retries outlast an open circuit"
    with BadServer(status=500) as s:
        url = s.url(host="localhost")
        id = w.submit("async-batch", handler="http.fetch", items=[url] * 5, item_retries=60,
                      backoff={"base_ms": 50, "factor": 1.3, "max_ms": 300, "jitter": 0.5})
        wait_until("the circuit is open", lambda: len(s.seen) >= 5)
        s.status = 200
        task = w.finished(id, 60)
        assert (task["state"], task["items"]["failed"]) == ("succeeded", 0), task


def t06_misbehaviour(w):
    "each item that failed says why, at its own place, under every strategy; the others are done"
    paths = [path for path in ENDS for _ in range(2)]
    for strategy in SHAPED:
        with BadServer() as s:
            id = w.submit(strategy, handler="http.fetch", items=[s.url(path) for path in paths], params={"timeout_ms": 400})
            task = w.finished(id, 60)
            assert (task["state"], task["items"]["done"], task["items"]["failed"]) == ("succeeded", *counts(paths)), task
            check_ends(s, w.results(id), paths)
            id = w.submit(strategy, handler="http.fetch", items=[s.url("/status/404")] + [s.url()] * 5, on_item_error="fail", workers=1, batch_size=1)
            task = w.finished(id)
            assert task["state"] == "failed" and task["error"]["type"] == "/problems/items-failed", task
            assert "404" in task["error"]["detail"], task


if __name__ == "__main__":
    main(globals(), lambda: Limited(http_allow="loopback", worker_lease="2s", cache_timeout="10s"))
