#!/usr/bin/env python3
"""What an operator is told through nginx: workers whose claims are not answered, and what holds the vacuum back."""
import os
import subprocess
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "..", "lib"))
from proc import wait_until  # noqa: E402
from tap import main  # noqa: E402
from web import Web  # noqa: E402


def t01_claims(w):
    "a worker shows when a claim of it was answered; one that is there but does not claim is told of"
    def workers():
        return w.call("GET", "/api/v1/workers")[2]["workers"]
    wait_until("it has claimed", lambda: [x for x in workers() if x["claimed_at"]])
    assert w.ready()["stalled_workers"] == 0
    w.pg.sql("INSERT INTO workers (id, started_at, seen_at, claimed_at, pid, slots, busy, cores, thread_start, process_start, item_cost, "
             "process_item, timer_slack, name, host, queues) SELECT gen_random_uuid(), now() - interval '1 hour', now(), now() - interval '40 s', "
             "1, 4, 1, 2, 0, 0, 0, 0, 0, 'deaf', 'here', 'default'")
    wait_until("it is told", lambda: w.ready()["stalled_workers"] == 1)
    assert w.metric("lathe_store_stalled_workers") == 1 and w.metric("lathe_store_claim_age_seconds") >= 40
    w.pg.sql("UPDATE workers SET busy = slots WHERE name = 'deaf'")  # it has no room: it need not claim
    wait_until("it is not told", lambda: w.ready()["stalled_workers"] == 0)


def t02_horizon(w):
    "a transaction that is open for long is found, and what is open for a moment is not"
    assert w.ready()["vacuum_held_by"] is None and w.metric("lathe_store_horizon_seconds") == 0
    assert w.pg.sql("SELECT count(*) FROM lathe_horizon('1 hour')") == "0"
    idle = subprocess.Popen(["psql", "-XAtq", "-d", w.pg.conninfo], stdin=subprocess.PIPE, text=True)
    try:
        idle.stdin.write("SET application_name = 'forgotten'; BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM tasks;\n")
        idle.stdin.flush()
        wait_until("it is found", lambda: "a transaction of forgotten" in w.pg.sql("SELECT what FROM lathe_horizon('0 s')"))
    finally:
        idle.stdin.close()
        idle.wait()


if __name__ == "__main__":
    main(globals(), setup=Web)
