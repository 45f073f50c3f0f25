"""Requests through nginx: one at a time against the disk, and 64 at once against a trivial responder."""
import http.client
import os
import re
import subprocess
import threading
import time

from service import BUILD, Nginx, Row, fdatasyncs_ms, servers, stream

SUBMIT = """
wrk.method = "POST"
wrk.body = '{"handler":"echo","items_count":1}'
wrk.headers["Content-Type"] = "application/json"
local bad = 0
function response(status) if status ~= 202 then bad = bad + 1; if bad == 1 then io.stderr:write("status " .. status .. "\\n") end end end
"""


class Responder(servers.Proc):
    """A plain libfcgi program that says hello, behind the same nginx: the peer."""

    def __init__(self, stack):
        self.socket = os.path.join(stack.dir, "responder.sock")
        super().__init__(stack, "responder", [os.path.join(BUILD, "bench", "responder"), self.socket])

    def ready(self):
        return servers.answers(self.socket)


def one_at_a_time(s, seconds):
    return stream(s.nginx.port, 0, seconds, "/api/v1/tasks/sequential", '{"handler":"echo","items_count":1}', callers=1)


def beside_the_disk(s, rounds):
    """Latencies of empty tasks, sorted, and the median of a fdatasync. In turns: the disk of a virtual machine doubles its time
    from one second to the next."""
    times, syncs = [], []
    one_at_a_time(s, 1)  # warm
    for _ in range(rounds):
        syncs += fdatasyncs_ms(s.stack.dir, 50)
        times += one_at_a_time(s, 1)
    return sorted(times), sorted(syncs)[len(syncs) // 2]


def wrk(port, path, seconds, script=None):
    argv = ["wrk", "-t2", "-c64", f"-d{seconds}s", f"http://127.0.0.1:{port}{path}"] + (["-s", script] if script else [])
    out = subprocess.run(argv, capture_output=True, text=True, check=True, timeout=seconds + 60)
    if out.stderr or "Non-2xx" in out.stdout:
        raise AssertionError(out.stdout + out.stderr)
    return float(re.search(r"Requests/sec:\s+([\d.]+)", out.stdout).group(1))


BULK = 10000


def bulk(port, batches):
    """Tasks a second in batches of 10,000 over two connections: one is read while the other is written."""
    body = ('{"defaults":{"handler":"cpu.sum_squares","items_count":1},"tasks":[' + ",".join(
        '{"params":{"n":%d}}' % (i + 1) for i in range(BULK)) + "]}").encode()
    failures = []

    def send():
        c = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        for _ in range(batches):
            c.request("POST", "/api/v1/tasks:batch", body, {"Content-Type": "application/json"})
            answer = c.getresponse()
            text = answer.read()
            if answer.status != 200 or b'"accepted":%d' % BULK not in text[-60:]:
                failures.append(f"{answer.status} {text[:200]} {text[-60:]}")
                return
        c.close()

    threads = [threading.Thread(target=send) for _ in range(2)]
    begin = time.perf_counter()
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    if failures:
        raise AssertionError(failures[0])
    return 2 * batches * BULK / (time.perf_counter() - begin)


def run(s, quick):
    times, sync = beside_the_disk(s, 2 if quick else 10)
    p50, p99 = times[len(times) // 2], times[len(times) * 99 // 100]
    most = 4 * sync + 2
    yield Row("an empty sequential task through nginx, p50", f"{p50:.2f} ms", f"{most:.2f} ms", p50 / most,
              f"<= 4 fdatasync of {sync:.2f} ms + 2 ms", p50 <= most)
    yield Row("  the same, p99", f"{p99:.2f} ms")

    script = os.path.join(s.stack.dir, "submit.lua")
    with open(script, "w") as f:
        f.write(SUBMIT)
    responder = Responder(s.stack).start()
    os.chmod(responder.socket, 0o666)  # nginx runs as another user
    peer = Nginx(s.stack, f"unix:{responder.socket}", "nginx-peer")
    peer.start()
    seconds, ratios = (4 if quick else 15), []
    s.worker.stop()  # the queue's front door alone; draining is another figure
    for _ in range(3):
        trivial = wrk(peer.port, "/", seconds)
        ours = wrk(s.nginx.port, "/api/v1/tasks/background", seconds, script)
        ratios.append((ours / trivial, ours, trivial))
    responder.kill()  # it knows no other end
    ratio, ours, trivial = sorted(ratios)[1]
    yield Row("POST background, 64 connections, durable", f"{ours:,.0f} /s", f"{trivial:,.0f} /s", ratio,
              ">= 0.5 of a trivial libfcgi responder", ratio >= 0.5)
    bulk(s.nginx.port, 1)
    rates = sorted(bulk(s.nginx.port, 4 if quick else 10) for _ in range(3))
    yield Row("POST tasks:batch of 10,000, 2 connections, durable", f"{rates[1]:,.0f} /s", "80,000 /s", rates[1] / 80000,
              ">= 1.00", rates[1] >= 80000)
