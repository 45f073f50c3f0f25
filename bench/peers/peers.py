"""Other queues on the same servers, for bench/queue. Each measurement has a server of its own kind to itself and gives a dict
of rates; {} when the peer is not installed."""
import json
import os
import subprocess
import time

from service import BUILD, descendants, memory, servers, wait_until

HERE = os.path.dirname(os.path.realpath(__file__))
PYTHON = "/usr/bin/python3"  # the one that has Debian's modules
NODE = os.path.join(BUILD, "peers")
SUBMIT = """
wrk.method = "POST"
wrk.body = '{"n":1}'
wrk.headers["Content-Type"] = "application/json"
"""
DRAIN = """
import os, sys, time
sys.path.insert(0, %r)
from celery_app import app, nothing
from redis import Redis
count = int(sys.argv[1])
with app.producer_pool.acquire() as producer:
    ids = [nothing.apply_async((i,), producer=producer, ignore_result=False).id for i in range(count)]
"""


class Program(servers.Proc):
    """A peer's process; ready when `ready_if` says so."""

    def __init__(self, stack, name, argv, ready_if, env=None, cwd=None):
        self.ready_if = ready_if
        super().__init__(stack, name, argv, env={**os.environ, **(env or {})}, cwd=cwd)

    def ready(self):
        return self.ready_if(self)


def has(*modules):
    return subprocess.run([PYTHON, "-c", "import " + ", ".join(modules)], capture_output=True).returncode == 0


def node(script, *args, seconds=900):
    """The JSON that a peer written for node prints."""
    if not os.path.isdir(os.path.join(NODE, "node_modules")):
        return {}
    p = subprocess.run(["node", os.path.join(NODE, script), *map(str, args)], capture_output=True, text=True, timeout=seconds,
                       cwd=NODE)
    if p.returncode:
        raise AssertionError(f"{script}: {p.stdout}{p.stderr}")
    return json.loads(p.stdout.splitlines()[-1])


def node_url(s, database):
    """A database of its own, as node's client wants to hear of it."""
    s.stack.pg.sql(f"CREATE DATABASE {database}")
    fields = dict(f.split("=", 1) for f in s.stack.pg.conninfo.split() if "=" in f)
    host, user = fields["host"].strip("'"), fields.get("user", "postgres").strip("'")
    return f"postgresql://{user}@/{database}?host={host}&port={fields.get('port', '5432')}"


def celery_env(s):
    return {"PEER_REDIS": f"redis+socket://{s.stack.redis.socket}?virtual_host=3", "PYTHONPATH": HERE}


def flush(s):
    s.stack.redis.cli("-n", "3", "flushdb")


def redis_int(s, *args):
    return int(s.stack.redis.cli("-n", "3", *args))


def fastapi_celery(s, port, wrk, seconds):
    """Submissions a second over HTTP: two uvicorn processes, no nginx in between."""
    if not has("celery", "fastapi", "uvicorn", "redis"):
        return {}
    app = Program(s.stack, "uvicorn", [PYTHON, "-m", "uvicorn", "celery_app:web", "--port", str(port), "--workers", "2",
                                       "--log-level", "error", "--no-access-log"],
                  lambda p: servers_up(port), celery_env(s)).start()
    script = os.path.join(s.stack.dir, "peer.lua")
    with open(script, "w") as f:
        f.write(SUBMIT)
    try:
        return {"submit": wrk(port, "/tasks", seconds, script)}
    finally:
        app.stop()
        flush(s)


def servers_up(port):
    import socket
    with socket.socket() as c:
        return c.connect_ex(("127.0.0.1", port)) == 0


def celery_drain(s, count, pool):
    """Results a second of a warm worker, counted in Redis from the first to the last."""
    if not has("celery", "redis"):
        return {}
    env = {**os.environ, **celery_env(s)}
    subprocess.run([PYTHON, "-c", DRAIN % HERE, str(count)], check=True, env=env, timeout=600)
    size = "threads" if pool == "threads" else "prefork"
    begin = time.monotonic()
    worker = Program(s.stack, f"celery-{pool}", [PYTHON, "-m", "celery", "-A", "celery_app", "worker", "-P", size, "-c",
                                                 "8" if pool == "threads" else "2", "-l", "ERROR", "--without-gossip",
                                                 "--without-mingle", "--without-heartbeat", "-O", "fair"],
                     lambda p: True, celery_env(s)).start()

    def results():
        """Keys of results, each with a task's id."""
        return redis_int(s, "eval", "return #redis.call('keys', 'celery-task-meta-*')", "0")
    wait_until("celery has done something", lambda: results() > 0, 60, every=0.05)
    first, seen = time.monotonic(), results()
    wait_until("celery has done all", lambda: results() >= count, 600, every=0.5)
    rate = (count - seen) / (time.monotonic() - first)
    rss = sum(memory(pid, "VmRSS") for pid in descendants(worker.pid)) / 1024
    worker.signal(15)
    worker.wait(60)
    flush(s)
    return {"drain": rate, "rss_mib": rss, "first_s": first - begin}
