"""The whole service for a benchmark: PostgreSQL with fsync on, Redis, nginx and lathe, on this machine only."""
import http.client
import json
import os
import socket
import subprocess
import sys
import time

ROOT = os.path.realpath(os.path.join(os.path.dirname(__file__), ".."))
BUILD = os.environ.get("top_builddir") or ROOT
sys.path.insert(0, os.path.join(ROOT, "tests", "lib"))

from proc import descendants, wait_until  # noqa: E402
from stack import Stack  # noqa: E402
import servers  # noqa: E402


class Row:
    """A line of the table. `good` None: nothing was asked of it."""

    def __init__(self, what, measured, limit="", ratio=None, reach="", good=None, spread=""):
        self.what, self.measured, self.limit, self.ratio, self.reach, self.good = what, measured, limit, ratio, reach, good
        self.spread = spread  # of several runs: of the ratio, or where there is none, of what was measured

    def __str__(self):
        ratio = f"{self.ratio:.2f}" if self.ratio is not None else ""
        mark = {True: "reached", False: "MISSED", None: ""}[self.good]
        return f"{self.what:<58} {self.measured:>16} {self.limit:>16} {ratio:>7} {self.spread:>16}   {mark:<7} {self.reach}".rstrip()


def at_most(what, measured, limit, most, unit="s"):
    ratio = measured / limit
    return Row(what, f"{measured:.2f} {unit}", f"{limit:.2f} {unit}", ratio, f"<= {most}", ratio <= most)


class Nginx(servers.Nginx):
    """On a TCP port of 127.0.0.1, for clients that know no unix sockets."""

    def __init__(self, stack, upstream, name="nginx"):
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            self.port = s.getsockname()[1]
        super().__init__(stack, os.path.join(ROOT, "conf", "nginx"), None,
                         {"LISTEN": f"127.0.0.1:{self.port}", "SOCKET": upstream, "RUN": stack.dir}, name)

    def ready(self):
        with socket.socket() as s:
            return s.connect_ex(("127.0.0.1", self.port)) == 0


class Service:
    """`conf`: the text of a file of settings, for api and worker."""

    def __init__(self, worker_env=None, conf=""):
        self.worker_env, self.conf = worker_env or {}, conf

    def __enter__(self):
        self.stack = Stack(pg=True, redis=True, fsync=True)
        self.stack.__enter__()
        try:
            self.stack.lathe_run("migrate")
            conf = os.path.join(self.stack.dir, "bench.conf")
            with open(conf, "w") as f:
                f.write(self.conf)
            self.api = self.stack.lathe("api", env={"LATHE_LOG_LEVEL": "warn", "LATHE_API_WAIT": "280s", "LATHE_CONF": conf})
            self.worker = self.stack.lathe("worker", env={"LATHE_WORKER_MAX_WORKERS": "128", "LATHE_CONF": conf, **self.worker_env})
            self.worker.wait_log("worker.started")
            self.nginx = Nginx(self.stack, f"unix:{self.stack.dir}/api.sock").start()
            self.called = time.monotonic()
            self.connection = http.client.HTTPConnection("127.0.0.1", self.nginx.port, timeout=300)
        except BaseException:
            self.stack.__exit__(RuntimeError, None, None)
            raise
        return self

    def __exit__(self, *error):
        self.connection.close()
        return self.stack.__exit__(*error)

    def call(self, method, path, body=None):
        if time.monotonic() - self.called > 30:  # nginx closes one that was idle for 65 s, perhaps just now
            self.connection.close()
        self.called = time.monotonic()
        headers = {"Content-Type": "application/json"} if body is not None else {}
        self.connection.request(method, path, json.dumps(body) if body is not None else None, headers)
        answer = self.connection.getresponse()
        return answer.status, json.loads(answer.read())

    def run(self, strategy, **body):
        """Runs a task to its end, however long; returns its document."""
        status, task = self.call("POST", f"/api/v1/tasks/{strategy}", body)
        if status not in (200, 202):
            raise AssertionError(f"{status}: {task}")
        while task["state"] not in ("succeeded", "failed", "cancelled"):
            status, task = self.call("GET", f"/api/v1/tasks/{task['id']}?wait=20")
        if task["state"] != "succeeded" or task["items"]["failed"]:
            raise AssertionError(f"{task}")
        return task

    def fresh_worker(self):
        self.worker.stop()
        self.start_worker()

    def start_worker(self):
        """After a stop; whoever stops it again finds it listening to signals."""
        self.worker.start()
        self.worker.wait_log("worker.started")

    def worked_off(self, seconds=900, every=0.5):
        """Waits until nothing waits or runs any more. First for the youngest task, by its id: who looks into `work` goes past all that
        was claimed and not vacuumed yet, which takes the server as long as hundreds of tasks. Seldom: each look is a psql of its own."""
        sql = self.stack.pg.sql
        last = sql("SELECT id FROM tasks ORDER BY id DESC LIMIT 1")
        wait_until("the last is done", lambda: sql(f"SELECT finished_at IS NOT NULL FROM tasks WHERE id = '{last}'") == "t", seconds,
                   every=every)
        wait_until("all is done", lambda: sql("SELECT EXISTS (SELECT FROM work) OR EXISTS (SELECT FROM leases)") == "f", seconds,
                   every=every)

    def timed(self, strategy, **body):
        """Seconds from the request to the answer, as a caller sees it, and the task's document."""
        begin = time.perf_counter()
        task = self.run(strategy, **body)
        return time.perf_counter() - begin, task

    def results(self, task):
        """All item results of a task."""
        self.connection.request("GET", f"/api/v1/tasks/{task}/results", headers={"Accept": "application/x-ndjson"})
        return [json.loads(line) for line in self.connection.getresponse().read().splitlines()]

    def best(self, strategy, runs, **body):
        """The document of the quickest of some runs: the machine is noisy, the limit is not."""
        return min((self.run(strategy, **body) for _ in range(runs)), key=lambda t: t["measured"]["wall_ms"])

    def worker_kib(self, field="VmHWM"):
        """Memory of the worker and its children, KiB."""
        return sum(memory(pid, field) for pid in descendants(self.worker.pid))


def memory(pid, field):
    try:
        with open(f"/proc/{pid}/status") as f:
            return next(int(line.split()[1]) for line in f if line.startswith(field + ":"))
    except (OSError, StopIteration):
        return 0


def fdatasyncs_ms(folder, count):
    """Times of a fdatasync after writing 8 KiB, as a commit does it, one after the other."""
    path = os.path.join(folder, "fdatasync.probe")
    fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    os.write(fd, bytes(8192 * count))
    os.fsync(fd)
    times = []
    for i in range(count):
        os.pwrite(fd, os.urandom(8192), 8192 * i)
        begin = time.perf_counter()
        os.fdatasync(fd)
        times.append(time.perf_counter() - begin)
    os.close(fd)
    os.unlink(path)
    return [t * 1e3 for t in times]


def stream(port, rate, seconds, path, body, callers=8):
    """Latencies in ms, sorted, of `rate` requests a second; late ones count from when they were due. Rate 0: one after the other."""
    out = subprocess.run([os.path.join(BUILD, "bench", "stream"), str(port), path, body, str(rate), str(seconds), str(callers)],
                         capture_output=True, text=True, timeout=seconds + 60)
    assert out.returncode == 0, out.stderr
    return sorted(float(line) for line in out.stdout.split())


__all__ = ["BUILD", "Nginx", "Row", "Service", "at_most", "fdatasyncs_ms", "memory", "servers", "stream", "wait_until"]
