"""Computing, a database and slow URLs at once: three tasks that are submitted together should take no longer than the longest of
them by itself."""
import time

from slow_server import SlowServer, urls
from turns import in_turns, median, row, runs

WORKER_ENV = {"LATHE_HTTP_ALLOW": "loopback"}


def parts(base):
    """name: strategy, submission."""
    yield "computing", "hybrid", dict(handler="cpu.compress", items_count=200, params={"bytes": 1 << 20, "level": 3}, batch_size=256)
    yield "URLs", "async-batch", dict(handler="http.fetch", items=urls(base, 100), batch_size=100)
    yield "a database", "async-batch", dict(handler="db.users", items_count=20000, batch_size=8000)


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
    s.stack.pg.sql("truncate users")
    begin = time.perf_counter()
    for task in [submit(s, b) for b in bodies]:
        wait(s, task)
    return time.perf_counter() - begin


def run(s, quick):
    with SlowServer(2000) as base:
        work = {name: {**body, "inner": strategy} for name, strategy, body in parts(base)}
        together(s, work.values())  # warm
        *alone, at_once = in_turns(runs(quick), *(lambda body=body: together(s, [body]) for body in work.values()),
                                   lambda: together(s, work.values()))
    for name, took in zip(work, alone):
        yield row(f"mixed: {name}, alone", took, "s")
    longest = max(alone, key=median)
    yield row(f"  all {len(work)} at once", at_once, "s", longest, most=1.1, of="of the longest alone")
