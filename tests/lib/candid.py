"""A command for the tests: says what it was started with, and does to itself what limits are there for. One item after the other.

With the words `starts LOG GOOD` it first adds a line to LOG, the time, and ends at once unless there is a file GOOD.
"""
import json
import os
import resource
import signal
import sys
import time


def status(name):
    with open("/proc/self/status") as f:
        return next(line.split()[1] for line in f if line.startswith(name + ":"))


def environment():
    """As it was given; Python adds to its own."""
    with open("/proc/self/environ") as f:
        return sorted(filter(None, f.read().split("\0")))


def descriptors():
    """But that of the folder that is read."""
    return sorted(int(fd) for fd in os.listdir("/proc/self/fd") if os.path.exists(f"/proc/self/fd/{fd}"))


def grow(size):
    try:
        return len(bytearray(size))
    except MemoryError:
        os._exit(42)


def spin(seconds):
    until = time.process_time() + seconds
    while time.process_time() < until:
        pass
    return os.getpid()


def nap(seconds):
    time.sleep(seconds)
    return os.getpid()


def wait(path):
    """For the polite word: it is heard when the file is there."""
    def told(*_):
        os.close(os.open(path, os.O_CREAT))
        os._exit(0)
    signal.signal(signal.SIGTERM, told)
    print("waits", file=sys.stderr, flush=True)
    while True:
        time.sleep(1000)


def say(mine, text):
    """Between two lines on standard output one on standard error."""
    os.write(1, b'{"id":%d,"progress":0.5}\n' % mine)
    os.write(2, text.encode() + b"\n")
    return text


SHOWN = {
    "words": lambda: sys.argv[1:],
    "folder": os.getcwd,
    "environment": environment,
    "descriptors": descriptors,
    "pid": os.getpid,
    "leads": lambda: os.getpgrp() == os.getpid(),
    "users": os.getresuid,
    "groups": lambda: [*os.getresgid(), "and", *sorted(os.getgroups())],
    "privileges": lambda: int(status("NoNewPrivs")),
    "blocked": lambda: int(status("SigBlk"), 16),
    "core": lambda: resource.getrlimit(resource.RLIMIT_CORE),
    "memory": lambda: resource.getrlimit(resource.RLIMIT_AS),
    "cpu": lambda: resource.getrlimit(resource.RLIMIT_CPU),
    "files": lambda: resource.getrlimit(resource.RLIMIT_NOFILE),
}
DONE = {"grow": grow, "spin": spin, "nap": nap, "wait": wait}


def result(asked):
    (do, what), = asked["input"].items()
    if do == "show":
        return SHOWN[what]()
    if do == "say":
        return say(asked["id"], what)
    if do == "echo":
        return [what, asked["params"], sys.argv[1:]]
    return DONE[do](what)


def begin():
    if sys.argv[1:2] == ["starts"]:
        with open(sys.argv[2], "a") as f:
            f.write(f"{time.monotonic_ns()}\n")
        if not os.path.exists(sys.argv[3]):
            sys.exit(1)


begin()
rest = b""
while block := os.read(0, 1 << 18):
    *lines, rest = (rest + block).split(b"\n")
    for line in lines:
        asked = json.loads(line)
        os.write(1, json.dumps({"id": asked["id"], "result": result(asked)}, separators=(",", ":")).encode() + b"\n")
