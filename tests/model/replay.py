#!/usr/bin/env python3
"""What a real PostgreSQL did to the units of real tasks, move by move, against the moves that the model knows.

Triggers write every change of work, waiting, leases, results and tasks down, with its transaction. From these the places of
each unit before and after each transaction follow. Every move must be one that `explore edges` prints, and every move
that it prints must have been seen: a model that allows what never happens says nothing about this program.

The run is one that is written down here and has every move, and then some that chance makes: REPLAY_SEED=N strikes in the order of
one before, though not at the same moments. What was recorded of these is also falsified, in each of the ways of DOCTORS, and each
must be refused.
"""
import collections
import copy
import json
import os
import random
import subprocess
import sys
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "..", "lib"))
from pgwire import Pg  # noqa: E402
from proc import BUILD, wait_until  # noqa: E402
from tap import comment, main  # noqa: E402
from web import FINAL, Web  # noqa: E402

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
        self.again = {}  # tasks that were over and run again, and how many of their units they keep

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
        elif table == "tasks" and was and was["state"] in FINAL and becomes and becomes["state"] not in FINAL:
            self.again[row["id"]] = becomes["units_done"]
        elif table == "tasks" and was and becomes and not row["container"]:
            more = becomes["units_done"] - was["units_done"]
            self.counted[row["id"]] += more
            if more and row["units_total"] == 1:
                self.done.add((row["id"], 0))

    def begin_again(self, places):
        """Whoever runs a task again begins those of its units anew that it puts somewhere; the others stay done."""
        for task, keeps in self.again.items():
            units = {unit for unit in places if unit[0] == task}
            assert all(places[unit].place == "done" for unit in units), f"task {task} runs again and was not over"
            anew = units & set(self.placed)
            assert len(units) - len(anew) == keeps, f"task {task} keeps {keeps} units, and {len(anew)} of {len(units)} run again"
            places.update((unit, NOWHERE) for unit in anew)

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
        t.begin_again(places)
        for unit, before, after in list(t.moves(places)):
            if after.place == "done":
                assert before.place != "done", f"{unit} is done twice"
                done[unit[0]] += 1
            moves[before.place, after.place, after.attempt - before.attempt, after.tries - before.tries] += 1
            places[unit] = after
        for task in set(done) | set(t.counted):
            assert done[task] == t.counted[task], f"task {task}: {done[task]} units are done, it counts {t.counted[task]}"
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


def judge(rows, edges):
    """The moves of a trace, all of which the model knows."""
    moves = replay(rows)
    begins = {m for m in moves if m[0] == "none"}
    assert {m[1] for m in begins} <= {"work", "waiting"}, begins
    strange = set(moves) - set(edges) - begins
    assert not strange, f"the model does not know {strange}"
    return moves


def trace(w):
    text = w.pg.sql("SELECT json_build_array(n, xid, tab, was, becomes) FROM trace ORDER BY n")
    return [json.loads(line) for line in text.splitlines()]


# ---- a run that has every move


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


# ---- runs that chance makes


class Chance:
    """Two workers, and what may happen to them and to the tasks that they run, in an order that a seed says."""

    STEPS = 40

    def __init__(self, w, workers, db, seed):
        self.w, self.workers, self.db, self.ids, self.random = w, workers, db, [], random.Random(seed)
        self.acts = [self.submit] * 7 + [self.cancel, self.retry, self.mend] * 3 + [self.kill, self.freeze, self.stop, self.cut] * 2

    def run(self):
        self.submit(handler="echo", items_count=6, batch_size=2)
        self.w.finished(self.ids[0])  # so that there is something to falsify
        for _ in range(self.STEPS):
            self.random.choice(self.acts)()
            self.some_time()
        self.mend(all)
        for id in self.ids:
            self.w.finished(id)

    def some_time(self):
        """As much happens as chance says, or all that can."""
        goal = self.db.number("SELECT count(*) FROM trace") + self.random.randrange(8)
        def able():
            return any(worker.running() and not worker.frozen for worker in self.workers)
        wait_until("some of it happens", lambda: not able() or self.db.one(
            f"SELECT count(*) >= {goal} OR NOT EXISTS (SELECT FROM work UNION ALL SELECT FROM leases UNION ALL SELECT FROM waiting)"
            " FROM trace") == "t")

    def submit(self, **body):
        self.ids.append(self.w.submit("background", **(body or self.some_task())))

    def some_task(self):
        ms, times = self.random.choice((20, 100, 400)), self.random.randrange(1, 4)
        nap = dict(handler="sleep", batch_size=2, inner="sequential", params={"ms": ms})
        return self.random.choice((
            dict(handler="echo", items_count=20, batch_size=3),
            dict(handler="echo", items_count=1),
            dict(nap, items_count=8),
            dict(nap, items_count=8),
            dict(nap, items_count=4, delay=0.1),
            dict(handler="test.fail", items_count=6, batch_size=2, params={"every": 1, "times": times}, retries=2,
                 backoff={"base_ms": 50})))

    def ask(self, method, path, body=None):
        status, _, answer = self.w.call(method, f"/api/v1/tasks/{self.random.choice(self.ids)}{path}", body)
        assert status in (200, 202, 409, 503), (status, answer)  # 503: somebody holds the task for long

    def cancel(self):
        self.ask("DELETE", "")

    def retry(self):
        self.ask("POST", "/retry", self.random.choice((None, {"failed_only": True})))

    def kill(self):
        self.random.choice(self.workers).kill()

    def freeze(self):
        worker = self.random.choice(self.workers)
        if not worker.frozen:
            worker.freeze()

    def stop(self):
        """Its units are given back if they do not end soon."""
        self.random.choice(self.workers).stop()

    def cut(self):
        """Answers that do not arrive."""
        self.db.query("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'lathe-worker'")

    def mend(self, which=None):
        for worker in self.workers if which is all else [self.random.choice(self.workers)]:
            worker.thaw()
            if not worker.running():
                worker.start()


