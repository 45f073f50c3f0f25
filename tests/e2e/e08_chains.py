#!/usr/bin/env python3
"""Tasks that know each other, through nginx: a chain, a group, a chord; unique work; many in one commit."""
import json
import os
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "..", "lib"))
from tap import main  # noqa: E402
from web import Web  # noqa: E402

BATCH = "/api/v1/tasks:batch"
UNKNOWN = "0199b7c2-0000-7000-8000-000000000000"
LONG = {"handler": "sleep", "params": {"ms": 600000}, "items_count": 1}
ECHO = {"handler": "echo", "items_count": 1}
FAILS = {"handler": "sleep", "params": {"ms": 60000}, "items_count": 1, "item_timeout_ms": 20, "on_item_error": "fail"}


def put(w, tasks, **more):
    "All of them accepted: their ids."
    status, _, answer = w.call("POST", BATCH, dict(tasks=tasks, **more))
    assert status == 200 and answer["refused"] == 0 and answer["accepted"] == len(tasks), (status, answer)
    return [r["id"] for r in answer["results"]]


def ended(w, ids):
    return [w.finished(i) for i in ids]


def t01_a_chain(w):
    "a chain of three runs one after another"
    ids = put(w, [{"name": "a"}, {"name": "b", "depends_on": ["#a"]}, {"depends_on": ["#b"]}], defaults=ECHO)
    first, second, third = ended(w, ids)
    assert [t["state"] for t in (first, second, third)] == ["succeeded"] * 3, (first, second, third)
    assert first["finished_at"] <= second["started_at"] and second["finished_at"] <= third["started_at"]


def t02_a_group_and_a_chord(w):
    "what follows a group of five begins after the last of it"
    group = [{"name": f"g{i}", "handler": "sleep", "params": {"ms": 10 * i}} for i in range(5)]
    chord = {"depends_on": [f"#g{i}" for i in range(5)]}
    ids = put(w, [chord] + group, defaults=ECHO)
    after, *members = ended(w, ids)
    assert all(t["state"] == "succeeded" for t in [after] + members), (after, members)
    assert after["started_at"] >= max(t["finished_at"] for t in members), (after, members)


def t03_a_failure_ends_the_chain(w):
    "what depends on a failure fails and says so; what runs at the end of it, however, runs"
    ids = put(w, [dict(FAILS, name="a"), dict(ECHO, name="b", depends_on=["#a"]), dict(ECHO, depends_on=["#b"]),
                  dict(ECHO, depends_on=["#a", "#b"], depends_if="end")])
    first, second, third, cleaning = ended(w, ids)
    assert first["state"] == second["state"] == third["state"] == "failed", (first, second, third)
    assert third["error"]["type"] == "/problems/dependency-failed" and ids[1] in third["error"]["detail"], third
    assert cleaning["state"] == "succeeded", cleaning
    status, _, task = w.call("POST", "/api/v1/tasks/background", dict(ECHO, depends_on=[ids[0]]))
    assert status == 202 and w.finished(task["id"])["state"] == "failed", (status, task)


def t04_a_cancel_goes_down_the_chain(w):
    "cancelling a task cancels what depends on it"
    ids = put(w, [dict(LONG, name="a"), dict(ECHO, name="b", depends_on=["#a"]), dict(ECHO, depends_on=["#b"])])
    status, _, task = w.call("GET", f"/api/v1/tasks/{ids[2]}")
    assert (status, task["state"]) == (200, "scheduled"), task
    w.call("DELETE", f"/api/v1/tasks/{ids[0]}")
    assert [t["state"] for t in ended(w, ids)] == ["cancelled"] * 3


def t05_callbacks(w):
    "tasks of a callback are made in the same commit and run after their task"
    status, _, task = w.call("POST", "/api/v1/tasks/sequential", dict(ECHO, callback={"tasks": [
        dict(handler="echo", items=["after"], tags=["callback-of-it"]), dict(FAILS, callback={"tasks": [dict(ECHO, depends_if="end")]})]}))
    assert status == 200 and task["state"] == "succeeded", (status, task)
    _, _, listed = w.call("GET", "/api/v1/tasks?limit=3")
    last, failing, after = [w.finished(t["id"]) for t in listed["tasks"]]
    assert after["tags"] == ["callback-of-it"] and after["results"][0]["result"] == "after", after
    assert after["terms"]["callback_of"] == task["id"] and failing["state"] == "failed", (after, failing)
    assert last["terms"]["callback_of"] == failing["id"] and last["state"] == "succeeded", last


def t06_unique(w):
    "the same work is there once: its caller gets the task that does it"
    body = dict(LONG, unique={"key": "once"})
    status, _, task = w.call("POST", "/api/v1/tasks/background", body)
    assert status == 202, (status, task)
    for strategy in ("background", "sequential"):
        status, headers, again = w.call("POST", f"/api/v1/tasks/{strategy}", body, {"Prefer": "wait=0"})
        assert (status, again["id"], headers["Lathe-Existing"]) == (200, task["id"], "true"), (status, again)
        assert headers["Location"] == f"/api/v1/tasks/{task['id']}", dict(headers)
    status, _, other = w.call("POST", "/api/v1/tasks/background", dict(ECHO, unique={"key": "once"}))
    assert status == 202 and other["id"] != task["id"], "another handler has keys of its own"
    w.call("DELETE", f"/api/v1/tasks/{task['id']}")
    w.finished(task["id"])
    status, _, fresh = w.call("POST", "/api/v1/tasks/background", body)
    assert status == 202 and fresh["id"] != task["id"], (status, fresh)
    status, _, answer = w.call("POST", BATCH, {"tasks": [body, dict(LONG, unique={"key": "two"}), dict(LONG, unique={"key": "two"})]})
    got = answer["results"]
    assert got[0]["existing"] and got[0]["id"] == fresh["id"] and "existing" not in got[1], answer
    assert got[2]["existing"] and got[2]["id"] == got[1]["id"], answer
    for task in (fresh, got[1]):
        w.call("DELETE", f"/api/v1/tasks/{task['id']}")


