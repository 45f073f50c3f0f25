#!/usr/bin/env python3
"""Limits as a user meets them, with two workers: a key's rate and concurrency, queues that are paused and limited."""
import json
import os
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "..", "lib"))
from proc import wait_until  # noqa: E402
from tap import main  # noqa: E402
from web import Web  # noqa: E402

FAST = dict(worker_poll="100ms")


def begun(w, ids):
    return sorted(w.pg.sql(f"SELECT extract(epoch FROM started_at) FROM tasks WHERE id IN ({','.join(repr(i) for i in ids)})").split())


def t01_rate():
    "a key with a rate, from two workers: in any second no more begin than the bucket and the rate give"
    with Web(**FAST) as w:
        w.lathe("worker")
        ids = [w.submit("background", handler="echo", items_count=1, limit={"key": "k", "rate": 5, "per_s": 0.5}) for _ in range(20)]
        for id in ids:
            assert w.finished(id)["state"] == "succeeded"
        at = [float(t) for t in begun(w, ids)]
        assert len(at) == 20
        # a full bucket of 5, and 10 a second: 20 take 1.5 s. A unit may begin later than it was let in, not sooner.
        assert at[-1] - at[0] > 1.0, at
        for i in range(len(at)):
            n = sum(at[i] <= t < at[i] + 0.5 for t in at)
            assert n <= 5 + 5 + 2, (n, at)


def t02_concurrency():
    "a key with a concurrency, from two workers: never more at once, and all of them in the end"
    with Web(**FAST) as w:
        w.lathe("worker")
        ids = [w.submit("background", handler="sleep", params={"ms": 60}, items_count=1, limit={"key": "k", "concurrency": 2})
               for _ in range(12)]
        def over():
            n = int(w.pg.sql("SELECT coalesce(sum(remaining), 0) FROM leases"))
            assert n <= 2, n
            return w.pg.sql("SELECT count(*) FROM tasks WHERE state <> 'succeeded'").strip() == "0"
        wait_until("all are done", over, every=0.01)
        # Looked at from its end, and not by chance in the middle: at the start of some there was another, and never two.
        most = w.pg.sql("SELECT max((SELECT count(*) FROM tasks o WHERE o.started_at <= t.started_at AND o.finished_at > t.started_at)) "
                        "FROM tasks t").strip()
        assert most == "2", most
        assert len(ids) == 12 and w.pg.sql("SELECT count(*) FROM inside").strip() == "0"


def t03_queue():
    "a queue is paused: nothing of it begins, and everybody can see why; resumed it goes on at once; limits are shown"
    with Web(worker_poll="60s") as w:
        status, _, q = w.call("POST", "/api/v1/queues/default/pause", {"reason": "a disk is full"})
        assert status == 200 and q["paused"] and q["reason"] == "a disk is full" and q["paused_at"], q
        id = w.submit("background", handler="echo", items_count=1)
        other = w.lathe("worker", env={"LATHE_WORKER_QUEUES": "other"})
        assert w.finished(w.submit("background", handler="echo", items_count=1, queue="other"))["state"] == "succeeded"
        assert w.task(id)["state"] == "queued" and other.running()
        q = w.call("GET", "/api/v1/queues")[2]["queues"][0]
        assert (q["name"], q["queued"], q["paused"]) == ("default", 1, True), q
        assert "paused: a disk is full" in w.lathe_run("queues").stdout
        assert w.call("POST", "/api/v1/queues/default/resume")[2]["paused"] is False
        assert w.finished(id)["state"] == "succeeded"
        status, _, q = w.call("PUT", "/api/v1/queues/default", {"concurrency": 1})
        assert status == 200 and q["concurrency"] == 1 and q["rate"] is None, q
        ids = [w.submit("background", handler="sleep", params={"ms": 600000}, items_count=1) for _ in range(2)]
        q = wait_until("one runs", lambda: (lambda q: q if q["running"] else None)(w.call("GET", "/api/v1/queues/default")[2]))
        assert (q["queued"], q["running"]) == (1, 1), q
        assert q["gates"][0]["inside"] == 1 and q["gates"][0]["holders"][0] in ids, q
        said = json.loads(w.lathe_run("queues", "limit", "--json", "--concurrency=2", "--rate=100", "--per-s=0.5", "default").stdout)
        assert (said["concurrency"], said["rate"], said["per_s"]) == (2, 100, 0.5), said
        wait_until("both run", lambda: w.call("GET", "/api/v1/queues/default")[2]["running"] == 2)
        assert ", 2 at once, 100 in 0.5 s" in w.lathe_run("queues").stdout
        assert " at once" not in w.lathe_run("queues", "limit", "default").stdout  # what is left out has no limit
        for words, text in (("limit", "each with a NAME"), ("limit --per-s=0 default", "per_s"), ("lift default", "each with a NAME")):
            bad = w.lathe_run("queues", *words.split(), check=False)
            assert bad.returncode != 0 and text in bad.stderr, (words, bad)
        for id in ids:
            w.call("DELETE", f"/api/v1/tasks/{id}")
            w.finished(id)


