"""Every core used: CPU-bound work against the same work one after another, in turns in one run."""
import os

from service import Row

CORES = len(os.sched_getaffinity(0))


def run(s, quick):
    items = 400 if quick else 2000  # some seconds one after another
    body = dict(handler="cpu.sum_squares", params={"n": 5000000}, items_count=items, workers=CORES, batch_size=items)
    names = ("multiprocessing", "threading", "hybrid")
    ratios = {name: [] for name in names}
    last = {}
    for _ in range(3):  # in turns: the machine's speed drifts
        base = s.run("sequential", **body)["measured"]["wall_ms"]
        for name in names:
            wall = s.run(name, **body)["measured"]["wall_ms"]
            ratios[name].append(base / wall)
            last[name] = (wall, base)
    need = 0.925 * CORES
    for name in names:
        ratio = sorted(ratios[name])[1]
        wall, base = last[name]
        yield Row(f"CPU-bound, {name} on {CORES} cores against sequential", f"{wall / 1e3:.2f} s", f"{base / 1e3:.2f} s", ratio,
                  f">= {need:.2f}", ratio >= need)
