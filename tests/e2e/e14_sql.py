#!/usr/bin/env python3
"""sql.query through nginx: queries of the configuration, and a database that restarts under the work."""
import os
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "..", "lib"))
from proc import wait_until  # noqa: E402
from tap import main  # noqa: E402
from web import Web  # noqa: E402

CONF = """
[database crm]
url = {conninfo}
connections = 2
timeout = 20s

[query by_city]
database = crm
sql = SELECT name, age FROM customers
  WHERE city = $1 ORDER BY name

[query nap]
database = crm
sql = SELECT pg_sleep(0.01), $1::int AS n

[query add]
database = crm
sql = INSERT INTO customers VALUES ($1, $2, $3)
write = true
"""


class Sql(Web):
    def lathe_env(self):
        path = os.path.join(self.dir, "sql.conf")
        with open(path, "w") as f:
            f.write(CONF.format(conninfo=self.pg.conninfo))
        return {**super().lathe_env(), "LATHE_CONF": path}


def stack():
    return Sql()


def query(w, strategy, name, items):
    status, _, task = w.call("POST", f"/api/v1/tasks/{strategy}", {"handler": "sql.query", "params": {"query": name}, "items": items})
    assert status == 200, (status, task)
    return task


def t01_rows(w):
    "rows come as objects, parameters from the item; the same under every strategy"
    w.allow("duplicate key")
    w.pg.sql("CREATE TABLE customers (name text PRIMARY KEY, city text, age int)")
    task = query(w, "sequential", "add", [["Ada", "Bonn", 36], ["Bob", "Bonn", None], ["Eve", "Kiel", 7], ["Ada", "Ulm", 1]])
    assert task["items"]["failed"] == 1 and "23505" in task["results"][3]["error"]["detail"], task
    want = {"rows": [{"name": "Ada", "age": 36}, {"name": "Bob", "age": None}], "count": 2}
    for strategy in ("sequential", "threading", "multiprocessing", "async-batch", "concurrent-futures", "hybrid", "auto"):
        task = query(w, strategy, "by_city", ["Bonn", ["Bonn"], "Rome"])
        assert [r["result"] for r in task["results"]] == [want, want, {"rows": [], "count": 0}], (strategy, task)


def t02_refused(w):
    "a query that the configuration does not have is refused at submission; SQL comes from nowhere else"
    for params, slug, pointer in (({"query": "drop"}, "bad-field", "/params/query"), ({}, "bad-field", "/params/query"),
                                  ({"sql": "SELECT 1"}, "unknown-field", "/params/sql")):
        status, _, problem = w.call("POST", "/api/v1/tasks/hybrid", {"handler": "sql.query", "params": params})
        assert (status, problem["type"]) == (422, f"/problems/{slug}"), problem
        assert problem["errors"][0]["pointer"] == pointer, problem


def t03_restart(w):
    "the database restarts in the middle: items are tried again, none is lost"
    w.allow("terminating connection|connection to client lost|shut(ting)? down|starting up|store.unreachable")
    id = w.submit("async-batch", handler="sql.query", params={"query": "nap"}, items=list(range(600)), batch_size=600,
                  item_retries=20, backoff={"base_ms": 100, "factor": 1})
    busy = "select count(*) from pg_stat_activity where application_name = 'lathe-sql' and query like '%pg_sleep%'"
    wait_until("the queries run", lambda: w.pg.sql(busy) != "0")
    w.pg.restart()
    task = w.finished(id)
    assert task["state"] == "succeeded" and task["items"] == {"total": 600, "done": 600, "failed": 0}, task
    assert [r["result"]["rows"][0]["n"] for r in w.results(id)] == list(range(600))


if __name__ == "__main__":
    main(globals(), stack)
