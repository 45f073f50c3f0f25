"""The faults that the suite strikes with (those of others: faults_outside.py). Each is a function of a Run (faultrun.py) that returns when what it did is over or
undone; its docstring says what is done. `short`: also in `make check`. `allow`: what logs may say because of it."""
import os
import random
import re
import signal
import subprocess
import sys
import threading
import time
from datetime import datetime

from faultrun import ALL, STOP, Fault, fault, rss_kib, stop_all
from load import Kind, KINDS
from pgwire import Pg, PgError
from proc import ROOT, Missing, descendants, send, wait_until

TORN = r"connection to client lost|unexpected EOF on client|could not send data to client|could not receive data from client"
AWAY = (TORN, r"level=(error|warn).* event=(store|worker|api|queue)\b", r"terminating|canceling statement|shutdown|shutting down|starting up|recovery mode")
NO_API = r"\[(error|crit)\].*(api\.sock|upstream)"


# ---- killed


@fault("worker killed", TORN, short=True)
def worker_killed(r):
    "SIGKILL of one worker of two that has work on board; started again"
    r.on_board(r.worker)
    r.worker.kill()
    r.worker.start()


@fault("workers killed in a loop", TORN)
def workers_killed(r):
    "SIGKILL of one worker and the other in turn, ten times, each time when it has work on board and more was finished"
    for i in range(10):
        p = (r.worker, r.other)[i % 2]
        r.on_board(p)
        p.kill()
        p.start()
        r.progress()


@fault("api killed in a loop", (TORN, NO_API), short=True)
def api_killed(r):
    "SIGKILL of the api, five times, each time when it has acknowledged tasks again"
    for _ in range(5):
        r.api.kill()
        r.api.start()
        r.answered()


@fault("children killed in a loop", TORN, failures=True)
def children_killed(r):
    "SIGKILL of a process below a worker (those that run items, and the one that they are forked from), 40 times"
    replaced = 0
    for _ in range(40):
        below = wait_until("a worker has children", lambda: [pid for p in (r.worker, r.other) for pid in descendants(p.pid)[1:]])
        send(random.choice(below), signal.SIGKILL)
        r.hold(0.1)
        replaced += r.replace()
    r.hold(1)  # a worker sees that it has nobody to fork children when it needs one
    r.note(f"{replaced + r.replace()} workers made way for another")


@fault("all killed at once", (*AWAY, NO_API))
def all_killed(r):
    "SIGKILL of api, both workers and Redis, and PostgreSQL stopped as by a crash; all started again"
    r.on_board(r.worker)
    for p in (r.api, r.worker, r.other, r.web.redis):
        p.signal(signal.SIGKILL)
    r.web.pg.kill()
    for p in (r.api, r.worker, r.other, r.web.redis):
        p.wait()
    for p in (r.web.pg, r.web.redis, r.api, r.worker, r.other):
        p.start()


SESSIONS = "select pg_terminate_backend(pid) from pg_stat_activity where backend_type = 'client backend' and application_name = 'lathe-worker'"


def with_large_claims(r, worker):
    """Puts tasks until that worker holds a hundred that it claimed at once: so many that its claims and its ends go by two sessions
    (docs/store.md). They are worked off in a tenth of a second, so that one look may come too late. How many were put."""
    for put in range(4000, 4000 * 30, 4000):
        r.submit_many(4000, handler="echo", items_count=1, batch_size=1)
        try:
            r.on_board(worker, units=100, seconds=1)
            return put
        except AssertionError:
            continue
    raise AssertionError(f"{worker.name} never claims a hundred at once")


@fault("a backlog, workers struck", AWAY)
def backlog(r):
    "4,000 tasks at once, twelve times at least; each time, with large claims on board: SIGKILL of a worker, or its sessions terminated, all or the newest"
    ended = put = 0
    for i in range(12):
        p = (r.worker, r.other)[i % 2]
        put += with_large_claims(r, p)
        if i % 3 == 0:
            p.kill()
            p.start()
        else:
            ended += len(r.db.query(SESSIONS + (" order by backend_start desc limit 1" if i % 3 == 1 else "")))
    r.note(f"{ended} sessions terminated, {put:,} tasks")


# ---- at the named points


