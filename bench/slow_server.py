"""A web server that answers after a while."""
import os
import subprocess

from service import BUILD


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
