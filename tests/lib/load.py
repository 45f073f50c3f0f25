"""A steady stream of tasks of several kinds through nginx, and a ledger of what was acknowledged.

    load = Load(web, rate=50)
    load.start(); …; load.stop()
    load.acked                      # {id: Ack}

The stream is open: tasks are sent by the clock and not when the ones before are done, so that a service that stands still
owes what came meanwhile. What cannot be sent in time, because all senders wait for answers, is left out and not caught up.
"""
import collections
import http.client
import json
import threading
import time

Ack = collections.namedtuple("Ack", "kind items status at document")  # document: of an answer that was the end

TIMEOUT = 20.0  # seconds that a sender waits for an answer
FINAL = ("succeeded", "failed", "cancelled")

INPUTS = [{"n": n, "text": "äöü"} for n in range(20)]


class Kind:
    """strategy and body of a request; `items` of its results; what `echo` gives back is compared with its inputs. `fails`:
    it fails in the end, after so many retries."""

    def __init__(self, strategy, fails=None, **body):
        self.strategy, self.body, self.fails = strategy, body, fails
        self.inputs = body.get("items") if body.get("handler") == "echo" else None
        self.items = len(body["items"]) if "items" in body else body["items_count"]

    def path(self):
        return f"/api/v1/tasks/{self.strategy}"

    def request(self, number):
        """The body of the number-th task."""
        return self.body

    def tasks(self, answer):
        """The tasks of an answer that is good, and of each, which of them it comes after."""
        return [answer], {}


class Chain(Kind):
    """A batch of three, each after the one before."""

    def __init__(self):
        row = {"handler": "echo", "items_count": 1}
        super().__init__("background", tasks=[{**row, "name": "a"}, {**row, "name": "b", "depends_on": ["#a"]}, {**row, "depends_on": ["#b"]}],
                         items_count=1)

    def path(self):
        return "/api/v1/tasks:batch"

    def request(self, number):
        return {"tasks": self.body["tasks"]}

    def tasks(self, answer):
        rows = answer["results"]
        assert answer["accepted"] == 3, answer
        return rows, {rows[i]["id"]: rows[i - 1]["id"] for i in (1, 2)}


class Once(Kind):
    """Work that is unique: four callers in a row ask for the same."""

    def request(self, number):
        key = f"once-{number // 4 // len(MIX)}"
        return {**self.body, "unique": {"key": key, "for_s": 3600}, "tags": [key]}


KINDS = {
    "single": Kind("background", handler="echo", items_count=1, batch_size=1),
    "units": Kind("background", handler="echo", items=INPUTS, batch_size=5),
    "sleep": Kind("background", handler="sleep", params={"ms": 50}, items_count=6, batch_size=2, inner="sequential"),
    "wait": Kind("sequential", handler="echo", items=INPUTS[:3]),
    "retry": Kind("background", fails=2, handler="test.fail", items_count=2, params={"every": 1}, retries=2, expires=1800,
                  backoff={"base_ms": 100, "factor": 1}),
    "later": Kind("background", handler="echo", items_count=1, delay=0.5, priority=9),
    "chain": Chain(),
    "once": Once("background", handler="echo", items_count=2, batch_size=1),
    "gated": Kind("background", handler="sleep", params={"ms": 5}, items_count=1, inner="sequential", tags=["gated"],
                  limit={"key": "one", "concurrency": 1}),
    "procs": Kind("multiprocessing", handler="sleep", params={"ms": 2}, items_count=4, workers=2),
}
MIX = ("single", "wait", "sleep", "units", "retry", "once", "wait", "gated", "chain", "sleep", "later", "procs")


class Load:
    def __init__(self, web, rate=40.0, mix=MIX, senders=24):
        self.web, self.rate, self.mix, self.senders = web, rate, mix, senders
        self.acked = {}                             # id: Ack
        self.new = set()                            # ids that somebody was given as his own
        self.after = {}                             # id: the one that it depends on
        self.own = {}                               # id: how many items fail, of a task that a fault itself sent
        self.sent = 0
        self.refused = collections.Counter()        # status: how many
        self.broken = collections.Counter()         # connections that ended without an answer: why
        self.wrong = []                             # answers that nobody should get
        self.lock = threading.Lock()
        self.over = threading.Event()
        self.threads, self.clients = [], senders    # clients: connections at once
        self.next, self.count = 0.0, 0

    def start(self):
        self.next = time.monotonic()
        self.threads = [threading.Thread(target=self.run, daemon=True) for _ in range(self.senders)]
        for t in self.threads:
            t.start()
        return self

    def stop(self):
        """Until every request that was begun has its answer."""
        self.over.set()
        end = time.monotonic() + TIMEOUT + 10
        for t in self.threads:
            t.join(max(0.0, end - time.monotonic()))
        assert not any(t.is_alive() for t in self.threads), "a sender still waits for its answer"

    def turn(self):
        """When the next task is to be sent, its kind, and its number."""
        with self.lock:
            now = time.monotonic()
            if self.next < now - 0.25:
                self.next = now  # what nobody could send is left out
            at, kind = self.next, self.mix[self.count % len(self.mix)]
            self.next += 1 / self.rate
            self.count += 1
            return at, kind, self.count

    def run(self):
        client = self.web.connect(TIMEOUT)
        while not self.over.is_set():
            at, kind, number = self.turn()
            if self.over.wait(max(0.0, at - time.monotonic())):
                break
            self.send(client, kind, number)
        client.close()

    def send(self, client, name, number=0):
        kind = KINDS[name]
        with self.lock:
            self.sent += 1
        try:
            status, headers, text = self.web.raw("POST", kind.path(), kind.request(number), client=client)
        except (OSError, http.client.HTTPException) as e:
            client.close()
            with self.lock:
                self.broken[type(e).__name__] += 1
            return
        with self.lock:
            self.note(name, kind, status, headers, text)

    def note(self, name, kind, status, headers, text):
        if status in (200, 202):
            tasks, after = kind.tasks(json.loads(text))
            self.after.update(after)
            for task in tasks:
                self.acknowledged(name, kind, status, task, bool(headers.get("Lathe-Existing")))
        elif status in (502, 503, 504):
            self.refused[status] += 1
            if status == 503 and not headers.get("Retry-After"):
                self.wrong.append("503 without Retry-After")
        else:
            self.wrong.append(f"{name}: {status} {text[:200]!r}")

    def acknowledged(self, name, kind, status, task, existing):
        if task["id"] in self.new and not existing:
            self.wrong.append(f"the id {task['id']} ({name}, {status}) was given twice")
        over = task["state"] in FINAL
        if over != (status == 200) and not existing and not isinstance(kind, Chain):
            self.wrong.append(f"{status} for a task that is {task['state']}")
        self.new.update([] if existing else [task["id"]])
        if task["id"] not in self.acked:
            self.acked[task["id"]] = Ack(name, kind.items, status, time.time(), task if over and "items" in task else None)