# ---- traces that are false


def find(rows, table, test=lambda was, becomes: True):
    return next(row for row in rows if row[2] == table and test(row[3], row[4]))


def made(was, becomes):
    return not was


def later(rows, table, was, becomes):
    """The trace, and a transaction after all others."""
    return rows + [[rows[-1][0] + 1, "later", table, was, becomes]]


def done_twice(rows):
    result = find(rows, "results", lambda was, becomes: not was and becomes["part"] == 0)
    return later(rows, "results", None, result[4])


def put_back_when_done(rows):
    return later(rows, "work", None, find(rows, "work", made)[4])


def claimed_without_a_lease(rows):
    lease = find(rows, "leases", made)
    return [row for row in rows if row is not lease]


def a_loss_that_was_none(rows):
    rows = copy.deepcopy(rows)
    find(rows, "leases", made)[4]["attempts"][0] += 1
    return rows


def ended_and_not_counted(rows):
    counts = find(rows, "tasks", lambda was, becomes: was and becomes and becomes["units_done"] > was["units_done"])
    return [row for row in rows if row is not counts]


def never_ended(rows):
    """After the first claim nothing more was committed."""
    last = {row[1]: row[0] for row in rows}
    claim = find(rows, "leases", made)[1]
    return [row for row in rows if last[row[1]] <= last[claim]]


DOCTORS = {
    done_twice: "is done twice",
    put_back_when_done: "never done",
    claimed_without_a_lease: "units are done, it counts",
    a_loss_that_was_none: "the model does not know",
    ended_and_not_counted: "units are done, it counts",
    never_ended: "never done",
}


def wrong(rows, edges):
    """What is wrong with a trace."""
    try:
        judge(rows, edges)
    except AssertionError as e:
        return str(e)
    return "nothing"


# ---- the tests


def web():
    return Web(worker_lease="1s", worker_slots=2, worker_drain="1s", worker_poll="50ms")


def t01_replay():
    "every move of a unit is one that the model knows, and every move that it knows was seen"
    with web() as w:
        w.allow("connection to client lost")
        w.pg.sql(RECORDER)
        workload(w)
        rows = trace(w)
    edges = known()
    moves = judge(rows, edges)
    for (before, after, attempt, tries), count in sorted(moves.items()):
        verbs = edges.get((before, after, attempt, tries), set())
        print(f"# {count:6} {before} -> {after} attempt+{attempt} tries+{tries}: {', '.join(sorted(verbs)) or '-'}")
    missing = set(edges) - set(moves)
    assert not missing, f"never seen: {missing}"


def t02_chance():
    "so is every move when tasks and workers are struck at random; a trace that was falsified is refused"
    seed, edges, runs, seen = int(os.environ.get("REPLAY_SEED") or random.randrange(1 << 32)), known(), 0, set()
    with web() as w, Pg(w.pg.sockets, name="chance") as db:
        w.allow("connection to client lost|terminating connection|level=(error|warn)")
        w.pg.sql(RECORDER)
        workers, end = [w.worker, w.lathe("worker")], time.monotonic() + 15
        while runs == 0 or runs < 5 and time.monotonic() < end:
            comment(f"REPLAY_SEED={seed + runs}")
            w.pg.sql("TRUNCATE trace")
            chance = Chance(w, workers, db, seed + runs)
            chance.run()
            rows = trace(w)
            moves = judge(rows, edges)
            for doctor, why in DOCTORS.items():
                found = wrong(doctor(rows), edges)
                assert why in found, f"{doctor.__name__}: {found}"
            comment(f"{len(chance.ids)} tasks, {sum(moves.values())} moves, {len(set(moves) & set(edges))} of {len(edges)} kinds")
            seen |= set(moves) & set(edges)
            runs += 1
    comment(f"{runs} runs; moves that none of them had: {set(edges) - seen or None}")


if __name__ == "__main__":
    main(globals())
