#!/usr/bin/env python3
"""Schedules through nginx: their documents, what they refuse, and that each time fires once whoever dies."""
import os
import sys
import time
from datetime import datetime, timedelta

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "..", "lib"))
from proc import wait_until  # noqa: E402
from tap import main  # noqa: E402
from web import Web  # noqa: E402

TASK = {"strategy": "background", "handler": "echo", "items_count": 2, "tags": ["by-the-clock"]}
LIST = "/api/v1/schedules"


def put(w, name, status=201, **more):
    got, _, doc = w.call("POST", LIST, {"name": name, "task": TASK, **more})
    assert got == status, (got, doc)
    return doc


def get(w, name):
    status, _, doc = w.call("GET", f"{LIST}/{name}")
    assert status == 200, (status, doc)
    return doc


def when(text):
    return datetime.fromisoformat(text.replace("Z", "+00:00"))


def fires(w, name):
    """The times for which tasks were made, from their ids, and how late each was committed."""
    rows = w.pg.sql(f"SELECT id, extract(epoch FROM created_at) FROM tasks WHERE tags LIKE '%\"{name}\"%' ORDER BY id").split("\n")
    out = []
    for row in filter(None, rows):
        id, created = row.split("|")
        at = int(id.replace("-", "")[:12], 16) / 1000
        out.append((at, float(created) - at))
    return out


def t01_document(w):
    "a schedule is made, shown, listed, replaced, paused, resumed and deleted"
    doc = put(w, "night", cron="30 2 * * *", timezone="Europe/Berlin")
    assert doc["task"] == TASK and doc["missed"] == "once" and doc["fired"] == 0 and doc["last_at"] is None, doc
    assert when(doc["next_at"]).minute == 30 and when(doc["next_at"]) > when(doc["created_at"]), doc
    assert get(w, "night") == doc
    other = put(w, "night", 200, every_s=3600, missed="skip")
    assert other["cron"] is None and other["every_s"] == 3600 and other["created_at"] == doc["created_at"], other
    put(w, "morning", run_at="2099-01-01T06:00:00Z")
    assert [s["name"] for s in w.call("GET", LIST)[2]["schedules"]] == ["morning", "night"]
    page = w.call("GET", LIST + "?limit=1")[2]
    assert page["next_after"] == "morning", page
    assert [s["name"] for s in w.call("GET", LIST + "?limit=1&after=morning")[2]["schedules"]] == ["night"]
    status, _, doc = w.call("POST", f"{LIST}/night/pause")
    assert status == 200 and doc["paused"] and doc["next_at"] is None, doc
    status, _, doc = w.call("POST", f"{LIST}/night/resume")
    assert status == 200 and not doc["paused"] and doc["next_at"], doc
    out = w.lathe_run("schedules").stdout
    assert "night" in out and "every 3600 s" in out, out
    w.lathe_run("schedules", "pause", "night")
    assert get(w, "night")["paused"]
    for name in ("night", "morning"):
        assert w.call("DELETE", f"{LIST}/{name}")[0] == 204
    assert w.call("GET", f"{LIST}/night")[2]["type"] == "/problems/no-schedule"


def t02_refused(w):
    "what cannot fire or cannot run is refused, with the field that is wrong"
    bad = [
        ({"cron": "0 0 30 2 *"}, "/cron", "never fire"), ({"cron": "61 * * * *"}, "/cron", "0-59"),
        ({"cron": "* * * *"}, "/cron", "five fields"), ({"cron": "@daily", "every_s": 5}, "/cron", "one of"), ({}, "/cron", "one of"),
        ({"cron": "@daily", "timezone": "Mars/Base"}, "/timezone", "Europe/Berlin"),
        ({"run_at": "2001-01-01"}, "/run_at", "past"), ({"run_at": "soon"}, "/run_at", "2026"),
        ({"every_s": 5, "missed": "perhaps"}, "/missed", "skip"), ({"every_s": 5, "name": "a b"}, "/name", "letters"),
        ({"every_s": 5, "task": {"strategy": "compare"}}, "/task/strategy", "strateg"),
        ({"every_s": 5, "task": {"strategy": "background", "handler": "nobody"}}, "/task/handler", "nobody"),
        ({"every_s": 5, "task": {"strategy": "background", "batch_size": 0}}, "/task/batch_size", "1"),
    ]
    for body, pointer, word in bad:
        status, _, problem = w.call("POST", LIST, {"name": "bad", "task": TASK, **body})
        assert status == 422 and word in problem["detail"], (body, status, problem)
        assert pointer in str(problem), (body, problem)
    assert w.call("GET", LIST)[2]["schedules"] == []


