#!/usr/bin/env python3
"""Fetches over https: whom Lathe trusts, and HTTP/2, of which a few connections carry many requests; counted at the server."""
import os
import re
import socket
import subprocess
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "..", "lib"))
from proc import find, wait_until  # noqa: E402
from servers import Nginx  # noqa: E402
from tap import main  # noqa: E402
from web import Web  # noqa: E402

CONF = """
pid @DIR@/nginx.pid;
events {}
http {
    client_body_temp_path @DIR@/body;
    proxy_temp_path @DIR@/proxy;
    fastcgi_temp_path @DIR@/fastcgi;
    uwsgi_temp_path @DIR@/uwsgi;
    scgi_temp_path @DIR@/scgi;
    log_format seen '$server_port $connection $server_protocol $request_uri';
    access_log @DIR@/access seen;
    ssl_certificate @TLS@/cert.pem;
    ssl_certificate_key @TLS@/key.pem;
    server {
        listen unix:@DIR@/http.sock;
        listen 127.0.0.1:@NEW@ ssl http2;
        listen 127.0.0.1:@OLD@ ssl;
        location / { return 200 "hello"; }
    }
}
"""


def free_ports(n):
    "Bound together, so that they are different ones."
    sockets = [socket.socket() for _ in range(n)]
    for s in sockets:
        s.bind(("127.0.0.1", 0))
    ports = [s.getsockname()[1] for s in sockets]
    for s in sockets:
        s.close()
    return ports


class Secured(Web):
    """Beside Lathe a server with a certificate that it signed itself; `new` speaks HTTP/2, `old` does not."""

    def __enter__(self):
        super().__enter__()
        try:
            self.tls = self.folder("tls")
            self.cert = os.path.join(self.tls, "cert.pem")
            subprocess.run(
                [find("openssl"), "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout",
                 "key.pem", "-out", "cert.pem", "-days", "2", "-subj", "/CN=lathe test", "-addext", "subjectAltName=IP:127.0.0.1"],
                cwd=self.tls, check=True, capture_output=True, timeout=60)
            os.chmod(os.path.join(self.tls, "key.pem"), 0o644)  # nginx may be another user; it opens nothing
            conf = os.path.join(self.tls, "https.conf")
            with open(conf, "w") as f:
                f.write(CONF)
            new, old = free_ports(2)
            address = os.path.join(self.folder("https"), "http.sock")
            self.site = Nginx(self, conf, address, {"TLS": self.tls, "NEW": new, "OLD": old}, name="https").start()
            self.new, self.old = f"https://127.0.0.1:{new}", f"https://127.0.0.1:{old}"
        except BaseException:
            self.halt()
            self.remove()
            raise
        return self

    def logged(self, path, n):
        "The connections and protocols of the n requests for a path, once all are in the server's log."
        def lines():
            with open(os.path.join(self.site.dir, "access")) as f:
                got = [line.split() for line in f]
            got = [g for g in got if g[3] == path]
            return got if len(got) >= n else None
        got = wait_until(f"{n} requests for {path} are logged", lines)
        assert len(got) == n, got
        return {g[1] for g in got}, {g[2] for g in got}

    def error_of(self, url):
        id = self.submit("background", handler="http.fetch", items=[url])
        assert self.finished(id)["state"] == "failed", self.task(id)
        return self.results(id)[0]["error"]

    def fetch(self, urls):
        "All of them at once, on one thread."
        task = self.finished(self.submit("async-batch", handler="http.fetch", items=urls, shape={"width": len(urls)}))
        assert task["state"] == "succeeded", (task, self.results(task["id"]))
        assert task["shape"]["width"] == len(urls) and task["shape"]["threads"] == 1, task["shape"]
        return [r["result"] for r in self.results(task["id"])]


def t01_nobody_trusts(w):
    "a certificate that nobody trusts fails the item, which says so; nothing is asked of that server"
    worker = w.lathe("worker")
    error = w.error_of(w.new + "/untrusted")
    assert error["type"] == "unreachable", error
    assert re.search("self.signed certificate", error["detail"]), error
    worker.stop()
    with open(os.path.join(w.site.dir, "access")) as f:
        assert "/untrusted" not in f.read()


def t02_what_cannot_trust(w):
    "a file of certificates that is none is told at start, with its name"
    for path, why in ((w.tls + "/none.pem", "No such file"), (w.tls, "directory"), (w.tls + "/key.pem", "no certificate")):
        p = w.lathe_run("worker", env={"LATHE_HTTP_CA_FILE": path}, check=False)
        assert p.returncode == 78, (p.returncode, p.stderr)
        assert "http.ca_file" in p.stderr and path in p.stderr and why in p.stderr, p.stderr


def t03_trusted(w):
    "with http.ca_file it is trusted, for its own name only; 20 requests at once share a connection of HTTP/2 that is there"
    w.worker = w.lathe("worker", env={"LATHE_HTTP_CA_FILE": w.cert, "LATHE_WORKER_SLOTS": "1"})
    w.fetch([w.new + "/first"])
    results = w.fetch([w.new + "/more"] * 20)
    assert [(r["status"], r["http"], r["bytes"]) for r in results] == [(200, 2, 5)] * 20, results
    first, more = w.logged("/first", 1), w.logged("/more", 20)
    assert first == more and more[1] == {"HTTP/2.0"}, (first, more)
    error = w.error_of(w.new.replace("127.0.0.1", "localhost") + "/")
    assert error["type"] == "unreachable" and re.search("certificate.*localhost", error["detail"]), error  # and was not refused there


def t04_without_http2(w):
    "a server that does not speak HTTP/2 is asked over as many connections as there are requests, not over one"
    results = w.fetch([w.old + "/cold1"] * 20)
    assert [(r["status"], r["http"]) for r in results] == [(200, 1.1)] * 20, results
    connections, protocols = w.logged("/cold1", 20)
    assert protocols == {"HTTP/1.1"} and len(connections) >= 2, (protocols, connections)


def t05_in_children(w):
    "the children of a worker trust whom it trusts"
    task = w.finished(w.submit("multiprocessing", handler="http.fetch", items=[w.new + "/child"] * 8))
    assert (task["state"], task["items"]["failed"]) == ("succeeded", 0), (task, w.results(task["id"]))


if __name__ == "__main__":
    main(globals(), lambda: Secured(worker=False, http_allow="loopback"))
