"""What one submission costs: CPU microseconds and context switches a request of every process that has a hand in it, beside
those of a trivial responder. The machine's other load changes the rates and hardly these."""
import glob
import os
import re
import resource
import subprocess
import urllib.request

from part_http import SUBMIT, Responder
from proc import descendants
from service import Nginx, Row


def threads(pid):
    """name of each thread -> (CPU nanoseconds, context switches)"""
    found = {}
    for task in glob.glob(f"/proc/{pid}/task/*"):
        try:
            with open(f"{task}/comm") as f:
                name = f.read().strip()
            with open(f"{task}/schedstat") as f:
                cpu = int(f.read().split()[0])
            with open(f"{task}/status") as f:
                switches = sum(int(n) for n in re.findall(r"ctxt_switches:\t(\d+)", f.read()))
        except OSError:
            continue
        name = re.sub(r"-\d+$", "", name)
        before = found.get(name, (0, 0))
        found[name] = (before[0] + cpu, before[1] + switches)
    return found


def processes(groups):
    """groups: name -> list of pids. (group, thread) -> figures"""
    sums = {}
    for group, pids in groups.items():
        for pid in pids:
            for thread, (cpu, switches) in threads(pid).items():
                key = (group, thread if group == "lathe api" else "")
                a, b = sums.get(key, (0, 0))
                sums[key] = (a + cpu, b + switches)
    return sums


def wrk(port, path, seconds, script=None):
    """Requests that were answered, the rate, and wrk's own CPU nanoseconds."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    argv = ["wrk", "-t2", "-c64", f"-d{seconds}s", f"http://127.0.0.1:{port}{path}"] + (["-s", script] if script else [])
    out = subprocess.run(argv, capture_output=True, text=True, check=True, timeout=seconds + 60)
    if out.stderr or "Non-2xx" in out.stdout:
        raise AssertionError(out.stdout + out.stderr)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return (int(re.search(r"(\d+) requests in", out.stdout).group(1)),
            float(re.search(r"Requests/sec:\s+([\d.]+)", out.stdout).group(1)), cpu * 1e9)


def commits(s):
    """Commits, and the rows that they brought."""
    with urllib.request.urlopen(f"http://127.0.0.1:{s.nginx.port}/metrics", timeout=60) as answer:
        text = answer.read().decode()
    return [float(re.search(rf"^lathe_{name}_total (\S+)", text, re.M).group(1)) for name in ("commits", "commit_rows")]


def measure(groups, load):
    """Rows for one load; returns them and the microseconds a request of all together."""
    load(2)  # caches, prepared statements, threads
    before = processes(groups)
    count, rate, client = load(None)
    after = processes(groups)
    lines, total = [("  wrk", client / count / 1e3, None)], client / count / 1e3
    for key in sorted(after, key=lambda k: (k[0], before.get(k, (0, 0))[0] - after[k][0])):
        cpu, switches = (after[key][i] - before.get(key, (0, 0))[i] for i in (0, 1))
        us = cpu / count / 1e3
        total += us
        if us >= 0.05:
            lines.append((f"  {key[0]}{': ' + key[1] if key[1] else ''}", us, switches / count))
    return rate, total, lines


def rows(what, rate, total, lines, peer=None):
    yield Row(f"{what}: CPU a request", f"{total:.1f} us", f"{peer:.1f} us" if peer else "", peer / total if peer else None,
              f"at {rate:,.0f}/s" + (", the peer's to this" if peer else ""))
    for name, us, switches in lines:
        yield Row(name, f"{us:.1f} us", f"{switches:.2f} switches" if switches is not None else "")


def run(s, quick):
    seconds = 5 if quick else 15
    script = os.path.join(s.stack.dir, "submit.lua")
    with open(script, "w") as f:
        f.write(SUBMIT)
    responder = Responder(s.stack).start()
    os.chmod(responder.socket, 0o666)  # nginx runs as another user
    peer = Nginx(s.stack, f"unix:{responder.socket}", "nginx-peer")
    peer.start()
    s.worker.stop()

    groups = {"nginx": descendants(peer.pid), "responder": [responder.pid]}
    rate, trivial, lines = measure(groups, lambda n: wrk(peer.port, "/", n or seconds))
    yield from rows("trivial responder", rate, trivial, lines)
    responder.kill()

    def submit(n):
        return wrk(s.nginx.port, "/api/v1/tasks/background", n or seconds, script)

    submit(1)  # the writer's connection is there
    backends = [int(line.split("|")[0]) for line in s.stack.pg.connections().splitlines()]
    groups = {"nginx": descendants(s.nginx.pid), "lathe api": [s.api.pid], "redis": [s.stack.redis.pid],
              "postgres: backends": backends,
              "postgres: the others": [p for p in descendants(s.stack.pg.pid) if p not in backends]}
    before = commits(s)
    rate, ours, lines = measure(groups, submit)
    yield from rows("POST background", rate, ours, lines, trivial)
    after = commits(s)
    yield Row("  tasks a commit", f"{(after[1] - before[1]) / (after[0] - before[0]):.1f}")
