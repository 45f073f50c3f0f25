#!/usr/bin/env python3
"""Running again what is over, through nginx: by id and by filter, and how those are found that failed."""
import os
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "..", "lib"))
from tap import main  # noqa: E402
from web import Web  # noqa: E402

UNKNOWN = "0199b7c2-0000-7000-8000-000000000000"


def failed(w, **more):
    """A task of three units, the second of which fails."""
    id = w.submit("background", handler="test.fail", params={"at": 1}, items_count=3, batch_size=1, on_item_error="fail", **more)
    task = w.finished(id)
    assert task["state"] == "failed", task
    return task


def t01_by_id(w):
    "a task that failed runs again under its id, from its beginning or only what did not succeed"
    task = failed(w)
    for body in (None, {"failed_only": True}):
        status, headers, doc = w.call("POST", f"/api/v1/tasks/{task['id']}/retry", body)
        assert status == 202 and headers["Location"].endswith(task["id"]), (status, doc)
        assert doc["id"] == task["id"] and doc["state"] in ("queued", "running", "failed"), doc
        again = w.finished(task["id"])
        assert again["state"] == "failed" and again["items"]["failed"] >= 1, again
        assert again["finished_at"] > task["finished_at"]
        task = again
    assert task["terms"]["redriven"] == 2, task


def t02_waits_for_the_new_end(w):
    "who waits for a task that runs again waits for its new end"
    id = w.submit("background", handler="sleep", params={"ms": 60000}, items_count=1)
    w.call("DELETE", f"/api/v1/tasks/{id}")
    assert w.finished(id)["state"] == "cancelled"
    status, _, doc = w.call("POST", f"/api/v1/tasks/{id}/retry")
    assert status == 202 and doc["finished_at"] is None, doc
    status, _, doc = w.call("GET", f"/api/v1/tasks/{id}", headers={"Prefer": "wait=1"})
    assert status == 200 and doc["state"] in ("queued", "running"), doc
    status, _, problem = w.call("POST", f"/api/v1/tasks/{id}/retry")
    assert status == 409 and "not over" in problem["detail"], problem
    w.call("DELETE", f"/api/v1/tasks/{id}")
    w.finished(id)


def t03_refused(w):
    "what succeeded, what is not there and what is not understood is refused"
    id = w.submit("background", handler="echo", items_count=1)
    w.finished(id)
    for path, status, word in ((f"{id}/retry", 409, "succeeded"), (f"{UNKNOWN}/retry", 404, "no such task"), ("x/retry", 404, "UUID")):
        got, _, problem = w.call("POST", f"/api/v1/tasks/{path}")
        assert got == status and word in problem["detail"], problem
    for body, pointer in (({"state": "queued"}, "/state"), ({"since": "x"}, "/since"), ({"failed": 1}, "/failed"), ({"cursor": "x"}, "/cursor"),
                          ({"state": "cancelled", "error": "item-failed"}, "/error")):
        got, _, problem = w.call("POST", "/api/v1/tasks:retry", body)
        assert got == 422 and pointer in str(problem["errors"]), (body, problem)


def t04_by_filter(w):
    "those that failed are listed by their error, and run again page by page"
    ids = {failed(w, queue="default", tags=["page"])["id"] for _ in range(3)}
    listed = w.call("GET", "/api/v1/tasks?state=failed&handler=test.fail")[2]["tasks"]
    assert ids <= {t["id"] for t in listed} and all(t["state"] == "failed" for t in listed)
    slug = listed[0]["error"]["type"].rpartition("/")[2]
    assert len(w.call("GET", f"/api/v1/tasks?error={slug}")[2]["tasks"]) == len(listed)
    assert w.call("GET", "/api/v1/tasks?error=worker-lost")[2]["tasks"] == []
    seen, body = 0, {"handler": "test.fail", "error": slug, "limit": 2, "failed_only": True}
    while True:
        status, _, doc = w.call("POST", "/api/v1/tasks:retry", body)
        assert status == 200 and doc["refused"] == 0, doc
        seen += doc["retried"]
        if not doc["next_cursor"]:
            break
        body["cursor"] = doc["next_cursor"]
    assert seen == len(listed), (seen, listed)
    for id in ids:
        assert w.finished(id)["terms"]["redriven"] == 1
    out = w.lathe_run("retry", "--all", "--error=worker-lost").stdout
    assert out.startswith("0 tasks"), out
    assert "runs again" in w.lathe_run("retry", "--failed-only", sorted(ids)[0]).stdout


if __name__ == "__main__":
    main(globals(), setup=Web)
