#!/usr/bin/env python3
"""A worker that stops, is replaced, loses its lease, has a neighbour, or works while PostgreSQL hangs."""
import os
import re
import signal
import sys
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "..", "lib"))
from pgwire import Pg  # noqa: E402
from proc import descendants, send, wait_until  # noqa: E402
from tap import main  # noqa: E402
from web import Web  # noqa: E402

RECYCLED = "ended by itself with 75"
SLEEP = dict(handler="sleep", items_count=1, inner="sequential")


def running(w, id):
    wait_until(f"task {id} runs", lambda: w.task(id)["state"] == "running")
    return id


def sleeping(w, ms):
    """A task that sleeps in a slot."""
    return running(w, w.submit("background", params={"ms": ms}, **SLEEP))


def hanging(w, timeout_ms=500, **more):
    return w.submit("sequential", handler="test.hang", items_count=2, params={"at": 1}, timeout_ms=timeout_ms, **more)


def slot_ticks(p):
    """CPU that the slots of a worker have used, in clock ticks."""
    ticks = []
    for tid in os.listdir(f"/proc/{p.pid}/task"):
        try:
            with open(f"/proc/{p.pid}/task/{tid}/stat") as f:
                head, _, tail = f.read().rpartition(")")
        except (FileNotFoundError, ProcessLookupError):  # a thread of a run that is over
            continue
        fields = tail.split()
        ticks += [int(fields[11])] if "(slot-" in head else []
    return sum(ticks)


def hangs(w, id):
    """Until the handler itself spins: a task is shown as running from the claim on, and a unit has things to ask of the
    store before its first item."""
    running(w, id)
    before = slot_ticks(w.worker)
    wait_until("the handler spins", lambda: slot_ticks(w.worker) > before + 10)
    return id


def once(w, id, count):
    got = sorted(r["index"] for r in w.results(id))
    assert got == list(range(count)), f"{len(got)} results, {len(set(got))} different"


def cpu(p):
    """Seconds of CPU that a process has used."""
    with open(f"/proc/{p.pid}/stat") as f:
        fields = f.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def idles(p, seconds=2.0):
    """A loop that spins uses all of a processor, or what others leave of it; one that waits nearly nothing."""
    begin, used = time.monotonic(), cpu(p)
    time.sleep(seconds)  # this is what is measured
    share = (cpu(p) - used) / (time.monotonic() - begin)
    assert share < 0.25, f"{share:.2f} of a processor while it has nothing to do"


# ---- the start


def t18_started_without_postgresql():
    "PostgreSQL away when a worker starts: it is there all the same, says so once, waits, and works when PostgreSQL comes"
    with Web(worker=False, worker_poll="100ms") as w:
        w.allow("store|terminating connection|shutting down")
        id = w.submit("background", handler="echo", items_count=10, batch_size=1)
        w.pg.stop()
        w.worker = w.lathe("worker")
        w.worker.wait_log("worker.started")
        w.worker.wait_log("worker.store_lost")
        idles(w.worker)
        assert w.worker.text().count("store.unreachable") == 1, w.worker.text()
        w.pg.start()
        w.worker.wait_log("store.reached")
        w.worker.wait_log("worker.store_back")
        wait_until("the api has PostgreSQL again", lambda: w.call("GET", "/readyz")[0] == 200)
        assert w.finished(id)["state"] == "succeeded"
        once(w, id, 10)


def t19_started_without_postgresql_and_stopped():
    "a worker that starts without PostgreSQL can be stopped at once"
    with Web(worker=False, worker_drain="600s") as w:
        w.allow("store|terminating connection|shutting down")
        w.pg.stop()
        w.worker = w.lathe("worker")
        w.worker.wait_log("worker.started")
        begin = time.monotonic()
        w.worker.signal(signal.SIGTERM)
        assert w.worker.wait(60) == 0
        assert time.monotonic() - begin < 20
        w.pg.start()


def t20_started_before_a_frozen_server():
    "PostgreSQL hangs when a worker starts: it is there all the same, and one that is told to stop does not wait"
    with Web(worker=False, store_timeout="600s", worker_drain="600s") as w:
        w.allow("connection to client lost|store.unreachable|worker.store_lost")
        w.pg.freeze()
        w.worker = w.lathe("worker")
        w.worker.wait_log("worker.started")
        time.sleep(0.2)  # it now waits for its session
        begin = time.monotonic()
        w.worker.signal(signal.SIGTERM)
        assert w.worker.wait(60) == 0
        took = time.monotonic() - begin
        assert took < 20, f"{took:.1f} s for an idle worker"
        w.pg.thaw()
        w.worker.start()
        id = w.submit("background", handler="echo", items_count=10, batch_size=1)
        assert w.finished(id)["state"] == "succeeded"


