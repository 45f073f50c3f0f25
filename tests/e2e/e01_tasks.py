#!/usr/bin/env python3
"""Every route through nginx, with what it promises: submit, wait, look, list, results, cancel, operate."""
import json
import os
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "..", "lib"))
from proc import wait_until  # noqa: E402
from tap import main  # noqa: E402
from web import FINAL, Web  # noqa: E402

SHAPED = ["sequential", "threading", "multiprocessing", "async-batch", "concurrent-futures", "hybrid"]
ALIASES = {"threaded": "threading", "threads": "threading", "multiprocess": "multiprocessing",
           "processes": "multiprocessing", "async": "async-batch", "futures": "concurrent-futures"}
WORK = {"items_count": 12, "batch_size": 4, "workers": 2}
UNKNOWN = "0199b7c2-0000-7000-8000-000000000000"
LONG = {"handler": "sleep", "params": {"ms": 600000}, "items_count": 3}


def t01_every_strategy(w):
    "every strategy answers 200 with the finished task and its results"
    for strategy in SHAPED + ["auto"]:
        status, headers, task = w.call("POST", f"/api/v1/tasks/{strategy}", WORK)
        assert status == 200, (strategy, status, task)
        assert headers["Content-Type"] == "application/json" and "Prefer" in headers.get_all("Vary"), headers
        assert task["state"] == "succeeded" and task["strategy"] == strategy, task
        assert task["items"] == {"total": 12, "done": 12, "failed": 0}, task
        assert task["handler"] == "simulate" and task["progress"] == 1 and task["error"] is None
        assert task["measured"]["wall_ms"] > 0 and task["shape"]["threads"] >= 1
        assert [r["index"] for r in task["results"]] == list(range(12)), task["results"]
        assert task["created_at"] <= task["started_at"] <= task["finished_at"], task


def t02_aliases(w):
    "an alias runs the strategy and shows its name"
    for alias, name in ALIASES.items():
        status, _, task = w.call("POST", f"/api/v1/tasks/{alias}", {"items_count": 2})
        assert (status, task["strategy"]) == (200, name), (alias, status, task)


def t03_defaults(w):
    "no body at all is the default workload; fields may stand in the query"
    status, _, task = w.call("POST", "/api/v1/tasks/hybrid")
    assert status == 200 and task["items"]["done"] == 100, (status, task)
    status, _, task = w.call("POST", "/api/v1/tasks/sequential?items_count=3&handler=echo")
    assert status == 200 and task["handler"] == "echo" and task["items"]["total"] == 3, (status, task)
    status, _, task = w.call("POST", "/api/v1/tasks/sequential?params=%7B%22ms%22%3A1%7D", {"handler": "sleep", "items_count": 1})
    assert status == 200 and task["params"] == {"ms": 1}, (status, task)


def t04_items(w):
    "the caller's own items come back in their order"
    items = [1, "zwei", None, {"a": [True]}, "\u00e4\u20ac\U0001f600"]
    status, _, task = w.call("POST", "/api/v1/tasks/threading", {"handler": "echo", "items": items})
    assert status == 200, (status, task)
    assert [r["result"] for r in task["results"]] == items, task["results"]


def t05_background(w):
    "background is 202 with Location, split into units, and ends by itself"
    status, headers, task = w.call("POST", "/api/v1/tasks/background", WORK)
    assert status == 202 and headers["Retry-After"] == "1", (status, dict(headers))
    assert headers["Location"] == f"/api/v1/tasks/{task['id']}" == task["links"]["self"], task
    assert task["state"] == "queued" and task["units"]["total"] == 3, task
    done = w.finished(task["id"])
    assert done["state"] == "succeeded" and done["units"] == {"total": 3, "done": 3}, done


def t06_prefer(w):
    "Prefer: respond-async and wait=N are applied and said to be"
    body = {"handler": "sleep", "params": {"ms": 600000}, "items_count": 1}
    for prefer in ("respond-async", "wait=0", "wait=1"):
        status, headers, task = w.call("POST", "/api/v1/tasks/sequential", body, {"Prefer": prefer})
        assert status == 202 and headers["Preference-Applied"] == prefer, (prefer, status, dict(headers))
        w.call("DELETE", task["links"]["cancel"])
    status, headers, task = w.call("POST", "/api/v1/tasks/sequential", {"handler": "echo", "items_count": 1}, {"Prefer": "wait=20"})
    assert status == 200 and task["state"] == "succeeded", (status, task)


