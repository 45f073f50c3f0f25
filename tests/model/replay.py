#!/usr/bin/env python3
"""What a real PostgreSQL did to the units of real tasks, move by move, against the moves that the model knows.

Triggers write every change of work, waiting, leases, results and tasks down, with its transaction. From these the places of
each unit before and after each transaction follow. Every move must be one that `explore edges` prints, and every move
that it prints must have been seen: a model that allows what never happens says nothing about this program.
"""
import collections
import json
import os
import subprocess
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "..", "lib"))
from proc import BUILD, wait_until  # noqa: E402
from tap import main  # noqa: E402
from web import Web  # noqa: E402

TABLES = ("work", "waiting", "leases", "results", "tasks")
RECORDER = """
SET search_path = public;
CREATE TABLE trace (n bigserial PRIMARY KEY, xid xid8, tab text, was jsonb, becomes jsonb);
CREATE FUNCTION record() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO trace (xid, tab, was, becomes) VALUES (pg_current_xact_id(), TG_ARGV[0],
        CASE WHEN TG_OP <> 'INSERT' THEN to_jsonb(OLD) - 'bytes' END, CASE WHEN TG_OP <> 'DELETE' THEN to_jsonb(NEW) - 'bytes' END);
    RETURN NULL;
END $$;
""" + "\n".join(f"CREATE TRIGGER record AFTER INSERT OR UPDATE OR DELETE ON {t} FOR EACH ROW EXECUTE FUNCTION record('{t}');"
                for t in TABLES)

Unit = collections.namedtuple("Unit", "place attempt tries")
NOWHERE = Unit("none", 1, 0)


def listed(lease):
    """The units that a lease lists."""
    if not lease:
        return {}
    return {(task, seq): Unit("leased", attempt, tries)
            for task, seq, attempt, tries in zip(lease["tasks"], lease["seqs"], lease["attempts"], lease["tries"])}


class Transaction:
    """The changes of one transaction, and what follows from them for its units."""

    def __init__(self):
        self.placed, self.taken, self.freed, self.done, self.counted = {}, set(), {}, set(), collections.Counter()

    def add(self, table, was, becomes):
        row = becomes or was
        if table in ("work", "waiting"):
            unit = (row["task"], row["seq"])
            if becomes:
                self.placed[unit] = Unit(table, row["attempt"], row["tries"])
            else:
                self.taken.add(unit)
        elif table == "leases":
            if not was:
                for unit, held in listed(becomes).items():
                    self.placed.setdefault(unit, held)
            for unit in listed(was):
                if not becomes or unit not in listed(becomes):
                    self.freed[unit] = True
        elif table == "results" and becomes and row["part"] == 0:
            self.done.add((row["task"], row["seq"]))
        elif table == "tasks" and was and becomes and not row["container"]:
            more = becomes["units_done"] - was["units_done"]
            self.counted[row["id"]] += more
            if more and row["units_total"] == 1:
                self.done.add((row["id"], 0))

    def moves(self, places):
        """(unit, before, after) of what it moved."""
        for unit, after in self.placed.items():
            if unit not in self.done and places.get(unit, NOWHERE) != after:
                yield unit, places.get(unit, NOWHERE), after
        gone = (self.taken | set(self.freed)) - set(self.placed) - self.done
        for unit in self.done | {u for u in gone if places.get(u, NOWHERE).place not in ("done", "none")}:
            before = places.get(unit, NOWHERE)
            yield unit, before, before._replace(place="done")


def replay(rows):
    """Counts the moves of all units; asserts that what a transaction did to units is what it told the tasks."""
    grouped = collections.defaultdict(Transaction)
    last = {}
    for n, xid, table, was, becomes in rows:
        grouped[xid].add(table, was, becomes)
        last[xid] = n
    places, moves = {}, collections.Counter()
    for xid in sorted(grouped, key=last.get):  # what two of them share is locked by the first until it is over
        t = grouped[xid]
        done = collections.Counter()
        for unit, before, after in list(t.moves(places)):
            if after.place == "done":
                assert before.place != "done", f"{unit} is done twice"
                done[unit[0]] += 1
            moves[before.place, after.place, after.attempt - before.attempt, after.tries - before.tries] += 1
            places[unit] = after
        for task, count in t.counted.items():
            assert done[task] == count, f"task {task}: {done[task]} units are done, it counts {count}"
    left = {unit: u for unit, u in places.items() if u.place != "done"}
    assert not left, f"never done: {left}"
    return moves