def points():
    """The names of all fault points, from the source: what fault_hit is given, or what a function is given that hands it on."""
    texts = {}
    for top, _, files in os.walk(os.path.join(ROOT, "src")):
        for name in files:
            if name.endswith(".c") and name != "fault.c":
                with open(os.path.join(top, name)) as f:
                    texts[os.path.join(top, name)] = f.read()
    found = set()
    for name, text in texts.items():
        for given in re.findall(r"\bfault_hit\(([^)]*)\)", text):
            if given.startswith('"'):
                found.add(given.strip('"'))
                continue
            before = text[:text.index(f"fault_hit({given})")]
            caller = re.findall(r"^[a-z][^;={}()]*\b(\w+)\([^;{}]*\)\n\{", before, re.M)[-1]
            handed = re.findall(r"\b%s\([^;]*?\"([a-z]+\.[a-z_.]+)\"" % caller, text)
            assert handed, f"{name}: {caller}() hands a fault point on, and nobody names one"
            found.update(handed)
    assert found, "there are no fault points in src/"
    return sorted(found)


def has_points(program):
    """Whether the program was built with fault points: it refuses what is no rule."""
    with open(program, "rb") as f:
        return b"LATHE_FAULT: cannot use" in f.read()


def every_second(r):
    """A schedule that fires each second; its document."""
    status, _, made = r.web.call("POST", "/api/v1/schedules", {"name": "tick", "every_s": 1, "missed": "all", "task": {
        "strategy": "background", "handler": "echo", "items_count": 1, "tags": ["tick"]}})
    assert status == 201, made
    return made


def at_point(point):
    def strike(r):
        every_second(r)
        procs = (r.api, r.worker, r.other)
        for p in procs:
            p.env["LATHE_FAULT"] = f"{point}:2:kill"
            p.stop()
            p.start()
        try:
            wait_until(f"somebody passes {point} twice", lambda: any(p.popen.poll() == -signal.SIGKILL for p in procs), 60)
        finally:
            for p in procs:
                del p.env["LATHE_FAULT"]
                p.stop()  # or has it been killed too
                p.start()
        status, _, said = r.web.call("DELETE", "/api/v1/schedules/tick")
        assert status in (200, 204), (status, said)
    strike.__doc__ = f"SIGKILL of whoever passes {point} the second time, api or worker; started again"
    return Fault(strike, f"killed at {point}", (TORN, NO_API), point=True)


# ---- PostgreSQL


@fault("PostgreSQL restarted", (*AWAY,))
def pg_restarted(r):
    "restart, fast: it ends every connection and shuts down in order"
    r.web.pg.restart()


@fault("PostgreSQL crashed", (*AWAY,), short=True)
def pg_crashed(r):
    "immediate shutdown, away until callers are refused; recovery at the start"
    r.web.pg.kill()
    r.until_refused()
    r.web.pg.start()


@fault("backends terminated", (*AWAY,), short=True)
def pg_terminated(r):
    "pg_terminate_backend of every connection of Lathe, every 100 ms, 40 times"
    killed = 0
    for _ in range(40):
        killed += r.db.number("select count(pg_terminate_backend(pid)) from pg_stat_activity"
                              " where backend_type = 'client backend' and application_name like 'lathe%'")
        r.hold(0.1)
    assert killed > 40, f"only {killed} were terminated"
    r.note(f"{killed} backends")


@fault("PostgreSQL frozen", (*AWAY,))
def pg_frozen(r):
    "SIGSTOP of PostgreSQL for twice the time that Lathe waits for an answer"
    r.web.pg.freeze()
    r.hold(6)
    r.until_refused()
    r.web.pg.thaw()


def preload(web):
    """machine.c, made into the stack's folder; programs get it by LD_PRELOAD."""
    path = os.path.join(web.dir, "machine.so")
    if not os.path.exists(path):
        cc = os.environ.get("CC", "cc").split()
        try:
            subprocess.run([*cc, "-shared", "-fPIC", "-O1", "-o", path, os.path.join(ROOT, "tests", "lib", "machine.c")],
                           check=True, capture_output=True, text=True, timeout=60)
        except FileNotFoundError:
            raise Missing("a C compiler") from None
    return path


def full_flag(web):
    return os.path.join(web.dir, "disk-is-full")


def with_full_disk(web):
    web.pg_env = lambda: {"LD_PRELOAD": preload(web), "LATHE_MACHINE_FULL": full_flag(web)}


FULL = (*AWAY, r"No space left|could not (extend|write)|disk|PANIC|server process")


def fill_disk(r, seconds, more=lambda: None):
    with open(full_flag(r.web), "w"):
        pass
    r.until_refused()
    more()
    r.hold(seconds)
    os.unlink(full_flag(r.web))


@fault("disk full", FULL, prepare=with_full_disk)
def disk_full(r):
    "no file of PostgreSQL can grow, for five seconds: tables fail to take rows"
    fill_disk(r, 5)
    assert "No space left" in r.web.pg.text()


