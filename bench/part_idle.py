"""What it costs to be there: CPU and memory of idle processes, time from start to the first claim."""
import os
import re
import time

from service import Row, descendants, memory, wait_until


def first_claim_ms(s):
    """From starting the process to the moment at which it claimed what was waiting."""
    s.worker.stop()
    s.call("POST", "/api/v1/tasks/background", {"handler": "echo", "items_count": 1})
    before = len(s.worker.text())
    begin = time.time()
    s.worker.start()

    def claimed():
        return re.search(r"worker\.first_claim", s.worker.text()[before:])
    wait_until("the worker claimed", claimed, every=0.001)
    return (time.time() - begin) * 1e3


def ticks(pid):
    """CPU that a process has used; its children are counted by themselves."""
    try:
        with open(f"/proc/{pid}/stat") as f:
            fields = f.read().rpartition(")")[2].split()
        return int(fields[11]) + int(fields[12])
    except OSError:
        return 0


def idle_share(s, seconds):
    """Of a core, by api, worker and PostgreSQL together, while nobody asks for anything."""
    pids = [p for top in (s.api.pid, s.worker.pid, s.stack.pg.pid) for p in descendants(top)]
    begin, before = time.monotonic(), {p: ticks(p) for p in pids}
    time.sleep(seconds)  # this is what is measured
    used = sum(ticks(p) - before[p] for p in pids) / os.sysconf("SC_CLK_TCK")
    return used / (time.monotonic() - begin)


def run(s, quick):
    times = sorted(first_claim_ms(s) for _ in range(5))
    yield Row("start of lathe worker to its first claim, median of 5", f"{times[2]:.0f} ms", "100 ms", times[2] / 100, "<= 1.00",
              times[2] <= 100)
    for name, pid in (("api", s.api.pid), ("worker", s.worker.pid)):
        mib = memory(pid, "VmRSS") / 1024
        yield Row(f"memory of an idle {name}", f"{mib:.1f} MiB", "20 MiB", mib / 20, "<= 1.00", mib <= 20)
    share = idle_share(s, 5 if quick else 30)
    yield Row("CPU of an idle api, worker and PostgreSQL together", f"{share * 100:.2f} % of a core", "1 %", share / 0.01, "<= 1.00",
              share <= 0.01)
