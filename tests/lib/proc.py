"""A server process of a test, and what waiting for one needs. See stack.py."""
import ctypes
import os
import pwd
import re
import signal
import socket
import subprocess
import time

from tap import Skip

ROOT = os.path.realpath(os.path.join(os.path.dirname(__file__), "..", ".."))
BUILD = os.environ.get("top_builddir") or ROOT
DEADLINE = 30.0  # seconds for anything that takes milliseconds on an idle machine


class Missing(Skip):
    """A program that this machine has not got."""


def find(name):
    """Path of a server program; distributions hide some from PATH. LATHE_TEST_PROGRAMS=DIR:… searches there only."""
    only = os.environ.get("LATHE_TEST_PROGRAMS")
    places = (only or os.environ.get("PATH", "") + ":/usr/sbin:/sbin").split(":")
    for top in () if only else ("/usr/lib/postgresql", "/usr"):
        if os.path.isdir(top):
            versions = [d for d in os.listdir(top) if re.fullmatch(r"(pgsql-)?\d+", d)]
            places += [os.path.join(top, d, "bin") for d in sorted(versions, key=lambda d: -int(d.split("-")[-1]))]
    for place in places:
        path = os.path.join(place, name)
        if os.access(path, os.X_OK):
            return path
    raise Missing(f"{name} is not installed")


def server_user():
    """Whom servers run as: None is ourselves. PostgreSQL refuses to be root."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name)
        except KeyError:
            pass
    raise Missing("a user postgres or nobody to run servers as")


def wait_until(what, test, seconds=DEADLINE, every=0.02):
    """Asks `test` until it is true; fails with `what` at the deadline. Returns what test returned."""
    end = time.monotonic() + seconds
    while True:
        got = test()
        if got:
            return got
        if time.monotonic() > end:
            raise AssertionError(f"after {seconds:.0f} s still not: {what}")
        time.sleep(every)


def descendants(pid):
    """The process and everything below it, parents first."""
    parents = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                with open(f"/proc/{entry}/stat") as f:
                    parents.setdefault(int(f.read().rpartition(")")[2].split()[1]), []).append(int(entry))
            except OSError:
                pass
    found = [pid]
    for p in found:
        found += parents.get(p, [])
    return found


def stat(pid):
    """The fields of proc(5) from the state on; None when it is gone."""
    try:
        with open(f"/proc/{pid}/stat") as f:
            return f.read().rpartition(")")[2].split()
    except OSError:
        return None


def state(pid):
    """The letter of proc(5); X when it is gone."""
    return (stat(pid) or "X")[0]


def begun(pid):
    """When it was started, in ticks since the boot: with the pid, a name that no other process ever has."""
    fields = stat(pid)
    return int(fields[19]) if fields else None


class Proc:
    """A process with a log. It dies with the test, however the test ends."""

    end_signal = signal.SIGTERM
    death_signal = signal.SIGKILL

    def __init__(self, stack, name, argv, env=None, user=None, cwd=None):
        self.stack, self.name, self.argv, self.env, self.user = stack, name, argv, env or {}, user
        self.cwd = cwd or stack.dir
        self.log = os.path.join(stack.dir, name + ".log")
        self.popen = None
        self.frozen = []
        self.life = 0  # where the log of the latest life begins
        stack.procs.append(self)

    def ready(self):
        return True

    def start(self, wait=True):
        parent = os.getpid()
        death = self.death_signal

        def die_with_parent():
            ctypes.CDLL(None).prctl(1, int(death))
            if os.getppid() != parent:
                os._exit(1)

        who = {}
        if self.user:
            who = {"user": self.user.pw_uid, "group": self.user.pw_gid, "extra_groups": []}
        self.frozen = []
        with open(self.log, "ab") as log:
            self.life = os.path.getsize(self.log)
            self.popen = subprocess.Popen(
                self.argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self.cwd, start_new_session=True,
                env={**os.environ, **self.env, "LATHE_STACK": self.stack.dir}, preexec_fn=die_with_parent, **who)
        self.stack.sessions.add(self.popen.pid)
        if wait:
            self.wait_ready()
        return self

    def wait_ready(self, seconds=DEADLINE):
        def poll():
            if self.popen.poll() is not None:
                raise AssertionError(f"{self.name} ended with {self.popen.returncode}:\n{self.tail()}")
            return self.ready()
        try:
            wait_until(f"{self.name} is ready", poll, seconds)
        except AssertionError as e:
            raise AssertionError(f"{e}\n{self.tail()}") from None

    @property
    def pid(self):
        return self.popen.pid

    def running(self):
        return self.popen is not None and self.popen.poll() is None

    def signal(self, number):
        if self.running():
            self.popen.send_signal(number)

    def stop(self, seconds=DEADLINE):
        """The orderly end. Returns the exit status; a process that ignores it is killed, which fails."""
        if self.popen is None:
            return None
        self.thaw()
        self.signal(self.end_signal)
        return self.wait(seconds)

    def wait(self, seconds=DEADLINE):
        try:
            status = self.popen.wait(seconds)
        except subprocess.TimeoutExpired:
            for pid in descendants(self.pid):
                send(pid, signal.SIGKILL)
            self.popen.wait()
            self.popen = None
            raise AssertionError(f"{self.name} was still there after {seconds:.0f} s:\n{self.tail()}") from None
        self.popen = None
        return status

    def kill(self):
        """As by kill -9."""
        self.signal(signal.SIGKILL)
        if self.popen is not None:
            self.wait()

    def restart(self):
        self.stop()
        return self.start()

    def freeze(self):
        """Slow, not dead: the process and its children answer nothing until thaw()."""
        pids = self.frozen = descendants(self.pid) if self.running() else []
        for pid in pids:
            send(pid, signal.SIGSTOP)
        wait_until(f"{self.name} is frozen", lambda: all(state(pid) in "TtXZ" for pid in pids))

    def thaw(self):
        """Only what was frozen: SIGCONT takes away the SIGSTOP by which LeakSanitizer holds the threads of a process that
        ends, and it would wait for ever."""
        if self.frozen and self.running():
            for pid in descendants(self.pid):
                send(pid, signal.SIGCONT)
        self.frozen = []

    def text(self, begin=0):
        """What it has logged, in all its lives, or from a place on."""
        try:
            with open(self.log, "rb") as f:
                f.seek(begin)
                return f.read().decode(errors="replace")
        except FileNotFoundError:
            return ""

    def tail(self, lines=25):
        return "\n".join(f"{self.name}| {line}" for line in self.text().splitlines()[-lines:])

    def wait_log(self, regex, seconds=DEADLINE):
        """Waits for a line in the log, of this life and not of one before it; returns the match."""
        return wait_until(f"{self.name} logs {regex}", lambda: re.search(regex, self.text(self.life)), seconds)


def send(pid, number):
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        pass


def answers(path, question=b"", wanted=b""):
    """Whether the unix socket takes a connection and answers the question with something that begins as wanted."""
    with socket.socket(socket.AF_UNIX) as s:
        s.settimeout(2)
        try:
            s.connect(path)
            if not question:
                return True
            s.sendall(question)
            return s.recv(64).startswith(wanted)
        except OSError:
            return False