def t21_refused():
    "a server that refuses sessions when a worker starts: the log has its reason, once, and the worker has its session when it may"
    with Web(worker=False) as w:
        w.allow("not currently accepting connections|store.unreachable|worker.store_lost")
        id = w.submit("background", handler="echo", items_count=1)
        w.pg.sql("alter database lathe allow_connections false", database="postgres")
        w.worker = w.lathe("worker")
        w.worker.wait_log("store.unreachable detail=.*not currently accepting connections")
        w.worker.wait_log("worker.store_lost")
        assert w.worker.text().count("store.unreachable") == 1, w.worker.text()
        w.pg.sql("alter database lathe allow_connections true", database="postgres")
        w.worker.wait_log("store.reached")
        assert w.finished(id)["state"] == "succeeded"


def t22_claims_before_it_is_listed():
    "a worker's first claim waits for nothing else: with the list of workers locked its units run"
    with Web(worker=False, store_timeout="60s") as w:
        id = w.submit("background", handler="echo", items_count=1)
        with Pg(w.pg.sockets) as locker:
            locker.query("begin; lock table workers")
            w.worker = w.lathe("worker")
            w.worker.wait_log("worker.first_claim")
            locker.query("rollback")
        assert w.finished(id)["state"] == "succeeded"
        assert w.pg.sql("select count(*) from workers") == "1"


# ---- the end


def t01_second_signal():
    "a second SIGTERM: leaves at once with 0 though a handler hangs, and its units are given back, not lost"
    with Web(worker_drain="600s", worker_lease="1s", worker_slots=4) as w:
        long = sleeping(w, 1000)
        stuck = hangs(w, hanging(w, timeout_ms=3000))
        procs = running(w, w.submit("multiprocessing", handler="sleep", items_count=4, workers=2, params={"ms": 600000}))
        w.worker.signal(signal.SIGTERM)
        w.worker.wait_log("worker.draining why=signal")
        w.worker.signal(signal.SIGTERM)
        assert w.worker.wait() == 0
        assert w.pg.sql("select count(*) from leases") == "0"
        assert w.pg.sql("select count(*), max(attempt) from work") == "3|1"
        assert "lease_lost" not in w.worker.text()
        w.call("DELETE", f"/api/v1/tasks/{procs}")
        w.call("DELETE", f"/api/v1/tasks/{stuck}")
        w.worker.start()
        assert w.finished(long)["state"] == "succeeded"
        once(w, long, 1)


def t02_hang():
    "a handler that hangs in the worker: its task fails with task-timeout and says all, the others finish, the worker is replaced"
    with Web(worker=False, worker_drain="60s", worker_slots=4) as w:
        serve = w.lathe("serve", env={"LATHE_API_LISTEN": f"unix:{w.dir}/other.sock"})
        w.allow("serve.ended")
        other = sleeping(w, 8000)  # still there when the worker gives the other one up
        bad = hanging(w)
        task = w.finished(bad)
        assert task["state"] == "failed" and task["error"]["type"].endswith("task-timeout"), task
        assert task["items"] == {"total": 2, "done": 2, "failed": 2}, task
        assert task["shape"]["threads"] == 1 and task["started_at"] < task["finished_at"], task
        assert [r["error"]["type"] for r in w.results(bad)] == ["task-timeout"] * 2
        assert w.finished(other)["state"] == "succeeded"
        serve.wait_log("child_role=worker .*exit=75")
        again = w.submit("background", handler="echo", items_count=20, batch_size=1)
        assert w.finished(again)["state"] == "succeeded"
        once(w, again, 20)
        assert serve.running()


def t03_hang_cancelled():
    "a handler that does not stop when its task is cancelled: the task is cancelled all the same, with a line an item"
    with Web(worker_drain="60s") as w:
        id = hangs(w, hanging(w, timeout_ms=600000))
        w.call("DELETE", f"/api/v1/tasks/{id}")
        task = w.finished(id)
        assert task["state"] == "cancelled", task
        assert [r["state"] for r in w.results(id)] == ["cancelled"] * 2
        assert w.worker.wait() == 75


def t04_signal_while_recycled():
    "SIGTERM while a worker makes way for another: 0, because it was told to stop"
    with Web(worker_drain="600s") as w:
        other = sleeping(w, 9000)
        hanging(w)
        w.worker.wait_log("worker.recycle")
        w.worker.signal(signal.SIGTERM)
        assert w.worker.wait() == 0
        assert w.task(other)["state"] == "succeeded"


