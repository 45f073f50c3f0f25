#!/usr/bin/env python3
"""Users in bulk, records of what was fetched, and figures over tasks, through nginx; and a worker that is killed in the middle."""
import json
import os
import sys
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "..", "lib"))
from proc import wait_until  # noqa: E402
from receiver import Receiver  # noqa: E402
from tap import main  # noqa: E402
from web import Web  # noqa: E402


def stack():
    return Web(http_allow="127.0.0.1", http_log="yes", worker_lease="1s")


def lines_of(w, id):
    "every item's line, by its index"
    status, _, body = w.call("GET", f"/api/v1/tasks/{id}/results", headers={"Accept": "application/x-ndjson"})
    assert status == 200, status
    lines = [json.loads(line) for line in body.splitlines()]
    assert [line["index"] for line in lines] == list(range(len(lines))), "an item has no line, or two"
    return lines


def t01_bulk(w):
    "2,000 users in one request; each duplicate is told by its item"
    w.allow("duplicate key value violates unique constraint")  # how PostgreSQL tells of the first
    users = [{"email": f"bulk{i}@example.com", "name": f"Bulk {i}"} for i in range(2000)]
    for i in (500, 1500):
        users[i] = {"email": "BULK0@example.com"}
    id = w.submit("async-batch", handler="db.users", items=users, batch_size=2000)
    task = w.finished(id)
    assert task["state"] == "succeeded" and task["items"] == {"total": 2000, "done": 2000, "failed": 2}, task
    lines = lines_of(w, id)
    for line in lines:
        if line["index"] in (500, 1500):
            assert line["error"]["type"] == "duplicate" and "bulk0@example.com" in line["error"]["detail"], line
        else:
            assert line["result"]["created"] and line["result"]["email"] == f"bulk{line['index']}@example.com", line
    assert w.pg.sql("select count(*), count(distinct email) from users where email like 'bulk%'") == "1998|1998"
    status, _, page = w.call("GET", "/api/v1/users?email=Bulk7@example.com")
    assert status == 200 and len(page["users"]) == 1 and page["users"][0]["task"] == id and page["users"][0]["item"] == 7, page


def t02_pages(w):
    "users a page at a time, newest first, each once"
    seen, cursor = [], ""
    while cursor is not None:
        status, _, page = w.call("GET", "/api/v1/users?limit=700" + (f"&cursor={cursor}" if cursor else ""))
        assert status == 200, page
        seen += [u["id"] for u in page["users"]]
        cursor = page["next_cursor"]
    assert len(seen) == 1998 and seen == sorted(set(seen), reverse=True), len(seen)
    status, _, problem = w.call("GET", "/api/v1/users?cursor=abc")
    assert status == 422 and "cursor" in problem["detail"], problem


def t03_killed_in_the_middle(w):
    "a worker dies while it creates users: each is there once, and none is taken for a duplicate of itself"
    total, old = 40000, w.worker
    id = w.submit("background", handler="db.users", items_count=total, batch_size=10000, params={"prefix": "killed"},
                  inner="hybrid")
    count = "select count(*) from users where email like 'killed-%'"
    wait_until("some users are there", lambda: int(w.pg.sql(count)) > 500, every=0.001)
    old.kill()
    some = int(w.pg.sql(count))
    old.start()
    task = w.finished(id, seconds=120)
    assert some < total, "the worker was done before it was killed"
    assert task["state"] == "succeeded" and task["items"]["failed"] == 0, task
    lines = lines_of(w, id)
    assert len(lines) == total and all(line["result"]["created"] for line in lines)
    rows = w.pg.sql("select count(*), count(distinct email), count(distinct item) from users where email like 'killed-%'")
    assert rows == "|".join([str(total)] * 3), rows


def t04_records_and_calls(w):
    "what was fetched is kept, and every call is in the log without its query"
    with Receiver(lambda call: 200 if "bad" not in call.path else 404) as r:
        urls = [{"url": r.url(f"/{'bad' if i == 3 else 'good'}{i}?token=secret"), "method": "POST"} for i in range(15)]
        id = w.submit("async-batch", handler="fetch.store", items=urls)
        task = w.finished(id)
        assert task["items"]["failed"] == 1, task
        status, _, page = w.call("GET", f"/api/v1/tasks/{id}/records")
        assert status == 200 and [d["item"] for d in page["records"]] == [i for i in range(15) if i != 3], page
        lines = lines_of(w, id)
        assert {d["id"] for d in page["records"]} == {line["result"]["record"] for line in lines if "result" in line}

        def calls():
            status, _, page = w.call("GET", f"/api/v1/tasks/{id}/calls")
            return page["calls"] if status == 200 and len(page["calls"]) == 15 else None
        found = wait_until("the log has all calls", calls)
        assert sorted(c["item"] for c in found) == list(range(15)), found
        for c in found:
            assert c["status"] == (404 if c["item"] == 3 else 200) and c["method"] == "POST" and c["ms"] > 0, c
            assert "secret" not in json.dumps(c) and "?" not in c["url"], c
        pages, cursor = [], ""
        while cursor is not None:
            _, _, page = w.call("GET", f"/api/v1/tasks/{id}/calls?limit=4" + (f"&cursor={cursor}" if cursor else ""))
            pages += page["calls"]
            cursor = page["next_cursor"]
        assert pages == found, pages


def t05_calls_of_children(w):
    "calls made in a child are in the log when its task is over: the child may be none any more"
    with Receiver(lambda call: 200) as r:
        for _ in range(5):
            id = w.submit("multiprocessing", handler="http.fetch", items=[{"url": r.url("/x")}])
            task = w.finished(id)
            assert task["state"] == "succeeded", task
            assert w.pg.sql(f"select count(*) from outgoing where task = '{id}'") == "1"


def t06_figures(w):
    "figures over the tasks of the last hour"
    w.finished(w.submit("threading", handler="db.users", items=["no user"], queue="default"))
    status, _, figures = w.call("GET", "/api/v1/stats")
    assert status == 200 and figures["whole"], figures
    groups = {g["handler"]: g for g in figures["groups"]}
    assert figures["tasks"] == sum(g["tasks"] for g in figures["groups"]), figures
    assert groups["db.users"]["states"]["succeeded"] == 2 and groups["db.users"]["items"] == {"done": 42001, "failed": 3}, groups
    assert groups["db.users"]["states"]["failed"] == 1 and 0.3 < groups["db.users"]["failure_rate"] < 0.4, groups
    assert {"code": "items-failed", "tasks": 1} in figures["errors"], figures
    assert 0 < figures["run_ms"]["p50"] <= figures["run_ms"]["p95"], figures
    time.sleep(1.1)  # a window that has nothing in it
    status, _, figures = w.call("GET", "/api/v1/stats?window_s=1")
    assert status == 200 and figures["tasks"] == 0 and figures["groups"] == [], figures
    status, _, problem = w.call("GET", "/api/v1/stats?window_s=0")
    assert status == 422 and "window_s" in problem["detail"], problem


if __name__ == "__main__":
    main(globals(), stack)
