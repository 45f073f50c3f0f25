"""Throw-away servers for tests: PostgreSQL, Redis, nginx and Lathe's own processes in one temporary folder, on unix
sockets only, so that any number of tests run side by side.

    with Stack(pg=True, redis=True) as s:
        s.pg.sql("select 1")
        api = s.lathe("api")
        s.redis.kill(); s.redis.start(); s.pg.freeze(); s.pg.thaw(); s.pg.restart()

Ready means: a connection was answered; nothing here sleeps and hopes. Leaving the block stops everything, then fails
unless: no log holds an ERROR, ALERT, PANIC or sanitizer line (but those that s.allow(regex) named), no server ended by
itself, PostgreSQL's connections were back at zero, no process is left. The folder is removed; KEEP=1 keeps and names it.

Standard library only. Run as root, the servers run as `postgres` or `nobody`.
"""
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile

import servers
from proc import DEADLINE, Missing, begun, descendants, send, server_user, stat, wait_until  # noqa: F401

BAD = re.compile(
    r"(ERROR|FATAL|PANIC|ALERT):\s"                              # PostgreSQL
    r"|\[(error|crit|alert|emerg)\]"                             # nginx
    r'|\blevel=error\b|"level": ?"error"'                        # Lathe
    r"|REDIS BUG REPORT|Guru Meditation|Assertion .*failed"
    r"|==\d+==\s*ERROR|runtime error:|WARNING: ThreadSanitizer|SUMMARY: \w+Sanitizer")
# The last is what a session says that has not come in yet when the server is stopped.
HARMLESS = re.compile(r"the database system is (starting up|shutting down|not yet accepting connections)"
                      r"|canceling authentication due to timeout")


def read_proc(pid, name):
    """A file of proc(5); empty when the process is gone or not ours to look at."""
    try:
        with open(f"/proc/{pid}/{name}", "rb") as f:
            return f.read()
    except OSError:
        return b""


class Problem(AssertionError):
    """What the end of a stack found wrong."""