def t07_failed_is_200(w):
    "a task that fails is an answer and not an error: 200, and the document says why"
    body = {"handler": "sleep", "params": {"ms": 60000}, "items_count": 1, "item_timeout_ms": 50, "on_item_error": "fail"}
    status, _, task = w.call("POST", "/api/v1/tasks/sequential", body)
    assert status == 200 and task["state"] == "failed", (status, task)
    assert task["error"]["type"].startswith("/problems/") and task["error"]["detail"], task["error"]


def t08_get_and_etag(w):
    "GET and the status alias give the same; If-None-Match gives 304 until something changes; HEAD has no body"
    id = w.submit("sequential", handler="echo", items_count=2)
    w.finished(id)
    status, headers, task = w.call("GET", f"/api/v1/tasks/{id}")
    assert status == 200 and task["id"] == id, (status, task)
    assert w.call("GET", f"/api/v1/tasks/status/{id}")[2] == task
    tag = headers["ETag"]
    status, headers, text = w.raw("GET", f"/api/v1/tasks/{id}", headers={"If-None-Match": f'"other", {tag}'})
    assert (status, text, headers["ETag"]) == (304, b"", tag), (status, text)
    status, headers, text = w.raw("HEAD", f"/api/v1/tasks/{id}")
    assert (status, text) == (200, b"") and headers["ETag"] == tag, (status, text)
    running = w.submit("sequential", **LONG)
    tag = w.call("GET", f"/api/v1/tasks/{running}")[1]["ETag"]
    w.call("DELETE", f"/api/v1/tasks/{running}")
    w.finished(running)
    status, headers, _ = w.call("GET", f"/api/v1/tasks/{running}", headers={"If-None-Match": tag})
    assert status == 200 and headers["ETag"] != tag, status


def t09_long_poll(w):
    "GET with wait=N answers at the end of the task, or after N seconds"
    id = w.submit("sequential", handler="sleep", params={"ms": 300}, items_count=1)
    status, _, task = w.call("GET", f"/api/v1/tasks/{id}?wait=20")
    assert status == 200 and task["state"] == "succeeded", (status, task)
    id = w.submit("sequential", **LONG)
    status, _, task = w.call("GET", f"/api/v1/tasks/{id}?wait=1")
    assert status == 200 and task["state"] not in FINAL, (status, task)
    w.call("DELETE", f"/api/v1/tasks/{id}")


def t10_cancel(w):
    "DELETE: 202 while it winds down, 200 when it is over, and again, and for what ended otherwise"
    id = w.submit("sequential", **LONG)
    wait_until("it runs", lambda: w.task(id)["state"] == "running")
    status, _, task = w.call("DELETE", f"/api/v1/tasks/{id}")
    assert status == 202 and task["cancelling"] or status == 200 and task["state"] == "cancelled", (status, task)
    assert w.finished(id)["state"] == "cancelled"
    status, _, task = w.call("DELETE", f"/api/v1/tasks/{id}")
    assert status == 200 and task["state"] == "cancelled", (status, task)
    id = w.submit("sequential", handler="echo", items_count=1)
    w.finished(id)
    status, _, task = w.call("DELETE", f"/api/v1/tasks/{id}")
    assert status == 200 and task["state"] == "succeeded", (status, task)
    id = w.submit("background", queue="nobody-serves", handler="echo", items_count=1)
    status, _, task = w.call("DELETE", f"/api/v1/tasks/{id}")
    assert status == 200 and task["state"] == "cancelled", (status, task)


