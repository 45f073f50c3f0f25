"""The second half of dev/quickstart: servers under var/, a comparison, and an address to try. Uses the tests' own server
classes, so that what is shown here is what is tested."""
import hashlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading

ROOT = os.path.realpath(os.path.join(os.path.dirname(__file__), "..", ".."))
sys.path.insert(0, os.path.join(ROOT, "tests", "lib"))

import servers  # noqa: E402
from proc import wait_until  # noqa: E402
from stack import Stack  # noqa: E402


def say(text):
    print(f"\033[1m{text}\033[0m" if sys.stdout.isatty() else text, flush=True)


def free_port(first=8080):
    for port in range(first, first + 200):
        with socket.socket() as s:
            try:
                s.bind(("127.0.0.1", port))
                return port
            except OSError:
                pass
    raise SystemExit("no free port from 8080 to 8279 on 127.0.0.1")


def reachable(path, user):
    """Whether the servers' user may get to `path`: a clone under /root is out of its reach."""
    if user is None:
        return True
    probe = subprocess.run(["test", "-x", path], user=user.pw_uid, group=user.pw_gid, extra_groups=[])
    return probe.returncode == 0


class Home(Stack):
    """A stack that keeps its folder, and PostgreSQL's data in it, from one start to the next."""

    def __init__(self, fresh):
        super().__init__(pg=True, redis=True, fsync=True)
        self.fresh = fresh

    def place(self):
        var = os.path.join(ROOT, "var")
        os.makedirs(var, exist_ok=True)
        if reachable(var, self.user) and len(var) < 60:  # a unix socket's path has 107 bytes
            return var
        # A private folder by user and clone: nobody else can have put something there.
        name = hashlib.sha256(ROOT.encode()).hexdigest()[:8]
        path = f"/var/tmp/lathe-{os.getuid()}-{name}"
        owners = (os.getuid(), self.user.pw_uid if self.user else os.getuid())
        try:
            os.mkdir(path, 0o755)
        except FileExistsError:
            if os.path.islink(path) or os.stat(path).st_uid not in owners:
                raise SystemExit(f"{path} belongs to somebody else; remove it, or clone to a shorter path") from None
        return path

    def __enter__(self):
        from proc import server_user
        self.user = self.lathe_user = server_user()
        self.dir = self.place()
        if self.user:
            os.chown(self.dir, self.user.pw_uid, self.user.pw_gid)
        if self.strays():
            raise SystemExit(f"Lathe runs already from {self.dir}: stop that one first (Ctrl-C where it was started).")
        for name in os.listdir(self.dir):
            path = os.path.join(self.dir, name)
            if name == "pg" and not self.fresh:
                continue
            shutil.rmtree(path) if os.path.isdir(path) and not os.path.islink(path) else os.unlink(path)
        try:
            self.bring_program()
            self.pg = servers.Postgres(self).start()
            self.redis = servers.Redis(self).start()
        except BaseException:
            self.halt()
            raise
        return self

    def bring_program(self):
        """Where the servers' user may not look, it cannot run what was built there."""
        if not reachable(os.path.dirname(servers.lathe_program()), self.user):
            os.environ["LATHE"] = shutil.copy(servers.lathe_program(), os.path.join(self.dir, "lathe-program"))

    def __exit__(self, kind, error, trace):
        for problem in self.halt():
            print(problem, file=sys.stderr)
        return kind is KeyboardInterrupt

    def lathe_env(self):
        env = super().lathe_env()
        del env["LATHE_TEST_HANDLERS"], env["LATHE_API_SOCKET_MODE"]  # for tests only
        return env


class TcpNginx(servers.Nginx):
    def __init__(self, stack, conf, port, values):
        self.port = port
        super().__init__(stack, conf, None, values)

    def ready(self):
        with socket.socket() as s:
            return s.connect_ex(("127.0.0.1", self.port)) == 0


def program(s, *args):
    """Runs a command of Lathe in front of the user."""
    env = {**os.environ, **s.lathe_env()}
    who = {"user": s.user.pw_uid, "group": s.user.pw_gid, "extra_groups": []} if s.user else {}
    return subprocess.run([servers.lathe_program(), *args], env=env, cwd=s.dir, **who).returncode


def start(s):
    if program(s, "migrate"):
        raise SystemExit("the schema could not be made; see above")
    serve = s.lathe("serve", name="lathe")
    port = free_port()
    TcpNginx(s, os.path.join(ROOT, "conf", "nginx"), port,
             {"LISTEN": f"127.0.0.1:{port}", "SOCKET": f"unix:{s.dir}/api.sock", "RUN": s.dir}).start()
    wait_until("a worker has registered", lambda: "worker.started" in serve.text())
    return port, serve


WORKLOAD = ["--handler=simulate", "--items-count=100", "--workers=4", "--batch-size=100",
            "--param=simulate_db_delay=true", "--param=db_delay_ms=20", "--param=simulate_redis_delay=true"]


def show(s, port):
    url = f"http://localhost:{port}"
    say("\nTry it:")
    print(f"""\
  curl -s {url}/readyz
  curl -sX POST {url}/api/v1/tasks/async-batch -H 'content-type: application/json' \\
       -d '{{"items_count":2000,"batch_size":2000,"workers":4,"simulate_db_delay":true,"simulate_redis_delay":true}}'
  curl -sX POST {url}/api/v1/tasks/background -H 'content-type: application/json' \\
       -d '{{"handler":"cpu.sum_squares","items":[100000,200000,300000],"batch_size":1}}'
  curl -sX POST "{url}/api/v1/tasks/compare?items_count=100&workers=4"
  curl -s "{url}/api/v1/tasks/recommendations?items_count=50000"
  curl -s {url}/api/v1/tasks?limit=5
  curl -s {url}/metrics

  strategies: sequential threading multiprocessing async-batch concurrent-futures hybrid background auto
  logs and sockets: {s.dir}

  The command line, from a second terminal (it reads the same settings):
  export LATHE_STORE_URL='{s.pg.conninfo}' LATHE_CACHE_URL='unix:{s.redis.socket}'
  {servers.lathe_program()} --help
""")


def wait_for_end(s, serve):
    done = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: done.set())
    say("Running. Ctrl-C stops everything.")
    while not done.wait(0.5):
        if not serve.running():
            print(serve.tail(), file=sys.stderr)
            raise SystemExit("lathe serve ended by itself; its last lines are above")
    say("\nStopping…")


def main():
    args = set(sys.argv[1:])
    unknown = args - {"--once", "--fresh"}
    if unknown:
        raise SystemExit(f"dev/quickstart does not know {' '.join(sorted(unknown))}; --help tells what it knows")
    say("3/4 Starting PostgreSQL, Redis, nginx and lathe serve under var/")
    with Home("--fresh" in args) as s:
        port, serve = start(s)
        say("4/4 One workload under every strategy: 100 items, each a 20 ms query, a 1–10 ms look-up and some CPU work")
        failed = program(s, "compare", *WORKLOAD) or program(s, "recommend", *WORKLOAD)
        if failed:
            raise SystemExit("the comparison failed; see above")
        show(s, port)
        if "--once" not in args:
            wait_for_end(s, serve)
    say("Stopped; nothing is left running. dev/quickstart starts again in seconds.")


if __name__ == "__main__":
    main()
