#!/usr/bin/env python3
"""The harness itself: it starts what it says, sees what it should, and leaves nothing."""
import os
import signal
import socket
import subprocess
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.realpath(__file__)))
from proc import Proc, descendants, state, wait_until  # noqa: E402
from stack import Problem, Stack  # noqa: E402
from tap import main  # noqa: E402

WITH_STACK = os.path.join(os.path.dirname(os.path.realpath(__file__)), "with-stack")


def fails(stack, wanted):
    """Leaves the stack and wants it to fail with a text."""
    stack.patience = 0.3
    try:
        stack.__exit__(None, None, None)
    except Problem as e:
        assert wanted in str(e), f"wanted {wanted!r} in:\n{e}"
        return
    raise AssertionError(f"nobody noticed: {wanted}")


def t01_servers_answer():
    "PostgreSQL and Redis answer, and nothing is left of them"
    with Stack(pg=True, redis=True) as s:
        assert s.pg.sql("select 6 * 7") == "42"
        assert s.redis.cli("ping") == "PONG"
        pids = descendants(s.pg.pid) + descendants(s.redis.pid)
        assert len(pids) > 3
    assert not os.path.exists(s.dir)
    assert not [p for p in pids if os.path.exists(f"/proc/{p}")]


def t02_restart():
    "data of PostgreSQL survives a restart and a crash; Redis comes back empty"
    with Stack(pg=True, redis=True) as s:
        s.pg.sql("create table t (n int); insert into t values (7)")
        s.pg.restart()
        s.pg.kill()
        s.pg.start()
        assert s.pg.sql("select n from t") == "7"
        s.redis.cli("set", "a", "1")
        s.redis.kill()
        s.redis.start()
        assert s.redis.cli("get", "a") == ""


def t03_freeze():
    "a frozen server is there and silent, and answers again when thawed"
    with Stack(pg=True, redis=True) as s:
        for server in (s.pg, s.redis):
            server.freeze()
            for pid in descendants(server.pid):
                assert state(pid) == "T"
            server.thaw()
        assert s.pg.sql("select 1") == "1"
        assert s.redis.cli("ping") == "PONG"
        s.redis.freeze()  # and stopping thaws


def t04_error_lines():
    "an error in a log fails the test, unless it was expected"
    s = Stack(pg=True).__enter__()
    subprocess.run(["psql", "-Xq", "-d", s.pg.conninfo, "-c", "select no_such_column"], stderr=subprocess.DEVNULL)
    fails(s, 'column "no_such_column" does not exist')
    with Stack(pg=True) as s:
        s.allow("no_such_column")
        subprocess.run(["psql", "-Xq", "-d", s.pg.conninfo, "-c", "select no_such_column"], stderr=subprocess.DEVNULL)


def t05_sanitizer_lines():
    "a sanitizer's line in any log fails the test"
    for line in ("x.c:1:2: runtime error: signed integer overflow", "==12==ERROR: AddressSanitizer: heap-use-after-free",
                 "WARNING: ThreadSanitizer: data race (pid=1)", "time=x level=error event=store.lost"):
        s = Stack().__enter__()
        Proc(s, "printer", ["sh", "-c", f"echo '{line}'; exec sleep 60"]).start().wait_log("\n")
        fails(s, line)


def t05b_this_life():
    "who waits for a line in the log waits for this life's, not for one of the life before"
    with Stack() as s:
        p = Proc(s, "phoenix", ["sh", "-c", "sleep 0.1; echo alive $$; exec sleep 60"])
        for _ in range(2):
            assert int(p.start().wait_log("alive ([0-9]+)").group(1)) == p.pid
            p.kill()


def t06_left_connection():
    "a connection that is left open fails the test"
    s = Stack(pg=True).__enter__()
    client = subprocess.Popen(["psql", "-Xq", "-d", s.pg.conninfo], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)
    client.stdin.write(b"select 1;\n")
    client.stdin.flush()
    wait_until("the client is connected", s.pg.connections)
    try:
        fails(s, "connections to PostgreSQL are closed")
    finally:
        client.stdin.close()
        client.wait()


