#!/usr/bin/env python3
"""Tasks in time, through nginx: tried again, put off, planned, expired; and what they say meanwhile. The worker looks for work by
itself once a minute only: what goes on sooner goes on because somebody told it or it knew the time."""
import json
import os
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "..", "lib"))
from proc import wait_until  # noqa: E402
from tap import main  # noqa: E402
from web import Web  # noqa: E402

QUICK = {"base_ms": 30, "factor": 2, "max_ms": 200, "jitter": 0.5}
SHAPED = ["sequential", "threading", "multiprocessing", "async-batch", "concurrent-futures", "hybrid"]
UNKNOWN = "0199b7c2-0000-7000-8000-000000000000"


def t01_until_it_works(w):
    "a unit that fails is run again until it does not, under every strategy; the log tells of each try"
    for strategy in SHAPED + ["background"]:
        id = w.submit(strategy, handler="test.fail", params={"every": 1, "times": 2}, items_count=4, batch_size=2, workers=2,
                      retries=3, backoff=QUICK)
        task = w.finished(id)
        assert (task["state"], task["tries"], task["attempt"]) == ("succeeded", 2, 1), task
        assert task["error"] is None and task["items"] == {"total": 4, "done": 4, "failed": 0}, task
        assert [(r["result"], r.get("tries")) for r in w.results(id)] == [(n, None) for n in range(4)]
        units = task["units"]["total"]
        said = [line["text"] for line in w.log(id)]
        for n in (1, 2):
            mine = [text for text in said if text.startswith(f"try {n} of 4 failed: item-failed: item ")]
            assert len(mine) == units and all("; next in 0." in text for text in mine), said
        assert len(said) == 2 * units, said


def t02_no_tries_left(w):
    "when the tries are used up the task is failed, with the last try's results"
    id = w.submit("hybrid", handler="test.fail", params={"every": 1}, items_count=2, retries=1, backoff=QUICK)
    task = w.finished(id)
    assert (task["state"], task["tries"], task["items"]["failed"]) == ("failed", 1, 2), task
    assert task["error"]["type"] == "/problems/items-failed", task
    assert len(w.results(id)) == 2
    assert [line["try"] for line in w.log(id)] == [1, 2], w.log(id)


def t03_while_it_waits(w):
    "while it waits for its next try a task shows the last error, and a cancel ends it at once"
    id = w.submit("sequential", handler="test.fail", params={"every": 1}, items_count=1, retries=5,
                  backoff={"base_ms": 600000, "jitter": 0})
    wait_until("the first try has failed", lambda: w.task(id)["tries"] == 1)
    task = w.task(id)
    assert task["state"] == "queued" and task["error"]["type"] == "/problems/item-failed", task
    assert task["terms"]["retries"] == 5, task
    status, _, task = w.call("DELETE", f"/api/v1/tasks/{id}")
    assert status == 200 and task["state"] == "cancelled", (status, task)


def t04_items(w):
    "a failed item is run again by itself, under every strategy; its line says how often"
    for strategy in SHAPED:
        id = w.submit(strategy, handler="test.fail", params={"every": 3, "times": 2}, items_count=9, item_retries=2, backoff=QUICK)
        task = w.finished(id)
        assert (task["state"], task["tries"], task["items"]["failed"]) == ("succeeded", 0, 0), task
        assert [r.get("tries", 0) for r in w.results(id)] == [0, 0, 2] * 3, w.results(id)


def t05_what_nothing_mends(w):
    "what would fail the next time too is not tried again; a time limit is"
    id = w.submit("sequential", handler="test.huge", params={"careless": True}, items_count=1, retries=3, item_retries=3, backoff=QUICK)
    task = w.finished(id)
    assert (task["state"], task["tries"]) == ("failed", 0), task
    id = w.submit("sequential", handler="sleep", params={"ms": 600000}, items_count=1, retries=1, timeout_ms=100, backoff=QUICK)
    task = w.finished(id)
    assert (task["state"], task["tries"], task["error"]["type"]) == ("failed", 1, "/problems/task-timeout"), task