def t07_bad_rows(w):
    "a bad row is refused with its reason and harms no other; so is what needs it, and what is on a cycle"
    rows = [ECHO, {"handler": "no-such"}, dict(ECHO, items_count=0), {"strategy": "warp"}, 7, dict(ECHO, name="x"), dict(ECHO, name="x"),
            dict(ECHO, depends_on=["#nobody"]), dict(ECHO, name="p", depends_on=["#q"]), dict(ECHO, name="q", depends_on=["#p"]),
            dict(ECHO, depends_on=["#q"]), dict(ECHO, name="self", depends_on=["#self"]), dict(ECHO, name="u", depends_on=[UNKNOWN]),
            dict(ECHO, depends_on=["#x", "#u"]), dict(ECHO, depends_on=["#x"])]
    status, _, answer = w.call("POST", BATCH, {"tasks": rows})
    got = [r.get("errors", [{"pointer": r.get("state") or r["title"]}])[0]["pointer"] for r in answer["results"]]
    assert status == 200 and got == [
        "queued", "/handler", "/items_count", "/strategy", "A field has a value that is not allowed", "queued", "/name",
        "/depends_on/0", "/depends_on/0", "/depends_on/0", "/depends_on/0", "/depends_on/0", "/depends_on/0",
        "/depends_on/1", "scheduled"], (status, got, answer)
    assert (answer["accepted"], answer["refused"]) == (3, 12), answer
    assert "cycle" in answer["results"][8]["detail"] and "cycle" in answer["results"][11]["detail"], answer
    assert "cycle" not in answer["results"][10]["detail"], answer
    ended(w, [r["id"] for r in answer["results"] if "id" in r])


def t08_bad_batches(w):
    "what is no batch at all is refused as a whole"
    for body, want, pointer in (({}, 422, "/tasks"), ({"tasks": []}, 422, "/tasks"), ({"tasks": {}}, 422, "/tasks"),
                                ({"tasks": [ECHO], "more": 1}, 422, "/more"), ({"tasks": [ECHO], "defaults": {"x": 1}}, 422, "/defaults/x"),
                                ([ECHO], 422, ""), ({"tasks": [ECHO] * 10001}, 413, None)):
        status, _, problem = w.call("POST", BATCH, body)
        assert status == want, (body if len(str(body)) < 200 else "", status, problem)
        assert not pointer or problem["errors"][0]["pointer"] == pointer, problem
    for n, want in ((20, 200), (21, 413)):  # a few rows that depend on very much
        status, _, answer = w.call("POST", BATCH, {"tasks": [dict(ECHO, depends_on=[UNKNOWN] * 1000)] * n})
        assert status == want, (n, status, str(answer)[:500])
    for field, value, pointer in (("depends_on", [UNKNOWN], "/depends_on/0"), ("depends_on", ["#a"], "/depends_on/0"), ("depends_on", [1], "/depends_on/0"),
                                  ("depends_on", UNKNOWN, "/depends_on"), ("unique", {}, "/unique/key"), ("unique", {"key": ""}, "/unique/key"),
                                  ("unique", {"key": "k", "while": "x"}, "/unique/while"), ("callback", {"tasks": []}, "/callback/tasks"),
                                  ("callback", {"tasks": [{"handler": "x"}]}, "/callback/tasks/0/handler"),
                                  ("callback", {"tasks": [{"depends_on": [UNKNOWN]}]}, "/callback/tasks/0/depends_on"), ("name", "a", "/name"), ("strategy", "auto", "/strategy")):
        status, _, problem = w.call("POST", "/api/v1/tasks/background", {field: value})
        assert status == 422 and problem["errors"][0]["pointer"] == pointer, (field, value, status, problem)


def t09_lines(w):
    "NDJSON: a submission a line, also of many; a line that is none is refused alone"
    lines = "\n".join(json.dumps(dict(ECHO, tags=[str(i)])) for i in range(2000)) + "\n{\n\n" + json.dumps(ECHO)
    status, _, answer = w.call("POST", BATCH, lines, {"Content-Type": "application/x-ndjson"})
    assert status == 200 and (answer["accepted"], answer["refused"]) == (2001, 1), (status, str(answer)[:500])
    assert answer["results"][2000]["type"] == "/problems/bad-json", answer["results"][2000]
    assert len({r["id"] for r in answer["results"] if "id" in r}) == 2001
    assert w.finished(answer["results"][1999]["id"])["tags"] == ["1999"]
    assert w.finished(answer["results"][2001]["id"])["state"] == "succeeded"


if __name__ == "__main__":
    main(globals(), setup=Web)
