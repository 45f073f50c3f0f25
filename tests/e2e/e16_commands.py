#!/usr/bin/env python3
"""Commands through nginx: what a program writes to standard error is in the log of the task, with the item that it is of; and a task that
is cancelled leaves another of the same command alone."""
import os
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "..", "lib"))
from proc import ROOT, wait_until  # noqa: E402
from tap import main  # noqa: E402
from web import Web  # noqa: E402

CONF = """
[command candid]
program = {python} '{root}/tests/lib/candid.py'

[command naughty]
restart = 1ms
program = {python} '{root}/tests/lib/naughty.py'
"""


class Commands(Web):
    def lathe_env(self):
        path = os.path.join(self.dir, "commands.conf")
        with open(path, "w") as f:
            f.write(CONF.format(python=sys.executable, root=ROOT))
        return {**super().lathe_env(), "LATHE_CONF": path}


def t01_each_item_has_its_own(w):
    "one item in hand at a time: each line on standard error, though it comes between two on standard output, is that item's"
    items = [{"say": f"grüße {n} \"$(x)\""} for n in range(100)]
    for strategy, workers in (("sequential", 1), ("threading", 3), ("multiprocessing", 2)):
        id = w.submit(strategy, handler="candid", items=items, workers=workers)
        task = w.finished(id)
        assert (task["state"], task["items"]["failed"]) == ("succeeded", 0), task
        lines = sorted((line["index"], line["text"]) for line in w.log(id))
        assert lines == [(n, item["say"]) for n, item in enumerate(items)], (strategy, lines)
        assert all(line["unit"] == 0 or strategy != "sequential" for line in w.log(id))


def t02_last_words(w):
    "what a program wrote before it crashed is there too, for either try, and none of it is its neighbour's"
    id = w.submit("sequential", handler="naughty", items=[{"n": 0}, {"do": "last_words"}, {"n": 2}])
    task = w.finished(id)
    assert (task["state"], task["items"]["failed"]) == ("succeeded", 1), task
    assert [r["state"] for r in w.results(id)] == ["succeeded", "failed", "succeeded"]
    assert [(line["index"], line["text"]) for line in w.log(id)] == [(1, "farewell"), (1, "without an end")] * 2, w.log(id)


def t03_cancel(w):
    "a task that is cancelled in the middle of a program ends it; one of the same command that runs beside it has its own"
    heard = os.path.join(w.dir, "heard")
    gone = w.submit("background", handler="candid", items=[{"show": "pid"}, {"wait": heard}])
    other = w.submit("sequential", handler="candid", items=[{"nap": 0.05}] * 60)
    wait_until("both run", lambda: all(w.task(id)["state"] == "running" for id in (gone, other)), every=0.05)
    wait_until("it waits", lambda: w.task(gone)["items"]["done"] == 1, every=0.05)
    status, _, _ = w.call("DELETE", f"/api/v1/tasks/{gone}")
    assert status in (200, 202), status
    assert w.finished(gone)["state"] == "cancelled"
    wait_until("its program was told", lambda: os.path.exists(heard))
    task = w.finished(other)
    assert (task["state"], task["items"]) == ("succeeded", {"total": 60, "done": 60, "failed": 0}), task
    assert len({r["result"] for r in w.results(other)}) == 1, w.results(other)  # one program from the first to the last
    assert not any("tries" in r for r in w.results(other))


if __name__ == "__main__":
    main(globals(), lambda: Commands(worker_poll="60s"))
