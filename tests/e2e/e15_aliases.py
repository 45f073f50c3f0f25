#!/usr/bin/env python3
"""The same work under the names that other systems gave it: requests as their users write them."""
import os
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "..", "lib"))
from proc import wait_until  # noqa: E402
from tap import main  # noqa: E402
from web import FINAL, Web  # noqa: E402

UNKNOWN = "0199b7c2-0000-7000-8000-000000000000"


class Page(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        body = b"one two two" if self.path != "/missing" else b"no"
        self.send_response(404 if self.path == "/missing" else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass


class Site:
    def __enter__(self):
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Page)
        self.server.daemon_threads = True
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.05})
        self.thread.start()
        return f"http://127.0.0.1:{self.server.server_address[1]}"

    def __exit__(self, *_):
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


def stack():
    return Web(http_allow="127.0.0.1")


def now(w, path, body=None):
    """A POST whose work is done in the request: its brief document."""
    status, _, brief = w.call("POST", path, body)
    assert status == 200 and brief["id"] == brief["task_id"], (path, status, brief)
    return brief


def later(w, method, path, body=None):
    """One whose work is queued: its id."""
    status, headers, brief = w.call(method, path, body)
    assert status == 202 and headers["Location"] == f"/api/v1/tasks/{brief['task_id']}", (path, status, brief)
    assert brief["result"] is None and brief["error"] is None and brief["status"] in ("queued", "running"), brief
    return brief["task_id"]


def ended(w, path):
    """The brief document at this path, when it is over."""
    def over():
        status, _, brief = w.call("GET", path)
        assert status == 200, (path, status, brief)
        return brief if brief["status"] in FINAL else None
    return wait_until(f"{path} is over", over, every=0.05)


def refused(w, method, path, status, slug, pointer=None, body=None):
    got, _, problem = w.call(method, path, body)
    assert (got, problem["type"]) == (status, f"/problems/{slug}"), (path, body, got, problem)
    if pointer:
        assert problem["errors"][0]["pointer"] == pointer, (path, body, problem)


def t01_jobs(w):
    "a job is created with its data, listed, looked at and cancelled"
    id = later(w, "POST", "/api/v1/jobs", {"data": {"user": 7, "list": [1, "zwei"]}})
    assert ended(w, f"/api/v1/jobs/{id}")["result"] == {"user": 7, "list": [1, "zwei"]}
    status, _, page = w.call("GET", "/api/v1/jobs?limit=5")
    assert status == 200 and page["tasks"][0]["id"] == id, page
    id = later(w, "POST", "/api/v1/jobs", {"data": 600000, "handler": "sleep", "priority": 9})
    status, _, brief = w.call("DELETE", f"/api/v1/jobs/{id}")
    assert status in (200, 202), (status, brief)
    assert ended(w, f"/api/v1/jobs/{id}")["status"] == "cancelled"
    assert w.task(id)["priority"] == 9
    assert ended(w, f"/api/v1/jobs/{later(w, 'POST', '/api/v1/jobs')}")["result"] == 0  # no data: the index
    status, _, health = w.call("GET", "/health")
    assert status == 200 and health["status"] == "ok", health
    refused(w, "GET", f"/api/v1/jobs/{UNKNOWN}", 404, "no-task")
    refused(w, "POST", "/api/v1/jobs", 422, "unknown-field", "/payload", {"payload": 1})
    refused(w, "POST", "/api/v1/jobs", 422, "no-handler", None, {"handler": "rm -rf", "data": 1})


