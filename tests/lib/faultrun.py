"""A fault, struck at a whole Lathe under load, and what became of it: a row.

    with Run(fault) as r:       # servers, api, two workers; tasks come steadily; the rate is known
        r.strike()              # the fault, from its beginning until what caused it is gone, and the recovery
    print(r.row)                # leaving: everything is worked off, checked by id, and stopped

The rows' figures: see HEAD and docs/testing.md. A broken promise is a problem of the row and no exception, so that a suite
goes on with the next.
"""
import os
import re
import signal
import threading
import time

import ledger
from load import MIX, Load
from pgwire import Pg
from proc import stat, wait_until
from stack import Problem
from tap import comment
from web import Web

DRAIN = 5           # seconds that a worker and an api may take to stop, by their settings
STOP = DRAIN + 10   # and that they have altogether, on a machine that does other things
LEAK = 12           # descriptors that a process may have more than before, besides one a client: connections come and go
SETTINGS = dict(worker_lease="2s", worker_slots=4, worker_attempts=100, worker_drain=f"{DRAIN}s", api_drain=f"{DRAIN}s",
                store_timeout="3s", api_wait="5s")

HEAD = ("fault", "acked", "finished", "lost", "doubled", "refused", "unsure", "recovery", "caught up", "rate", "after/before", "stop")


class Fault:
    """strike(run): what is done; it returns when that is over or undone. allow: what logs may say because of it. failures:
    items may fail of it. prepare(web): before the servers start. mix, rate, settings: a load and a Lathe of its own."""

    def __init__(self, strike, name, allow=(), short=False, point=False, settings=None, prepare=None, mix=None, failures=False,
                 rate=None):
        self.strike, self.name, self.allow, self.short, self.point = strike, name, allow, short, point
        self.settings, self.prepare, self.mix, self.failures, self.rate = settings or {}, prepare, mix, failures, rate
        self.what = (strike.__doc__ or name).strip().split("\n")[0]


ALL = []  # as they are registered


def fault(name, allow=(), **more):
    def register(strike):
        ALL.append(Fault(strike, name, (allow,) if isinstance(allow, str) else allow, **more))
        return strike
    return register


class Row:
    def __init__(self, name):
        self.name, self.note, self.problems = name, [], []
        self.acked = self.finished = self.lost = self.doubled = self.refused = self.unsure = 0
        self.recovery = self.caught_up = self.before = self.after = self.stop = None

    def cells(self):
        def s(x):
            return "–" if x is None else f"{x:.1f} s"
        ratio = f"{self.after / self.before:.2f}" if self.before and self.after else "–"
        rate = f"{self.before:.0f}/s" if self.before else "–"
        return [self.name, *(str(n) for n in (self.acked, self.finished, self.lost, self.doubled, self.refused, self.unsure)),
                s(self.recovery), s(self.caught_up), rate, ratio, s(self.stop)]