def known():
    """The moves of the model, and which action makes each."""
    text = subprocess.run([os.path.join(BUILD, "tests", "model", "explore"), "edges"], check=True, capture_output=True,
                          text=True).stdout
    edges = collections.defaultdict(set)
    for line in text.splitlines():
        verb, before, after, attempt, tries = line.split()
        edges[before, after, int(attempt), int(tries)].add(verb)
    return edges


def workload(w):
    """Something of everything that may happen to a unit."""
    nap = dict(handler="sleep", items_count=12, batch_size=2, inner="sequential")
    ids = [w.submit("background", handler="echo", items_count=20, batch_size=3) for _ in range(10)]
    ids += [w.submit("sequential", handler="echo", items_count=1) for _ in range(30)]
    ids.append(w.submit("background", handler="test.fail", params={"every": 1}, items_count=2, batch_size=1, retries=1,
                        backoff={"base_ms": 1}))
    later = w.submit("background", handler="echo", items_count=2, delay=3600)
    w.call("DELETE", f"/api/v1/tasks/{later}")  # out of the waiting room
    ids += [later, w.submit("background", handler="echo", items_count=2, delay=0.2)]

    # A worker that is frozen past its lease, and another that takes its units.
    frozen = w.submit("background", params={"ms": 400}, **nap)
    wait_until("a worker has some", lambda: w.pg.sql("select count(*) from leases") != "0")
    w.worker.freeze()
    other = w.lathe("worker")
    w.finished(frozen)
    w.worker.thaw()

    # Cancelled before any of it runs: of a queue that is paused nothing is leased.
    w.call("POST", "/api/v1/queues/still/pause", {"reason": "to be cancelled"})
    still = w.submit("background", handler="echo", queue="still", items_count=4, batch_size=2)
    w.call("DELETE", f"/api/v1/tasks/{still}")
    ids.append(still)

    # Cancelled while some of it runs and some does not; given back by a worker that stops; both at once.
    for stop in (False, True):
        id = w.submit("background", params={"ms": 60000}, **nap)
        wait_until(f"task {id} runs", lambda: w.task(id)["state"] == "running")
        if stop:
            other.signal(15)
            other.wait_log("worker.draining")
        w.call("DELETE", f"/api/v1/tasks/{id}")
        ids.append(id)
    other.wait()
    given = w.submit("background", params={"ms": 1000}, **nap)
    wait_until(f"task {given} runs", lambda: w.task(given)["state"] == "running")
    w.worker.signal(15)
    w.worker.wait_log("worker.draining")
    w.worker.signal(15)
    w.worker.wait()
    last = w.lathe("worker")
    for id in ids + [frozen, given]:
        w.finished(id)
    assert last.running()


def t01_replay():
    "every move of a unit is one that the model knows, and every move that it knows was seen"
    with Web(worker_lease="1s", worker_slots=2, worker_drain="1s", worker_poll="50ms") as w:
        w.allow("connection to client lost")
        w.pg.sql(RECORDER)
        workload(w)
        text = w.pg.sql("SELECT json_build_array(n, xid, tab, was, becomes) FROM trace ORDER BY n")
        moves = replay([json.loads(line) for line in text.splitlines()])
    edges = known()
    for (before, after, attempt, tries), count in sorted(moves.items()):
        verbs = edges.get((before, after, attempt, tries), set())
        print(f"# {count:6} {before} -> {after} attempt+{attempt} tries+{tries}: {', '.join(sorted(verbs)) or '-'}")
    begins = {m for m in moves if m[0] == "none"}
    assert {m[1] for m in begins} <= {"work", "waiting"}, begins
    strange = set(moves) - set(edges) - begins
    assert not strange, f"the model does not know {strange}"
    missing = set(edges) - set(moves)
    assert not missing, f"never seen: {missing}"


if __name__ == "__main__":
    main(globals())