def t02_io(w):
    "URLs are fetched, one and many, and a sleep is slept"
    with Site() as site:
        brief = now(w, "/io/fetch", {"url": f"{site}/a"})
        assert brief["status"] == "succeeded" and brief["result"]["status"] == 200 and brief["result"]["bytes"] == 11, brief
        brief = now(w, "/io/fetch", {"url": f"{site}/missing", "timeout": 2.5})
        assert brief["status"] == "failed" and "404" in brief["error"] and brief["result"] is None, brief
        brief = now(w, "/io/fetch-multiple", {"urls": [f"{site}/{i}" for i in range(20)], "concurrency": 5})
        assert [r["status"] for r in brief["result"]] == [200] * 20, brief
        assert w.task(brief["id"])["shape"]["width"] == 5
        brief = now(w, "/io/fetch-multiple", {"urls": [f"{site}/a", f"{site}/missing"]})
        assert brief["status"] == "succeeded" and brief["result"][1] is None, brief
    for body, ms in (({"seconds": 0.05}, 50), ({"duration": 0.02}, 20), ({"seconds": 0}, 0)):
        assert now(w, "/io/sleep", body)["result"] == ms, body
    assert now(w, "/io/sleep?duration=0.01")["result"] == 10
    with Site() as site:
        brief = now(w, "/hybrid/fetch-process", {"urls": [f"{site}/a", f"{site}/b"]})
        assert [r["work"]["words"] for r in brief["result"]] == [3, 3], brief
        assert now(w, "/hybrid/fetch-process", {"url": f"{site}/a"})["result"]["work"]["words"] == 3
    refused(w, "POST", "/hybrid/fetch-process", 422, "bad-field", "/url", {})
    refused(w, "POST", "/hybrid/fetch-process", 422, "bad-field", "/url", {"url": "http://x/", "urls": ["http://y/"]})
    refused(w, "POST", "/io/fetch", 422, "bad-field", "/url", {})
    refused(w, "POST", "/io/fetch", 422, "unknown-field", "/uri", {"uri": "http://x/"})
    refused(w, "POST", "/io/fetch-multiple", 422, "bad-field", "/urls", {"urls": []})
    refused(w, "POST", "/io/fetch-multiple", 422, "bad-field", "/urls", {"urls": "http://x/"})
    refused(w, "POST", "/io/sleep", 422, "bad-field", "/seconds", {"seconds": -1})
    refused(w, "POST", "/io/sleep", 422, "bad-field", "/duration", {"seconds": 1, "duration": 1})
    refused(w, "POST", "/io/sleep", 422, "unknown-field", "/minutes", {"minutes": 1})
    refused(w, "GET", "/io/sleep", 405, "method")


def t03_cpu(w):
    "a sum is computed, a text compressed"
    assert now(w, "/cpu/compute", {"n": 1000})["result"] == sum(i * i for i in range(1000))
    packed = now(w, "/cpu/compress", {"data": "abc" * 1000, "level": 6})["result"]
    assert packed["bytes"] == 3000 and packed["packed"] < 100, packed
    refused(w, "POST", "/cpu/compress", 422, "bad-field", "/data", {"data": 7})
    refused(w, "POST", "/cpu/compress", 422, "bad-field", "/level", {"data": "", "level": 10})
    refused(w, "POST", "/cpu/compute", 422, "bad-field", "/n", {"n": "many"})
    refused(w, "POST", "/cpu/compute", 422, "unknown-field", "/iterations", {"iterations": 1})


def t04_db_jobs(w):
    "jobs are created, waited for and listed"
    id = later(w, "POST", "/db/jobs/create", {"data": {"a": 1}})
    assert now(w, "/db/jobs/process", {"job_id": id})["result"] == {"a": 1}
    status, _, page = w.call("GET", "/db/jobs?handler=echo&limit=1")
    assert status == 200 and page["tasks"][0]["id"] == id, page
    refused(w, "POST", "/db/jobs/process", 422, "bad-field", "/job_id", {"job_id": "7"})
    refused(w, "POST", "/db/jobs/process", 404, "no-task", None, {"job_id": UNKNOWN})
    refused(w, "POST", "/db/jobs/process", 422, "unknown-field", "/limit", {"limit": 7})
    id = later(w, "POST", "/db/jobs/create", {"data": 600000, "handler": "sleep"})
    status, headers, brief = w.call("POST", "/db/jobs/process", {"job_id": id}, {"Prefer": "wait=1"})
    assert status == 202 and brief["task_id"] == id and headers["Preference-Applied"] == "wait=1", (status, brief)
    status, _, brief = w.call("DELETE", f"/tasks/{id}")
    assert status in (200, 202), brief


def t05_tasks(w):
    "a task under the short name is the task"
    id = w.submit("background", handler="echo", items=[1])
    w.finished(id)
    assert w.call("GET", f"/tasks/{id}")[2] == w.task(id)
    status, _, task = w.call("DELETE", f"/tasks/{id}")
    assert status == 200 and task["state"] == "succeeded", task
    refused(w, "GET", f"/tasks/{UNKNOWN}", 404, "no-task")


