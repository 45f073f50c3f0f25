"""What it costs to be there: memory of idle processes, time from start to the first claim."""
import re
import time

from service import Row, memory, wait_until


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


def run(s, quick):
    times = sorted(first_claim_ms(s) for _ in range(5))
    yield Row("start of lathe worker to its first claim, median of 5", f"{times[2]:.0f} ms", "100 ms", times[2] / 100, "<= 1.00",
              times[2] <= 100)
    for name, pid in (("api", s.api.pid), ("worker", s.worker.pid)):
        mib = memory(pid, "VmRSS") / 1024
        yield Row(f"memory of an idle {name}", f"{mib:.1f} MiB", "20 MiB", mib / 20, "<= 1.00", mib <= 20)