@fault("disk full, for the log too", FULL, prepare=with_full_disk)
def disk_full_log(r):
    "the same, and PostgreSQL is made to begin new files of its log until it panics; started again if it gave up"
    def switch():
        def panicked():
            try:
                r.db.query("select pg_logical_emit_message(false, 'fill', repeat('x', 1000000)), pg_switch_wal()")
            except (OSError, PgError):
                pass
            return "PANIC" in r.web.pg.text()
        wait_until("PostgreSQL panics", panicked)
    fill_disk(r, 2, switch)
    pg = r.web.pg
    wait_until("PostgreSQL is back, or gone for good", lambda: pg.popen.poll() is not None or pg.ready(), 60)
    if pg.popen.poll() is not None:
        pg.wait()
        pg.start()
        r.note("PostgreSQL gave up and was started")


def few_connections(web):
    web.pg_settings = {"max_connections": "30"}


@fault("connections exhausted", (*AWAY, r"too many clients|remaining connection slots"), prepare=few_connections)
def exhausted(r):
    "others take every connection of PostgreSQL while Lathe's are terminated; given back after five seconds"
    taken = []

    def take():
        """Whether nobody of Lathe has one: those that it has are ended, and those that are free taken."""
        try:
            while True:
                taken.append(Pg(r.web.pg.sockets, name="others").open())
        except (OSError, PgError):
            return r.db.number("select count(pg_terminate_backend(pid)) from pg_stat_activity where application_name like 'lathe%'") == 0
    wait_until("all connections are taken", take, every=0.002)
    end = time.monotonic() + 5
    r.until_refused()
    while time.monotonic() < end:  # who comes for a free one is too late
        take()
        r.hold(0.05)
    for db in taken:
        db.close()
    r.note(f"{len(taken)} taken")


DEAD = "select sum(n_dead_tup)::bigint, sum(n_live_tup)::bigint from pg_stat_user_tables where relname ~ '^(work|leases|tasks|waiting)'"


@fault("transaction held open", ())
def held(r):
    "an idle transaction with a snapshot held for 20 s: nothing that dies meanwhile can be vacuumed"
    with Pg(r.web.pg.sockets, name="idler") as idler:
        idler.query("begin isolation level repeatable read; select count(*) from tasks")
        before = r.db.query(DEAD)[0]
        r.hold(20)
        rate, after = r.window_rate(), r.db.query(DEAD)[0]
        idler.query("rollback")
    r.note(f"dead rows {before[0]} before, {after[0]} at its end beside {after[1]} live ones; the rate then {rate / r.before:.2f} of before")
    if rate < 0.9 * r.before:
        r.problem(f"{rate:.1f} tasks/s while a transaction was held, {r.before:.1f} before")


# ---- Redis


@fault("Redis restarted", ())
def redis_restarted(r):
    "Redis killed, away for two seconds, started again, empty"
    r.web.redis.kill()
    r.hold(2)
    r.web.redis.start()


@fault("Redis flushed", ())
def redis_flushed(r):
    "FLUSHALL every 50 ms, 40 times"
    for _ in range(40):
        r.web.redis.cli("flushall")
        r.hold(0.05)


@fault("Redis cut off", (), short=True)
def redis_cut(r):
    "Redis's socket removed and every connection to it ended; back after two seconds"
    path = r.web.redis.socket
    os.rename(path, path + ".away")
    for kind in ("normal", "pubsub"):
        subprocess.run(["redis-cli", "-s", path + ".away", "client", "kill", "type", kind], capture_output=True, timeout=30, check=False)
    r.hold(2)
    os.rename(path + ".away", path)


@fault("Redis frozen", ())
def redis_frozen(r):
    "SIGSTOP of Redis for five seconds"
    r.web.redis.freeze()
    r.hold(5)
    r.web.redis.thaw()


# ---- the clock


def stepped(r, hours):
    procs = {r.worker: hours, r.api: -hours}
    for p in procs:
        path = os.path.join(r.web.dir, f"clock-{p.name}")
        with open(path, "wb") as f:
            f.write(bytes(8))
        p.env.update({"LD_PRELOAD": preload(r.web), "LATHE_MACHINE_CLOCK": path})
        p.stop()
        p.start()
    r.progress()
    for p, h in procs.items():
        set_clock(p, h * 3600)
    r.hold(5)  # leases are of two seconds
    assert r.api.running() and r.worker.running()
    lost = [p.name for p in r.lathes() if "lease_lost" in p.text()]
    assert not lost, f"{lost} lost a lease by the clock"
    hour = time.strftime("%Y-%m-%dT%H:", time.gmtime(time.time() + hours * 3600))
    r.worker.signal(signal.SIGHUP)  # it tells of it, with the time
    r.worker.wait_log(f"{hour}.*conf.reload")
    for p in procs:
        set_clock(p, 0)