def t04_bad():
    "unknown queues, bad limits: problems that name the field"
    with Web(worker=False, api_queues="default, mail") as w:
        def refused(path, body, pointer, method="POST", status=422):
            got, _, problem = w.call(method, path, body)
            assert got == status, (got, problem)
            assert pointer is None or problem["errors"][0]["pointer"] == pointer, problem
            return problem
        p = refused("/api/v1/tasks/background", {"queue": "mial"}, "/queue")
        assert "default, mail" in p["detail"], p
        refused("/compare", {"queue": "mial"}, "/queue")
        hook = {"url": "http://example.com/", "queue": "mial"}
        follow = {"tasks": [{"queue": "mail"}, {"queue": "mial"}]}
        deeper = {"tasks": [{"queue": "mail", "callback": follow}]}
        refused("/api/v1/tasks/background", {"callback": hook}, "/callback/queue")
        refused("/api/v1/tasks/background", {"callback": follow}, "/callback/tasks/1/queue")
        refused("/api/v1/tasks/background", {"callback": deeper}, "/callback/tasks/0/callback/tasks/1/queue")
        for task, pointer in (({"queue": "mial"}, "/task/queue"), ({"callback": hook}, "/task/callback/queue"),
                              ({"callback": follow}, "/task/callback/tasks/1/queue")):
            refused("/api/v1/schedules", {"name": "s", "every_s": 60, "task": {"strategy": "background", **task}}, pointer)
        assert w.submit("background", queue="mail", items_count=1)
        status, _, answer = w.call("POST", "/api/v1/tasks:batch",
                                   {"tasks": [{"queue": "mial", "strategy": "background"}, {"queue": "mail", "strategy": "background"}]})
        assert status in (200, 202, 207), (status, answer)
        assert answer["results"][0]["errors"][0]["pointer"] == "/queue" and answer["results"][1]["id"], answer
        for limit, pointer in (({}, "/limit/key"), ({"key": "k"}, "/limit"), ({"key": "k", "rate": -1}, "/limit/rate"), (5, "/limit"),
                               ({"key": "k", "rate": 1, "per_s": 0}, "/limit/per_s"), ({"key": "k" * 300, "rate": 1}, "/limit/key"),
                               ({"key": "k", "concurrency": 1.5}, "/limit/concurrency")):
            refused("/api/v1/tasks/background", {"limit": limit}, pointer)
        refused("/api/v1/tasks/background", {"tenant": "t" * 65}, "/tenant")
        refused("/api/v1/queues/mail", {"concurrency": -1}, "/concurrency", "PUT")
        refused("/api/v1/queues/mail", {"often": 1}, "/often", "PUT")
        refused("/api/v1/queues/a%20b", {}, None, "PUT", 404)


def t05_tenants():
    "a tenant who comes late is not behind the flood of another"
    with Web(worker=False) as w:
        flood = w.submit("background", handler="echo", items_count=3000, batch_size=1, tenant="a")
        late = [w.submit("background", handler="echo", items_count=1, tenant="b") for _ in range(3)]
        w.lathe("worker")
        for id in [*late, flood]:
            w.finished(id)
        before = w.pg.sql("SELECT count(*) FROM tasks l, tasks f WHERE l.terms ->> 'tenant' = 'b' AND f.units_total = 3000 "
                          "AND l.finished_at < f.finished_at").strip()
        assert before == "3", before
        ranks = w.pg.sql("SELECT count(*) FROM tasks WHERE terms ->> 'tenant' = 'b'").strip()
        assert ranks == "3"


def t06_counting_ends():
    "of a flood only so much is counted, and it hides no other queue"
    with Web(worker=False) as w:
        id = w.submit("background", handler="echo", items_count=1, queue="flood")
        w.submit("background", handler="echo", items_count=1, queue="after")
        w.submit("background", handler="echo", items_count=1, queue="later", delay=600)
        columns = w.pg.sql("SELECT string_agg(attname, ',') FROM pg_attribute WHERE attrelid = 'work'::regclass AND attnum > 0 "
                           "AND NOT attisdropped AND attname <> 'seq'").strip()
        w.pg.sql(f"INSERT INTO work (seq, {columns}) SELECT n, {columns} FROM work, generate_series(1, 20100) n WHERE task = '{id}'")
        found = {q["name"]: (q["queued"], q["waiting"]) for q in w.call("GET", "/api/v1/queues")[2]["queues"]}
        assert found == {"after": (1, 0), "flood": (20000, 0), "later": (0, 1)}, found
        for name, counts in {**found, "none": (0, 0)}.items():
            q = w.call("GET", f"/api/v1/queues/{name}")[2]
            assert (q["name"], q["queued"], q["waiting"]) == (name, *counts), q


def t07_behind_another():
    "a task that nobody told the worker of begins when the one before it ends, and not at the next poll"
    with Web(redis=False, worker=False, worker_poll="60s") as w:
        first = w.submit("background", handler="sleep", params={"ms": 6000}, items_count=1)
        w.lathe("worker")
        wait_until("it runs", lambda: w.call("GET", f"/api/v1/tasks/{first}")[2]["state"] == "running")
        second = w.submit("background", handler="echo", items_count=1)
        w.finished(second)
        waited = w.pg.sql(f"SELECT b.started_at - a.finished_at < interval '15 s' FROM tasks a, tasks b WHERE a.id = '{first}' AND b.id = '{second}'")
        assert waited.strip() == "t", waited  # a poll is 30 to 90 s after the other


if __name__ == "__main__":
    main(globals())