class Run:
    def __init__(self, fault, rate=40.0, window=3.0, bound=90.0):
        self.fault, self.rate, self.window, self.bound = fault, fault.rate or rate, window, bound
        self.row = Row(fault.name)
        self.web = Web(**{**SETTINGS, **fault.settings})
        self.api = self.worker = self.other = self.db = self.load = None
        self.failures, self.before, self.fds = fault.failures, None, {}

    # ---- begin and end

    def __enter__(self):
        w = self.web
        if self.fault.prepare:
            self.fault.prepare(w)
        w.__enter__()
        try:
            self.api, self.worker, self.other = w.api, w.worker, w.lathe("worker")
            self.db = Pg(w.pg.sockets).open()
            self.load = Load(w, self.rate, self.fault.mix or MIX).start()
            self.measure()
        except BaseException as e:
            self.__exit__(type(e), e, e.__traceback__)
            raise
        return self

    def __exit__(self, kind, error, trace):
        try:
            if self.load:
                self.load.stop()
            if not kind:
                self.settle()
                self.stop()
        except AssertionError as e:
            self.problem(str(e))
        finally:
            if self.db:
                self.db.close()
            try:
                self.web.__exit__(kind, error, trace)
            except (Problem, AssertionError) as e:
                self.problem("\n".join(line for line in str(e).splitlines() if not re.match(r"[\w.-]+\| |$", line)))
        return False

    def problem(self, text):
        self.row.problems.append(text)

    def note(self, text):
        self.row.note.append(text)

    def lathes(self):
        return [p for p in (self.api, self.worker, self.other) if p.running()]

    # ---- the rate

    def count(self, begin, end):
        return self.db.number("select count(*) from tasks where finished_at >= to_timestamp(%f) and finished_at < to_timestamp(%f)"
                              % (begin, end))

    def window_rate(self):
        end = time.time() - 0.1  # what is being committed now will be there then
        return self.count(end - self.window, end) / self.window

    def measure(self):
        """The rate before: of a window in which as much was finished as was acknowledged."""
        begin = time.time()

        def steady():
            if time.time() < begin + 1 + self.window:
                return False
            came = sum(a.at > time.time() - self.window for a in list(self.load.acked.values())) / self.window
            self.before = self.window_rate()
            return came > 0 and 0.98 < self.before / came < 1.02
        wait_until("as much is finished as comes", steady, self.bound, every=0.1)
        self.row.before = self.before
        self.fds = {p.pid: fds(p.pid) for p in self.lathes()}

    # ---- the fault

    def strike(self, fault=None):
        """The fault, then until the rate is what it was and what was owed is done. Bounded; what it took goes to the row.
        Returns whether all went well."""
        fault = fault or self.fault
        problems = len(self.row.problems)
        for regex in fault.allow:
            self.web.allow(regex)
        self.failures |= fault.failures
        try:
            fault.strike(self)
            self.recover(time.time())
        except AssertionError as e:
            self.problem(f"{fault.name}: {e}")
        return len(self.row.problems) == problems

    def recover(self, gone):
        wanted = 0.98 * self.before

        def recovered():
            try:
                if time.time() < gone + self.window + 0.2:
                    return False
                rate = self.window_rate()
                owed = self.db.number("select count(*) from tasks where created_at < to_timestamp(%f) and not lathe_final(state)" % gone)
            except OSError:
                return False
            self.row.after = rate
            return rate >= wanted and owed == 0
        wait_until(f"{wanted:.1f} tasks/s again, and nothing from before unfinished", recovered, self.bound, every=0.1)
        self.row.recovery = self.first_good(gone, wanted)
        self.row.caught_up = max(0.0, float(self.db.one(
            "select coalesce(extract(epoch from max(finished_at)), 0) from tasks where created_at < to_timestamp(%f)" % gone) or 0) - gone)
        for (text,) in self.db.query(ledger.rules()):
            self.problem(f"under load, a rule of the store is broken: {text}")

    def first_good(self, gone, wanted):
        """When the first window began in which the rate was as wanted, from the end of the fault."""
        times = [float(t) for (t,) in self.db.query(
            "select extract(epoch from finished_at) from tasks where finished_at >= to_timestamp(%f) order by 1" % gone)]
        begin, end = 0, 0
        for step in range(int(self.bound * 20)):
            at = gone + step / 20
            while begin < len(times) and times[begin] < at:
                begin += 1
            while end < len(times) and times[end] < at + self.window:
                end += 1
            if end - begin >= wanted * self.window:
                return at - gone
        return None

    # ---- helpers of faults

    def submit(self, strategy, fail, **body):
        """A task of the fault's own, of whose items so many are to fail; its id."""
        id = self.web.submit(strategy, **body)
        self.load.own[id] = fail
        return id

    def submit_many(self, count, **body):
        """So many tasks of the fault's own, alike, in one call."""
        status, _, answer = self.web.call("POST", "/api/v1/tasks:batch", {"tasks": [{"strategy": "background", **body}] * count})
        assert status in (200, 202, 207) and answer["accepted"] == count, (status, str(answer)[:500])
        self.load.own.update((row["id"], 0) for row in answer["results"])

    def progress(self, seconds=60, tasks=5):
        """Until some more tasks are finished."""
        begin = time.time()

        def more():
            try:
                return self.count(begin, time.time() + 1) >= tasks
            except OSError:
                return False
        wait_until("work goes on", more, seconds, every=0.05)

    def on_board(self, worker, units=1, seconds=60):
        """Until that worker holds so many units that it claimed at once."""
        sql = (f"select count(*) from leases l join workers w on w.id = l.worker where w.pid = {worker.pid}"
               f" and cardinality(l.tasks) >= {units}")
        wait_until(f"{worker.name} has work on board", lambda: self.db.number(sql), seconds, every=0.005)

    def answered(self, seconds=60):
        """Until a task is acknowledged that was not."""
        n = len(self.load.acked)
        wait_until("tasks are acknowledged again", lambda: len(self.load.acked) > n, seconds)

    def until_refused(self, seconds=30):
        """Until callers notice: one is refused or gets no answer."""
        def told():
            return sum(self.load.refused.values()) + sum(self.load.broken.values())
        n = told()
        wait_until("callers are refused", lambda: told() > n, seconds)

    def replace(self):
        """Starts a worker anew that ended because it was to be replaced, as `lathe serve` would. How many."""
        gone = [p for p in (self.worker, self.other) if p.popen.poll() == 75]
        for p in gone:
            p.wait()
            p.start()
        return len(gone)

    def hold(self, seconds):
        """The fault lasts this long."""
        time.sleep(seconds)

    # ---- the end

    def settle(self):
        row, load = self.row, self.load
        ledger.settled(self.db, self.bound)
        found = ledger.check(self.db, self.web, load, self.failures)
        row.acked, row.finished, row.unsure = len(load.acked), found.finished, found.unsure
        row.lost, row.doubled = len(found.lost), len(found.doubled)
        row.refused = sum(load.refused.values()) + sum(load.broken.values())
        row.problems += found.all()[:20] + load.wrong[:10]
        if row.finished != row.acked:
            self.problem(f"{row.acked} were acknowledged, {row.finished} are finished")
        if found.failed:
            self.note(f"{found.failed} items failed")
        for p in self.lathes():
            more = fds(p.pid) - self.fds.get(p.pid, 1 << 20)
            if more > LEAK + load.clients:
                self.problem(f"{p.name} has {more} descriptors more than before")

    def stop(self):
        begin = time.monotonic()
        took = stop_all(self.lathes(), STOP)
        self.row.stop = max(took.values(), default=0.0)
        for p, seconds in took.items():
            if seconds > STOP:
                self.problem(f"{p.name} took {seconds:.1f} s to stop, {time.monotonic() - begin:.1f} s in all")


