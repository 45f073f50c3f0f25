#!/usr/bin/env python3
"""lathe serve behind nginx: stopping, dying, reloading, with its api and its workers."""
import json
import os
import signal
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "..", "lib"))
from proc import descendants, send, state, wait_until  # noqa: E402
from tap import main  # noqa: E402
from web import Web  # noqa: E402


def child(w, role):
    """The process id of the first one of this role that serve has started."""
    return int(w.serve.wait_log(rf"event=serve.started child_role={role} child_pid=(\d+)").group(1))


def running(w, ms, n=1):
    """A task that a worker has, and of whose n items of so long all but the last are done."""
    id = w.submit("sequential", handler="sleep", params={"ms": ms}, items_count=n)
    wait_until("it runs", lambda: (lambda t: t["state"] == "running" and t["items"]["done"] >= n - 1)(w.task(id)), every=0.05)
    return id


def in_store(w, id):
    return w.pg.sql(f"select state from tasks where id = '{id}'")


def ended(w):
    """serve's exit status, when nothing of it is left."""
    status = w.serve.wait()
    w.allow("api.sock")  # nginx says that nobody is there
    return status


def one_stop(w, tell):
    """A stop in whatever way: what runs is finished, not given back."""
    id = running(w, 1000, 2)
    tell()
    assert ended(w) == 0
    assert in_store(w, id) == "succeeded", (in_store(w, id), w.serve.text())
    assert w.serve.text().count("event=worker.draining") == 1, w.serve.text()


def t01_ctrl_c():
    "Ctrl-C, which reaches the whole process group, is one stop: what runs is finished"
    with Web(serve=True) as w:
        one_stop(w, lambda: os.killpg(w.serve.pid, signal.SIGINT))


def t02_whole_group():
    "a service manager that tells every process is one stop as well"
    with Web(serve=True) as w:
        child(w, "worker")
        one_stop(w, lambda: [send(pid, signal.SIGTERM) for pid in descendants(w.serve.pid)])


def t03_second_stop():
    "a second SIGTERM means now, however soon: what runs is given back"
    with Web(serve=True, worker_drain="600s", api_drain="600s") as w:
        id = running(w, 600000)
        w.serve.signal(signal.SIGTERM)
        w.serve.wait_log("event=worker.draining")
        w.serve.signal(signal.SIGTERM)
        assert ended(w) == 0
        assert in_store(w, id) == "queued", in_store(w, id)


def t04_killed():
    "kill -9 of serve: its processes end, and the next serve finds the way free"
    with Web(serve=True, worker_drain="1s") as w:
        pids = [child(w, "api"), child(w, "worker")]
        running(w, 600000)
        w.serve.kill()
        wait_until("its processes are gone", lambda: all(state(pid) in "XZ" for pid in pids))
        w.serve.start()
        wait_until("it answers", lambda: w.call("GET", "/readyz")[0] == 200)
        w.allow("api.sock")


def t05_children_die():
    "a worker and an api that are killed are started again; each log line is JSON without a key twice"
    def pairs(found):
        keys = [k for k, _ in found]
        assert len(keys) == len(set(keys)), found
        return dict(found)

    with Web(serve=True, log_format="json") as w:
        def lines(event, role):
            every = [json.loads(t, object_pairs_hook=pairs) for t in w.serve.text().splitlines() if t.endswith("}")]
            return [i for i in every if i["event"] == event and i.get("child_role") == role]
        for role in ("worker", "api"):
            os.kill(lines("serve.started", role)[0]["child_pid"], signal.SIGKILL)
            died = wait_until("its end is told", lambda: lines("serve.died", role))[0]
            assert died["role"] == "serve" and died["pid"] == w.serve.pid and died["signal"] == 9, died
            wait_until("it is started again", lambda: len(lines("serve.started", role)) == 2)
        w.allow('"event":"serve.died"|api.sock|connection to client lost')
        wait_until("it answers", lambda: w.call("GET", "/readyz")[0] == 200)
        status, _, task = w.call("POST", "/api/v1/tasks/sequential", {"handler": "echo", "items_count": 1})
        assert status == 200 and task["state"] == "succeeded", (status, task)


def t06_reload():
    "SIGHUP: serve, api and worker take the new settings; a file with a mistake changes nothing and ends nothing"
    with Web(serve="later") as w:
        conf = os.path.join(w.dir, "lathe.conf")

        def write(text):
            with open(conf, "w") as f:
                f.write(text)

        write("[worker]\ndrain = 600s\n[store]\ntimeout = 2s\n")
        w.start_serve(LATHE_CONF=conf)
        worker = child(w, "worker")
        w.serve.wait_log("event=worker.started")
        write("[worker]\ndrain = 40s\nslots = x\n")
        w.serve.signal(signal.SIGHUP)
        w.serve.wait_log(r"level=error role=serve .*event=conf.reload .*line 3")
        write("[worker]\ndrain = 40s\n[api]\ndrain = 1s\n[store]\ntimeout = 3s\n")
        w.serve.signal(signal.SIGHUP)
        w.serve.wait_log(r"role=serve .*event=serve.reload stop_ms=48000")
        assert state(worker) not in "XZ"
        w.allow("line 3")


def t07_successor():
    "a worker that has grown too large still finishes, and another one takes what comes meanwhile"
    with Web(serve=True, worker_memory="96M", worker_drain="600s") as w:  # at twice that it would leave at once
        first = child(w, "worker")
        slow = running(w, 600000)
        w.submit("sequential", handler="test.leak", params={"bytes": 100 << 20}, items_count=1)
        w.serve.wait_log(f"event=serve.replacing child_role=worker child_pid={first}")
        status, _, task = w.call("POST", "/api/v1/tasks/sequential", {"handler": "echo", "items_count": 1})
        assert status == 200 and task["state"] == "succeeded", (status, task)
        assert state(first) not in "XZ" and w.task(slow)["state"] == "running"
        w.call("DELETE", f"/api/v1/tasks/{slow}")
        w.serve.wait_log(f"event=serve.stopped child_role=worker child_pid={first} exit=75", 120)


if __name__ == "__main__":
    main(globals())
