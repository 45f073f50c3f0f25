#!/usr/bin/env python3
"""An api that stops, and servers that are away: what callers are told."""
import json
import os
import select
import signal
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "..", "lib"))
from proc import wait_until  # noqa: E402
from servers import Lathe  # noqa: E402
from tap import main  # noqa: E402
from web import Web  # noqa: E402

UNKNOWN = "0199b7c2-0000-7000-8000-000000000000"
ECHO = {"handler": "echo", "items_count": 1}


def submit_without_reading(w, n, body):
    calls = [w.connect() for _ in range(n)]
    for c in calls:
        c.request("POST", "/api/v1/tasks/sequential", json.dumps(body), {"Content-Type": "application/json"})
    return calls


def t01_stop():
    "SIGTERM: everybody who waits for a task gets 202 at once, the api ends, and the tasks are there when it is back"
    with Web(worker=False) as w:
        calls = submit_without_reading(w, 30, ECHO)
        wait_until("all are accepted", lambda: len(w.call("GET", "/api/v1/tasks")[2]["tasks"]) == 30)
        w.api.stop()
        ids = set()
        for c in calls:
            answer = c.getresponse()
            task = json.loads(answer.read())
            assert answer.status == 202 and answer.headers["Location"].endswith(task["id"]), (answer.status, task)
            ids.add(task["id"])
            c.close()
        assert len(ids) == 30
        status, headers, problem = w.call("GET", "/healthz")
        assert status in (502, 503, 504) and headers["Content-Type"] == "application/problem+json", (status, problem)
        w.allow("api.sock")  # nginx says that nobody is there
        w.api.start()
        worker = w.lathe("worker")
        for id in ids:
            assert w.finished(id)["state"] == "succeeded"
        assert worker.running()


def t02_postgresql_away():
    "PostgreSQL away: 503 with Retry-After, alive but not ready; when it is back all is well without a restart"
    with Web(store_timeout="1s") as w:
        w.allow("terminating connection|store|shutting down|level=error")
        w.pg.stop()
        for method, path, body in (("GET", "/readyz", None), ("POST", "/api/v1/tasks/sequential", ECHO), ("GET", "/api/v1/tasks", None),
                                   ("GET", "/recommendations", None), ("GET", "/api/v1/workers", None)):
            status, headers, problem = w.call(method, path, body)
            assert status == 503 and headers["Retry-After"], (path, status, problem)
            assert problem["type"] == "/problems/store-unavailable", problem
        assert w.call("GET", "/healthz")[0] == 200
        status, _, text = w.call("GET", "/metrics")
        assert status == 200 and "lathe_store_up 0" in text
        w.pg.start()
        wait_until("it is ready again", lambda: w.call("GET", "/readyz")[0] == 200)
        status, _, task = w.call("POST", "/api/v1/tasks/sequential", ECHO)
        assert status == 200 and task["state"] == "succeeded", (status, task)


def t03_redis_away():
    "Redis away: everything works, and readyz says so"
    with Web() as w:
        w.redis.stop()
        status, _, ready = w.call("GET", "/readyz")
        assert status == 200 and ready["redis"] == "unreachable" and ready["redis_error"], ready
        status, _, task = w.call("POST", "/api/v1/tasks/sequential", ECHO)
        assert status == 200 and task["state"] == "succeeded", (status, task)
        w.redis.start()
        wait_until("it is seen again", lambda: w.call("GET", "/readyz")[2]["redis"] == "ok")


def t04_no_redis_at_all():
    "no Redis configured: everything works"
    with Web(redis=False) as w:
        assert w.call("GET", "/readyz")[2]["redis"] == "not used"
        status, _, task = w.call("POST", "/api/v1/tasks/sequential", ECHO)
        assert status == 200 and task["state"] == "succeeded", (status, task)
        id = w.submit("sequential", handler="sleep", params={"ms": 600000}, items_count=1)
        w.call("DELETE", f"/api/v1/tasks/{id}")
        assert w.finished(id)["state"] == "cancelled"


