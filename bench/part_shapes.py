"""Waits overlapped: how near each shape comes to what the waits and the processor allow."""
import os

from service import Row, at_most

CORES = len(os.sched_getaffinity(0))


def cpu_of_one(s):
    """CPU seconds of one item without its waits, measured alone."""
    count = 2000
    task = s.best("sequential", 3, handler="simulate", items_count=count, batch_size=count, simulate_redis_delay=False)
    return task["measured"]["wall_ms"] / 1e3 / count


def limit(n, in_flight, cores, wait, cpu):
    return max(n * wait / in_flight, n * cpu / cores, wait + cpu)


def big(s, strategy, n, batch, cores, cpu):
    wait = 1.0055
    task = s.run(strategy, handler="simulate", items_count=n, batch_size=batch, simulate_db_delay=True,
                 simulate_redis_delay=True)
    name = f"{n:,} x (1 s + 1-10 ms, loops), {strategy}, {batch:,} in flight"
    yield at_most(name, task["measured"]["wall_ms"] / 1e3, limit(n, batch, cores, wait, cpu), 1.15)
    return task


def run(s, quick):
    cpu = cpu_of_one(s)
    yield Row("CPU of one simulate item, alone", f"{cpu * 1e6:.1f} us")
    n = 10000 if quick else 50000
    s.fresh_worker()
    yield from big(s, "hybrid", n, 5000, CORES, cpu)
    mib = s.worker_kib() / 1024
    yield Row("  memory of the worker, 5,000 in flight", f"{mib:.1f} MiB", "64 MiB", mib / 64, "<= 1.00", mib <= 64)
    yield from big(s, "async-batch", n, 5000, 1, cpu)
    s.fresh_worker()
    rounds = -(-n // 20000) * 1.0055  # so few that the last one is not full
    task = s.run("hybrid", handler="simulate", items_count=n, batch_size=20000, simulate_db_delay=True,
                 simulate_redis_delay=True)
    took = task["measured"]["wall_ms"] / 1e3
    yield Row(f"{n:,} x the same, hybrid, 20,000 in flight", f"{took:.2f} s", f"{rounds:.2f} s", took / rounds)
    mib = s.worker_kib() / 1024
    yield Row("  memory of the worker, 20,000 in flight", f"{mib:.1f} MiB", "128 MiB", mib / 128, "<= 1.00", mib <= 128)
    for strategy in ("threading", "concurrent-futures"):
        body = dict(handler="sleep", params={"ms": 20}, items_count=1000, workers=50, batch_size=1000)
        s.run(strategy, **body)  # its processes are warm from here on
        task = s.best(strategy, 3, **body)
        yield at_most(f"1,000 x 20 ms, {strategy}, W = 50", task["measured"]["wall_ms"] / 1e3, 1000 * 0.02 / 50, 1.10)
