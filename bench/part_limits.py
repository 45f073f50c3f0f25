"""What limits cost: PostgreSQL's CPU for a task's whole life, submitted and drained at the store, without a limit, with one
key, and with a thousand of them. CPU and not time, since it does not depend on who else uses the machine."""
import os
import subprocess

from service import BUILD, Row, servers  # noqa: F401
from proc import descendants, stat

KINDS = [("no limit", "none"), ("a tenant", "tenant"), ("a key with concurrency 256", "key256"), ("a key with concurrency 8", "key8"),
         ("1,000 keys with concurrency 8", "keys"), ("a key with a rate that is never reached", "rate")]


def cpu_s(s):
    """Of the server and all its children, dead ones too."""
    ticks = 0
    for pid in [s.stack.pg.pid, *descendants(s.stack.pg.pid)]:
        fields = stat(pid)
        if fields:
            ticks += sum(int(n) for n in fields[11:15])
    return ticks / os.sysconf("SC_CLK_TCK")


def drained(s, url, kind, tasks):
    before = cpu_s(s)
    p = subprocess.run([os.path.join(BUILD, "bench", "limits"), kind, str(tasks)], text=True, capture_output=True, timeout=900,
                       env={**os.environ, "LATHE_STORE_URL": url, "LATHE_CONF": os.devnull})
    if p.returncode:
        raise AssertionError(p.stderr)
    return (cpu_s(s) - before) / tasks * 1e6, float(p.stdout.split()[0])


def run(s, quick):
    s.stack.pg.sql("CREATE DATABASE limits_bench")
    url = f"{s.stack.pg.conninfo} dbname=limits_bench"
    tasks = 6000 if quick else 20000
    drained(s, url, "none", 2000)  # migrates, plans
    got = {kind: [] for _, kind in KINDS}
    for _ in range(3):  # in turns
        for _, kind in KINDS:
            got[kind].append(drained(s, url, kind, tasks))
    base = sorted(got["none"])[1][0]
    for name, kind in KINDS:
        us, rate = sorted(got[kind])[1]
        spread = max(u for u, _ in got[kind]) - min(u for u, _ in got[kind])
        yield Row(f"limits: PostgreSQL's CPU a task, {name}", f"{us:.0f} us", f"+-{spread / 2:.0f} us", us / base)
        yield Row("  units drained, 64 a turn, one worker", f"{rate:.0f}/s")
