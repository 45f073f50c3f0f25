#!/usr/bin/env python3
"""Webhooks: the end of a task reaches a receiver, signed, tried again where that helps, and goes nowhere else."""
import base64
import hmac
import json
import os
import sys
import threading

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "..", "lib"))
from proc import wait_until  # noqa: E402
from receiver import Receiver  # noqa: E402
from tap import main  # noqa: E402
from web import FINAL, Web  # noqa: E402

KEY = b"0123456789abcdef0123456789abcdef"
SECRET = "whsec_" + base64.b64encode(KEY).decode()
SOON = {"base_ms": 20, "factor": 1, "jitter": 0}


def stack():
    return Web(webhook_secret=SECRET, webhook_timeout="1s", http_allow="127.0.0.1")


def signature(call):
    """As a receiver computes it, from nothing but what came and the secret."""
    text = f"{call.headers['webhook-id']}.{call.headers['webhook-timestamp']}.".encode() + call.body
    return "v1," + base64.b64encode(hmac.digest(KEY, text, "sha256")).decode()


def delivery_of(w, id):
    """The task that told of the end of this one, when it is over."""
    def over():
        _, _, page = w.call("GET", "/api/v1/tasks?handler=webhook")
        return [t for t in page["tasks"] if t["meta"] == {"task": id} and t["state"] in FINAL]
    found = wait_until(f"the end of {id} is told or given up", over)
    assert len(found) == 1, found
    return w.task(found[0]["id"])


def ends(w, callback, **body):
    """A small task with this callback; its id."""
    id = w.submit("threading", **{"handler": "echo", "items": [1, 2], "callback": callback, **body})
    w.finished(id)
    return id


def t01_signed(w):
    "a delivery is signed, and says what ended and how"
    with Receiver(lambda call: 204) as r:
        id = ends(w, {"url": r.url("/done?a=1")}, meta={"mine": [1, "\u00e4"]}, tags=["t"])
        call = r.next()
        assert call.path == "/done?a=1" and call.headers["Content-Type"] == "application/json", call.headers
        assert call.headers["webhook-signature"] == signature(call), call.headers
        event = json.loads(call.body)
        data = event["data"]
        assert event["type"] == "task.succeeded" and event["timestamp"] == data["finished_at"], event
        task = w.task(id)
        for key in ("id", "state", "handler", "strategy", "queue", "items", "tags", "meta", "error", "created_at", "finished_at"):
            assert data[key] == task[key], (key, data, task)
        assert data["links"]["self"] == task["links"]["self"], data
        delivery = delivery_of(w, id)
        assert delivery["state"] == "succeeded" and delivery["id"] == call.headers["webhook-id"], delivery
        assert r.calls.empty()


def t02_tried_again(w):
    "a receiver that fails twice gets the same delivery a third time, signed anew"
    said = iter([500, 503, 200])
    with Receiver(lambda call: next(said)) as r:
        id = ends(w, {"url": r.url(), "backoff": SOON})
        calls = [r.next() for _ in range(3)]
        assert len({c.headers["webhook-id"] for c in calls}) == 1 and len({c.body for c in calls}) == 1, calls
        assert all(c.headers["webhook-signature"] == signature(c) for c in calls)
        delivery = delivery_of(w, id)
        assert delivery["state"] == "succeeded" and delivery["tries"] == 2, delivery
        assert r.calls.empty()


def t03_given_up(w):
    "410 ends it at once; other failures when the retries are used up"
    with Receiver(lambda call: 410 if call.path == "/gone" else 500) as r:
        gone = delivery_of(w, ends(w, {"url": r.url("/gone"), "backoff": SOON}))
        assert gone["state"] == "failed" and gone["tries"] == 0 and "410" in json.dumps(gone["results"]), gone
        bad = delivery_of(w, ends(w, {"url": r.url("/bad"), "retries": 2, "backoff": SOON}))
        assert bad["state"] == "failed" and bad["tries"] == 2 and "500" in json.dumps(bad["results"]), bad
        assert sorted(r.next().path for _ in range(4)) == ["/bad"] * 3 + ["/gone"] and r.calls.empty()


def t04_hangs(w):
    "a receiver that says nothing is given up after webhook.timeout, and holds up nothing else"
    go = threading.Event()
    with Receiver(lambda call: 200 if go.wait(60) else 500) as r:
        id = ends(w, {"url": r.url(), "retries": 0})
        ends(w, None)
        delivery = delivery_of(w, id)
        assert delivery["state"] == "failed" and delivery["results"][0]["error"]["type"] == "timeout", delivery
        go.set()


