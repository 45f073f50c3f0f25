#!/usr/bin/env python3
"""A cron schedule under two workers for three minutes, of which the one or the other is killed. Not in make check, but in make check-long
and so in dev/check all."""
import os
import sys
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "..", "lib"))
from proc import wait_until  # noqa: E402
from tap import main  # noqa: E402
from web import Web  # noqa: E402


def t01_three_minutes(w):
    "a schedule of every minute fires once a minute, whichever of two workers is killed"
    other = w.lathe("worker", name="worker2")
    task = {"strategy": "background", "handler": "echo", "items_count": 1, "tags": ["minute"]}
    status, _, doc = w.call("POST", "/api/v1/schedules", {"name": "minute", "cron": "* * * * *", "task": task})
    assert status == 201, doc
    for n in (1, 2, 3):
        wait_until(f"it fired {n} times", lambda n=n: w.call("GET", "/api/v1/schedules/minute")[2]["fired"] >= n, 75, every=0.5)
        victim = (w.worker, other)[n % 2]
        victim.kill()
        victim.start()
    w.call("POST", "/api/v1/schedules/minute/pause")
    rows = w.pg.sql("SELECT id, state, extract(epoch FROM created_at) FROM tasks ORDER BY id").split("\n")
    found = [(int(id.replace("-", "")[:12], 16) / 1000, float(created)) for id, _, created in (r.split("|") for r in rows)]
    times = [at for at, _ in found]
    assert len(times) == 3 and all(at % 60 == 0 for at in times), times
    assert [b - a for a, b in zip(times, times[1:])] == [60, 60], times
    late = [created - at for at, created in found]
    assert all(0 <= s < 1 for s in late), late
    print(f"# at most {max(late) * 1000:.0f} ms late, until {time.strftime('%H:%M:%S')}")
    other.stop()


if __name__ == "__main__":
    main(globals(), setup=Web)