def t06_not_now(w):
    "a handler that says not now is asked again, in children too, and it is no failure"
    for strategy in ("sequential", "multiprocessing"):
        path = os.path.join(w.dir, f"now-{strategy}")
        id = w.submit(strategy, handler="test.snooze", params={"every": 1, "ms": 100, "until": path}, items_count=2)
        wait_until("it was put off twice", lambda: len(w.log(id)) >= 2)
        assert {line["text"] for line in w.log(id)} == {"put off for 0.1 s"}, w.log(id)
        open(path, "w").close()
        task = w.finished(id)
        assert (task["state"], task["tries"], task["items"]["done"]) == ("succeeded", 0, 2), task


def t07_expires(w):
    "what is past cannot be asked for; what nobody begins in time is failed and not run"
    for body in ({"expires": "2001-01-01T00:00:00Z"}, {"expires": -1}, {"expires": 5, "delay": 10}, {"expires": "soon"}):
        status, _, problem = w.call("POST", "/api/v1/tasks/background", body)
        assert status == 422 and problem["errors"][0]["pointer"] == "/expires", (body, status, problem)
    id = w.submit("background", queue="nobody-serves", handler="echo", items_count=4, batch_size=2, expires=0.2)
    task = w.finished(id)
    assert (task["state"], task["error"]["type"], task["items"]["done"]) == ("failed", "/problems/expired", 0), task
    id = w.submit("sequential", handler="echo", items_count=1, expires=3600)
    assert w.finished(id)["state"] == "succeeded"


def t08_planned(w):
    "a task with a delay is scheduled, listed as such, run at its time, and cancelled before it at once"
    late = w.submit("sequential", handler="echo", items_count=1, delay=3600, tags=["planned"])
    soon = w.submit("sequential", handler="echo", items_count=1, delay=0.4)
    task = w.task(late)
    assert task["state"] == "scheduled" and task["run_at"] > task["created_at"], task
    listed = [t["id"] for t in w.call("GET", "/api/v1/tasks?state=scheduled")[2]["tasks"]]
    assert late in listed, listed
    task = w.finished(soon)
    assert task["state"] == "succeeded" and task["started_at"] >= task["run_at"], task
    status, _, task = w.call("DELETE", f"/api/v1/tasks/{late}")
    assert status == 200 and task["state"] == "cancelled" and task["started_at"] is None, (status, task)
    assert late not in [t["id"] for t in w.call("GET", "/api/v1/tasks?state=scheduled")[2]["tasks"]]


def t09_log(w):
    "the log of a task, as JSON and as lines; of one that says nothing; of none"
    for strategy in ("hybrid", "multiprocessing"):
        id = w.submit(strategy, handler="word", params={"step_ms": 0}, items=["Anna", "Otto"], workers=2)
        task = w.finished(id)
        lines = w.log(id)
        assert task["links"]["log"] == f"/api/v1/tasks/{id}/log", task
        assert len(lines) == 20 and sorted({line["index"] for line in lines}) == [0, 1], lines
        assert [line["text"] for line in lines if line["index"] == 1][:2] == ["word", "length"], lines
        status, headers, text = w.raw("GET", f"/api/v1/tasks/{id}/log", headers={"Accept": "application/x-ndjson"})
        assert status == 200 and headers["Content-Type"] == "application/x-ndjson", dict(headers)
        assert [json.loads(line) for line in text.splitlines()] == lines
    id = w.submit("sequential", handler="echo", items_count=1)
    w.finished(id)
    assert w.log(id) == []
    assert w.call("GET", f"/api/v1/tasks/{UNKNOWN}/log")[0] == 404
    assert w.call("GET", f"/api/v1/tasks/{id}/log", headers={"Accept": "text/html"})[0] == 406


def t10_too_much_to_say(w):
    "a run keeps so much of its log, and says what it dropped"
    id = w.submit("hybrid", handler="word", params={"step_ms": 0}, items_count=200)
    w.finished(id)
    lines = w.log(id)
    assert len(lines) < 2000 and lines[-1]["text"].startswith(f"{2000 - len(lines) + 1} more lines were dropped"), lines[-1]


if __name__ == "__main__":
    main(globals(), lambda: Web(worker_poll="60s", worker_lease="1500ms"))