def t11_list(w):
    "the list: newest first, filters, pages by cursor without a gap or a double"
    ids = [w.submit("background", queue="listed", handler="echo", items_count=1) for _ in range(7)]
    seen, path = [], "/api/v1/tasks?queue=listed&limit=3"
    pages = 0
    while path:
        status, headers, page = w.call("GET", path)
        assert status == 200, (status, page)
        seen += [t["id"] for t in page["tasks"]]
        pages += 1
        link = headers["Link"]
        assert (link is None) == (page["next_cursor"] is None)
        path = link[1:link.index(">")] if link else None
    assert pages == 3 and seen == ids[::-1], (pages, seen, ids)
    for query, count in (("queue=listed&state=queued", 7), ("queue=listed&state=failed", 0), ("queue=listed&handler=echo", 7),
                         ("queue=listed&handler=word", 0), ("queue=listed&strategy=background", 7),
                         ("queue=listed&strategy=hybrid", 0), ("queue=listed&since=2000-01-01", 7),
                         ("queue=listed&until=2000-01-01T00:00:00Z", 0), ("queue=listed&since=2000-01-01T00:00:00+01:00", 7)):
        status, _, page = w.call("GET", f"/api/v1/tasks?{query}")
        assert status == 200 and len(page["tasks"]) == count, (query, status, page)
    assert w.call("GET", "/api/v1/tasks?strategy=async")[0] == 200
    for id in ids:
        w.call("DELETE", f"/api/v1/tasks/{id}")


def t12_results(w):
    "results as NDJSON and as JSON, from any offset, and of nothing"
    id = w.submit("background", handler="echo", items=list(range(100, 130)), batch_size=7)
    w.finished(id)
    want = list(range(100, 130))
    assert [r["result"] for r in w.results(id)] == want
    status, headers, text = w.raw("GET", f"/api/v1/tasks/{id}/results?offset=25&limit=3", headers={"Accept": "application/x-ndjson"})
    assert status == 200 and headers["Content-Type"] == "application/x-ndjson" and "Accept" in headers.get_all("Vary")
    assert [json.loads(line)["index"] for line in text.splitlines()] == [25, 26, 27], text
    status, headers, page = w.call("GET", f"/api/v1/tasks/{id}/results")
    assert headers["Content-Type"] == "application/json" and page["state"] == "succeeded" and page["task"] == id
    assert [r["result"] for r in page["items"]] == want and page["next"] is None, page
    got, offset = [], 0
    while offset is not None:
        page = w.call("GET", f"/api/v1/tasks/{id}/results?offset={offset}&limit=8")[2]
        got += [r["result"] for r in page["items"]]
        offset = page["next"]
    assert got == want, got
    page = w.call("GET", f"/api/v1/tasks/{id}/results?offset=30")[2]
    assert page["items"] == [] and page["next"] is None, page
    assert w.raw("HEAD", f"/api/v1/tasks/{id}/results")[2] == b""


def t13_results_while_it_runs(w):
    "results of finished units are there while the task still runs"
    items = [0, 0, 600000, 0]
    id = w.submit("background", handler="sleep", items=items, batch_size=2, inner="sequential")
    wait_until("the first unit is done", lambda: w.task(id)["units"]["done"] == 1)
    page = w.call("GET", f"/api/v1/tasks/{id}/results")[2]
    assert [r["index"] for r in page["items"]] == [0, 1] and page["next"] == 2, page
    _, headers, _ = w.raw("GET", f"/api/v1/tasks/{id}/results", headers={"Accept": "application/x-ndjson"})
    assert (headers["Lathe-Task-State"], headers["Lathe-Items-Total"]) == ("running", "4"), dict(headers)
    w.call("DELETE", f"/api/v1/tasks/{id}")
    w.finished(id)


def t14_large_results(w):
    "a list of many large results is streamed whole"
    text = "x" * 1000
    id = w.submit("hybrid", handler="echo", items=[text] * 3000)
    w.finished(id)
    results = w.results(id)
    assert len(results) == 3000 and all(r["result"] == text for r in results)
    page = w.call("GET", f"/api/v1/tasks/{id}/results")[2]
    assert [r["index"] for r in page["items"]] == list(range(3000)) and page["next"] is None


