"""A backlog of no-op tasks worked off by one warm worker: finished tasks a second from the first start to the last end,
durable, results kept; what each costs the worker, its PostgreSQL session and the WAL. Rates swing with whatever else the
machine does; microseconds of processor a task hardly do, so compare those."""
import os
import subprocess
import time

from proc import descendants
from service import Row, at_most, memory, servers

TICK = os.sysconf("SC_CLK_TCK")
SAMPLE = 200

# One transaction, so that all of it is there at once. Ids are in the order of time, as version 7 is.
FILL = """INSERT INTO tasks (id, digest, item_timeout_ms, timeout_ms, state, ord, items_total, units_total, unit_size, batch_size,
    workers, priority, container, fail_fast, handler, strategy, inner_strategy, queue, params, tags, meta)
SELECT (lpad(to_hex((extract(epoch FROM clock_timestamp()) * 1000)::bigint), 12, '0') || '7' ||
        lpad(to_hex(i / 65536 % 4096), 3, '0') || 'a' || substr(md5(i::text), 1, 11) || lpad(to_hex(i % 65536), 4, '0'))::uuid,
    7, 0, 0, 'queued', 0, 1, 1, 1, 1, 1, 5, false, false, 'echo', 'background', 'auto', 'default',
    '{{}}', '', '' FROM generate_series(1, {n}) i;
INSERT INTO work (task, rank, seq, first, count, kib, attempt, queue)
SELECT id, lathe_rank(now(), priority), 0, 0, 1, 0, 1, queue FROM tasks WHERE xmin = pg_current_xact_id()::xid"""


def cpu_s(pid):
    with open(f"/proc/{pid}/stat") as f:
        fields = f.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICK


class Meter:
    """What happened since it was made."""

    def __init__(self, s):
        self.pg, self.tree = s.stack.pg, descendants(s.worker.pid)
        self.sessions = [int(p) for p in self.pg.sql(
            "SELECT pid FROM pg_stat_activity WHERE application_name = 'lathe-worker'").split()]
        self.server = descendants(self.pg.pid)
        self.begin = self.read()

    def read(self):
        def cpu(pids):
            return sum(cpu_s(p) for p in pids if os.path.exists(f"/proc/{p}/stat"))
        wal = float(self.pg.sql("SELECT pg_current_wal_insert_lsn() - '0/0'::pg_lsn"))
        return cpu(self.tree), cpu(self.sessions), cpu(self.server), wal

    def per_task(self, n):
        """Microseconds of the worker, its sessions, the whole server; bytes of WAL."""
        worker, session, server, wal = (b - a for a, b in zip(self.begin, self.read()))
        return worker / n * 1e6, session / n * 1e6, server / n * 1e6, wal / n


def script(s, sql):
    p = subprocess.run([servers.find("psql"), "-XAtq", "-v", "ON_ERROR_STOP=1", "-d", s.stack.pg.conninfo, "-1", "-f", "-"],
                       input=sql, capture_output=True, text=True, timeout=600)
    if p.returncode:
        raise AssertionError(p.stderr)
    return p.stdout.strip()


def fill(s, n):
    """Returns the WAL that it took, bytes, and the id of the last task."""
    wal = float(s.stack.pg.sql("CHECKPOINT; SELECT pg_current_wal_insert_lsn() - '0/0'::pg_lsn"))
    script(s, FILL.format(n=n))
    return float(s.stack.pg.sql(f"SELECT pg_current_wal_insert_lsn() - '0/0'::pg_lsn - {wal:.0f}"))


