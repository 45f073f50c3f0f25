#!/usr/bin/env python3
"""Bad input: each is a 4xx problem that names the field, on a connection that is still good, and nothing is written."""
import os
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "..", "lib"))
from tap import main  # noqa: E402
from web import Web  # noqa: E402

JSON = {"Content-Type": "application/json"}
SUBMIT = "/api/v1/tasks/sequential"
NO_ID = "0199b7c2-0000-7000-8000-000000000000"


def refused(w, method, path, status, slug, pointer=None, body=None, headers=None):
    got, head, problem = w.call(method, path, body, headers)
    what = f"{method} {path[:80]} {str(body)[:80]}: {got} {str(problem)[:300]}"
    assert got == status, what
    assert head["Content-Type"] == "application/problem+json", what
    assert problem["type"] == f"/problems/{slug}" and problem["status"] == status, what
    assert problem["title"] and problem["detail"] and problem["request_id"], what
    if pointer is not None:
        assert problem["errors"][0]["pointer"] == pointer, what
    # the same connection, and the api behind it, are good for the next request
    assert w.call("GET", "/healthz")[0] == 200, what
    return head, problem


def t01_json(w):
    "what is not JSON, or not by our rules"
    for text in ("", " ", "{", "}", "nonsense", '{"a":1,}', "{'a':1}", '{"items_count":01}', '{"items_count":NaN}',
                 '{"items_count":1}x', '{"items_count":1,"items_count":2}', '"\x01"', '{"a":"\\ud800"}', "\ufeff{}",
                 '{"items_count":1e999}', '{"items_count":99999999999999999999}', "//\n{}"):
        if text:
            refused(w, "POST", SUBMIT, 400, "bad-json", None, text.encode(), JSON)
    refused(w, "POST", SUBMIT, 400, "bad-json", None, b'{"handler":"\xff\xfe"}', JSON)
    refused(w, "POST", SUBMIT, 400, "bad-json", None, b'{"handler":"a\0b"}', JSON)
    refused(w, "POST", SUBMIT, 400, "bad-json", None, b'[' * 40 + b']' * 40, JSON)
    refused(w, "POST", SUBMIT, 400, "bad-json", None, b'[' * 200000, JSON)


def t02_not_an_object(w):
    "a body that is no object"
    for text in ("[]", "1", '"x"', "true"):
        refused(w, "POST", SUBMIT, 422, "bad-field", None, text, JSON)


def t03_fields(w):
    "wrong types, absurd numbers, unknown fields: named by their pointer"
    for body, pointer in (
            ({"items_count": 0}, "/items_count"), ({"items_count": -1}, "/items_count"), ({"items_count": 10**7}, "/items_count"),
            ({"items_count": 1.5}, "/items_count"), ({"items_count": "1"}, "/items_count"), ({"items_count": True}, "/items_count"),
            ({"items_count": [1]}, "/items_count"), ({"batch_size": 0}, "/batch_size"), ({"workers": 0}, "/workers"),
            ({"workers": 10**6}, "/workers"), ({"priority": 10}, "/priority"), ({"simulate_db_delay": "yes"}, "/simulate_db_delay"),
            ({"queue": ""}, "/queue"), ({"queue": "a b"}, "/queue"), ({"queue": "q" * 65}, "/queue"), ({"queue": 7}, "/queue"),
            ({"item_timeout_ms": -5}, "/item_timeout_ms"), ({"timeout_ms": 10**18}, "/timeout_ms"),
            ({"on_item_error": "panic"}, "/on_item_error"), ({"items": []}, "/items"), ({"items": {}}, "/items"),
            ({"items": [1], "items_count": 1}, "/items_count"), ({"params": []}, "/params"), ({"params": 5}, "/params"),
            ({"handler": "sleep", "params": {"ms": -1}}, "/params/ms"), ({"handler": "sleep", "params": {"ms": "x"}}, "/params/ms"),
            ({"shape": 1}, "/shape"), ({"shape": {"threads": -1}}, "/shape/threads"), ({"tags": "x"}, "/tags"),
            ({"tags": [1]}, "/tags/0"), ({"tags": ["x"] * 17}, "/tags"), ({"meta": []}, "/meta"), ({"inner": "hybrid"}, "/inner")):
        refused(w, "POST", SUBMIT, 422, "bad-field", pointer, body)
    for body, pointer in (({"itemscount": 1}, "/itemscount"), ({"a/b~c": 1}, "/a~1b~0c"),
                          ({"handler": "sleep", "params": {"sm": 1}}, "/params/sm"), ({"shape": {"cores": 1}}, "/shape/cores"),
                          ({"strategies": ["hybrid"]}, "/strategies")):
        refused(w, "POST", SUBMIT, 422, "unknown-field", pointer, body)
    refused(w, "POST", "/api/v1/tasks/background", 422, "bad-field", "/inner", {"inner": "background"})
    refused(w, "POST", SUBMIT, 422, "no-handler", "/handler", {"handler": "nothing"})
    refused(w, "POST", "/compare", 422, "bad-field", "/strategies/1", {"strategies": ["hybrid", "hybird"]})
    refused(w, "POST", "/compare", 422, "bad-field", "/strategies", {"strategies": []})
    refused(w, "POST", "/compare", 422, "bad-field", "/shape", {"shape": {"threads": 2}})


