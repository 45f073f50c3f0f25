"""URLs that take two seconds each, all at once: what a worker adds to the server's own delay, as the caller of nginx sees it."""
from slow_server import SlowServer, urls
from turns import in_turns, peer, row, runs, spread
from service import Row

WORKER_ENV = {"LATHE_HTTP_ALLOW": "loopback"}
DELAY = 2.0


def fetch(s, base, count):
    """A worker that has made no HTTP call: no connection is open, no client, no libcurl. It has run one task, so that it has been at
    its database: from start to first claim is another figure (bench/run idle)."""
    s.fresh_worker()
    s.run("async-batch", handler="echo", items_count=1)
    return again(s, base, count)


def again(s, base, count):
    took, _ = s.timed("async-batch", handler="http.fetch", items=urls(base, count), batch_size=count)
    return took


def run(s, quick):
    with SlowServer(int(DELAY * 1e3)) as base:
        ours, warm, httpx = in_turns(runs(quick), lambda: fetch(s, base, 25), lambda: again(s, base, 25),
                                     lambda: peer("fetch_httpx", base, 25))
        yield row("25 URLs of 2 s, no connection open", ours, "s", DELAY, most=1.02, of="of the delay")
        yield row("  the same", ours, "s", httpx, of="of httpx and asyncio.gather")
        yield row("  the same, next task of the worker", warm, "s", DELAY, of="of the delay")
        count, mib = 2000 if quick else 10000, []

        def many():
            took = fetch(s, base, count)
            mib.append(s.worker_kib() / 1024)
            return took
        yield row(f"{count:,} URLs of 2 s, one worker, no connection open", in_turns(runs(quick), many)[0], "s", DELAY, most=2, of="of the delay")
        most = max(mib)
        yield Row("  memory of the worker, the most", f"{most:.0f} MiB", "256 MB", most * 1.048576 / 256, "<= 1.00", most * 1.048576 <= 256,
                  spread(mib, 0))
