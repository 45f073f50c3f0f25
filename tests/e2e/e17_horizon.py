#!/usr/bin/env python3
"""A transaction that somebody forgot keeps PostgreSQL from removing dead rows: who is told, and until when."""
import json
import os
import re
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "..", "lib"))
from fcgi_client import Client, request  # noqa: E402
from pgwire import Pg  # noqa: E402
from proc import answers, wait_until  # noqa: E402
from tap import main  # noqa: E402
from web import Web  # noqa: E402


def age(w):
    return w.metric("lathe_store_horizon_seconds")


def forget(db):
    "Leaves a transaction open that has a snapshot; returns the process of its session."
    db.query("BEGIN ISOLATION LEVEL REPEATABLE READ")
    db.query("SELECT count(*) FROM tasks")
    return db.one("SELECT pg_backend_pid()")


def t01_told(w):
    "one older than store.horizon_warn is told by a worker's log, /readyz and /metrics, until it ends"
    wait_until("nobody holds it", lambda: w.ready()["vacuum_held_by"] is None and age(w) == 0)
    with Pg(w.pg.sockets, name="forgotten") as db:
        who = f"a transaction of forgotten, process {forget(db)} (lathe, idle in transaction)"
        wait_until("/readyz names it", lambda: w.ready()["vacuum_held_by"] == who)
        wait_until("/metrics has its age", lambda: age(w) >= 1)
        line = w.worker.wait_log(r"level=warn .*event=store.horizon age_s=(\d+) .*" + re.escape(who))
        assert int(line[1]) >= 1, line[0]
        db.query("ROLLBACK")
        wait_until("/readyz has forgotten it", lambda: w.ready()["vacuum_held_by"] is None)
        wait_until("/metrics too", lambda: age(w) == 0)


def t02_young(w):
    "one that is younger is told by nobody: another api of the same database, with more patience, says nothing"
    patient = os.path.join(w.dir, "patient.sock")
    other = w.lathe("api", name="patient", env={"LATHE_STORE_HORIZON_WARN": "1h", "LATHE_API_LISTEN": f"unix:{patient}"})
    wait_until("it listens", lambda: answers(patient))
    with Pg(w.pg.sockets, name="young") as db:
        forget(db)
        wait_until("it is told where one second is long", lambda: w.ready()["vacuum_held_by"])
        with Client(patient) as c:
            c.send(request("/readyz"))
            assert json.loads(c.answer().body)["vacuum_held_by"] is None
    assert other.stop() == 0


if __name__ == "__main__":
    main(globals(), lambda: Web(store_horizon_warn="1s"))
