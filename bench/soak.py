"""A steady stream of tasks for a long time, beside a transaction that is held open for ten minutes at a time, which keeps vacuum from
its work: what happens to the rate, to dead rows, to memory and to latency. A row a minute."""
import subprocess
import time

from service import Row, memory, servers

HELD_S = 600  # how old the transaction becomes
RATE = 2000   # tasks a second that are submitted: what is done a minute shows whether that is kept up


class Holder:
    """A transaction that looks at the database once and then stays open."""

    def __init__(self, s):
        self.psql = subprocess.Popen([servers.find("psql"), "-XAtq", "-d", s.stack.pg.conninfo], stdin=subprocess.PIPE,
                                     stdout=subprocess.DEVNULL, text=True)
        self.begin()

    def say(self, sql):
        self.psql.stdin.write(sql + "\n")
        self.psql.stdin.flush()

    def begin(self):
        self.say("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM work;")
        self.since = time.monotonic()

    def renew(self):
        if time.monotonic() - self.since > HELD_S:
            self.say("COMMIT;")
            self.begin()

    def end(self):
        self.psql.stdin.close()
        self.psql.wait(30)


def dead_rows(s):
    return {table: int(n) for table, n in (line.split("|") for line in s.stack.pg.sql(
        "select relname, n_dead_tup from pg_stat_user_tables where relname in ('work', 'leases', 'tasks')").splitlines())}


def run(s, minutes, put_batches):
    holder, done, rates = Holder(s), 0, []
    try:
        for minute in range(int(minutes)):
            end, sent = time.monotonic() + 60, 0
            while time.monotonic() < end:
                due = (60 - (end - time.monotonic())) * RATE
                if sent <= due:
                    put_batches(s, 10000)
                    sent += 10000
                time.sleep(0.05)  # the pace of the stream
            holder.renew()
            total = int(s.stack.pg.sql("select count(*) from tasks where finished_at is not null"))
            rates.append((total - done) / 60)
            done = total
            dead = dead_rows(s)
            queued = s.stack.pg.sql("select count(*) from work")
            yield Row(f"minute {minute + 1}: dead rows work {dead.get('work', 0):,}, leases {dead.get('leases', 0):,}, queued {queued}",
                      f"{rates[-1]:,.0f} /s", f"{memory(s.worker.pid, 'VmRSS') / 1024:.1f} MiB")
    finally:
        holder.end()
    if len(rates) > 3:
        first, last = sum(rates[1:3]) / 2, sum(rates[-2:]) / 2
        yield Row("rate of the last two minutes against the first", f"{last:,.0f} /s", f"{first:,.0f} /s", last / first, ">= 0.90",
                  last / first >= 0.9)
