"""concurrent.futures of the standard library; prints seconds, those of starting the pool not among them.

    futures.py squares N PARTS                    the sum of squares below N in so many parts, a process each
    futures.py zlib LEVEL BYTES THREADS           what comes on standard input, in blocks of BYTES
"""
import sys
import time
import zlib
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor


def squares(span):
    return sum(i * i for i in range(*span))


def sum_in_parts(n, parts):
    spans = [(n * k // parts, n * (k + 1) // parts) for k in range(parts)]
    with ProcessPoolExecutor(parts) as pool:
        list(pool.map(squares, [(0, 1)] * parts))
        begin = time.perf_counter()
        total = sum(pool.map(squares, spans))
        took = time.perf_counter() - begin
    assert total == (n - 1) * n * (2 * n - 1) // 6
    return took


def compress(level, size, threads):
    data = sys.stdin.buffer.read()
    blocks = [data[i:i + size] for i in range(0, len(data), size)]
    with ThreadPoolExecutor(threads) as pool:  # zlib lets other threads run
        list(pool.map(len, blocks))
        begin = time.perf_counter()
        list(pool.map(lambda block: len(zlib.compress(block, level)), blocks))
        return time.perf_counter() - begin


if __name__ == "__main__":
    what, args = sys.argv[1], [int(a) for a in sys.argv[2:]]
    print({"squares": sum_in_parts, "zlib": compress}[what](*args))