def t15_operating(w):
    "handlers with their schemas, strategies, workers, health, readiness, metrics"
    handlers = {h["name"]: h for h in w.call("GET", "/api/v1/handlers")[2]["handlers"]}
    assert {"simulate", "sleep", "echo", "cpu.sum_squares", "word"} <= set(handlers), sorted(handlers)
    assert "ms" in handlers["sleep"]["params"]["properties"], handlers["sleep"]
    assert not [h for h in handlers if h.startswith("test.")], sorted(handlers)
    strategies = [s["name"] for s in w.call("GET", "/api/v1/strategies")[2]["strategies"]]
    assert strategies == SHAPED + ["background", "auto"], strategies
    workers = w.call("GET", "/api/v1/workers")[2]["workers"]
    assert len(workers) == 1 and workers[0]["slots"] >= 1 and workers[0]["pid"] > 0, workers
    assert w.call("GET", "/healthz")[2] == {"status": "ok"}
    ready = w.call("GET", "/readyz")[2]
    assert ready.pop("vacuum_held_by") is None, ready
    assert ready == {"status": "ready", "postgresql": "ok", "redis": "ok", "workers": 1, "stalled_workers": 0}, ready
    status, headers, text = w.call("GET", "/metrics")
    assert status == 200 and headers["Content-Type"].startswith("text/plain; version=0.0.4"), dict(headers)
    for name in ("lathe_http_requests", "lathe_submitted", "lathe_store_up 1", "lathe_store_workers 1"):
        assert name in text, name
    names = [line.split()[2] for line in text.splitlines() if line.startswith("# TYPE")]
    assert len(names) == len(set(names)), "a metric twice"
    assert text.endswith("\n")
    assert '/api/v1/tasks/{id}"' in text, "requests are counted by route, not by path"


def t16_options(w):
    "OPTIONS tells the methods"
    for path, allow in (("/api/v1/tasks", "GET, HEAD, OPTIONS"), ("/compare", "GET, POST, OPTIONS"), ("/recommendations", "GET, OPTIONS")):
        status, headers, text = w.raw("OPTIONS", path)
        assert (status, headers["Allow"], text) == (204, allow, b""), (status, dict(headers))


def t17_hanging_up(w):
    "a caller that hangs up while it waits costs nobody anything, and its task goes on"
    calls = [w.connect() for _ in range(20)]
    for c in calls:
        c.request("POST", "/api/v1/tasks/sequential", json.dumps({"handler": "sleep", "params": {"ms": 500}, "items_count": 1,
                                                                  "queue": "default", "tags": ["hung-up"]}),
                  {"Content-Type": "application/json"})
    wait_until("they are in", lambda: len([t for t in w.call("GET", "/api/v1/tasks?limit=60")[2]["tasks"]
                                           if t.get("tags") == ["hung-up"]]) == 20)
    for c in calls:
        c.close()
    assert w.call("GET", "/healthz")[0] == 200
    def over():
        mine = [t for t in w.call("GET", "/api/v1/tasks?limit=60")[2]["tasks"] if t.get("tags") == ["hung-up"]]
        return len(mine) == 20 and all(t["state"] == "succeeded" for t in mine)
    wait_until("their tasks succeeded", over)


def t18_request_id(w):
    "every answer carries the id of its request"
    assert w.call("GET", "/healthz")[1]["X-Request-Id"]
    status, headers, problem = w.call("GET", "/no/where")
    assert status == 404 and problem["request_id"] == headers["X-Request-Id"], (problem, dict(headers))


def counted(w):
    _, _, text = w.call("GET", "/metrics")
    lines = (line.rpartition(" ") for line in text.splitlines() if line.startswith("lathe_http_"))
    return {name: float(value) for name, _, value in lines}


def t19_counted_once(w):
    "every request is counted once, under its route and the class of its status"
    before = counted(w)
    for path in ("/healthz", "/healthz", "/no/where", f"/api/v1/tasks/{UNKNOWN}"):
        w.call("GET", path)
    w.call("POST", "/api/v1/tasks/sequential", {"handler": "echo", "items_count": 1})
    after = counted(w)
    want = {'lathe_http_requests_total{status="2xx"}': 4, 'lathe_http_requests_total{status="4xx"}': 2,
            'lathe_http_seconds_count{route="/healthz"}': 2, 'lathe_http_seconds_count{route="other"}': 1,
            'lathe_http_seconds_count{route="/metrics"}': 1, 'lathe_http_seconds_count{route="/api/v1/tasks/{id}"}': 1,
            'lathe_http_seconds_count{route="/api/v1/tasks/{strategy}"}': 1}
    names = [n for n in after if n.startswith(("lathe_http_requests", "lathe_http_seconds_count"))]
    got = {n: after[n] - before.get(n, 0) for n in names if after[n] != before.get(n, 0)}
    assert got == want, got
    assert after["lathe_http_waiting"] == 0, after


if __name__ == "__main__":
    main(globals(), setup=Web)
