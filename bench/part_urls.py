"""URLs that take two seconds each, all at once: what a worker adds to the server's own delay, as the caller of nginx sees it."""
from service import Row, at_most
from slow_server import SlowServer, httpx_s, urls

WORKER_ENV = {"LATHE_HTTP_ALLOW": "loopback"}
DELAY = 2.0


def fetch(s, base, count):
    """A worker that has made no HTTP call: no connection is open, no client, no libcurl. It has run one task, so that it has been at
    its database: from start to first claim is another figure (bench/run idle)."""
    s.fresh_worker()
    s.run("async-batch", handler="echo", items_count=1)
    took, task = s.timed("async-batch", handler="http.fetch", items=urls(base, count), batch_size=count)
    return took, task


def peer_row(base, count):
    took = httpx_s(base, count)
    if took is None:
        return Row("  the same with httpx and asyncio.gather", "not installed")
    return Row("  the same with httpx and asyncio.gather", f"{took:.2f} s", f"{DELAY:.2f} s", took / DELAY)


def run(s, quick):
    with SlowServer(int(DELAY * 1e3)) as base:
        took, _ = fetch(s, base, 25)
        yield at_most("25 URLs of 2 s each, no connection open", took, DELAY, 1.02)
        yield peer_row(base, 25)
        count = 2000 if quick else 10000
        took, _ = fetch(s, base, count)
        yield at_most(f"{count:,} URLs of 2 s each, one worker, no connection open", took, DELAY, 2)
        mib = s.worker_kib() / 1024
        yield Row("  memory of the worker", f"{mib:.0f} MiB", "256 MB", mib * 1.048576 / 256, "<= 1.00", mib * 1.048576 <= 256)
