"""bench/queue: see there. Each part yields rows; a row's figure is the median of `runs`, its spread beside it."""
import http.client
import json
import os
import socket
import statistics
import subprocess
import sys
import threading
import time

from service import BUILD, Nginx, Row, Service, descendants, fdatasyncs_ms, memory, servers, stream, wait_until

sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "peers"))
import part_http  # noqa: E402
import peers  # noqa: E402
import soak as long_run  # noqa: E402

PARTS = ("submit", "bulk", "drain", "limits", "latency", "backlog", "held", "worker")
ECHO = {"handler": "echo", "items_count": 1}
PIECE = 10000  # submissions in one tasks:batch

class Plan:
    """How much is measured."""

    def __init__(self, args):
        self.quick = "--quick" in args
        self.peers = "--no-peers" not in args
        self.runs = 1 if self.quick else 3
        self.seconds = 4 if self.quick else 20
        self.tasks = 20000 if self.quick else 200000
        self.peer_tasks = 5000 if self.quick else 20000

def spread(values):
    """The median, and as text how far the others are from it."""
    middle = statistics.median(values)
    if len(values) < 2:
        return middle, ""
    return middle, f"{min(values) / middle - 1:+.0%} {max(values) / middle - 1:+.0%}"

def rate_row(what, values, peer=None, reach=None, least=None, peer_name=""):
    """`least`: the rate, or where there is a peer the ratio to it, that is asked for."""
    middle, around = spread(values)
    ratio = middle / peer if peer else middle / least if least else None
    good = None if least is None else (ratio >= least if peer else middle >= least)
    return Row(f"{what} {around}".rstrip(), f"{middle:,.0f} /s", f"{peer:,.0f} /s" if peer else "", ratio,
               (reach or (f">= {least:,}" if least else "")) + (f" of {peer_name}" if peer_name else ""), good)

def free_port():
    with socket.socket() as c:
        c.bind(("127.0.0.1", 0))
        return c.getsockname()[1]

# ---- many at once

def batch_body(count, each):
    return json.dumps({"tasks": [{**ECHO, **each(i)} for i in range(count)]}).encode()

