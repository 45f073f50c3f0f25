"""URLs that are fetched and kept in PostgreSQL: what that adds to the server's own delay."""
from slow_server import SlowServer, urls
from turns import in_turns, row, runs

WORKER_ENV = {"LATHE_HTTP_ALLOW": "loopback"}
DELAY_MS = 100


def run(s, quick):
    with SlowServer(DELAY_MS) as base:
        def once():
            return s.run("async-batch", handler="fetch.store", items=urls(base, 15))["measured"]["wall_ms"]
        once()  # the first opens its connections
        yield row(f"15 URLs of {DELAY_MS} ms, fetched and stored", in_turns(3 * runs(quick), once)[0], "ms", DELAY_MS + 20, most=1,
                  of="of the delay + 20 ms")
