#!/usr/bin/env python3
"""Comparisons and recommendations, through nginx and on the command line."""
import json
import os
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "..", "lib"))
from tap import main  # noqa: E402
from web import Web  # noqa: E402

ALL = ["sequential", "threading", "multiprocessing", "async-batch", "concurrent-futures", "hybrid", "background", "auto"]


def run(w, *args, status=0):
    p = w.lathe_run(*args, check=False)
    assert p.returncode == status, f"lathe {' '.join(args)}: exit {p.returncode}, not {status}\n{p.stdout}{p.stderr}"
    assert status in (0, 1) or p.stderr, "it must say why"
    return p.stdout


def t01_nothing_is_known(w):
    "before any run the recommendation says that it is none, ranks all the same, and predicts nothing"
    status, _, r = w.call("GET", "/api/v1/tasks/recommendations?handler=word&items_count=500&workers=8")
    assert status == 200, (status, r)
    assert "no measurement yet" in r["evidence"] and "probe=true" in r["evidence"], r["evidence"]
    assert r["measured"] is None and r["items"] == 500 and r["cores"] >= 1, r
    assert all(c["predicted"] is None for c in r["candidates"]), r["candidates"]
    names = [c["strategy"] for c in r["candidates"]]
    assert set(ALL) - {"background", "auto"} <= set(names), names
    assert [c["rank"] for c in r["candidates"]] == list(range(1, len(names) + 1))


def t02_probe(w):
    "probe=true measures some items first, and the recommended request can be sent as it is"
    path = "/api/v1/tasks/recommendations?handler=sleep&params=%7B%22ms%22%3A20%7D&items_count=400&batch_size=100&workers=4"
    status, _, r = w.call("GET", path + "&probe=true")
    assert status == 200, (status, r)
    assert r["evidence"] == "probe of 32 items", r["evidence"]
    assert 15 <= r["measured"]["wait_ms_per_item"] <= 60 and r["measured"]["runs"] == 1, r["measured"]
    best = r["recommended"]
    assert best["strategy"] in ("async-batch", "hybrid", "shape") and best["reason"], best
    walls = [c["predicted"]["duration_ms"] for c in r["candidates"]]
    assert walls[-1] > 10 * walls[0], walls  # sequential, of 400 x 20 ms
    request = best["request"]
    status, _, task = w.call(request["method"], request["path"], request["body"])
    assert status == 200 and task["state"] == "succeeded" and task["items"]["total"] == 400, (status, task)
    assert task["shape"] == best["shape"], (task["shape"], best)
    status, _, r = w.call("GET", path)
    assert r["evidence"].startswith("2 runs, "), r["evidence"]


def t03_bare(w):
    "a bare /recommendations is for simulate"
    status, _, r = w.call("GET", "/recommendations?items_count=50000")
    assert status == 200 and r["handler"] == "simulate" and r["items"] == 50000, (status, r)


def t04_compare(w):
    "a comparison runs every strategy and shows the table; its parent shows the same"
    status, _, task = w.call("POST", "/api/v1/tasks/compare?items_count=40&workers=4")
    assert status == 200 and task["strategy"] == "compare" and task["state"] == "succeeded", (status, task)
    table = task["comparison"]
    assert [r["strategy"] for r in table["strategies"]] == ALL, table
    for r in table["strategies"]:
        assert r["state"] == "succeeded" and r["duration_ms"] > 0 and r["items_per_s"] > 0 and r["failures"] == 0, r
        assert r["speedup"] > 0 and r["cpu_s"] >= 0 and r["peak_rss_kib"] > 0 and r["items"] == 40, r
    assert table["strategies"][0]["speedup"] == 1
    fastest = min(table["strategies"], key=lambda r: r["duration_ms"])
    assert table["winner"] == fastest["strategy"], table
    assert w.task(task["id"])["comparison"] == table
    children = w.call("GET", f"/api/v1/tasks?parent={task['id']}")[2]["tasks"]
    assert len(children) == len(ALL)
    page = w.call("GET", f"/api/v1/tasks/{task['id']}/results")[2]
    assert page["items"] == [] and page["next"] is None, page


def t05_compare_some(w):
    "GET /compare, strategies by name, own items, alias names"
    status, _, task = w.call("GET", "/compare?strategies=async,sequential&handler=echo&items_count=5")
    assert status == 200 and [r["strategy"] for r in task["comparison"]["strategies"]] == ["async-batch", "sequential"], (status, task)
    status, _, task = w.call("POST", "/compare", {"strategies": ["threading", "background"], "handler": "echo", "items": [1, 2, 3], "batch_size": 2})
    assert status == 200 and all(r["items"] == 3 for r in task["comparison"]["strategies"]), (status, task)
    assert task["comparison"]["strategies"][0]["speedup"] is None, "no sequential, no speed-up"


def t06_compare_outlasts(w):
    "a comparison that outlasts the wait is 202, shows what it has so far, and is cancelled whole"
    body = {"handler": "sleep", "params": {"ms": 600000}, "items_count": 1, "strategies": ["sequential", "threading"]}
    status, headers, task = w.call("POST", "/compare", body, {"Prefer": "wait=1"})
    assert status == 202 and headers["Location"] == f"/api/v1/tasks/{task['id']}", (status, task)
    got = w.task(task["id"])
    assert len(got["comparison"]["strategies"]) == 2 and got["comparison"]["winner"] is None, got
    w.call("DELETE", task["links"]["cancel"])
    got = w.finished(task["id"])
    assert got["state"] == "cancelled" and all(r["state"] == "cancelled" for r in got["comparison"]["strategies"]), got


def t07_command_line(w):
    "lathe submit, status, cancel, compare, recommend: for people and for scripts"
    path = os.path.join(w.dir, "items")
    for text in ("[1, 2]", "1\n\n2\n"):
        with open(path, "w") as f:
            f.write(text)
        task = json.loads(run(w, "submit", "--handler=echo", "--items", path, "-s", "threading", "--wait", "--json"))
        assert task["state"] == "succeeded" and [r["result"] for r in task["results"]] == [1, 2], task
    id = run(w, "submit", "--handler=sleep", "-p", "ms=600000", "-n", "1").strip()
    assert w.task(id)["strategy"] == "background"
    assert id in run(w, "status", id)
    run(w, "cancel", id)
    assert "cancelled" in run(w, "status", "--wait", id, status=1)
    table = run(w, "compare", "--handler=echo", "-n", "20", "--strategies=sequential,hybrid")
    assert "fastest: " in table and "sequential" in table and "hybrid" in table, table
    ranked = run(w, "recommend", "--handler=sleep", "--param", "ms=20", "-n", "400")
    assert "recommended: " in ranked and "evidence: 2 runs" in ranked, ranked


def t08_command_line_refuses(w):
    "wrong options and unknown tasks: the exit codes of the manual"
    run(w, "submit", "--items-count=0", status=65)
    run(w, "submit", "--frobnicate", status=64)
    run(w, "submit", "--strategy=none", status=65)
    run(w, "status", "nonsense", status=64)
    run(w, "status", "0199b7c2-0000-7000-8000-000000000000", status=66)
    run(w, "cancel", status=64)
    run(w, "frobnicate", status=64)


if __name__ == "__main__":
    main(globals(), setup=Web)