def put_batches(s, count, each=lambda i: {}):
    """Seconds for `count` tasks by tasks:batch over two connections. each: what the i-th of a batch has beside."""
    body, left = batch_body(PIECE, each), [count // PIECE]
    lock, errors = threading.Lock(), []

    def client():
        c = http.client.HTTPConnection("127.0.0.1", s.nginx.port, timeout=300)
        while True:
            with lock:
                if left[0] == 0 or errors:
                    return
                left[0] -= 1
            c.request("POST", "/api/v1/tasks:batch", body, {"Content-Type": "application/json"})
            answer = c.getresponse()
            text = answer.read()
            if answer.status != 200 or text.count(b'"id"') < PIECE:
                errors.append(f"{answer.status}: {text[:300]}")
    threads = [threading.Thread(target=client) for _ in range(2)]
    begin = time.monotonic()
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not errors, errors[0]
    return time.monotonic() - begin

def clear(s):
    s.stack.allow("canceling autovacuum task")  # it may be about to
    s.stack.pg.sql("TRUNCATE tasks, work, waiting, leases, inputs, results")
    s.stack.pg.sql("VACUUM ANALYZE")
    s.stack.pg.sql("CHECKPOINT")

def bulk(s, plan):
    s.worker.stop()
    http_rates, sql_rates = [], []
    for _ in range(plan.runs):
        http_rates.append(plan.tasks / put_batches(s, plan.tasks))
        assert s.stack.pg.sql("select count(*) from tasks") == str(plan.tasks)
        clear(s)
        begin = time.monotonic()
        s.stack.pg.sql(f"SELECT count(*) FROM lathe.submit_many('echo', array_fill('{{}}'::jsonb, ARRAY[{plan.tasks}]))")
        sql_rates.append(plan.tasks / (time.monotonic() - begin))
        assert s.stack.pg.sql("select count(*) from tasks") == str(plan.tasks)
        clear(s)
    yield rate_row("submit, tasks:batch of 10,000 over HTTP, durable", http_rates, least=80000)
    yield rate_row("submit, lathe.submit_many in SQL, durable", sql_rates, least=80000)
    s.start_worker()

# ---- one at a time

def submit(s, plan):
    script = os.path.join(s.stack.dir, "submit.lua")
    with open(script, "w") as f:
        f.write(part_http.SUBMIT)
    responder = part_http.Responder(s.stack).start()
    os.chmod(responder.socket, 0o666)  # nginx runs as another user
    front = Nginx(s.stack, f"unix:{responder.socket}", "nginx-peer").start()
    s.worker.stop()
    trivial, ours = [], []
    for _ in range(plan.runs):
        trivial.append(part_http.wrk(front.port, "/", plan.seconds))
        ours.append(part_http.wrk(s.nginx.port, "/api/v1/tasks/background", plan.seconds, script))
        clear(s)
    responder.kill()
    front.stop()
    yield rate_row("submit, one a request, 64 connections, durable", ours, statistics.median(trivial), ">= 0.5", 0.5,
                   "a trivial responder")
    if plan.peers:
        peer = peers.fastapi_celery(s, free_port(), part_http.wrk, plan.seconds).get("submit")
        if peer:
            yield rate_row("  beside FastAPI + Celery (not durable)", ours, peer, ">= 8", 8)
    s.start_worker()

# ---- working off

def hold(s, verb):
    status, answer = s.call("POST", f"/api/v1/queues/default/{verb}", {})
    assert status == 200, answer

def warm_up(s):
    """A worker that has worked; what is put now waits until the queue is resumed."""
    s.start_worker()
    put_batches(s, PIECE)
    s.worked_off()
    hold(s, "pause")

def drained(s, count):
    """The rate from the first end to the last, by the database's clock; every task by its id, with its result."""
    pg = s.stack.pg
    s.worked_off()
    assert pg.sql("select count(*) from tasks where state = 'succeeded' and items_done = 1") == str(count)
    seconds = float(pg.sql("select extract(epoch from max(finished_at) - min(finished_at)) from tasks"))
    first = int(pg.sql("select count(*) from tasks where finished_at = (select min(finished_at) from tasks)"))
    rss = memory(s.worker.pid, "VmHWM") / 1024
    s.worker.stop()
    return (count - first) / seconds, rss

def wal_position(s):
    return float(s.stack.pg.sql("select pg_current_wal_insert_lsn() - '0/0'::pg_lsn"))

def done_by_pg(s):
    """Transactions that the database has committed; updates of tasks; those of them that touched no index (HOT)."""
    return [int(n) for n in s.stack.pg.sql(
        "select xact_commit || ' ' || n_tup_upd || ' ' || n_tup_hot_upd from pg_stat_database d, pg_stat_user_tables t "
        "where d.datname = current_database() and t.relname = 'tasks'").split()]

def drain(s, plan):
    s.worker.stop()
    for count in sorted({20000, plan.tasks}):
        rates, cold, wal, rss, pg = [], [], [], [], []
        for _ in range(plan.runs):
            warm_up(s)
            clear(s)
            begin = wal_position(s)
            put_batches(s, count)
            before = done_by_pg(s)
            hold(s, "resume")
            rate, mib = drained(s, count)
            pg.append([b - a for a, b in zip(before, done_by_pg(s))])
            rates.append(rate)
            rss.append(mib)
            wal.append((wal_position(s) - begin) / count)
            sample = s.stack.pg.sql("select id from tasks order by id limit 1")
            status, doc = s.call("GET", f"/api/v1/tasks/{sample}")
            assert status == 200 and len(doc["results"]) == 1, doc
            clear(s)
            put_batches(s, count)
            s.worker.start()
            cold.append(drained(s, count)[0])
        yield rate_row(f"drain {count:,} no-op tasks, results kept, durable", rates, least=40000)
        yield rate_row("  by a worker that starts only then", cold)
        middle, around = spread(wal)
        yield Row(f"  WAL of a task's life {around}", f"{middle:,.0f} bytes", "1,843 bytes", middle / 1843, "<= 1.00", middle <= 1843)
        committed, updated, hot = (statistics.median(n) for n in zip(*pg))
        yield Row("  transactions a task, each in a round trip or with others in one", f"{committed / count:.4f}")
        yield Row("  updates of tasks that touch no index (HOT)", f"{100 * hot / updated:.1f} %", f"{updated:,.0f}")
        yield Row("  memory of the worker, at most", f"{max(rss):.1f} MiB", "16 MiB", max(rss) / 16, "<= 1.00", max(rss) <= 16)
    clear(s)
    if plan.peers:
        yield from drain_peers(s, plan, statistics.median(cold))  # theirs start with the queue full, too
    s.start_worker()

def drain_peers(s, plan, ours):
    n = plan.peer_tasks
    s.stack.allow("graphile_worker.migrations")  # it asks whether they are there
    for pool in ("prefork", "threads"):
        got = peers.celery_drain(s, n, pool)
        if got:
            yield Row(f"  Celery, {pool}, in Redis; {got['rss_mib']:.0f} MiB", f"{got['drain']:,.0f} /s", "", ours / got["drain"],
                      "Lathe is so many times it")
    for name, script, args in (
            ("graphile-worker, deletes its rows", "graphile.mjs", lambda: peers.node_url(s, "graphile")),
            ("pg-boss, fetch and complete of 500", "pgboss.mjs", lambda: peers.node_url(s, "pgboss")),
            ("BullMQ, in Redis", "bullmq.mjs", lambda: s.stack.redis.socket)):
        if not os.path.isdir(os.path.join(peers.NODE, "node_modules")):
            continue
        got = peers.node(script, args(), n)
        yield Row(f"  {name}; {got['rss_mib']:.0f} MiB", f"{got['drain']:,.0f} /s", f"bulk {got['bulk']:,.0f} /s", ours / got["drain"],
                  "Lathe is so many times it")

LIMITED = (("without a limit", lambda i: {}),
           ("with a tenant", lambda i: {"tenant": "acme"}),
           ("with a key, concurrency 256", lambda i: {"limit": {"key": "one", "concurrency": 256}}),
           ("with a key, a rate that is not reached", lambda i: {"limit": {"key": "one", "rate": 1000000}}),
           ("with 1,000 keys, concurrency 8", lambda i: {"limit": {"key": f"key-{i % 1000}", "concurrency": 8}}))


def limits(s, plan):
    """What limits cost a warm worker's drain: in turns, against the drain without one in the same turn."""
    s.worker.stop()
    count, turns = 20000, []
    for _ in range(plan.runs):
        rates = []
        for _, each in LIMITED:
            warm_up(s)
            clear(s)
            put_batches(s, count, each)
            hold(s, "resume")
            rates.append(drained(s, count)[0])
        turns.append(rates)
    for i, (what, _) in enumerate(LIMITED):
        rate = statistics.median(rates[i] for rates in turns)
        ratio, around = spread([rates[i] / rates[0] for rates in turns])
        yield Row(f"drain {count:,} {what} {around if i else ''}".rstrip(), f"{rate:,.0f} /s", "", ratio, "of it without")
    clear(s)
    s.start_worker()

# ---- how soon

def latency(s, plan):
    sync = statistics.median(fdatasyncs_ms(s.stack.dir, 200))
    body = json.dumps(ECHO)
    stream(s.nginx.port, 200, 3, "/api/v1/tasks/sequential", body)  # warm
    p50, p99 = [], []
    for _ in range(plan.runs):
        took = stream(s.nginx.port, 200, plan.seconds, "/api/v1/tasks/sequential", body)
        p50.append(took[len(took) // 2])
        p99.append(took[len(took) * 99 // 100])
    for what, values, most in (("p50", p50, 1.5), ("p99", p99, 6)):
        middle, around = spread(values)
        yield Row(f"200 tasks/s, submit to result visible, {what} {around}", f"{middle:.2f} ms", f"{most} ms", middle / most,
                  f"<= 1.00; one fdatasync is {sync:.2f} ms", middle <= most)
    if plan.peers:
        yield from steady_peers(s, plan, statistics.median(p50), statistics.median(p99))
    clear(s)
    stream(s.nginx.port, 300, plan.seconds, "/api/v1/tasks/background", body)
    wait_until("all is done", lambda: s.stack.pg.sql("select count(*) from tasks where finished_at is null") == "0", 60)
    p95 = float(s.stack.pg.sql("select percentile_disc(0.95) within group (order by extract(epoch from started_at - created_at)) "
                               "from tasks")) * 1e3
    yield Row("300 tasks/s, submission to start, p95", f"{p95:.2f} ms", "5 ms", p95 / 5, "<= 1.00", p95 <= 5)

def steady_peers(s, plan, p50, p99):
    for name, peer, where in (("graphile-worker, no HTTP, no result", "graphile", lambda: peers.node_url(s, "steady")),
                              ("BullMQ, no HTTP, in Redis", "bullmq", lambda: s.stack.redis.socket)):
        if not os.path.isdir(os.path.join(peers.NODE, "node_modules")):
            continue
        s.stack.allow("graphile_worker.migrations")  # it asks whether they are there
        got = peers.node("steady.mjs", peer, where(), 200, plan.seconds)
        yield Row(f"  {name}: p50", f"{got['p50']:.2f} ms", "", p50 / got["p50"], "Lathe's is so many times it")
        yield Row(f"  {name}: p99", f"{got['p99']:.2f} ms", "", p99 / got["p99"], "Lathe's is so many times it")

def first_rate(s, count, behind):
    """Of the first `count` tasks, with so many behind them. All have been there for a while: counted, and checkpointed."""
    clear(s)
    put_batches(s, count)
    if behind:
        put_batches(s, behind)
    s.stack.pg.sql("VACUUM ANALYZE")
    s.stack.pg.sql("CHECKPOINT")
    nth = s.stack.pg.sql(f"SELECT id FROM tasks ORDER BY id OFFSET {count - 1} LIMIT 1")
    s.worker.start()
    wait_until("they are done", lambda: s.stack.pg.sql(f"SELECT finished_at IS NOT NULL FROM tasks WHERE id = '{nth}'") == "t", 300,
               every=0.5)
    s.worker.kill()
    return float(s.stack.pg.sql("SELECT (count(*) - 1) / extract(epoch FROM max(finished_at) - min(finished_at)) FROM "
                                f"(SELECT finished_at FROM tasks WHERE finished_at IS NOT NULL ORDER BY finished_at LIMIT {count}) t"))

def backlog(s, plan):
    """The first of a long queue against as many alone, in turns."""
    s.worker.stop()
    count, behind = (20000, 200000) if plan.quick else (60000, 1000000)
    pairs = [(first_rate(s, count, 0), first_rate(s, count, behind)) for _ in range(plan.runs)]
    alone, with_all = (statistics.median(rates) for rates in zip(*pairs))
    ratio, around = spread([b / a for a, b in pairs])
    yield Row(f"drain with {behind:,} more queued behind {around}".rstrip(), f"{with_all:,.0f} /s", f"{alone:,.0f} /s", ratio,
              ">= 0.90 of without", ratio >= 0.9)
    clear(s)
    s.start_worker()

def work_off(s, count):
    """The rate of so many tasks, the last that ended, by the worker that runs."""
    hold(s, "pause")
    put_batches(s, count)
    hold(s, "resume")
    s.worked_off(300)
    return float(s.stack.pg.sql("select (count(*) - 1) / extract(epoch from max(finished_at) - min(finished_at)) from "
                                f"(select finished_at from tasks order by finished_at desc limit {count}) t"))


def behind_dead(s, kept):
    """The rate of 60,000 behind 200,000 rows of work that are gone: kept by a transaction that is open, or vacuumed."""
    warm_up(s)
    clear(s)
    holder = long_run.Holder(s) if kept else None
    try:
        work_off(s, 200000)
        if holder is None:
            s.stack.pg.sql("VACUUM work, leases")
        return work_off(s, 60000)
    finally:
        if holder:
            holder.end()
        s.worker.stop()


def held(s, plan):
    """What dead rows cost a warm worker that nobody can remove, in turns; as many tasks went before."""
    s.worker.stop()
    pairs = []
    for turn in range(plan.runs):
        rates = {kept: behind_dead(s, kept) for kept in ((False, True) if turn % 2 == 0 else (True, False))}
        pairs.append((rates[False], rates[True]))
    without, with_dead = (statistics.median(rates) for rates in zip(*pairs))
    ratio, around = spread([b / a for a, b in pairs])
    yield Row(f"drain behind 200,000 dead rows that a transaction keeps {around}".rstrip(), f"{with_dead:,.0f} /s", f"{without:,.0f} /s", ratio,
              ">= 0.90 of without", ratio >= 0.9)
    clear(s)
    s.start_worker()

def first_claim(path, offset):
    with open(path, "rb") as f:
        f.seek(offset)
        return b"worker.first_claim" in f.read()


def pss_kib(pid):
    """What a process takes of memory, pages that it shares counted by its share of them."""
    with open(f"/proc/{pid}/smaps_rollup") as f:
        return next(int(line.split()[1]) for line in f if line.startswith("Pss:"))


def writer_of(fifo):
    """Its descriptor; None while nobody reads."""
    try:
        return os.open(fifo, os.O_WRONLY | os.O_NONBLOCK)
    except OSError:
        return None

def worker(s, plan):
    """From exec to the first task, and memory then. A shell waits for the word, for this process takes some 15 ms to fork itself."""
    took, rss = [], []
    word, own = os.path.join(s.stack.dir, "word"), s.worker.argv
    os.mkfifo(word)
    s.worker.stop()
    s.worker.argv = ["/bin/sh", "-c", 'read -r _ <"$0"; exec "$@"', word, *own]
    for _ in range(5 if plan.quick else 15):
        s.call("POST", "/api/v1/tasks/background", ECHO)
        log = os.path.getsize(s.worker.log)
        s.worker.start(wait=False)
        fd = wait_until("the shell waits", lambda: writer_of(word), 30, every=0.001)
        begin = time.monotonic()
        os.write(fd, b"go\n")
        os.close(fd)
        wait_until("it has a task", lambda: first_claim(s.worker.log, log), 30, every=0.001)
        took.append((time.monotonic() - begin) * 1e3)
        wait_until("it is done", lambda: s.stack.pg.sql("select count(*) from leases") == "0", 30)
        rss.append(sum(pss_kib(pid) for pid in descendants(s.worker.pid)) / 1024)
        s.worker.stop()
    s.worker.argv = own
    ms, mib = statistics.median(took), max(rss)
    yield Row("worker: start to first task", f"{ms:.0f} ms", "50 ms", ms / 50, "<= 1.00", ms <= 50)
    yield Row("worker: memory of it and its children then", f"{mib:.1f} MiB", "16 MiB", mib / 16, "<= 1.00", mib <= 16)

# ---- a long time

def soak(s, minutes):
    """2,000 tasks a second beside a transaction that is ten minutes old at most: rate, dead rows, memory, each minute."""
    yield from long_run.run(s, minutes, put_batches)

def main():
    args = sys.argv[1:]
    plan = Plan(args)
    names = [a for a in args if not a.startswith("-")]
    print(f"{time.strftime('%Y-%m-%d')}, {service_machine()}{', quick' if plan.quick else ''}\n", flush=True)
    print(f"{'what':<64} {'measured':>14} {'limit or peer':>16} {'ratio':>7}   to reach")
    parts = [(n, globals()[n]) for n in (names or PARTS) if n in PARTS]
    if names[:1] == ["soak"]:
        minutes = float(names[1]) if len(names) > 1 else 30
        parts = [("soak", lambda s, _: soak(s, minutes))]
    if not parts:
        raise SystemExit(f"bench/queue has no such part; it has: {' '.join(PARTS)} soak")
    missed = 0
    for _, part in parts:
        with Service() as s:
            for row in part(s, plan):
                print(f"{row.what:<64} {row.measured:>14} {row.limit:>16} "
                      f"{'' if row.ratio is None else format(row.ratio, '.2f'):>7}   {row.reach} "
                      f"{ {True: 'ok', False: 'MISSED', None: ''}[row.good] }".rstrip(), flush=True)
                missed += row.good is False
    print(f"\n{missed} missed" if missed else "\nall reached")

def service_machine():
    import main as bench_main
    return bench_main.machine()

if __name__ == "__main__":
    main()
