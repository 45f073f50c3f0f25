#!/usr/bin/env python3
"""Inputs that are big: a million items in and out through nginx, and every way to break an upload. After each that came to
nothing there is nothing of it in PostgreSQL."""
import json
import os
import select
import subprocess
import sys
import threading

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "..", "lib"))
import servers  # noqa: E402
from fcgi_client import STDIN, Client, Closed, record, request  # noqa: E402
from proc import wait_until  # noqa: E402
from tap import comment, main  # noqa: E402
from web import Web  # noqa: E402

NDJSON = {"Content-Type": "application/x-ndjson"}
ECHO = "/api/v1/tasks/background?handler=echo"
MIB = 1 << 20


def upload(w, body, path=ECHO, client=None, **headers):
    return w.call("POST", path, body, {**NDJSON, **headers}, client)


def lines(first, end):
    return "".join(f'{{"n":{i},"text":"item {i * 7}"}}\n' for i in range(first, end)).encode()


def expected(first, end):
    return "".join(f'{{"index":{i},"state":"succeeded","result":{{"n":{i},"text":"item {i * 7}"}}}}\n'
                   for i in range(first, end)).encode()


def peak(process):
    """Of memory, in MiB; 0 for a build with AddressSanitizer, which keeps what was freed."""
    with open(servers.lathe_program(), "rb") as f:
        if b"__asan_init" in f.read():
            return 0
    with open(f"/proc/{process.pid}/status") as f:
        return next(int(line.split()[1]) for line in f if line.startswith("VmHWM:")) / 1024


def rows(w):
    return w.pg.sql("select (select count(*) from tasks), (select count(*) from inputs)").strip()


def nothing_new(w, before):
    wait_until("nothing of it is left", lambda: rows(w) == before and not uploading(w))


def uploading(w):
    "The transactions of uploads, each by its session and its beginning: a session may have the next one when one is over."
    return set(w.pg.sql("select pid, xact_start from pg_stat_activity where application_name = 'lathe-api'"
                        " and state like 'idle in transaction%'").splitlines())


def let_go(w, halves):
    "Closes them, and waits until PostgreSQL has nothing of them and an upload has a place again."
    for half in halves:
        half.client.close()
    wait_until("they are over", lambda: not uploading(w))
    wait_until("an upload is taken again", lambda: upload(w, lines(0, 10))[0] == 202)


class Half:
    """An upload by FastCGI that has begun, and of which PostgreSQL has some."""

    def __init__(self, w, first=lines(0, 100000), rest=b"x"):
        path = ECHO + "&batch_size=1000"
        whole = request(path, b"x", method="POST", length=len(first) + len(rest), CONTENT_TYPE="application/x-ndjson")
        self.head = whole[:whole.rindex(record(STDIN, b"x"))]
        before = uploading(w)

        def begun():
            "An upload that is over may have its place for a moment more: then this one is refused, and comes again."
            self.client = Client(f"{w.dir}/api.sock")
            try:
                self.client.send(self.head)
                self.send(first)
            except OSError:
                return False
            wait_until("it is there, or refused", lambda: uploading(w) - before or self.answered())
            if self.answered():
                self.client.close()
            return not self.answered()
        wait_until("PostgreSQL has some of it", begun)

    def answered(self):
        return self.client.fileno() < 0 or bool(select.select([self.client], [], [], 0)[0])

    def send(self, text):
        for at in range(0, len(text), 32768):
            self.client.send(record(STDIN, text[at:at + 32768]))


