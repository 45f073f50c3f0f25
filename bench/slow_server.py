"""A web server that answers after a while, and what a Python client of it takes."""
import os
import subprocess

from service import BUILD

PYTHON = "/usr/bin/python3"  # the one that has Debian's modules
HTTPX = """
import asyncio, sys, time
import httpx
async def main(url, count):
    limits = httpx.Limits(max_connections=None)
    async with httpx.AsyncClient(limits=limits, timeout=60) as client:
        begin = time.perf_counter()
        answers = await asyncio.gather(*[client.get(url + "/" + str(i)) for i in range(count)])
        took = time.perf_counter() - begin
    assert all(a.status_code == 200 for a in answers)
    print(took)
asyncio.run(main(sys.argv[1], int(sys.argv[2])))
"""


class SlowServer:
    """with SlowServer(2000) as url: …"""

    def __init__(self, ms, size=64):
        self.argv = [os.path.join(BUILD, "bench", "slow"), str(ms), str(size)]

    def __enter__(self):
        self.process = subprocess.Popen(self.argv, stdout=subprocess.PIPE, text=True)
        return f"http://127.0.0.1:{int(self.process.stdout.readline())}"

    def __exit__(self, *error):
        self.process.kill()
        self.process.wait()


def urls(base, count):
    return [f"{base}/{i}" for i in range(count)]


def httpx_s(base, count):
    """Seconds that httpx and asyncio.gather take; None: it is not installed."""
    if not has("httpx"):
        return None
    p = subprocess.run([PYTHON, "-c", HTTPX, base, str(count)], capture_output=True, text=True, timeout=300)
    if p.returncode:
        raise AssertionError(p.stderr)
    return float(p.stdout)


def has(*modules):
    return subprocess.run([PYTHON, "-c", "import " + ", ".join(modules)], capture_output=True).returncode == 0
