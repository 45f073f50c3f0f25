#!/usr/bin/env python3
"""Nothing acknowledged is lost: workers killed, Redis flushed and stopped, PostgreSQL restarted, in the middle of work.
Counted by item in the results: each exactly once."""
import os
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "..", "lib"))
from proc import wait_until  # noqa: E402
from tap import main  # noqa: E402
from web import Web  # noqa: E402

UNITS, UNIT = 20, 10
BODY = dict(handler="sleep", params={"ms": 20}, items_count=UNITS * UNIT, batch_size=UNIT, inner="sequential")


def killing(**settings):
    """A stack on which workers are killed: PostgreSQL tells of the connections that this tears."""
    w = Web(**settings)
    w.allow("connection to client lost")
    return w


def some_units_done(w, id):
    wait_until("some units are done", lambda: UNIT <= w.task(id)["items"]["done"] < UNITS * UNIT)


def complete(w, id):
    task = w.finished(id)
    assert task["state"] == "succeeded", task
    assert task["items"] == {"total": UNITS * UNIT, "done": UNITS * UNIT, "failed": 0}, task["items"]
    got = [r["index"] for r in w.results(id)]
    assert got == list(range(UNITS * UNIT)), f"{len(got)} results, {len(set(got))} different"


def t01_restarted():
    "a worker killed in the middle of 20 units; started again, it finishes every item once"
    with killing(worker_lease="1s", worker_slots=2) as w:
        id = w.submit("background", **BODY)
        some_units_done(w, id)
        w.worker.kill()
        w.worker.start()
        complete(w, id)


def t02_elsewhere():
    "a worker killed in the middle of 20 units; another one that was there finishes them"
    with killing(worker_lease="1s", worker_slots=2) as w:
        other = w.lathe("worker")
        id = w.submit("background", **BODY)
        some_units_done(w, id)
        w.worker.kill()
        complete(w, id)
        assert other.running()


def t03_again_and_again():
    "a worker killed five times during one task loses nothing"
    with killing(worker_lease="1s", worker_slots=2, worker_attempts=20) as w:
        id = w.submit("background", **BODY)
        for _ in range(5):
            w.worker.kill()
            w.worker.start()
            before = w.task(id)["items"]["done"]
            wait_until("the worker got on", lambda: w.task(id)["items"]["done"] > before
                       or w.task(id)["state"] == "succeeded")
        complete(w, id)


def t04_redis():
    "Redis flushed, then stopped, then back, in the middle of a task"
    with Web(worker_slots=2) as w:
        id = w.submit("background", **BODY)
        some_units_done(w, id)
        w.redis.cli("flushall")
        w.redis.kill()
        complete(w, id)
        second = w.submit("background", **BODY)
        some_units_done(w, second)
        w.redis.start()
        complete(w, second)


def t05_postgresql():
    "PostgreSQL restarted in the middle of a task"
    with Web(worker_lease="5s", worker_slots=2) as w:
        id = w.submit("background", **BODY)
        some_units_done(w, id)
        w.pg.kill()
        w.pg.start()

        def back():
            return w.call("GET", f"/api/v1/tasks/{id}")[0] == 200
        wait_until("the api has PostgreSQL again", back)
        complete(w, id)


def t06_terminated():
    "SIGTERM in the middle: the worker gives back what it has not finished and ends with 0; another goes on"
    with Web(worker_drain="100ms", worker_slots=2, worker_lease="60s") as w:
        id = w.submit("background", **dict(BODY, params={"ms": 100}))
        some_units_done(w, id)
        assert w.worker.stop() == 0
        w.worker.start()
        complete(w, id)


def t07_crashing_handler():
    "a handler that crashes the worker costs the item that crashed, not its task's others and not the service"
    with killing(worker=False, worker_lease="1s") as w:
        serve = w.lathe("serve", env={"LATHE_API_LISTEN": f"unix:{w.dir}/other.sock"})
        w.allow("serve.died")
        bad = w.submit("threading", handler="test.crash", items_count=4, workers=2, params={"at": 2})
        good = w.submit("background", handler="echo", items_count=100, batch_size=1)
        task = w.finished(bad)
        assert task["items"] == {"total": 4, "done": 4, "failed": 1}, task
        assert task["attempt"] == 2 and task["shape"]["processes"] == 1, task  # in a child the second time
        assert [r.get("error", {}).get("type") for r in w.results(bad)] == [None, None, "item-crashed", None]
        assert w.finished(good)["state"] == "succeeded"
        assert [r["index"] for r in w.results(good)] == list(range(100))
        assert serve.running()


if __name__ == "__main__":
    main(globals())
