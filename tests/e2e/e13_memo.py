#!/usr/bin/env python3
"""Results that are remembered (cache_ttl_s), through nginx: shown as such, computed once however many ask, and never missed when
Redis is gone."""
import os
import sys
import threading
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "..", "lib"))
from receiver import Receiver  # noqa: E402
from tap import main  # noqa: E402
from web import Web  # noqa: E402

SHAPED = ["sequential", "threading", "multiprocessing", "async-batch", "concurrent-futures", "hybrid"]


def t01_the_second_time(w):
    "what was computed once is there the next time, under every strategy, and the task and its results say so"
    for at, strategy in enumerate(SHAPED + ["background"]):
        body = dict(handler="cpu.sum_squares", items=[1000 + at * 10 + n for n in range(8)], batch_size=4, cache_ttl_s=600)
        first = w.finished(w.submit(strategy, **body))
        assert (first["state"], first["measured"]["cached"]) == ("succeeded", 0), first
        assert first["terms"]["cache_ttl_s"] == 600, first
        id = w.submit(strategy, **body)
        second = w.finished(id)
        assert (second["state"], second["measured"]["cached"]) == ("succeeded", 8), second
        results = w.results(id)
        assert [r["result"] for r in results] == [r["result"] for r in w.results(first["id"])]
        assert all(r["cached"] for r in results), results
        plain = w.submit(strategy, **dict(body, cache_ttl_s=0))
        assert w.finished(plain)["measured"]["cached"] == 0
        assert not any("cached" in r for r in w.results(plain)), w.results(plain)


def t02_some_of_them(w):
    "only what is the same is taken: of new inputs and old ones each is right"
    w.finished(w.submit("hybrid", handler="word", params={"step_ms": 0}, items=["Anna", "Otto"], cache_ttl_s=600))
    id = w.submit("hybrid", handler="word", params={"step_ms": 0}, items=["Anna", "Emil", "Otto", "Emil"], cache_ttl_s=600)
    task = w.finished(id)
    assert task["measured"]["cached"] == 3, task
    assert [r["result"]["word"] for r in w.results(id)] == ["Anna", "Emil", "Otto", "Emil"]


def t03_stampede(w):
    "two hundred that are the same, over two workers: the server is asked once"
    calls = []

    def answer(call):
        calls.append(call.path)
        time.sleep(0.5)  # so that the others come meanwhile
        return 200
    other = w.lathe("worker")
    with Receiver(answer) as r:
        item = r.url("/once")
        id = w.submit("background", handler="http.fetch", items=[item] * 200, batch_size=10, cache_ttl_s=600)
        task = w.finished(id)
        assert (task["state"], task["items"]["failed"]) == ("succeeded", 0), task
        assert calls == ["/once"], calls
        assert task["measured"]["cached"] == 199, task
        assert {r["result"]["status"] for r in w.results(id)} == {200}
    other.stop()


def t04_failures_are_not(w):
    "what failed is not remembered"
    status = [500]
    with Receiver(lambda call: status[0]) as r:
        body = dict(handler="http.fetch", items=[r.url("/f")], cache_ttl_s=600)
        task = w.finished(w.submit("sequential", **body))
        assert task["state"] == "failed", task
        status[0] = 200
        task = w.finished(w.submit("sequential", **body))
        assert (task["state"], task["measured"]["cached"]) == ("succeeded", 0), task


def t05_refused(w):
    "handlers that are there for what they do, nonsense, and comparisons"
    for strategy, body, pointer in (("hybrid", {"handler": "test.fail", "cache_ttl_s": 5}, "/cache_ttl_s"),
                                    ("hybrid", {"handler": "echo", "cache_ttl_s": -1}, "/cache_ttl_s"),
                                    ("hybrid", {"handler": "echo", "cache_ttl_s": "long"}, "/cache_ttl_s")):
        status, _, problem = w.call("POST", f"/api/v1/tasks/{strategy}", body)
        assert status == 422 and problem["errors"][0]["pointer"] == pointer, (status, problem)
    status, _, problem = w.call("POST", "/api/v1/tasks/compare", {"handler": "echo", "items_count": 1, "cache_ttl_s": 5})
    assert status == 422, (status, problem)


def t06_redis_in_the_middle(w):
    "Redis goes and comes back while items run: all of them are right"
    w.allow(r"event=(redis|cache)\.")
    stop = threading.Event()

    def trouble():
        while not stop.is_set():
            w.redis.kill()
            w.redis.start()
            stop.wait(0.2)
    thread = threading.Thread(target=trouble)
    thread.start()
    try:
        ids = [w.submit(strategy, handler="sleep", items=[n % 50 for n in range(400)], cache_ttl_s=600) for strategy in SHAPED[1:]]
        for id in ids:
            task = w.finished(id)
            assert (task["state"], task["items"]["done"], task["items"]["failed"]) == ("succeeded", 400, 0), task
            assert [r["result"] for r in w.results(id)] == [n % 50 for n in range(400)]
    finally:
        stop.set()
        thread.join()
    w.redis.stop()
    id = w.submit("hybrid", handler="sleep", items=[1] * 20, cache_ttl_s=600)
    task = w.finished(id)
    assert (task["state"], task["items"]["failed"]) == ("succeeded", 0), task
    w.redis.start()


def t07_read(w):
    "redis.get reads what redis.allow opens, and nothing of Lathe's own"
    w.redis.cli("set", "shop:1", "tea")
    id = w.submit("hybrid", handler="redis.get", items=["shop:1", "shop:2", "session:1", "lathe:view:1"])
    task = w.finished(id)
    got = w.results(id)
    if got[0]["state"] == "succeeded":  # Redis was away a moment ago
        assert got[0]["result"] == {"key": "shop:1", "value": "tea", "found": True}, got
        assert got[1]["result"] == {"key": "shop:2", "value": None, "found": False}, got
    assert [r["error"]["type"] for r in got[2:]] == ["forbidden-key"] * 2, got


if __name__ == "__main__":
    main(globals(), lambda: Web(http_allow="loopback", redis_allow="shop:", worker_lease="2s"))
