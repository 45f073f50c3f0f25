"""The handlers that compute, beside a plain C loop and plain calls of the same library from as many threads as there are cores, and beside
Python's concurrent.futures."""
import subprocess
import tempfile

from service import BUILD
from turns import CORES, in_turns, peer, program, row, runs

N = 100_000_000
N_PYTHON = 5_000_000  # both do as much: nothing is scaled
BLOCK = 1 << 20


def seconds(task):
    return task["measured"]["wall_ms"] / 1e3


def squares(s, strategy, n, parts=0):
    return seconds(s.run(strategy, handler="cpu.sum_squares", params={"n": n, "parts": parts}, items_count=parts or 1, workers=CORES))


def compress(s, method, level, count):
    return seconds(s.run("hybrid", handler="cpu.compress", items_count=count, batch_size=count,
                         params={"method": method, "level": level, "bytes": BLOCK}))


def sums(s, quick):
    def loop(n):
        return float(program("plain", "squares", n)[0]) * 1e3
    count = 3 * runs(quick)  # of a hundredth of a second each
    ours, plain = in_turns(count, lambda: squares(s, "sequential", N) * 1e3, lambda: loop(N))
    yield row(f"sum of squares to {N:,}, one thread", ours, "ms", plain, most=1.1, of="of a plain C loop")
    ours, plain = in_turns(count, lambda: squares(s, "threading", N, CORES) * 1e3, lambda: loop(N) / CORES)
    yield row(f"  in {CORES} parts on {CORES} threads", ours, "ms", plain, most=1.1, of=f"of the loop by {CORES}")
    ours, futures = in_turns(runs(quick), lambda: squares(s, "multiprocessing", N_PYTHON, CORES) * 1e3,
                             lambda: peer("futures", "squares", N_PYTHON, CORES) * 1e3)
    yield row(f"  to {N_PYTHON:,}, {CORES} processes", ours, "ms", futures, of="of concurrent.futures")


def packing(s, quick):
    blocks = 128 if quick else 1024
    for method, level, count in (("zstd", 3, blocks), ("zlib", 6, blocks // 16)):
        ours, library = in_turns(runs(quick), lambda: count / compress(s, method, level, count),
                                 lambda: count / float(program("plain", "compress", method, level, BLOCK, count, CORES)[0]))
        yield row(f"{count} MiB in items of 1 MiB, {method} level {level}, hybrid", ours, "MiB/s", library, least=0.9,
                  of=f"of the library on {CORES} threads")
        if method == "zlib":
            with tempfile.TemporaryFile() as text:
                subprocess.run([f"{BUILD}/bench/plain", "text", str(BLOCK), str(count)], stdout=text, check=True, timeout=60)

                def futures():
                    text.seek(0)
                    return count / peer("futures", "zlib", level, BLOCK, CORES, stdin=text)
                yield row("  the same", ours, "MiB/s", in_turns(len(ours), futures)[0], of="of concurrent.futures")


def run(s, quick):
    yield from sums(s, quick)
    yield from packing(s, quick)
