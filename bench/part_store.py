"""The store alone, without HTTP and workers: submissions and finished units a second, and what one commit costs, beside the
disk's fdatasync and pgbench's clients that each commit their own row."""
import os
import statistics
import subprocess
import time

from service import BUILD, Row, fdatasyncs_ms, servers

PEER = """CREATE TABLE peer (id uuid PRIMARY KEY, at timestamptz DEFAULT now(), state text, queue text, n int, params text);
CREATE INDEX ON peer (queue, at, id)"""
PEER_INSERT = ("INSERT INTO peer (id, state, queue, n, params) VALUES (gen_random_uuid(), 'queued', 'default', 1, "
               "'{\"text\":\"hello\",\"repeat\":3}');\n")


def figures(url, tasks):
    p = subprocess.run([os.path.join(BUILD, "bench", "store"), str(tasks)], text=True, capture_output=True, timeout=600,
                       env={**os.environ, "LATHE_STORE_URL": url, "LATHE_CONF": os.devnull})
    if p.returncode:
        raise AssertionError(p.stderr)
    return {line.split()[0]: float(line.split()[1]) for line in p.stdout.splitlines()}


def pgbench_tps(s, url, seconds):
    script = os.path.join(s.stack.folder("pgbench"), "insert.sql")
    with open(script, "w") as f:
        f.write(PEER_INSERT)
    p = subprocess.run([servers.find("pgbench"), "-n", "-M", "prepared", "-c", "64", "-j", "2", "-T", str(seconds), "-f",
                        script, url], text=True, capture_output=True, timeout=seconds + 60)
    if p.returncode:
        raise AssertionError(p.stderr)
    return next(float(line.split()[2]) for line in p.stdout.splitlines() if line.startswith("tps"))


def run(s, quick):
    s.stack.pg.sql("CREATE DATABASE store_bench")
    url = f"{s.stack.pg.conninfo} dbname=store_bench"
    s.stack.pg.sql(PEER, database="store_bench")
    disk = statistics.median(fdatasyncs_ms(s.stack.dir, 500))
    f = figures(url, 30000 if quick else 100000)
    peer = pgbench_tps(s, url, 3 if quick else 15)

    one, limit = f["put_one_p50"], disk + 0.3
    yield Row("store: one submission to its commit, p50", f"{one:.3f} ms", f"{limit:.3f} ms", one / limit, "<= 1.50",
              one <= limit * 1.5)
    yield Row("store: submissions, 64 in flight, one writer", f"{f['put']:.0f}/s", "15000/s", f["put"] / 15000, ">= 1.00",
              f["put"] >= 15000)
    yield Row("store: the same beside pgbench, 64 clients, a row a commit", f"{f['put']:.0f}/s", f"{peer:.0f}/s",
              f["put"] / peer, ">= 1.00", f["put"] >= peer)
    yield Row("store: submissions, lists of 10,000", f"{f['bulk']:.0f}/s", "80000/s", f["bulk"] / 80000, ">= 1.00",
              f["bulk"] >= 80000)
    yield Row("store: units finished and claimed, 256 a turn, durable", f"{f['turn']:.0f}/s", "", None)
    wal = f["put_wal"] + f["turn_wal"]
    yield Row("store: WAL of a task's whole life", f"{wal:.0f} bytes", "1843 bytes", wal / 1843, "<= 1.00", wal <= 1843)
