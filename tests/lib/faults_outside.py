"""Faults of what is not Lathe: servers that handlers ask, and programs that are handlers. Each row looks at every item by its id: the one
that met the fault has the right error, and its neighbours succeed. See faults.py."""
import os
import signal
import sys

from badserver import ENDS, BadServer, check_ends, counts
from faultrun import fault
from proc import ROOT, descendants, send, wait_until
from stack import read_proc

TORN = r"connection to client lost"  # PostgreSQL, of a worker that was killed
STRATEGIES = ("hybrid", "multiprocessing", "threading", "async-batch", "background")


@fault("servers that misbehave", settings={"http_allow": "loopback"})
def misbehaving(r):
    "http.fetch, under five strategies, of a server that is silent, drips, resets the connection, never ends, or redirects to a private address"
    paths = [path for path in ENDS for _ in range(2)]
    for strategy in STRATEGIES:
        with BadServer() as s:
            id = r.submit(strategy, counts(paths)[1], handler="http.fetch", items=[s.url(path) for path in paths], params={"timeout_ms": 400},
                          workers=3)
            r.web.finished(id)
            check_ends(s, r.web.results(id), paths)


@fault("servers that redirect to 127.0.0.1", settings={"http_allow": "127.0.0.2"})
def redirecting(r):
    "http.fetch, under five strategies, of a server on an address that is allowed, which redirects to one on 127.0.0.1, which is not"
    for strategy in STRATEGIES:
        with BadServer(address="127.0.0.2") as s, BadServer() as inside:
            s.away = inside.url("/ok")
            paths = ["/ok", "/away", "/ok", "/away", "/ok"]
            id = r.submit(strategy, 2, handler="http.fetch", items=[s.url(path) for path in paths], params={"timeout_ms": 10000}, workers=3)
            r.web.finished(id)
            check_ends(s, r.web.results(id), paths)
            assert not inside.seen, f"{strategy}: {inside.seen} came"


# ---- programs

NEIGHBOURS, ODD = 40, 10  # and which of the items is the odd one


def with_commands(web):
    """The handler `naughty`, which does what its input says."""
    others = web.lathe_env

    def env():
        path = os.path.join(web.dir, "commands.conf")
        with open(path, "w") as f:
            f.write(f"[command naughty]\nrestart = 1ms\nprogram = {sys.executable} '{ROOT}/tests/lib/naughty.py'\n")
        return {**others(), "LATHE_CONF": path}
    web.lathe_env = env


def submit(r, strategy, odd, **more):
    """Of so many items one is `odd`; the others want their own input back."""
    items = [odd if i == ODD else {"n": i} for i in range(NEIGHBOURS)]
    return items, r.submit(strategy, 1, handler="naughty", items=items, workers=3, batch_size=NEIGHBOURS, **more)


def spoils(r, odd, error, text, **more):
    """Under five strategies at once: the odd item fails with that error, and no other."""
    for strategy, (items, id) in [(s, submit(r, s, odd, **more)) for s in STRATEGIES]:
        r.web.finished(id)
        check(strategy, items, r.web.results(id), error, text)


def check(strategy, items, results, error=None, text=""):
    assert [i["index"] for i in results] == list(range(len(items))), f"{strategy}: {[i['index'] for i in results]}"
    for item, got in zip(items, results):
        if error and got["index"] == ODD:
            assert got["state"] == "failed" and got["error"]["type"] == error and text in got["error"]["detail"], (strategy, got)
        else:
            assert got["state"] == "succeeded" and got["result"] == item, (strategy, item, got)


@fault("a command hangs", prepare=with_commands)
def command_hangs(r):
    "a program that hangs at one of 40 items, deaf to SIGTERM and with a child: that item is over its time limit, under five strategies"
    spoils(r, {"do": "hang"}, "item-timeout", "item_timeout_ms", item_timeout_ms=4000)


@fault("a command crashes", prepare=with_commands)
def command_crashes(r):
    "a program that one of 40 items makes crash, each time; and one that it makes end with an exit code"
    spoils(r, {"do": "crash"}, "item-crashed", "signal 11")
    spoils(r, {"do": "exit"}, "item-crashed", "exit code 3")


@fault("a command floods stdout", prepare=with_commands)
def command_floods(r):
    "a program that at one of 40 items answers without end for items that it does not have; and one that writes a line of 3 MiB"
    spoils(r, {"do": "flood"}, "command", "does not have in hand")
    spoils(r, {"do": "long"}, "command", "a line of more than")


@fault("a command answers out of order", prepare=with_commands)
def command_reverses(r):
    "a program that answers what it was asked together in reverse order: each item has its own answer"
    backwards = 0
    for strategy in STRATEGIES:
        id = r.submit(strategy, 0, handler="naughty", items=[{"do": "turn", "n": n} for n in range(NEIGHBOURS)], workers=3,
                      batch_size=NEIGHBOURS)
        r.web.finished(id)
        results = r.web.results(id)
        assert [i["result"]["n"] for i in results] == list(range(NEIGHBOURS)), (strategy, results)
        turns = [i["result"]["turn"] for i in results]
        backwards += sum(a > b for a, b in zip(turns, turns[1:]))
    assert backwards > NEIGHBOURS / 2, f"only {backwards} were answered before those ahead of them"
    r.note(f"{backwards} were answered before the one ahead of them")


def guards(r):
    return [pid for p in (r.worker, r.other) for pid in descendants(p.pid) if read_proc(pid, "comm").strip() == b"lathe-guard"]


def programs(worker):
    return [pid for pid in descendants(worker.pid) if b"naughty.py" in read_proc(pid, "cmdline")]


@fault("the guard of commands killed", TORN, prepare=with_commands)
def guard_killed(r):
    "SIGKILL of the processes that end programs whose worker dies, while programs hang; then of a worker: its programs are gone with it"
    tasks = [(s, *submit(r, s, {"do": "hang"}, item_timeout_ms=4000)) for s in ("threading", "async-batch")]
    killed = wait_until("programs have guards", lambda: guards(r))
    for pid in killed:
        send(pid, signal.SIGKILL)
    for strategy, items, id in tasks:
        r.web.finished(id)
        check(strategy, items, r.web.results(id), "item-timeout", "item_timeout_ms")
    strategy = "async-batch"
    items, id = submit(r, strategy, {"do": "hang"}, item_timeout_ms=4000)
    worker = wait_until("a worker has programs and a guard again", lambda: next((p for p in (r.worker, r.other) if programs(p) and guards(r)), None))
    left = programs(worker)
    worker.kill()
    wait_until("its programs are gone", lambda: not any(b"naughty.py" in read_proc(pid, "cmdline") for pid in left))
    worker.start()
    r.web.finished(id)
    check(strategy, items, r.web.results(id), "item-timeout", "item_timeout_ms")
    r.note(f"{len(killed)} guards, {len(left)} programs")