def t17_no_zygote():
    "the process that forks children is killed: what needs one is given back, and the worker makes way for another"
    with Web(worker_drain="60s", worker_slots=2) as w:
        w.worker.wait_log("worker.started")
        zygote = wait_until("there is a zygote", lambda: descendants(w.worker.pid)[1:])[0]
        send(zygote, signal.SIGKILL)
        id = w.submit("multiprocessing", handler="echo", items_count=4, workers=2)
        assert w.worker.wait() == 75
        assert w.pg.sql(f"select attempt from work where task = '{id}'") == "2"
        w.worker.start()
        assert w.finished(id)["state"] == "succeeded"
        once(w, id, 4)


# ---- memory


def grow(w):
    """Little by little, until the worker finds itself too large."""
    def large():
        return "it is larger than worker.memory" in w.worker.text()

    def over(id):
        return w.task(id)["state"] == "succeeded" or large()
    for _ in range(50):
        id = w.submit("sequential", handler="test.leak", items_count=1, params={"bytes": 64 << 20})
        wait_until("it has grown", lambda: over(id), every=0.01)
        if large():
            return
    raise AssertionError("50 times 64 MiB did not make it too large")


def t05_memory():
    "a worker that has grown too large is replaced; what it had to give up at the deadline runs in a child next time"
    with Web(worker_memory="600M", worker_drain="200ms", worker_slots=2) as w:
        long = sleeping(w, 15000)  # longer than growing takes on a busy machine
        grow(w)
        assert w.worker.wait() == 75
        assert w.pg.sql(f"select attempt from work where task = '{long}'") == "2"
        w.worker.start()
        task = w.finished(long)
        assert task["state"] == "succeeded" and task["attempt"] == 2 and task["shape"]["processes"] == 1, task
        once(w, long, 1)


def t06_too_large_and_stopped():
    "SIGTERM while a worker that is too large makes way: 0, and it stays with what it has until that is over"
    with Web(worker_memory="600M", worker_drain="600s", worker_slots=2) as w:
        long = sleeping(w, 600000)
        grow(w)
        w.worker.signal(signal.SIGTERM)
        w.worker.wait_log("why=signal")
        assert w.worker.running() and w.task(long)["state"] == "running"
        assert w.call("DELETE", f"/api/v1/tasks/{long}")[0] in (200, 202)
        assert w.worker.wait() == 0
        assert w.task(long)["state"] == "cancelled"


# ---- leases


def t07_lost_lease():
    "a worker that is frozen past its lease: another one does its units, and what it does itself is refused"
    with Web(worker_lease="1s", worker_slots=2) as w:
        id = w.submit("background", handler="sleep", params={"ms": 300}, items_count=40, batch_size=10, inner="sequential")
        wait_until("it has units", lambda: w.pg.sql("select count(*) from leases") != "0")
        w.worker.freeze()
        other = w.lathe("worker")
        task = w.finished(id, 120)
        assert task["state"] == "succeeded" and task["items"] == {"total": 40, "done": 40, "failed": 0}, task
        w.worker.thaw()
        w.worker.wait_log("worker.lease_lost units=2")
        once(w, id, 40)
        assert w.task(id)["items"]["done"] == 40
        second = w.submit("background", handler="echo", items_count=10, batch_size=1)
        assert w.finished(second)["state"] == "succeeded"
        assert other.running() and w.worker.running()
        w.allow("connection to client lost")


def t08_lost_lease_of_a_hang():
    "a lease lost under a handler that ignores its cancel does not keep the slot until the task's time limit"
    with Web(worker_lease="1s", worker_slots=1, worker_drain="60s", worker_attempts=1) as w:
        id = hangs(w, hanging(w, timeout_ms=600000))
        w.worker.freeze()
        other = w.lathe("worker")
        assert w.finished(id)["error"]["type"].endswith("worker-lost")
        w.worker.thaw()
        w.worker.wait_log("worker.lease_lost units=1")
        assert w.worker.wait() == 75
        assert other.running()
        w.allow("connection to client lost")


# ---- waiting


def t09_idle_while_busy():
    "no slot free: the worker waits for one and does not look for work meanwhile"
    with Web(worker_poll="10ms", worker_slots=1) as w:
        id = sleeping(w, 600000)
        w.submit("background", params={"ms": 1}, **SLEEP)
        idles(w.worker)
        w.call("DELETE", f"/api/v1/tasks/{id}")
        assert w.finished(id)["state"] == "cancelled"


def t10_idle_while_draining():
    "a worker that drains waits for its units"
    with Web(worker_lease="300ms", worker_poll="10ms", worker_drain="600s") as w:
        id = sleeping(w, 600000)
        w.worker.signal(signal.SIGTERM)
        w.worker.wait_log("worker.draining")
        idles(w.worker)
        w.call("DELETE", f"/api/v1/tasks/{id}")
        assert w.worker.wait() == 0
        assert w.task(id)["state"] == "cancelled"


