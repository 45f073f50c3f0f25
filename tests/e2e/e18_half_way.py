#!/usr/bin/env python3
"""A worker that is killed half-way of a million items: what was finished is not run again, what it had on board is, and nothing is
in the results twice."""
import os
import re
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "..", "lib"))
from proc import wait_until  # noqa: E402
from tap import comment, main  # noqa: E402
from web import Web  # noqa: E402

ITEMS, UNITS = 1000000, 10000  # as many as a task may have of either
SLOTS = 4
ABOARD = SLOTS + 3 * 512  # what a worker may have at once: a unit a slot, LIMIT_CLAIM ahead; as many that are done, and that are being stored


def items_run(w):
    "Of all workers that there ever were, the dead ones too."
    return sum(int(n) for n in re.findall(r"^lathe_items\S* (\d+)$", w.call("GET", "/metrics")[2], re.M))


def aboard(w, id):
    "The units that are claimed and not finished; a lease lists those too that are, until all are."
    rows = w.pg.sql(f"SELECT seq FROM leases l, unnest(l.tasks, l.seqs) u(task, seq) WHERE task = '{id}' AND NOT EXISTS "
                    "(SELECT FROM results r WHERE r.task = u.task AND r.seq = u.seq) ORDER BY seq")
    return [int(seq) for seq in rows.splitlines()]


def killed_half_way(w, id):
    "Kills the worker when half of the units are done; returns how many were, when PostgreSQL knows that it is gone."
    wait_until("half of it is done", lambda: w.task(id)["units"]["done"] >= UNITS // 2, every=0)
    w.worker.kill()
    wait_until("what it sent is stored, or is not", lambda: "lathe-worker" not in w.pg.connections())
    done = w.task(id)["units"]["done"]
    assert UNITS // 2 <= done < UNITS, done
    return done


def check_results(w, id):
    "A line an item, in order: none twice, none missing."
    client = w.connect(timeout=120)
    client.request("GET", f"/api/v1/tasks/{id}/results", headers={"Accept": "application/x-ndjson"})
    answer = client.getresponse()
    for index in range(ITEMS):
        want = f'{{"index":{index},"state":"succeeded","result":{index}}}\n'.encode()
        line = answer.readline()
        assert line == want, (index, line)
    assert answer.read() == b""
    client.close()


def t01_half_way(w):
    "it goes on with the units that were not finished, and begins none of the others again"
    id = w.submit("background", handler="echo", items_count=ITEMS, batch_size=ITEMS // UNITS, inner="sequential")
    assert w.task(id)["units"]["total"] == UNITS
    done = killed_half_way(w, id)
    lost, run = aboard(w, id), items_run(w)
    assert 0 < len(lost) <= ABOARD, len(lost)
    w.worker.start()
    task = w.finished(id, 120)
    assert (task["state"], task["attempt"], task["tries"]) == ("succeeded", 2, 0), task
    assert task["items"] == {"total": ITEMS, "done": ITEMS, "failed": 0} and task["units"]["done"] == UNITS, task
    said = w.log(id)
    assert sorted(line["unit"] for line in said) == lost and {line["text"] for line in said} == {
        "attempt 1: its worker was lost, or may have been for it"}, said
    w.worker.stop()  # now all that it counted is there
    again = items_run(w) - run
    assert again == ITEMS - done * (ITEMS // UNITS), (again, done)
    check_results(w, id)
    comment(f"{done} of {UNITS} units were done and {len(lost)} aboard when the worker was killed")


if __name__ == "__main__":
    main(globals(), lambda: Web(worker_slots=SLOTS, worker_lease="6s"))
