#!/usr/bin/env python3
"""How threads and kept connections meet: a trivial answer through one nginx from plain libfcgi and from Lathe's front, in
turns, with 64 clients. docs/fcgi.md has the figures. Ratios count, for the machine may be busy; CPU is the application's
own, per request.

    make bench/responder tests/integration/front_probe && bench/front.py [SECONDS [ROUNDS]]
"""
import os
import re
import statistics
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "..", "tests", "lib"))
sys.dont_write_bytecode = True
from fcgi_client import Client  # noqa: E402
from proc import BUILD, Proc, answers  # noqa: E402
from stack import Stack  # noqa: E402

CONF = """
worker_processes auto; pid @DIR@/nginx.pid; error_log stderr error; worker_rlimit_nofile 4096;
events { worker_connections 1024; }
http {
    access_log off; keepalive_requests 100000000;
    client_body_temp_path @DIR@/b; fastcgi_temp_path @DIR@/f; proxy_temp_path @DIR@/p; scgi_temp_path @DIR@/s;
    uwsgi_temp_path @DIR@/u;
    fastcgi_param REQUEST_METHOD $request_method; fastcgi_param DOCUMENT_URI $document_uri;
    fastcgi_param QUERY_STRING $query_string; fastcgi_param CONTENT_LENGTH $content_length;
    fastcgi_param REQUEST_ID $request_id;
    @UPSTREAMS@
    server { listen @LISTEN@; listen 127.0.0.1:@PORT@; @LOCATIONS@ }
}
"""
WAYS = [  # name, program, keep
    ("plain libfcgi, 512 threads, fastcgi_keep_conn off", "plain", False),
    ("plain libfcgi, 512 threads, fastcgi_keep_conn on", "plain", True),
    ("plain libfcgi, 8 threads, fastcgi_keep_conn off", "plain8", False),
    ("front, 8 threads, fastcgi_keep_conn off", "front", False),
    ("front, 8 threads, fastcgi_keep_conn on", "front", True),
    ("front, 2 threads, fastcgi_keep_conn on", "front2", True),
]
PLAIN_KEPT = 1


class App(Proc):
    def __init__(self, stack, name, program, *args):
        self.socket = os.path.join(stack.dir, name + ".sock")
        super().__init__(stack, name, [os.path.join(BUILD, program), self.socket, *args])
        self.start()
        os.chmod(self.socket, 0o666)

    def ready(self):
        return answers(self.socket)

    def cpu(self):
        with open(f"/proc/{self.pid}/stat") as f:
            fields = f.read().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def switches(self):
        total = 0
        for task in os.listdir(f"/proc/{self.pid}/task"):
            with open(f"/proc/{self.pid}/task/{task}/status") as f:
                total += sum(int(n) for n in re.findall(r"ctxt_switches:\s+(\d+)", f.read()))
        return total


def free_port():
    import socket
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def run(url, app, seconds):
    cpu, switches = app.cpu(), app.switches()
    out = subprocess.run(["wrk", "-t1", "-c64", f"-d{seconds}s", "--timeout", "2s", url], capture_output=True, text=True,
                         check=True).stdout
    done = int(re.search(r"(\d+) requests in", out).group(1))
    rate = float(re.search(r"Requests/sec:\s+([\d.]+)", out).group(1))
    assert "Non-2xx" not in out, out
    return rate, (app.cpu() - cpu) / done * 1e6, (app.switches() - switches) / done


def answers_beside_idle(app, count):
    """Whether a newcomer is answered within two seconds while `count` kept connections are idle."""
    kept = []
    try:
        for _ in range(count):
            c = Client(app.socket, seconds=2)
            kept.append(c)
            c.call("/fast")
        return True
    except TimeoutError:
        return f"no: not the {len(kept)}th connection"
    finally:
        for c in kept:
            c.close()


def main():
    seconds = int(sys.argv[1]) if len(sys.argv) > 1 else 4
    rounds = int(sys.argv[2]) if len(sys.argv) > 2 else 5
    with Stack() as s:
        s.allow("ended with status")
        apps = {"plain": App(s, "plain", "bench/responder", "512"), "plain8": App(s, "plain8", "bench/responder", "8"),
                "front": App(s, "front", "tests/integration/front_probe", "8"),
                "front2": App(s, "front2", "tests/integration/front_probe", "2")}
        upstreams, locations = "", ""
        for i, (_, app, keep) in enumerate(WAYS):
            kept = "keepalive 64; keepalive_requests 100000000;" if keep else ""
            upstreams += f"upstream u{i} {{ server unix:{apps[app].socket}; {kept} }}\n"
            on = "on" if keep else "off"
            locations += f"location /{i}/ {{ fastcgi_pass u{i}; fastcgi_keep_conn {on}; }}\n"
        conf = os.path.join(s.dir, "bench.conf")
        with open(conf, "w") as f:
            f.write(CONF)
        port, sock = free_port(), os.path.join(s.folder("sock"), "http.sock")
        nginx = s.nginx(conf, sock, LISTEN=f"unix:{sock}", PORT=port, UPSTREAMS=upstreams, LOCATIONS=locations)
        got = [[] for _ in WAYS]
        for _ in range(rounds):
            for i, (_, app, _) in enumerate(WAYS):
                got[i].append(run(f"http://127.0.0.1:{port}/{i}/fast", apps[app], seconds))
        base = [r[0] for r in got[PLAIN_KEPT]]
        print(f"{'':<52} {'requests/s':>10} {'of plain kept':>14} {'CPU µs':>7} {'switches':>9}")
        for (name, _, _), rows in zip(WAYS, got):
            ratio = statistics.median(r[0] / b for r, b in zip(rows, base))
            rate, cpu, switches = (statistics.median(r[k] for r in rows) for k in range(3))
            print(f"{name:<52} {rate:>10,.0f} {ratio:>14.2f} {cpu:>7.1f} {switches:>9.2f}")
        for name in ("plain8", "front"):
            print(f"{name}: 200 kept connections, each of which answers: {answers_beside_idle(apps[name], 200)}")
        nginx.stop()
        for a in ("plain", "plain8"):
            apps[a].kill()
    return 0


if __name__ == "__main__":
    sys.exit(main())