def t04_media_type(w):
    "a body of another media type, or of none"
    for kind in ("text/plain", "application/x-www-form-urlencoded", "application/jsonx", "application/json-patch+json", ""):
        refused(w, "POST", SUBMIT, 415, "media-type", None, b"{}", {"Content-Type": kind})
    assert w.call("POST", SUBMIT, b'{"items_count":1}', {"Content-Type": "Application/JSON; charset=utf-8"})[0] == 200


def t05_too_large(w):
    "a body over the limit is refused, and one near it is read"
    body = b'{"meta":{"a":"' + b"x" * (17 << 20) + b'"}}'
    w.allow("client intended to send too large body")
    client = w.connect()
    status, headers, problem = w.call("POST", SUBMIT, body, JSON, client=client)
    assert status == 413 and headers["Content-Type"] == "application/problem+json", (status, problem)
    client.close()
    refused(w, "POST", SUBMIT, 413, "too-large", "/meta", b'{"meta":{"a":"' + b"x" * (15 << 20) + b'"}}', JSON)
    refused(w, "POST", SUBMIT, 413, "too-large", "/items/0", b'{"items":["' + b"x" * (2 << 20) + b'"]}', JSON)


def t06_paths(w):
    "paths that are nothing"
    for path in ("/no/where", "/api/v1/tasks/", "/api/v2/tasks", f"/api/v1/tasks/{NO_ID}/results/", f"/api/v1/tasks/{NO_ID}/x",
                 "/api/v1/tasks/a/b/c/d", "/compare/", "/healthz/x", "/api/v1/tasks%2f", "/api/v1/%00"):
        status, headers, problem = w.call("GET", path)
        assert status in (400, 404), (path, status)
        assert headers["Content-Type"] == "application/problem+json", (path, dict(headers), problem)
        assert w.call("GET", "/healthz")[0] == 200
    refused(w, "GET", "/api/v1/tasks/status", 404, "no-task")
    refused(w, "GET", "/no/where", 404, "no-route")


def t07_ids(w):
    "ids that are none, and tasks that are not there"
    for id in ("1", "x" * 200, NO_ID, NO_ID[:-1], NO_ID + "0", "0199b7c2-0000-7000-8000-00000000000g", "%20"):
        for method, path in (("GET", "/api/v1/tasks/{}"), ("GET", "/api/v1/tasks/status/{}"), ("GET", "/api/v1/tasks/{}/results"),
                             ("DELETE", "/api/v1/tasks/{}")):
            refused(w, method, path.format(id), 404, "no-task")


def t14_names(w):
    "names that no queue and no schedule can have, in a path and on the command line"
    for name in ("%FF", "a%20b", "x" * 65, "%C3"):
        for method, path in (("GET", ""), ("DELETE", ""), ("POST", "/pause"), ("POST", "/resume")):
            refused(w, method, f"/api/v1/schedules/{name}{path}", 404, "no-schedule")
        for method, path in (("GET", ""), ("PUT", ""), ("POST", "/pause"), ("POST", "/resume")):
            refused(w, method, f"/api/v1/queues/{name}{path}", 404, "no-route", None, {} if method == "PUT" else None)
    for verb in ("show", "pause", "resume"):
        for what in ("queues", "schedules"):
            done = w.lathe_run(what, verb, "a b", check=False)
            assert done.returncode in (65, 66) and "letters" in done.stderr, (what, verb, done)
    assert w.pg.sql("select count(*) from queues").strip() == "0"


def t08_methods(w):
    "a wrong method is told which there are"
    for method, path, allow in (
            ("PUT", f"/api/v1/tasks/{NO_ID}", None), ("PATCH", f"/api/v1/tasks/{NO_ID}", None),
            ("POST", f"/api/v1/tasks/{NO_ID}", "GET, HEAD, DELETE, OPTIONS"), ("GET", SUBMIT, "POST, OPTIONS"),
            ("DELETE", "/api/v1/tasks", "GET, HEAD, OPTIONS"), ("GET", "/api/v1/tasks/compare", "POST, OPTIONS"),
            ("POST", "/healthz", "GET, HEAD, OPTIONS"), ("DELETE", "/compare", "GET, POST, OPTIONS"),
            ("POST", "/recommendations", "GET, OPTIONS")):
        head, _ = refused(w, method, path, 405, "method")
        assert head["Allow"] and (allow is None or head["Allow"] == allow), (method, path, head["Allow"])