def check(s, n):
    """Every task is there, ended well, once; and a sample's results can be read."""
    good, begin, end = s.stack.pg.sql(
        "SELECT count(*) FILTER (WHERE state = 'succeeded' AND items_done = 1 AND items_failed = 0), "
        "extract(epoch FROM min(started_at)), extract(epoch FROM max(finished_at)) FROM tasks").split("|")
    if int(good) != n:
        raise AssertionError(f"{good} of {n} tasks succeeded: " + s.stack.pg.sql(
            "SELECT state, error_text, count(*) FROM tasks GROUP BY 1, 2"))
    for task in s.stack.pg.sql(f"SELECT id FROM tasks ORDER BY md5(id::text) LIMIT {SAMPLE}").split():
        status, line = s.call("GET", f"/api/v1/tasks/{task}/results")
        if status != 200 or line["items"][0]["state"] != "succeeded":
            raise AssertionError(f"{status} {line}")
    return n / (float(end) - float(begin))


def drain(s, n):
    """Fills, lets the worker work it off; returns tasks a second, the meter's figures and the WAL of the filling."""
    script(s, "TRUNCATE tasks, work, leases, results")
    meter, filled = Meter(s), fill(s, n)
    s.worked_off(300)
    rate = check(s, n)
    worker, session, server, wal = meter.per_task(n)
    return rate, worker, session, server, wal, filled / n


def start_ms(s):
    """From the start of another process to the first claim of a task that waits for it."""
    script(s, FILL.format(n=1).replace("'default'", "'start'"))
    begin = time.time()
    p = s.stack.lathe("worker", name="starting", env={"LATHE_WORKER_QUEUES": "start"}, wait=False)
    p.wait_log("worker.first_claim")
    s.worked_off(30, 0.02)
    ms = (float(s.stack.pg.sql("SELECT extract(epoch FROM max(started_at)) FROM tasks WHERE queue = 'start'")) - begin) * 1e3
    p.stop()
    return ms


def claims_us(s, waiting, n):
    """Microseconds of the worker's session a task, for the first n of so many that wait; the rest is dropped."""
    script(s, "TRUNCATE tasks, work, leases, results")
    meter = Meter(s)
    fill(s, waiting)
    place = f"SELECT state FROM tasks WHERE id = (SELECT id FROM tasks ORDER BY id OFFSET {n - 1} LIMIT 1)"
    while s.stack.pg.sql(place) != "succeeded":
        time.sleep(0.05)
    s.worker.freeze()
    time.sleep(0.5)  # until its session has answered
    cost = meter.per_task(int(s.stack.pg.sql("SELECT count(*) FROM tasks WHERE state = 'succeeded'")))[1]
    script(s, "TRUNCATE tasks, work, leases, results")
    s.worker.thaw()
    return cost


def run(s, quick):
    n = 20000 if quick else 200000
    drain(s, 5000)  # warm: statements are prepared and planned, pages are there
    runs = [drain(s, n) for _ in range(1 if quick else 3)]
    best = max(runs)
    rates = " ".join(f"{r[0]:.0f}" for r in runs)
    yield Row(f"drain: {n} no-op tasks, one worker ({rates})", f"{best[0]:.0f}/s", "40000/s", best[0] / 40000, ">= 1.00",
              best[0] >= 40000)
    for name, at in (("the worker", 1), ("its session of PostgreSQL", 2), ("the whole server", 3)):
        least = min(r[at] for r in runs)
        yield Row(f"drain: processor of {name}", f"{least:.1f} us/task", "", None)
    yield at_most("drain: WAL of a task's whole life", best[4], 1843, 1.0, "bytes")
    yield Row("drain: of it for the submission", f"{best[5]:.0f} bytes", "", None)
    rss = memory(s.worker.pid, "VmHWM") / 1024
    yield at_most("drain: largest size of the worker", rss, 16, 1.0, "MB")
    start = min(start_ms(s) for _ in range(3))
    yield at_most("drain: a worker's start to its first unit", start, 50, 1.0, "ms")
    few, many = (min(claims_us(s, waiting, n // 2) for _ in range(2)) for waiting in (n // 2 + 1000, 50000 if quick else 1000000))
    yield at_most(f"drain: a task's share of the session, {'50,000' if quick else '1,000,000'} waiting", many, few, 1.1, "us")
