"""The handlers that compute, beside a plain C loop and plain calls of the same library from as many threads as there are cores."""
import os
import subprocess

from service import BUILD, Row, at_most

CORES = len(os.sched_getaffinity(0))
N = 100_000_000
BLOCK = 1 << 20
def plain(*args):
    p = subprocess.run([os.path.join(BUILD, "bench", "plain"), *map(str, args)], capture_output=True, text=True, timeout=600)
    if p.returncode:
        raise AssertionError(p.stderr)
    return float(p.stdout)


def in_turns(ours, peer, runs=3):
    """The turn whose ratio is the median: the machine's speed drifts."""
    pairs = sorted(((ours(), peer()) for _ in range(runs)), key=lambda p: p[0] / p[1])
    return pairs[runs // 2]


def squares(s, strategy, **more):
    def once():
        return s.run(strategy, handler="cpu.sum_squares", params={"n": N, **more}, items_count=more.get("parts", 1),
                     workers=CORES)["measured"]["wall_ms"] / 1e3
    return once


def run(s, quick):
    ours, peer = in_turns(squares(s, "sequential"), lambda: plain("squares", N), 7)
    yield at_most(f"sum of squares to {N:,}, one thread; a plain C loop", ours * 1e3, peer * 1e3, 1.1, "ms")
    ours, peer = in_turns(squares(s, "threading", parts=CORES), lambda: plain("squares", N), 7)
    yield at_most(f"  the same in {CORES} parts on {CORES} threads; the loop by {CORES}", ours * 1e3, peer * 1e3 / CORES, 1.1, "ms")

    blocks = 128 if quick else 1024
    for method, level in (("zstd", 3), ("zlib", 6)):
        count = blocks if method == "zstd" else blocks // 16

        def ours_s():
            return s.run("hybrid", handler="cpu.compress", items_count=count, batch_size=count,
                         params={"method": method, "level": level, "bytes": BLOCK})["measured"]["wall_ms"] / 1e3
        ours, peer = in_turns(ours_s, lambda: plain("compress", method, level, BLOCK, count, CORES))
        ratio = peer / ours
        yield Row(f"{count} MiB in items of 1 MiB, {method} level {level}, hybrid", f"{count / ours:.0f} MiB/s", f"{count / peer:.0f} MiB/s",
                  ratio, f">= 0.9 of the library on {CORES} threads", ratio >= 0.9)
