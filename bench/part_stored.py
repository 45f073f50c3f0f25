"""URLs that are fetched and kept in PostgreSQL: what that adds to the server's own delay."""
from service import Row
from slow_server import SlowServer, urls

WORKER_ENV = {"LATHE_HTTP_ALLOW": "loopback"}
DELAY_MS = 100


def run(s, quick):
    with SlowServer(DELAY_MS) as base:
        task = s.best("async-batch", 3 if quick else 10, handler="fetch.store", items=urls(base, 15))
    ms = task["measured"]["wall_ms"]
    yield Row(f"15 URLs of {DELAY_MS} ms each, fetched and kept", f"{ms:.1f} ms", f"{DELAY_MS + 20} ms", ms / (DELAY_MS + 20),
              "<= the delay + 20 ms", ms <= DELAY_MS + 20)