def t05_reload():
    "SIGHUP: a shorter wait holds for the next request"
    with Web(worker=False) as w:
        conf = os.path.join(w.dir, "lathe.conf")
        with open(conf, "w") as f:
            f.write("[api]\nwait = 20s\n")
        w.api.stop()
        env = w.lathe_env()
        env["LATHE_CONF"] = conf
        w.api = w.lathe("api", env=env)
        with open(conf, "w") as f:
            f.write("[api]\nwait = 50ms\n")
        w.api.popen.send_signal(signal.SIGHUP)
        # until it is applied a submission waits for 20 s, longer than this test does for its answer
        def quick():
            c = w.connect(timeout=2)
            try:
                c.request("POST", "/api/v1/tasks/sequential", json.dumps(ECHO), {"Content-Type": "application/json"})
                return c.getresponse().status == 202
            except TimeoutError:
                return False
            finally:
                c.close()
        wait_until("it is applied", quick)


def t06_leave_now():
    "a second SIGTERM does not wait: the api ends though PostgreSQL does not answer, and nothing crashes"
    with Web(worker=False, store_timeout="600s", api_drain="600s") as w:
        assert w.call("GET", "/readyz")[0] == 200
        before = len(os.listdir(f"/proc/{w.api.popen.pid}/fd"))
        w.pg.freeze()
        calls = submit_without_reading(w, 3, ECHO)
        slow = w.connect()
        slow.request("GET", "/api/v1/tasks")
        wait_until("they are read", lambda: len(os.listdir(f"/proc/{w.api.popen.pid}/fd")) > before + len(calls))
        w.api.popen.send_signal(signal.SIGTERM)
        w.api.wait_log("event=api.stop now=no")
        w.api.popen.send_signal(signal.SIGTERM)
        wait_until("it has ended", lambda: w.api.popen.poll() is not None)
        assert w.api.popen.returncode == 0, w.api.popen.returncode
        w.pg.thaw()
        for c in calls + [slow]:
            c.close()
        w.allow("api.sock|prematurely closed|connection to client lost|lathe-api-1 ended by itself")


HAND_OVER = """
import os, socket, sys
s = socket.socket(socket.AF_UNIX)
s.bind(sys.argv[1])
os.chmod(sys.argv[1], 0o777)
s.listen(64)
assert s.getblocking()
os.dup2(s.fileno(), 3)
os.set_inheritable(3, True)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS="1")
os.execv(sys.argv[2], sys.argv[2:])
"""


def t07_listener_handed_over():
    "a listener from systemd, which waits in accept(2): it is used, requests are answered, and SIGTERM ends the api"
    with Web(worker=False) as w:
        w.api.stop()
        w.client.close()
        api = Lathe(w, ("api",), "api-handed-over", None)
        api.argv = [sys.executable, "-c", HAND_OVER, api.socket, *api.argv]
        api.start()
        for _ in range(3):
            assert w.call("GET", "/healthz")[0] == 200
        status = api.stop()
        assert status == 0 and os.path.exists(api.socket), status


def t08_postgresql_frozen():
    "PostgreSQL that does not answer: /healthz is answered while 30 callers wait for it, and they are when it goes on"
    with Web(worker=False, store_timeout="600s") as w:
        assert w.call("GET", "/readyz")[0] == 200
        before = len(os.listdir(f"/proc/{w.api.popen.pid}/fd"))
        w.pg.freeze()
        calls = [w.connect() for _ in range(30)]
        for c in calls:
            c.request("GET", f"/api/v1/tasks/{UNKNOWN}")
        wait_until("they are there", lambda: len(os.listdir(f"/proc/{w.api.popen.pid}/fd")) >= before + len(calls))
        health = w.connect(timeout=20)
        assert w.call("GET", "/healthz", client=health)[0] == 200
        assert not select.select([c.sock for c in calls], [], [], 0)[0], "one was answered, and the test shows nothing"
        w.pg.thaw()
        for c in calls:
            assert c.getresponse().status == 404
            c.close()
        health.close()


if __name__ == "__main__":
    main(globals())