def set_clock(p, seconds):
    with open(p.env["LATHE_MACHINE_CLOCK"], "r+b") as f:
        f.write(int(seconds).to_bytes(8, sys.byteorder, signed=True))


@fault("clock stepped forward", (TORN, NO_API))
def clock_forward(r):
    "one worker's wall clock set an hour ahead and the api's an hour back, for five seconds, then both back"
    stepped(r, 1)


@fault("clock stepped back", (TORN, NO_API))
def clock_back(r):
    "one worker's wall clock set an hour back and the api's an hour ahead, for five seconds, then both back"
    stepped(r, -1)


# ---- too much

KINDS["nap"] = Kind("background", handler="sleep", params={"ms": 100}, items_count=1, inner="sequential")
KINDS["big"] = Kind("background", handler="echo", items=["x" * 100000] * 15, batch_size=15)


@fault("1.5 x overload", (), settings=dict(worker_slots=2), mix=("nap",), rate=20.0)
def overload(r):
    "60 tasks a second for ten seconds, of 100 ms each, on four slots that can do 40"
    api = r.api.pid
    rss = rss_kib(api)
    r.load.rate = 60.0
    r.hold(10)
    rate = r.window_rate()
    owed = r.db.number("select count(*) from tasks where not lathe_final(state)")
    grown = rss_kib(api) - rss
    r.load.rate = r.rate
    r.note(f"{rate:.0f} tasks/s and {owed} owed at its end, the api {grown} KiB larger")
    if rate < 1.5 * r.before:
        r.problem(f"{rate:.1f} tasks/s under overload: it does less than it could")
    if grown > 16 << 10:
        r.problem(f"the api grew by {grown} KiB")


@fault("writes held up", (), settings=dict(store_timeout="10s"))
def held_up(r):
    "nothing can be written for a while, and 60 clients send 1.5 MB each at once; ten times"
    grown, r.load.clients = [], 100
    for _ in range(10):
        refused = r.load.refused[503]
        with Pg(r.web.pg.sockets, name="locker") as locker:
            locker.query("begin; lock table tasks in share mode")
            clients = [threading.Thread(target=lambda: r.load.send(r.web.connect(60), "big"), daemon=True) for _ in range(60)]
            for c in clients:
                c.start()
            wait_until("some are told to come again", lambda: r.load.refused[503] > refused)
            grown.append(rss_kib(r.api.pid))
            locker.query("rollback")
        for c in clients:
            c.join(60)
        r.progress()
    r.note(f"{r.load.refused[503]} refused with Retry-After; the api had {', '.join(f'{kib >> 10}' for kib in grown)} MiB")
    if grown[9] > grown[5] + (16 << 10):  # what the first five or six take stays with it; of 24 none took more
        r.problem(f"the api grows: {grown} KiB")


# ---- the clockwork


@fault("workers killed, a schedule fires", TORN)
def schedule(r):
    "SIGKILL of one worker and the other in turn, while a schedule fires each second: every second has one task"
    made = every_second(r)
    for i in range(8):
        p = (r.worker, r.other)[i % 2]
        r.on_board(p)
        p.kill()
        p.start()
        r.progress(tasks=60)
    sql = "update schedules set paused = true where name = 'tick' returning fired, extract(epoch from next_at)::bigint"
    fired, next_at = (int(n) for n in r.db.query(sql)[0])
    seconds = next_at - int(datetime.fromisoformat(made["next_at"].replace("Z", "+00:00")).timestamp())
    tasks = r.db.number("select count(*) from tasks where tags like '%tick%'")
    assert seconds > 3 and fired == seconds == tasks, f"{seconds} seconds, fired {fired} times, {tasks} tasks"
    r.note(f"{tasks} tasks for {seconds} seconds")


# ---- other servers, and programs

import faults_outside  # noqa: E402,F401 - they register themselves, here


# ---- stopping


def stop_and_start(r):
    took = stop_all(r.lathes(), STOP)
    r.note("stopped in " + ", ".join(f"{took[p]:.1f} s" for p in (r.api, r.worker, r.other)))


@fault("stopped under load", NO_API)
def stopped(r):
    "SIGTERM to api and both workers with work on board and callers waiting; started again"
    stop_and_start(r)
    for p in (r.api, r.worker, r.other):
        p.start()


@fault("stopped while PostgreSQL hangs", (*AWAY, NO_API))
def stopped_frozen(r):
    "SIGTERM to api and both workers while PostgreSQL is stopped with SIGSTOP; then it goes on, and they are started again"
    r.web.pg.freeze()
    r.hold(1)
    try:
        stop_and_start(r)
    finally:
        r.web.pg.thaw()
    for p in (r.api, r.worker, r.other):
        p.start()