def t01_a_million(w):
    "a million items through nginx and back, in order; api and worker stay small"
    n, step = 1000000, 50000
    size = sum(len(lines(i, i + step)) for i in range(0, n, step))
    c = w.connect(timeout=120)
    c.putrequest("POST", ECHO + "&batch_size=10000")
    for name, value in {**NDJSON, "Content-Length": str(size)}.items():
        c.putheader(name, value)
    c.endheaders()
    for i in range(0, n, step):
        c.send(lines(i, i + step))
    answer = c.getresponse()
    task = json.loads(answer.read())
    assert answer.status == 202, task
    assert task["items"]["total"] == n and task["units"]["total"] == 100 and task["batch_size"] == 10000, task
    done = w.finished(task["id"], 120)
    assert done["state"] == "succeeded" and done["items"] == {"total": n, "done": n, "failed": 0}, done

    path = f"/api/v1/tasks/{task['id']}/results"
    c.request("GET", path, headers={"Accept": "application/x-ndjson"})
    answer = c.getresponse()
    for i in range(0, n, step):
        want = expected(i, i + step)
        assert answer.read(len(want)) == want, i
    assert answer.read() == b""

    c.request("GET", path + "?offset=765432", headers={"Accept": "application/json"})
    answer = c.getresponse()
    head = f'{{"task":"{task["id"]}","state":"succeeded","items":['.encode()
    assert answer.read(len(head)) == head
    for i in range(765432, n, step):
        want = expected(i, min(i + step, n)).replace(b"\n", b",")
        want = want[:-1] + b'],"next":null}' if i + step >= n else want
        assert answer.read(len(want)) == want, i
    assert answer.read() == b""
    comment(f"{size / MIB:.0f} MiB; peak of api {peak(w.api):.0f} MiB, of worker {peak(w.worker):.0f} MiB")
    assert peak(w.api) < 150 and peak(w.worker) < 400


def t02_forms_of_lines(w):
    "CR LF, empty lines, blanks, no end of the last line"
    status, _, task = upload(w, b'1\r\n\n  "z\xc3\xa4" \t\r\n\r\n{"a":\r[ 1 ]}\nnull', ECHO + "&batch_size=2")
    assert status == 202 and task["units"]["total"] == 2, task
    assert w.finished(task["id"])["state"] == "succeeded"
    assert [r["result"] for r in w.results(task["id"])] == [1, "z\u00e4", {"a": [1]}, None]


def t03_every_strategy(w):
    "a strategy that makes one unit waits for its end; chunks and units need not agree"
    body = lines(0, 70000)
    for strategy in ("sequential", "threading", "async-batch", "multiprocessing"):
        status, _, task = upload(w, body, f"/api/v1/tasks/{strategy}?handler=echo")
        if status == 202:
            task = w.finished(task["id"])
        assert task["state"] == "succeeded" and task["items"]["done"] == 70000, task
        _, _, text = w.raw("GET", f"/api/v1/tasks/{task['id']}/results", headers={"Accept": "application/x-ndjson"})
        assert text == expected(0, 70000)
    status, _, task = upload(w, body[:len(lines(0, 30000))], ECHO + "&batch_size=1")
    assert status == 202 and task["batch_size"] == 4 and task["units"]["total"] == 7500, task
    assert w.finished(task["id"], 600)["state"] == "succeeded"
    _, _, text = w.raw("GET", f"/api/v1/tasks/{task['id']}/results", headers={"Accept": "application/x-ndjson"})
    assert text == expected(0, 30000)


def t04_refused(w):
    "a bad line is named, wherever it stands, and nothing is left"
    before = rows(w)
    good = lines(0, 499999)
    cases = [(good + b'{"n":\n' + lines(0, 100000), ECHO, 400, "line 500000, column 6: "),
             (b"1\n[1,2\n3\n", ECHO, 400, "line 2, column 5: "),
             (b'1\n"a\0b"\n', ECHO, 400, "line 2, "),
             (b"1\n\0\n", ECHO, 400, "line 2, "),
             (b'1\n\n"\xff\xfe"\n', ECHO, 400, "line 3, "),
             (b"\xef\xbb\xbf1\n", ECHO, 400, "line 1, "),
             (b'1\n{"half":', ECHO, 400, "line 2, "),
             (b'1\n"' + b"x" * MIB + b'"\n2\n', ECHO, 413, "line 2 has more than"),
             (b"1\n" + b"x" * 40 * MIB, ECHO, 413, "line 2 has more than"),
             (b"", ECHO, 422, "no items"),
             (b"\n\r\n \n", ECHO, 422, "no items"),
             (b"1\n", ECHO + "&items_count=3", 422, "items_count"),
             (b"1\n", ECHO + "&nonsense=3", 422, "nonsense"),
             (good, "/api/v1/tasks/background?handler=none", 422, "none"),
             (b"1\n", "/api/v1/tasks/nonsense", 404, "no strategy"),
             (b"1\n", "/api/v1/tasks/compare", 415, "application/json"),
             (b"1\n" * 1000001, ECHO, 413, "line 1000001: a task may have 1000000 items")]
    for body, path, status, why in cases:
        got, _, problem = upload(w, body, path)
        assert (got, problem["status"]) == (status, status) and why in json.dumps(problem), (body[:20], got, problem)
        nothing_new(w, before)
    w.allow("client intended to send too large body")
    got, _, problem = w.call("POST", ECHO, b"x" * (17 * MIB), {"Content-Type": "application/json"})
    assert got == 413, problem
    assert w.call("POST", "/.pieces/api/v1/tasks/background", b"1", NDJSON)[0] == 404