class Stack:
    patience = 10.0  # seconds, at the end, for connections to close and processes to go
    lathe_user = None  # whom Lathe's own processes run as; None is ourselves

    def __init__(self, pg=False, redis=False, fsync=False):
        self.want_pg, self.want_redis, self.fsync = pg, redis, fsync
        self.pg_settings, self.pg_env = {}, dict  # what PostgreSQL is given beside the usual, by whoever needs it
        self.pg = self.redis = None
        self.procs, self.allowed = [], [HARMLESS]
        self.sessions, self.seen = set(), {}
        self.dir = None

    def allow(self, regex):
        """This test provokes it: lines of a log, or problems, that match are no failure."""
        self.allowed.append(re.compile(regex))

    def __enter__(self):
        self.user = server_user()
        base = os.environ.get("TMPDIR", "/tmp")
        if len(base) > 40:  # a unix socket's path has 107 bytes
            base = "/tmp"
        self.dir = tempfile.mkdtemp(prefix="lathe-", dir=base)
        os.chmod(self.dir, 0o755)
        try:
            if self.want_pg:
                self.pg = servers.Postgres(self).start()
            if self.want_redis:
                self.redis = servers.Redis(self).start()
        except BaseException:
            self.halt()
            self.remove()
            raise
        return self

    def folder(self, name):
        """A folder inside the stack's that its servers may write to."""
        path = os.path.join(self.dir, name)
        os.makedirs(path, exist_ok=True)
        if self.user:
            os.chown(path, self.user.pw_uid, self.user.pw_gid)
        return path

    def nginx(self, conf, address, **values):
        """Starts nginx from a configuration of ours; see servers.Nginx."""
        return servers.Nginx(self, conf, address, values).start()

    def lathe(self, *args, name=None, env=None, wait=True):
        """Starts a process of Lathe (api, worker, serve, …) on this stack; see servers.Lathe."""
        return servers.Lathe(self, args, name, env).start(wait)

    def lathe_run(self, *args, env=None, check=True, seconds=DEADLINE, **more):
        """Runs a command of Lathe to its end; returns subprocess's result, with text."""
        p = subprocess.run([servers.lathe_program(), *args], capture_output=True, text=True, timeout=seconds,
                           stdin=subprocess.DEVNULL, env={**os.environ, **self.lathe_env(), **(env or {})}, **more)
        if check and p.returncode:
            raise AssertionError(f"lathe {' '.join(args)}: exit {p.returncode}\n{p.stdout}{p.stderr}")
        return p

    def lathe_env(self):
        """Where Lathe finds this stack."""
        env = {"LATHE_STACK": self.dir, "LATHE_API_LISTEN": f"unix:{self.dir}/api.sock",
               "LATHE_SERVE_RUN_DIR": self.folder("run"), "LATHE_LOG_FORMAT": "logfmt", "LATHE_CONF": os.devnull,
               "LATHE_API_SOCKET_MODE": "0666",  # nginx runs as another user
               "LATHE_CACHE_URL": f"unix:{self.redis.socket}" if self.redis else "", "LATHE_TEST_HANDLERS": "1",
               "LATHE_HANDLERS_DIR": "none"}  # not those of this machine
        if self.pg:
            env["LATHE_STORE_URL"] = self.pg.conninfo
        return env

    # ---- the end

    def __exit__(self, kind, error, trace):
        problems = [] if kind else self.problems_while_up()
        problems += self.halt()
        if not kind:
            problems += self.problems_in_logs()
        problems = [p for p in problems if not any(a.search(p) for a in self.allowed)]
        tails = self.tails() if problems else ""
        self.remove()
        if problems and not kind:
            raise Problem("\n".join(problems) + "\n" + tails)
        return False

    def problems_while_up(self):
        """Before the servers stop: Lathe's own processes end first, then nobody may hold a connection."""
        found = []
        for p in reversed(self.procs):
            if p.popen is not None and not p.running():
                found.append(f"{p.name} ended by itself with {p.popen.returncode}")
                p.popen = None
            elif isinstance(p, (servers.Lathe, servers.Nginx)) and p.running():
                found += self.stop_one(p)
        if self.pg and self.pg.running():
            self.pg.thaw()
            try:
                wait_until("all connections to PostgreSQL are closed", lambda: not self.pg.connections(), self.patience)
            except AssertionError as e:
                found.append(f"{e}\n{self.pg.connections()}")
        return found

    def stop_one(self, p):
        try:
            status = p.stop()
            return [f"{p.name} ended with status {status}"] if status else []
        except AssertionError as e:
            return [str(e)]

    def halt(self):
        """Stops what runs, last started first, and kills what is left. Returns what did not go as it should."""
        found = []
        self.strays()  # knows, from here on, the descendants of those that stop now
        for p in reversed(self.procs):
            if p.running():
                found += self.stop_one(p)
        try:
            wait_until("no process is left", lambda: not self.strays(), self.patience)
        except AssertionError:
            for pid, what in self.strays():
                found.append(f"left behind: process {pid} {what}")
                send(pid, signal.SIGKILL)
            wait_until("what was left behind is killed", lambda: not self.strays())
        return found

    def strays(self):
        """Processes of this stack that still are: those that carry its mark, those of the sessions that it began, and
        those that were seen below them (servers write over their environment and begin sessions of their own). Others
        may have their folder or a file here: they are none of ours."""
        for p in self.procs:
            if p.running():
                self.seen.update((pid, begun(pid)) for pid in descendants(p.pid))
        found = []
        for pid in (int(entry) for entry in os.listdir("/proc") if entry.isdigit()):
            fields = stat(pid)
            if pid in (os.getpid(), os.getppid()) or not fields or fields[0] in "ZX":
                continue
            if int(fields[3]) in self.sessions or self.seen.get(pid) == int(fields[19]) or self.marked(pid):
                found.append((pid, read_proc(pid, "cmdline").replace(b"\0", b" ").decode(errors="replace")))
        return found

    def marked(self, pid):
        return b"LATHE_STACK=" + self.dir.encode() in read_proc(pid, "environ").split(b"\0")

    def problems_in_logs(self):
        found = []
        for name in sorted(os.listdir(self.dir)):
            if name.endswith(".log"):
                with open(os.path.join(self.dir, name), errors="replace") as f:
                    found += [f"{name}: {line.rstrip()}" for line in f if BAD.search(line)]
        return found

    def tails(self):
        return "\n".join(p.tail() for p in self.procs)

    def remove(self):
        if os.environ.get("KEEP", "0") not in ("", "0"):
            print(f"# kept: {self.dir}", file=sys.stderr)
        else:
            shutil.rmtree(self.dir)