def t07_left_process():
    "a process that hides from its parent is found, named and ended"
    s = Stack().__enter__()
    Proc(s, "parent", ["sh", "-c", "setsid sleep 987 & echo started; wait"]).start().wait_log("started")
    s.allow("parent ended with")
    fails(s, "sleep 987")
    assert not s.strays()


def t07b_not_ours():
    "whoever else works in the folder, or on a file in it, or in one of a similar name, is left alone"
    with Stack() as s:
        others = [subprocess.Popen(["sh", "-c", "read line", s.dir + "/x.log"], cwd=s.dir, stdin=subprocess.PIPE),
                  subprocess.Popen(["sh", "-c", "read line"], env={**os.environ, "LATHE_STACK": s.dir + "2"},
                                   stdin=subprocess.PIPE)]
        assert not s.strays()
    for p in others:
        assert p.poll() is None
        p.stdin.close()
        assert p.wait() == 1


def t07c_orphans():
    "what a server leaves when it is killed is found, though it wrote over its environment and left its session"
    s = Stack().__enter__()
    hide = "import os, time; os.setsid(); print('hidden', flush=True); time.sleep(987)"
    Proc(s, "parent", ["sh", "-c", f"env -i {sys.executable} -c \"{hide}\" & wait"]).start().wait_log("hidden")
    s.allow("parent ended with")
    fails(s, "time.sleep(987)")
    assert not s.strays()


def t08_dies_by_itself():
    "a server that dies unasked fails the test"
    s = Stack(redis=True).__enter__()
    os.kill(s.redis.pid, signal.SIGKILL)
    s.redis.popen.wait()
    fails(s, "redis ended by itself")


def t09_with_stack():
    "with-stack hands over what is needed and gives back the command's status"
    script = 'psql -XAtq -d "$LATHE_TEST_PG" -c "select 5" && redis-cli -s "$LATHE_TEST_REDIS" ping && exit 3'
    p = subprocess.run([WITH_STACK, "--pg", "--redis", "--", "sh", "-c", script], capture_output=True, text=True)
    assert (p.returncode, p.stdout) == (3, "5\nPONG\n"), p


def t10_missing():
    "what is not installed is a skip, and a failure where CHECK_STRICT=1"
    env = {"PATH": "/nonexistent", "LATHE_TEST_PROGRAMS": "/nonexistent"}
    for strict, status, text in (("0", 0, "1..0 # SKIP"), ("1", 1, "Bail out!")):
        p = subprocess.run([sys.executable, WITH_STACK, "--pg", "--", "true"], env={**env, "CHECK_STRICT": strict},
                           capture_output=True, text=True)
        assert p.returncode == status and p.stdout.startswith(text), p


def t11_nginx():
    "nginx starts from a configuration with our values in it, and reloads"
    with Stack() as s:
        conf = os.path.join(s.dir, "small.conf.in")
        with open(conf, "w") as f:
            f.write("pid @DIR@/pid; error_log stderr;\nevents {}\nhttp {\n access_log off;\n"
                    " client_body_temp_path @DIR@/b; proxy_temp_path @DIR@/p; fastcgi_temp_path @DIR@/f;"
                    " uwsgi_temp_path @DIR@/u; scgi_temp_path @DIR@/s;\n"
                    " server { listen unix:@WEB@; return 200 '@ANSWER@'; }\n}\n")
        web = os.path.join(s.folder("nginx"), "web")
        nginx = s.nginx(conf, web, WEB=web, ANSWER="forty-two")
        for _ in range(2):
            with socket.socket(socket.AF_UNIX) as c:
                c.settimeout(10)
                c.connect(web)
                c.sendall(b"GET / HTTP/1.0\r\n\r\n")
                assert b"forty-two" in c.makefile("rb").read()
            nginx.reload()


if __name__ == "__main__":
    main(globals())