def t06_word(w):
    "a word in the path begins a task of ten steps, whose progress and facts can be asked for"
    id = later(w, "GET", "/Lagerregal")
    done = ended(w, f"/process/{id}")
    assert done["id"] == id and done["status"] == "succeeded" and done["error"] is None and done["progress"] == 1, done
    assert done["result"]["reversed"] == "lagerregaL" and done["result"]["length"] == 10, done
    id = later(w, "GET", "/stra%C3%9Fe")
    assert ended(w, f"/process/{id}")["result"]["word"] == "stra\u00dfe"
    refused(w, "GET", f"/process/{UNKNOWN}", 404, "no-task")
    refused(w, "GET", "/process/seven", 404, "no-task")


def t09_no_words(w):
    "what is no word begins no work, and swallows nothing"
    _, _, before = w.call("GET", "/api/v1/tasks?limit=1")
    for path in ("/favicon.ico", "/docs", "/Docs", "/openapi.json", "/robots.txt", "/wp-login", "/a1", "/api", "/static",
                 "/" + "a" * 65, "/two%20words", "/%FF", "/word/", "/", "/process", "/tasks"):
        refused(w, "GET", path, 404, "no-route")
    refused(w, "GET", "/word?x=1", 422, "unknown-field", "x")
    refused(w, "POST", "/word", 405, "method")
    assert w.raw("HEAD", "/word")[0] == 405  # it would begin work
    for path in ("/healthz", "/readyz", "/metrics", "/health"):
        assert w.raw("GET", path)[0] == 200, path
    _, _, after = w.call("GET", "/api/v1/tasks?limit=1")
    assert [t["id"] for t in after["tasks"]] == [t["id"] for t in before["tasks"]], after


def t07_users(w):
    "users are made, one and many, and listed; answers are fetched and kept; figures over jobs"
    w.allow("duplicate key")
    brief = now(w, "/db/users/create", {"username": "Ann", "email": "ann@example.com"})
    assert brief["status"] == "succeeded" and brief["result"]["created"], brief
    brief = now(w, "/db/users/create", {"name": "Ann again", "email": "ann@example.com", "age": 30})
    assert brief["status"] == "failed" and brief["error"], brief
    brief = now(w, "/db/users/bulk-create", {"users": [{"username": "Bo", "email": "bo@example.com"}, {"email": "cy@example.com"}]})
    assert [r["created"] for r in brief["result"]] == [True, True], brief
    brief = now(w, "/db/users/bulk-create", {"count": 50})
    assert w.task(brief["id"])["items"] == {"total": 50, "done": 50, "failed": 0}
    status, _, page = w.call("GET", "/db/users")
    assert status == 200 and page == w.call("GET", "/api/v1/users")[2] and len(page["users"]) == 53, page
    status, _, stats = w.call("GET", "/db/jobs/stats")
    assert status == 200 and set(stats) == set(w.call("GET", "/api/v1/stats")[2]), stats
    with Site() as site:
        brief = now(w, "/hybrid/fetch-and-store", {"url": f"{site}/a"})
        assert brief["result"]["status"] == 200 and brief["result"]["record"], brief
    refused(w, "POST", "/db/users/create", 422, "bad-field", "/email", {"username": "x"})
    refused(w, "POST", "/db/users/create", 422, "unknown-field", "/password", {"email": "x@y", "password": "x"})
    refused(w, "POST", "/db/users/bulk-create", 422, "bad-field", "/users", {})
    refused(w, "POST", "/db/users/bulk-create", 422, "bad-field", "/users/1/email", {"users": [{"email": "d@e"}, {"name": "x"}]})
    refused(w, "POST", "/db/users/bulk-create", 422, "unknown-field", "/users/0/mail", {"users": [{"mail": "d@e"}]})


def t08_two_ways(w):
    "the benchmark's job, in the request and queued"
    brief = now(w, "/fastapi/job")
    assert set(brief["result"]) == {"index", "db_ms", "redis_ms", "loop", "nested"}, brief
    assert w.call("GET", f"/fastapi/status/{brief['id']}")[2] == brief
    id = later(w, "POST", "/celery/job", {"data": {"any": "thing"}})
    queued = ended(w, f"/celery/status/{id}")
    assert queued["result"] == brief["result"], (queued, brief)


if __name__ == "__main__":
    main(globals(), stack)