def t05_too_much_for_a_unit(w):
    "what is too much for one unit is refused with its line, or fails with the reason; cut into units it is none"
    item = b'"' + b"x" * 999997 + b'"\n'
    before = rows(w)
    got, _, problem = upload(w, item * 70, "/api/v1/tasks/sequential?handler=echo")
    assert got == 413 and "line 68: sequential runs all items as one unit" in problem["detail"], problem
    nothing_new(w, before)
    got, _, task = upload(w, item * 70, ECHO + "&batch_size=10")
    assert got == 202, task
    assert w.finished(task["id"], 120)["state"] == "succeeded"

    got, _, task = upload(w, b"".join(b'"%026d"\n' % i for i in range(1000000)), "/api/v1/tasks/sequential?handler=echo",
                          Prefer="respond-async")
    assert got == 202, task
    done = w.finished(task["id"], 120)
    assert done["items"]["done"] == 1000000 and done["items"]["failed"] > 0, done
    _, _, last = w.raw("GET", f"/api/v1/tasks/{task['id']}/results?offset=999999", headers={"Accept": "application/x-ndjson"})
    last = json.loads(last)
    assert last["index"] == 999999 and last["error"]["type"] == "item-too-large", last


def t06_broken_off(w):
    "a client that hangs up, in the middle of a line too, leaves nothing"
    before = rows(w)
    for tail in (b'{"n":', b"", lines(0, 50000)):
        half = Half(w, rest=b"x" * MIB)
        half.send(tail)
        half.client.close()
        nothing_new(w, before)
    half = Half(w)  # a byte is missing
    half.client.send(record(STDIN))  # it says that this was all
    answer = half.client.answer()
    assert answer.status == 400 and b"Content-Length" in answer.body, answer.body
    nothing_new(w, before)
    body = lines(0, 100000)
    c = w.connect()
    c.putrequest("POST", ECHO)
    for name, value in {**NDJSON, "Content-Length": str(2 * len(body))}.items():
        c.putheader(name, value)
    c.endheaders()
    c.send(body)
    c.close()
    nothing_new(w, before)


def t07_api_killed(w):
    "an api that is killed in the middle of an upload leaves nothing"
    before = rows(w)
    half = Half(w)
    w.api.kill()
    nothing_new(w, before)
    try:
        half.client.answer()
        raise AssertionError("an answer?")
    except (Closed, OSError):
        pass
    w.api.start()
    assert upload(w, b"1\n")[0] == 202


def t08_stopped(w):
    "an api that is to stop at once does not wait for the end of an upload, however busily its client sends"
    before = rows(w)
    half = Half(w, rest=b"x" * MIB)
    w.api.signal(15)
    w.api.wait_log("event=api.stop")
    w.api.signal(15)

    def over():
        try:
            half.send(b"x")
        except OSError:
            pass
        return not w.api.running()
    wait_until("it ended", over, every=0.1)
    half.client.close()
    nothing_new(w, before)
    w.api.start()
    assert upload(w, b"1\n")[0] == 202


def t09_postgres_restarted(w):
    "PostgreSQL restarted in the middle of an upload: 503, and nothing is left; the next one is good"
    w.allow("terminating connection|connection to client|level=(error|warn)")
    before = rows(w)
    rest = lines(100000, 200000)
    half = Half(w, rest=rest)
    w.pg.restart()
    half.send(rest)
    half.client.send(record(STDIN))
    answer = half.client.answer()
    assert answer.status == 503 and b"store-unavailable" in answer.body and answer.headers["retry-after"], answer.body
    nothing_new(w, before)
    half.client.close()
    wait_until("the next one is good", lambda: upload(w, b"1\n")[0] == 202)