def t05_redirect(w):
    "a redirect is not followed"
    with Receiver(lambda call: (302, {"Location": "/elsewhere"})) as r:
        delivery = delivery_of(w, ends(w, {"url": r.url("/here")}))
        assert delivery["state"] == "failed" and "302" in json.dumps(delivery["results"]), delivery
        assert r.next().path == "/here" and r.calls.empty()


def t06_how_it_ended(w):
    "failures and cancels are told too"
    with Receiver(lambda call: 200) as r:
        failed = ends(w, {"url": r.url()}, handler="sleep", items=["no number"], params={})
        event = json.loads(r.next().body)
        assert event["type"] == "task.failed" and event["data"]["id"] == failed, event
        assert event["data"]["error"]["type"].startswith("/problems/") and event["data"]["error"]["detail"], event
        id = w.submit("background", handler="sleep", items=[1], delay=3600, callback={"url": r.url()})
        w.call("DELETE", f"/api/v1/tasks/{id}")
        event = json.loads(r.next().body)
        assert event["type"] == "task.cancelled" and event["data"]["id"] == id, event


def t07_refused(w):
    "a URL that may not be called is refused at submission, and the field is named"
    for url in ("ftp://example.com/", "file:///etc/passwd", "http://u:p@example.com/", "http://10.0.0.1/", "http://[::1]/",
                "http://169.254.169.254/latest", "http://2130706434/", "http://[::ffff:192.168.0.1]:80/", "http://127.0.0.2/", "x"):
        status, _, p = w.call("POST", "/api/v1/tasks/background", {"items_count": 1, "callback": {"url": url}})
        assert status == 422 and p["errors"][0]["pointer"] == "/callback/url", (url, status, p)
    for callback, pointer in (({}, "/callback/url"), ({"url": "http://example.com/", "to": 1}, "/callback/to"),
                              ("http://example.com/", "/callback"), ({"url": "http://example.com/", "queue": "a b"}, "/callback/queue"),
                              ({"url": "http://example.com/", "backoff": {"base": 1}}, "/callback/backoff/base")):
        status, _, p = w.call("POST", "/api/v1/tasks/background", {"items_count": 1, "callback": callback})
        assert status == 422 and p["errors"][0]["pointer"] == pointer, (callback, status, p)
    status, _, p = w.call("POST", "/api/v1/tasks/background", {"handler": "webhook", "items": [{"id": "a", "url": "http://example.com/", "event": {}}]})
    assert status == 422 and p["type"] == "/problems/no-handler", (status, p)


def t08_no_such_name(w):
    "a name that stands for nothing is worth a retry"
    delivery = delivery_of(w, ends(w, {"url": "http://name.invalid/", "retries": 0}))
    assert delivery["results"][0]["error"]["type"] == "unreachable", delivery


def t09_secret(w):
    "the secret is in no log and no answer"
    said = w.lathe_run("settings", "--in-force").stdout + w.lathe_run("worker", "--webhook.secret=a b " + SECRET, check=False).stderr
    assert "webhook.secret" in said and SECRET[6:] not in said, said
    logs = [name for name in os.listdir(w.dir) if name.endswith(".log")]
    assert len(logs) >= 4, logs
    for name in logs:
        with open(os.path.join(w.dir, name), "rb") as f:
            text = f.read()
        assert KEY not in text and SECRET[6:].encode() not in text, name


def t10_fetch(w):
    "http.fetch uses the same client: answers are results, and the house stays closed"
    with Receiver(lambda call: 404 if call.path == "/none" else 200) as r:
        items = [{"url": r.url(path), "method": "POST", "body": {"n": 1}} for path in ("/a", "/none", "/b")] + ["http://10.0.0.1/"]
        status, _, task = w.call("POST", "/api/v1/tasks/async-batch", {"handler": "http.fetch", "items": items})
        assert status == 200 and task["items"] == {"total": 4, "done": 4, "failed": 2}, (status, task)
        got = [line["result"]["status"] if "result" in line else line["error"]["type"] for line in task["results"]]
        assert got == [200, "rejected", 200, "forbidden-address"], got
        assert sorted(r.next().path for _ in range(3)) == ["/a", "/b", "/none"] and r.calls.empty()


if __name__ == "__main__":
    main(globals(), stack)
