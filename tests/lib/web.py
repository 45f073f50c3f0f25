"""A whole Lathe behind nginx for a test, and a client for it: what a user has.

    with Web() as w:
        status, headers, task = w.call("POST", "/api/v1/tasks/hybrid", {"items_count": 10})
        w.worker.kill(); w.worker.start()

One kept connection to nginx unless told otherwise. Answers that are JSON come decoded.
"""
import http.client
import json
import os
import socket

from proc import DEADLINE, ROOT, wait_until
from stack import Stack

FINAL = ("succeeded", "failed", "cancelled")
NGINX = os.path.join(ROOT, "conf", "nginx")


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path, timeout):
        super().__init__("localhost", timeout=timeout)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


class Web(Stack):
    """`settings` are settings of Lathe, as in web(api_wait="2s"). `worker` False: the test starts its own. `serve`: all
    of it is one `lathe serve`; "later": which the test starts, by start_serve()."""

    def __init__(self, redis=True, fsync=False, worker=True, serve=False, **settings):
        super().__init__(pg=True, redis=redis, fsync=fsync)
        self.with_worker, self.with_serve, self.settings = worker, serve, settings
        self.worker = self.api = self.serve = self.front = self.client = None

    def lathe_env(self):
        env = super().lathe_env()
        env.update({f"LATHE_{name.upper()}": str(value) for name, value in self.settings.items()})
        return env

    def __enter__(self):
        super().__enter__()
        try:
            self.lathe_run("migrate")
            if not self.with_serve:
                self.api = self.lathe("api")
            elif self.with_serve != "later":
                self.start_serve()
            if self.with_worker and not self.with_serve:
                self.worker = self.lathe("worker")
            address = os.path.join(self.folder("nginx"), "http.sock")
            self.front = self.nginx(NGINX, address, LISTEN=f"unix:{address}", SOCKET=f"unix:{self.dir}/api.sock", RUN=self.dir)
            self.client = self.connect()
        except BaseException:
            self.halt()
            self.remove()
            raise
        return self

    def __exit__(self, kind, error, trace):
        if self.client:
            self.client.close()
        return super().__exit__(kind, error, trace)

    def start_serve(self, **env):
        self.serve = self.lathe("serve", env=env)

    def connect(self, timeout=DEADLINE * 2):
        return UnixConnection(self.front.address, timeout)

    def raw(self, method, path, body=None, headers=None, client=None):
        """Status, headers, bytes. A body that is no text is sent as JSON, with its Content-Type."""
        headers = dict(headers or {})
        if body is not None and not isinstance(body, (bytes, str)):
            body = json.dumps(body)
            headers.setdefault("Content-Type", "application/json")
        c = client or self.client
        c.request(method, path, body, headers)
        answer = c.getresponse()
        return answer.status, answer.headers, answer.read()

    def call(self, method, path, body=None, headers=None, client=None):
        status, got, text = self.raw(method, path, body, headers, client)
        kind = got.get("Content-Type", "")
        if text and kind.split(";")[0] in ("application/json", "application/problem+json"):
            return status, got, json.loads(text)
        return status, got, text.decode()

    # ---- tasks

    def submit(self, strategy, **body):
        status, _, task = self.call("POST", f"/api/v1/tasks/{strategy}", body, {"Prefer": "respond-async"})
        assert status == 202, (status, task)
        return task["id"]

    def task(self, id):
        status, _, task = self.call("GET", f"/api/v1/tasks/{id}")
        assert status == 200, (status, task)
        return task

    def finished(self, id, seconds=DEADLINE * 2):
        """The task when it is over."""
        def over():
            task = self.task(id)
            return task if task["state"] in FINAL else None
        return wait_until(f"task {id} is over", over, seconds, every=0.05)

    def ready(self):
        """What /readyz says where all is well."""
        status, _, doc = self.call("GET", "/readyz")
        assert status == 200, (status, doc)
        return doc

    def metric(self, name):
        """Of one that has no label."""
        return float(next(line.split()[1] for line in self.call("GET", "/metrics")[2].splitlines() if line.startswith(name + " ")))

    def log(self, id):
        """The lines of a task's log."""
        status, _, got = self.call("GET", f"/api/v1/tasks/{id}/log")
        assert status == 200 and got["task"] == id, (status, got)
        return got["lines"]

    def results(self, id):
        """All item results, decoded, as they come."""
        status, _, text = self.raw("GET", f"/api/v1/tasks/{id}/results", headers={"Accept": "application/x-ndjson"})
        assert status == 200, (status, text)
        return [json.loads(line) for line in text.decode().splitlines()]