def t10_many_at_once(w):
    "20 at once: as many as may be, the others 503 with Retry-After; each comes through in the end, and the api stays small"
    body, ids, refused, wrong = lines(0, 200000), [], [], []

    def one():
        c = w.connect(timeout=120)
        for _ in range(1000):
            status, headers, task = upload(w, body, ECHO + "&batch_size=50000", c)
            if status == 202:
                ids.append(task["id"])
                break
            refused.append(status)
            if status != 503 or not headers["Retry-After"] or task["type"] != "/problems/busy":
                wrong.append((status, task))
                break
            threading.Event().wait(0.1)
        c.close()

    held = [Half(w) for _ in range(4)]
    status, headers, problem = upload(w, lines(0, 10))  # before the others are given up for saying nothing
    assert status == 503 and headers["Retry-After"] and problem["type"] == "/problems/busy", (status, problem)
    let_go(w, held)
    threads = [threading.Thread(target=one) for _ in range(20)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not wrong and len(ids) == 20, (wrong, len(ids))
    for id in ids:
        assert w.finished(id, 120)["items"]["done"] == 200000
    comment(f"{len(refused)} were told to come again; peak of api {peak(w.api):.0f} MiB")
    assert peak(w.api) < 250


def t11_held_uploads_hold_nobody_else(w):
    "uploads that stand still hold no thread of the api; one that is refused leaves its connection good"
    held = [Half(w) for _ in range(4)]
    with Client(f"{w.dir}/api.sock") as c:
        for _ in range(3):
            c.send(request(ECHO, lines(0, 10000), CONTENT_TYPE="application/x-ndjson"))
            assert c.answer().status == 503
            c.send(request("/readyz"))
            assert c.answer().status == 200
    for _ in range(20):
        assert w.call("GET", "/readyz")[0] == 200
        assert w.call("POST", "/api/v1/tasks/threading", {"handler": "echo", "items": [1]})[0] == 200
    let_go(w, held)


def t12_terms(w):
    "unique work is uploaded once; what depends on nothing that is there is refused; a delay is kept"
    path = ECHO + "&unique=%7B%22key%22%3A%22big%22%2C%22for_s%22%3A600%7D"
    status, _, first = upload(w, lines(0, 1000), path)
    assert status == 202, first
    before = rows(w)
    status, headers, again = upload(w, lines(0, 1000), path)
    assert status == 200 and headers["Lathe-Existing"] == "true" and again["id"] == first["id"], again
    nothing_new(w, before)
    status, _, problem = upload(w, lines(0, 1000), ECHO + "&depends_on=%5B%220199b7c2-0000-7000-8000-000000000000%22%5D")
    assert status == 422, problem
    nothing_new(w, before)
    status, _, task = upload(w, lines(0, 1000), ECHO + "&delay=0.2")
    assert status == 202 and task["state"] == "scheduled", task
    assert w.finished(task["id"])["state"] == "succeeded"


def t13_command_line(w):
    "lathe submit --ndjson streams a file, or what it reads"
    def run(*args, text=b""):
        return subprocess.run([servers.lathe_program(), "submit", "--handler=echo", *args], input=text, capture_output=True,
                              env={**os.environ, **w.lathe_env()})
    file = os.path.join(w.dir, "items")
    with open(file, "wb") as f:
        f.write(lines(0, 200000))
    p = run(f"--ndjson={file}", "--batch-size=20000", "--wait", "--json")
    assert p.returncode == 0, p.stderr
    task = json.loads(p.stdout)
    assert task["items"] == {"total": 200000, "done": 200000, "failed": 0}, task
    p = run("--ndjson=-", text=lines(0, 10))
    assert p.returncode == 0, p.stderr
    assert w.finished(p.stdout.decode().strip())["items"]["done"] == 10
    before = rows(w)
    p = run("--ndjson=-", text=b"1\n2\n{\n")
    assert p.returncode == 65 and b"line 3, column 2" in p.stderr, p
    with open(file, "w") as f:
        f.write("[1]")
    p = run("--ndjson=-", f"--items={file}", text=b"1\n")
    assert p.returncode == 65 and b"not both" in p.stderr, p
    p = run("--ndjson=/nonexistent")
    assert p.returncode != 0 and b"/nonexistent" in p.stderr, p
    nothing_new(w, before)


if __name__ == "__main__":
    main(globals(), lambda: Web())