def t09_strategies(w):
    "a strategy that is none names those that there are"
    _, problem = refused(w, "POST", "/api/v1/tasks/parallel", 404, "no-strategy", None, {})
    assert "hybrid" in problem["detail"] and "background" in problem["detail"], problem


def t10_query(w):
    "unknown, doubled, malformed and absurd parameters"
    for path, status, slug, pointer in (
            ("/api/v1/tasks?statee=queued", 422, "unknown-field", "statee"), ("/api/v1/tasks?state=asleep", 422, "bad-field", "state"),
            ("/api/v1/tasks?limit=0", 422, "bad-field", "limit"), ("/api/v1/tasks?limit=100000", 422, "bad-field", "limit"),
            ("/api/v1/tasks?limit=x", 422, "bad-field", "limit"), ("/api/v1/tasks?limit=", 422, "bad-field", "limit"),
            ("/api/v1/tasks?limit=1&limit=2", 422, "bad-field", "limit"), ("/api/v1/tasks?since=yesterday", 422, "bad-field", "since"),
            ("/api/v1/tasks?until=2026-02-30", 422, "bad-field", "until"), ("/api/v1/tasks?cursor=abc", 422, "bad-field", "cursor"),
            ("/api/v1/tasks?parent=7", 422, "bad-field", "parent"), ("/api/v1/tasks?strategy=none", 422, "bad-field", "strategy"),
            ("/api/v1/tasks?state=%zz", 400, "bad-request", None), ("/api/v1/tasks?state=%00", 400, "bad-request", None),
            ("/healthz?verbose=1", 422, "unknown-field", "verbose"), ("/metrics?x", 422, "unknown-field", "x"),
            (f"/api/v1/tasks/{NO_ID}?wait=-1", 422, "bad-field", "wait"), (f"/api/v1/tasks/{NO_ID}?wiat=1", 422, "unknown-field", "wiat"),
            (f"/api/v1/tasks/{NO_ID}/results?offset=-1", 422, "bad-field", "offset"),
            (f"/api/v1/tasks/{NO_ID}/results?limit=0", 422, "bad-field", "limit"),
            ("/recommendations?items_count=-1", 422, "bad-field", "items_count"), ("/recommendations?probe=maybe", 422, "bad-field", "probe"),
            ("/recommendations?params=%7B", 422, "bad-field", "params"), ("/recommendations?handler=none", 422, "no-handler", "/handler"),
            ("/recommendations?params=%7B%22x%22%3A1%7D", 422, "unknown-field", "/params/x"),
            ("/compare?strategies=hybrid,none", 422, "bad-field", "strategies")):
        refused(w, "GET", path, status, slug, pointer)
    refused(w, "DELETE", f"/api/v1/tasks/{NO_ID}?force=1", 422, "unknown-field", "force")
    refused(w, "GET", "/api/v1/tasks?handler=" + "x" * 5000, 413, "too-large")
    many = "&".join(f"a{i}=1" for i in range(70))
    refused(w, "GET", f"/api/v1/tasks?{many}", 413, "too-large")


def t11_accept(w):
    "results in a media type that there is not"
    id = w.submit("sequential", handler="echo", items_count=1)
    refused(w, "GET", f"/api/v1/tasks/{id}/results", 406, "not-acceptable", None, None, {"Accept": "text/csv"})


def t12_a_cursor_of_other_filters(w):
    "a cursor with other filters than its own"
    for _ in range(2):
        w.finished(w.submit("sequential", handler="echo", items_count=1))
    cursor = w.call("GET", "/api/v1/tasks?limit=1")[2]["next_cursor"]
    assert w.call("GET", f"/api/v1/tasks?limit=1&cursor={cursor}")[0] == 200
    refused(w, "GET", f"/api/v1/tasks?limit=1&state=failed&cursor={cursor}", 422, "bad-field", "cursor")


def t13_head_has_no_effect(w):
    "HEAD of a GET that begins work is refused, and no work begins"
    before = str(w.pg.sql("select count(*) from tasks"))
    for path, allow in (("/compare?items_count=1", "GET, POST, OPTIONS"), ("/recommendations?probe=true", "GET, OPTIONS"),
                        ("/api/v1/tasks/recommendations?probe=true", "GET, OPTIONS")):
        status, headers, text = w.raw("HEAD", path)
        assert (status, headers["Allow"], text) == (405, allow, b""), (path, status, dict(headers))
    assert str(w.pg.sql("select count(*) from tasks")) == before


def t99_nothing_was_written(w):
    "nothing of all that is in the database"
    rows = w.pg.sql("select count(*) from tasks where handler not in ('echo', 'simulate')")
    assert int(str(rows).strip().strip("[](),'")) == 0, rows


if __name__ == "__main__":
    main(globals(), setup=Web)
