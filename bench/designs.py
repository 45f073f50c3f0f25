#!/usr/bin/env python3
"""What a batch of units costs PostgreSQL to claim and finish, one storage design beside the other, without a client: the
designs are bench/designs/*.sql, docs/store.md has what came of them.

    bench/designs.py CONNINFO [TASKS [BATCH]]      an empty database with Lathe's schema; it is emptied again and again
"""
import glob
import os
import subprocess
import sys

HERE = os.path.dirname(os.path.realpath(__file__))
TICK = os.sysconf("SC_CLK_TCK")


def cpu_s(pid):
    with open(f"/proc/{pid}/stat") as f:
        fields = f.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICK


class Session:
    """psql, kept open: one backend, whose processor time can be read."""

    def __init__(self, conninfo):
        self.p = subprocess.Popen(["psql", "-XAtq", "-d", conninfo], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def ask(self, sql):
        print(f"{sql}\n\\echo .", file=self.p.stdin, flush=True)
        lines = []
        while (line := self.p.stdout.readline().rstrip("\n")) != ".":
            if not line and self.p.poll() is not None:
                raise SystemExit("psql ended")
            lines.append(line)
        return "\n".join(lines)


def one(path, conninfo, tasks, batch):
    s = Session(conninfo)
    pid = int(s.ask("SELECT pg_backend_pid();"))
    wal = "SELECT pg_current_wal_insert_lsn() - '0/0'::pg_lsn;"
    s.ask(f"\\set n {tasks}")
    s.ask(f"\\i {HERE}/designs/common.sql")
    s.ask(f"\\i {path}")
    begin, bytes_ = cpu_s(pid), float(s.ask(wal))
    clock = float(s.ask("SELECT extract(epoch FROM clock_timestamp());"))
    s.ask(f"CALL turns({batch});")
    clock = float(s.ask("SELECT extract(epoch FROM clock_timestamp());")) - clock
    used, bytes_ = cpu_s(pid) - begin, float(s.ask(wal)) - bytes_
    s.p.stdin.close()
    s.p.wait()
    return used / tasks * 1e6, tasks / clock, bytes_ / tasks


def main():
    conninfo = sys.argv[1]
    tasks, batch = (int(sys.argv[i]) if len(sys.argv) > i else d for i, d in ((2, 200000), (3, 500)))
    print(f"{'design':<10} {'us/task':>8} {'tasks/s':>9} {'WAL bytes/task':>15}")
    for path in sorted(glob.glob(f"{HERE}/designs/?.sql")):
        runs = [one(path, conninfo, tasks, batch) for _ in range(3)]
        us, rate, wal = min(runs)
        print(f"{os.path.basename(path)[0]:<10} {us:>8.1f} {rate:>9.0f} {wal:>15.0f}", flush=True)


if __name__ == "__main__":
    main()
