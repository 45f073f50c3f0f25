"""Computing, a database and slow URLs at once: three tasks that are submitted together should take no longer than the longest of
them by itself."""
import os
import time

from service import Row, at_most
from slow_server import SlowServer, urls

WORKER_ENV = {"LATHE_HTTP_ALLOW": "loopback"}
CORES = len(os.sched_getaffinity(0))


def parts(base, handlers):
    """name: strategy, submission. Of a second or two each."""
    yield "computing", "hybrid", dict(handler="cpu.compress", items_count=200, params={"bytes": 1 << 20, "level": 3}, batch_size=256)
    yield "URLs", "async-batch", dict(handler="http.fetch", items=urls(base, 100), batch_size=100)
    if "db.users" in handlers:
        yield "a database", "async-batch", dict(handler="db.users", items_count=2000, batch_size=2000)


def submit(s, body):
    status, task = s.call("POST", "/api/v1/tasks/background", body)
    if status != 202:
        raise AssertionError(f"{status}: {task}")
    return task["id"]


def wait(s, task):
    while True:
        _, document = s.call("GET", f"/api/v1/tasks/{task}?wait=20")
        if document["state"] == "succeeded" and not document["items"]["failed"]:
            return
        if document["state"] in ("failed", "cancelled", "succeeded"):
            raise AssertionError(f"{document}")


def together(s, bodies):
    begin = time.perf_counter()
    for task in [submit(s, b) for b in bodies]:
        wait(s, task)
    return time.perf_counter() - begin


def run(s, quick):
    with SlowServer(2000) as base:
        work = [(name, {**body, "inner": strategy}) for name, strategy, body in parts(base, s.handlers())]
        together(s, [body for _, body in work])  # warm
        alone = {name: min(together(s, [body]) for _ in range(2)) for name, body in work}
        for name, took in alone.items():
            yield Row(f"mixed: {name}, alone", f"{took:.2f} s")
        took = min(together(s, [body for _, body in work]) for _ in range(2))
        longest = max(alone.values())
        yield at_most(f"{len(work)} tasks at once: {', '.join(alone)}", took, longest, 1.1)
        if len(work) < 3:
            yield Row("  (the handler db.users is not there)", "")