def t03_once_whoever_dies(w):
    "every second under two workers, of which one is killed again and again: each time fires once, none is left out"
    other = w.lathe("worker", name="worker2")
    w.allow("worker.reaped")  # it may die with a unit
    put(w, "tick", every_s=1, missed="all", task={**TASK, "tags": ["tick"]})
    for n in (2, 4, 6):
        wait_until(f"it fired {n} times", lambda n=n: get(w, "tick")["fired"] >= n)
        other.kill()
        other.start()
    w.call("POST", f"{LIST}/tick/pause")
    doc = get(w, "tick")
    found = fires(w, "tick")
    times = [round(at) for at, _ in found]
    assert times == list(range(times[0], times[0] + doc["fired"])), (times, doc)
    assert all(late >= 0 for _, late in found), found
    print(f"# {len(found)} fires, at most {max(late for _, late in found) * 1000:.0f} ms late")
    assert when(doc["last_at"]).timestamp() == times[-1] and w.finished(doc["last_task"])["state"] == "succeeded"
    other.stop()


def t04_missed(w):
    "what was missed is made good once, or each; a time alone fires and is over"
    later = (datetime.utcnow() + timedelta(seconds=1)).isoformat() + "Z"
    w.worker.stop()
    put(w, "one", every_s=1, task={**TASK, "tags": ["one"]})
    put(w, "each", every_s=1, missed="all", task={**TASK, "tags": ["each"]})
    put(w, "alone", run_at=later, task={**TASK, "tags": ["alone"]})
    time.sleep(3.2)  # this is what is missed
    w.worker.start()
    wait_until("all have fired", lambda: all(get(w, name)["fired"] > 0 for name in ("one", "each", "alone")))
    for name in ("one", "each"):
        w.call("POST", f"{LIST}/{name}/pause")
    one, each, alone = (fires(w, name) for name in ("one", "each", "alone"))
    first = round(each[0][0])
    assert [round(at) for at, _ in each] == list(range(first, first + len(each))) and len(each) >= 3, each
    assert round(one[0][0]) > first + 1, (one, each)  # it left out the times before
    assert len(alone) == 1 and get(w, "alone")["next_at"] is None, alone


def t05_what_cannot_be_made(w):
    "a schedule whose task cannot be made any more goes on and says why"
    w.allow("schedule.failed")
    put(w, "lame", every_s=1)
    w.pg.sql("UPDATE schedules SET body = '{\"handler\":\"gone\"}' WHERE name = 'lame'")
    doc = wait_until("it says why", lambda: (lambda d: d if d["error"] else None)(get(w, "lame")))
    assert "gone" in doc["error"] and doc["next_at"], doc
    w.call("DELETE", f"{LIST}/lame")


def t06_what_is_not_taken(w):
    "a task that is refused or there already is not said to have been fired, and holds up no other schedule"
    w.allow("schedule.failed|limits in use")
    unknown = "0199b7c2-0000-7000-8000-000000000000"
    body = {"handler": "echo", "items_count": 2, "delay": 3600, "unique": {"key": "one"}}
    status, _, first = w.call("POST", "/api/v1/tasks/background", body)
    assert status == 202, first
    w.pg.sql("INSERT INTO gates (name, concurrency) SELECT 'key/' || i, 1 FROM generate_series(1, 100001) i")
    put(w, "full", every_s=1, task={**TASK, "limit": {"key": "new", "concurrency": 1}})
    put(w, "needy", every_s=1, task={**TASK, "depends_on": [unknown]})
    put(w, "same", every_s=1, task={**TASK, "unique": {"key": "one"}})

    def with_a(field, name):
        def seen():
            doc = get(w, name)
            return doc if doc[field] else None
        return wait_until(f"{name} has its {field}", seen)
    full, needy, same = with_a("error", "full"), with_a("error", "needy"), with_a("last_task", "same")
    assert "limits" in full["error"] and full["fired"] == 0 and full["next_at"], full
    assert "/depends_on/0" in needy["error"] and needy["fired"] == 0 and not needy["last_task"] and not needy["last_at"], needy
    assert same["last_task"] == first["id"] and same["fired"] == 0 and not same["error"], same
    for name in ("full", "needy", "same"):
        w.call("DELETE", f"{LIST}/{name}")


def t07_a_zone_that_is_not_here(w):
    "a schedule whose zone this host lacks says so and is tried again a minute later; the others fire"
    w.allow("schedule.failed")
    put(w, "far", cron="* * * * *", timezone="Europe/Berlin")
    w.pg.sql("UPDATE schedules SET timezone = 'Mars/Olympus', next_at = now() WHERE name = 'far'")
    put(w, "near", every_s=1)
    far = wait_until("it says why", lambda: (lambda d: d if d["error"] else None)(get(w, "far")))
    assert "time zone" in far["error"] and far["fired"] == 0, far
    again = float(w.pg.sql("SELECT extract(epoch FROM next_at - now()) FROM schedules WHERE name = 'far'"))
    assert 0 < again <= 60, far
    wait_until("the other fires", lambda: get(w, "near")["fired"] > 0)
    w.pg.sql("UPDATE schedules SET timezone = 'Europe/Berlin', next_at = now() WHERE name = 'far'")
    far = wait_until("it fires where its zone is known", lambda: (lambda d: d if d["fired"] else None)(get(w, "far")))
    assert not far["error"], far
    for name in ("far", "near"):
        w.call("DELETE", f"{LIST}/{name}")


if __name__ == "__main__":
    main(globals(), lambda: Web(worker_poll="200ms"))