def fds(pid):
    try:
        return len(os.listdir(f"/proc/{pid}/fd"))
    except OSError:
        return 0


def rss_kib(pid):
    fields = stat(pid)
    return int(fields[21]) * os.sysconf("SC_PAGE_SIZE") // 1024 if fields else 0


def stop_all(procs, seconds):
    """SIGTERM to all at once. How long each took; AssertionError where one did not end with 0."""
    took, wrong = {}, []

    def end(p):
        begin = time.monotonic()
        try:
            p.signal(signal.SIGTERM)
            status = p.wait(seconds)
            if status:
                wrong.append(f"{p.name} ended with {status}")
        except AssertionError as e:
            wrong.append(str(e))
        took[p] = time.monotonic() - begin
    threads = [threading.Thread(target=end, args=(p,)) for p in procs]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not wrong, "\n".join(wrong)
    return took


def short(faults):
    """For tap.main: a test a fault, all on one stack, and one at the end that checks by id."""
    def test(fault):
        def strike(r):
            assert r.strike(fault), "\n".join(r.row.problems)
            comment(f"rate back after {r.row.recovery:.1f} s, nothing owed after {r.row.caught_up:.1f} s")
        strike.__doc__ = f"{fault.name}: {fault.what}"
        strike.__name__ = re.sub(r"\W", "_", fault.name)
        return strike

    class Short(Run):
        def __exit__(self, kind, error, trace):
            told = len(self.row.problems)
            super().__exit__(kind, error, trace)
            comment(f"{self.row.acked} acknowledged, {self.row.finished} finished, stopped in {self.row.stop or 0:.1f} s")
            if not kind and self.row.problems[told:]:
                raise Problem("\n".join(self.row.problems[told:]))
            return False

        def tails(self):
            return self.web.tails()
    none = Fault(lambda r: None, "short")
    return {f"t{i:02}": test(f) for i, f in enumerate(faults, 1)}, lambda: Short(none, window=2.0)