def t11_idle_without_postgresql():
    "PostgreSQL away, a unit running and the poll due: the worker asks now and then"
    with Web(worker_poll="10ms", worker_slots=2) as w:
        id = sleeping(w, 5000)
        w.allow("store|terminating connection|shutting down")
        w.pg.stop()
        w.worker.wait_log("worker.store_lost")
        idles(w.worker)
        w.pg.start()
        wait_until("the api has PostgreSQL again", lambda: w.call("GET", "/readyz")[0] == 200)
        assert w.finished(id)["state"] == "succeeded"


# ---- a server that hangs


def frozen(running_too, **settings):
    with Web(store_timeout="600s", worker_lease="600s", worker_drain="1s", worker_poll="10ms", **settings) as w:
        w.allow("connection to client lost|lathe-worker-2 ended by itself")
        if running_too:
            id = sleeping(w, 600000)
        w.pg.freeze()
        time.sleep(0.2)  # it now hangs in a call: it polls every 10 ms
        begin = time.monotonic()
        w.worker.signal(signal.SIGTERM)
        assert w.worker.wait(60) == 0
        took = time.monotonic() - begin
        assert took < 20, f"{took:.1f} s for a drain of 1 s"
        w.pg.thaw()
        if running_too:
            w.call("DELETE", f"/api/v1/tasks/{id}")


def t12_frozen_idle():
    "PostgreSQL hangs: an idle worker that is told to stop does not wait for it"
    frozen(False)


def t13_frozen_busy():
    "PostgreSQL hangs: a worker with units that do not end leaves soon after its deadline"
    frozen(True)


def t14_release_again():
    "units that could not be given back are given back when PostgreSQL is there again"
    with Web(worker_lease="600s", worker_drain="600s", worker_slots=1, store_timeout="1s") as w:
        w.allow("store|terminating connection|shutting down")
        fast = w.submit("background", handler="echo", items_count=400, batch_size=1)
        assert w.finished(fast)["state"] == "succeeded"
        ids = [w.submit("background", params={"ms": 3000}, **SLEEP) for _ in range(3)]
        w.pg.stop()
        w.worker.signal(signal.SIGTERM)
        w.worker.wait_log("worker.draining")
        w.pg.start()
        assert w.worker.wait() == 0
        assert w.pg.sql("select count(*) from leases") == "0"
        w.worker.start()
        wait_until("the api has PostgreSQL again", lambda: w.call("GET", "/readyz")[0] == 200)
        for id in ids:
            assert w.finished(id)["state"] == "succeeded"


# ---- sharing


def t15_neighbour():
    "a worker that has seen only tiny units does not keep long ones from an idle neighbour"
    with Web(worker_slots=4) as w:
        tiny = w.submit("background", handler="echo", items_count=1200, batch_size=1)
        assert w.finished(tiny)["state"] == "succeeded"
        other = w.lathe("worker")
        other.wait_log("worker.started")
        assert "worker.first_claim" not in other.text()
        other.freeze()
        id = w.submit("background", handler="sleep", params={"ms": 1500}, items_count=20, batch_size=1, inner="sequential")
        wait_until("the first one has claimed", lambda: w.pg.sql("select count(*) from work") != "20")
        other.thaw()
        other.wait_log("worker.first_claim", 60)
        assert w.finished(id)["state"] == "succeeded"
        once(w, id, 20)


# ---- settings


def t16_reload():
    "SIGHUP applies log.level and log.format, to a worker and to an api"
    with Web() as w:
        conf = os.path.join(w.dir, "lathe.conf")

        def settings(*lines):
            with open(conf, "w") as f:
                f.write("\n".join(("[log]", *lines, "")))
        for p in (w.worker, w.api):
            p.stop()
            p.env.pop("LATHE_LOG_FORMAT")  # which would go before the file
            p.env["LATHE_CONF"] = conf
            settings("format = json")
            p.start()
            w.finished(w.submit("background", params={"ms": 1}, **SLEEP))  # they are there, and read signals
            for lines, answer in (("format = logfmt",), '"event":"conf.reload"'), (("format = json", "level = error"), "event=conf.reload"):
                settings(*lines)
                p.signal(signal.SIGHUP)
                p.wait_log(answer)  # told before it is applied
            settings("level = loud")
            p.signal(signal.SIGHUP)
            p.wait_log('"level":"error".*log.level must be')
            w.allow("log.level must be")
            assert len(re.findall("conf.reload", p.text())) == 3, p.text()  # the last was told at error only


if __name__ == "__main__":
    main(globals())
