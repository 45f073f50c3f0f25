"""The servers that a Stack starts: how each is told where to live, and when it is ready. See stack.py."""
import fcntl
import os
import re
import shutil
import signal
import subprocess
import tempfile

from proc import BUILD, DEADLINE, Proc, answers, find


class Postgres(Proc):
    """One cluster with the superuser `lathe` and an empty database `lathe`. fsync is off unless the stack asks for it;
    commits are otherwise real."""

    end_signal = signal.SIGINT    # fast shutdown: does not wait for clients
    death_signal = signal.SIGQUIT

    def __init__(self, s):
        self.bin = os.path.dirname(os.path.realpath(find("initdb")))  # beside it: postgres
        user = s.user
        self.data = os.path.join(s.dir, "pg")
        if not os.path.exists(self.data):  # a stack that keeps its folder (dev/quickstart) has it from the last start
            subprocess.run(["cp", "-a", "--reflink=auto", self.template(user), self.data], check=True)
        self.conninfo = f"host={s.folder('sock')} user=lathe dbname=lathe"
        self.sockets = os.path.join(s.dir, "sock")
        settings = {
            "listen_addresses": "", "unix_socket_directories": self.sockets, "fsync": "on" if s.fsync else "off",
            "full_page_writes": "on" if s.fsync else "off", "shared_buffers": "128MB" if s.fsync else "32MB",
            "max_connections": "100", "log_line_prefix": "%m [%p] %a ", "log_checkpoints": "off",
            "max_wal_size": "1GB" if s.fsync else "256MB", "timezone": "UTC",
            **s.pg_settings,
        }
        argv = [os.path.join(self.bin, "postgres"), "-D", self.data]
        for name, value in settings.items():
            argv += ["-c", f"{name}={value}"]
        super().__init__(s, "postgres", argv, s.pg_env(), user=user, cwd=self.data)

    def template(self, user):
        """A data folder made once and then copied: initdb takes seconds, a copy a fraction of one."""
        version = subprocess.run([os.path.join(self.bin, "postgres"), "--version"], check=True, capture_output=True,
                                 text=True).stdout
        version = re.search(r"[\d.]+", version).group()
        cache = os.environ.get("LATHE_TEST_CACHE") or os.path.join(BUILD, "tests", ".pgtemplate")
        os.makedirs(cache, exist_ok=True)
        made = os.path.join(cache, f"{version}-{user.pw_name if user else os.getuid()}")
        with open(made + ".lock", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not os.path.isdir(made):
                self.make_template(user, made)
        return made

    def make_template(self, user, made):
        # In /tmp first: the server's user may have no way into the build folder.
        with tempfile.TemporaryDirectory(prefix="lathe-initdb-") as top:
            who = {}
            if user:
                os.chown(top, user.pw_uid, user.pw_gid)
                who = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
            data = os.path.join(top, "pg")

            def run(*argv, **more):
                p = subprocess.run([os.path.join(self.bin, argv[0]), *argv[1:]], cwd=top, text=True,
                                   stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=120, **who, **more)
                if p.returncode:
                    raise AssertionError(f"{argv[0]} failed:\n{p.stdout}")

            run("initdb", "-D", data, "-U", "lathe", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync",
                "--wal-segsize=4")
            run("postgres", "--single", "-D", data, "-c", "fsync=off", "postgres", input="create database lathe\n")
            half = made + ".half"
            shutil.rmtree(half, ignore_errors=True)
            subprocess.run(["cp", "-a", data, half], check=True)
            os.rename(half, made)

    def ready(self):
        return subprocess.run([find("pg_isready"), "-q", "-d", self.conninfo]).returncode == 0

    def sql(self, text, database=None):
        """Runs SQL; returns the rows as text, columns separated by |."""
        p = subprocess.run([find("psql"), "-XAtq", "-v", "ON_ERROR_STOP=1", "-d",
                            self.conninfo + (f" dbname={database}" if database else ""), "-c", text],
                           capture_output=True, text=True, timeout=DEADLINE)
        if p.returncode:
            raise AssertionError(f"psql: {p.stderr}")
        return p.stdout.rstrip("\n")

    def connections(self):
        """Who is connected besides us, a line each."""
        return self.sql("select pid, application_name, state, left(query, 60) from pg_stat_activity"
                        " where backend_type = 'client backend' and pid <> pg_backend_pid()")

    def stop(self, seconds=DEADLINE):
        self.stack.allow("terminating (connection|autovacuum process) due to administrator command")
        return super().stop(seconds)

    def kill(self):
        """As if it had crashed: no checkpoint, recovery at the next start. (kill -9 of the postmaster would leave its
        children in the way of that start for a moment.)"""
        self.stack.allow("terminating connection because of|shutdown of this server instance|immediate shutdown")
        self.thaw()
        self.signal(signal.SIGQUIT)
        self.wait()


class Redis(Proc):
    def __init__(self, s):
        self.socket = os.path.join(s.folder("redis"), "redis.sock")
        super().__init__(s, "redis", [
            find("redis-server"), "--port", "0", "--unixsocket", self.socket, "--unixsocketperm", "777",
            "--save", "", "--appendonly", "no", "--dir", os.path.dirname(self.socket), "--loglevel", "notice",
            "--databases", "16"], user=s.user, cwd=os.path.dirname(self.socket))

    def ready(self):
        return answers(self.socket, b"PING\r\n", b"+PONG")

    def cli(self, *args):
        p = subprocess.run([find("redis-cli"), "-s", self.socket, *args], capture_output=True, text=True,
                           timeout=DEADLINE)
        if p.returncode:
            raise AssertionError(f"redis-cli: {p.stdout}{p.stderr}")
        return p.stdout.rstrip("\n")


class Nginx(Proc):
    """nginx from a folder of ours (or one file, the main one): every file is copied into the stack with @NAME@
    replaced by values["NAME"], the suffix .in dropped, and nginx.conf started. @DIR@ is a folder that nginx may write
    to. `address` is the unix socket on which it will listen."""

    end_signal = signal.SIGQUIT

    def __init__(self, s, conf, address, values, name="nginx"):
        self.address = address
        self.dir = s.folder(name)
        values = {"DIR": self.dir, "STACK": s.dir, **values}
        if os.path.isfile(conf):
            main, files = os.path.basename(conf), [conf]
        else:
            main, files = None, [os.path.join(conf, f) for f in sorted(os.listdir(conf))]
        for path in files:
            name = re.sub(r"\.in$", "", os.path.basename(path))
            with open(path) as f:
                text = re.sub(r"@([A-Z][A-Z_]*)@", lambda m: str(values[m.group(1)]), f.read())
            with open(os.path.join(self.dir, name), "w") as f:
                f.write(text)
        main = re.sub(r"\.in$", "", main) if main else "nginx.conf"
        super().__init__(s, name, [find("nginx"), "-p", self.dir, "-c", os.path.join(self.dir, main), "-g",
                                      "daemon off;", "-e", "stderr"], user=s.user, cwd=self.dir)

    def ready(self):
        return answers(self.address)

    def reload(self):
        self.signal(signal.SIGHUP)


def lathe_program():
    return os.environ.get("LATHE") or os.path.join(BUILD, "lathe")


class Lathe(Proc):
    """A process of Lathe. The api and serve are ready when their socket takes a connection; others at once (wait with
    wait_log or on what they do)."""

    def __init__(self, s, args, name, env):
        same = sum(isinstance(p, Lathe) for p in s.procs)
        super().__init__(s, name or f"lathe-{args[0]}-{same + 1}", [lathe_program(), *args],
                         {**s.lathe_env(), **(env or {})}, user=s.lathe_user)
        self.socket = os.path.join(s.dir, "api.sock") if args[0] in ("api", "serve") else None

    def ready(self):
        return self.socket is None or answers(self.socket)

    def kill(self):
        """As by kill -9. PostgreSQL says so of every statement that it was in the middle of."""
        self.stack.allow("connection to client lost|unexpected EOF on client connection")
        super().kill()
