"""Whether what was acknowledged has been done, once: by id, from the database and from the API.

    found = check(db, web, load)        # Found: lost, doubled, problems, …
"""
import json
import os
import re
import threading

from load import KINDS
from proc import ROOT, wait_until

RESULTS = """
SELECT task, convert_from(bytes, 'UTF8') FROM (
    SELECT task, seq, part, bytes FROM results UNION ALL SELECT id, 0, 0, result FROM tasks WHERE result IS NOT NULL) r
ORDER BY task, seq, part
"""
# Of a limit that lets in one at a time: those that began before the one before had ended.
CROWDED = """
SELECT id, started_at, before FROM (
    SELECT id, started_at, lag(finished_at) OVER (ORDER BY started_at) AS before FROM tasks WHERE tags LIKE '%gated%') t
WHERE started_at < before - interval '20 ms'
"""
# A key of unique work is kept for longer than a run takes: there is one task for each.
KEYS = "SELECT tags, count(*) FROM tasks WHERE tags LIKE '%once-%' GROUP BY tags HAVING count(*) > 1"
TASKS = """
SELECT id, state, items_total, items_done, items_failed, units_total, units_done,
    extract(epoch FROM created_at), extract(epoch FROM started_at), extract(epoch FROM finished_at), coalesce(error_code, ''), coalesce(error_text, ''),
    handler, tries
FROM tasks WHERE NOT container
"""

FAILS = {kind.body["handler"]: kind.fails for kind in KINDS.values() if kind.fails is not None}


class Found:
    def __init__(self):
        self.lost, self.doubled, self.problems = [], [], []
        self.finished = self.unsure = self.failed = 0

    def all(self):
        return ([f"lost: {x}" for x in self.lost] + [f"doubled: {x}" for x in self.doubled] + self.problems)


def rules():
    """What must hold at every moment, a row a rule that is broken: the statement of the test that plays every order of the
    store's calls, so that there is one list of it."""
    with open(os.path.join(ROOT, "tests", "integration", "test_store_orders.c")) as f:
        text = re.search(r'static const char rules\[\] =\s*((?:"(?:[^"\\]|\\.)*"\s*)+);', f.read())
    assert text, "tests/integration/test_store_orders.c has no rules"
    return "".join(re.findall(r'"((?:[^"\\]|\\.)*)"', text.group(1))).replace('\\"', '"')


def settled(db, seconds):
    """Until every task is final and nothing is queued, waiting or held."""
    sql = ("select (select count(*) from tasks where not lathe_final(state)), (select count(*) from work),"
           " (select count(*) from waiting), (select count(*) from leases), (select count(*) from inside),"
           " (select count(*) from deps)")
    left = []

    def over():
        try:
            left[:] = db.query(sql)
        except OSError as e:
            left[:] = [e]
            return False
        return left == [("0",) * 6]
    try:
        wait_until("", over, seconds, every=0.1)
    except AssertionError:
        raise AssertionError(f"after {seconds:.0f} s there are still unfinished tasks, work, waiting, leases, units inside gates, dependencies: {left}") from None


def check(db, web, load, failures=False):
    """Of what the load was told. `failures`: items may have failed, as when somebody kills the children that run them; they still have one line each."""
    found, acked = Found(), load.acked
    broken = db.query(rules())
    found.problems += [f"a rule of the store is broken: {text}" for text, in broken]
    tasks = {row[0]: row[1:] for row in db.query(TASKS)}
    lines = {}
    for task, text in db.query(RESULTS):
        lines.setdefault(task, []).extend(json.loads(line) for line in text.splitlines())
    for id, task in tasks.items():
        check_task(found, id, task, lines.get(id, []), acked.get(id), failures, load.own.get(id, 0))
    found.lost += [f"{id} ({acked[id].kind}) is not in the database" for id in acked if id not in tasks]
    found.lost += [f"{id}, which a fault sent, is not in the database" for id in load.own if id not in tasks]
    found.unsure = sum(id not in acked and id not in load.own for id in tasks) - db.number("select count(*) from tasks where tags like '%tick%'")
    found.finished = sum(id in tasks and tasks[id][0] != "cancelled" for id in acked) - len(found.lost)
    found.doubled += [f"{count} tasks of the unique key {key}" for key, count in db.query(KEYS)]
    for id, before in load.after.items():
        if id in tasks and before in tasks and float(tasks[id][7] or 0) < float(tasks[before][8] or 0) - 0.02:
            found.problems.append(f"{id} began at {tasks[id][7]}, but {before}, which it depends on, ended at {tasks[before][8]}")
    found.problems += [f"{id} began at {at} behind a gate for one, where the one before it ended at {end}" for id, at, end in db.query(CROWDED)]
    ask_api(found, web, acked, tasks)
    return found


def check_task(found, id, task, lines, ack, failures, fail=0):
    """`fail`: so many of its items are to fail."""
    state, total, done, failed, units, units_done, created, started, finished, code, detail, handler, tries = task
    what = f"{id} ({ack.kind if ack else 'never acknowledged'}) {state} {code}"
    got = [line["index"] for line in lines]
    if len(set(got)) < len(got):
        found.doubled.append(f"{what}: {len(got)} lines for {len(set(got))} items")
    if set(got) != set(range(int(total))):
        found.lost.append(f"{what}: lines of {len(set(got))} items of {total} {detail}")
    fails = FAILS.get(handler)
    if fails is not None and (state, tries) != ("failed", str(fails)):
        found.problems.append(f"{what} should have failed after {fails} retries, not {tries}")
    elif fails is None and state != "succeeded" and not (failures and state == "failed"):
        found.problems.append(f"{what} should have succeeded")
    if ack and int(total) != ack.items:
        found.problems.append(f"{what} has {total} items, not {ack.items}")
    bad = sum(line["state"] != "succeeded" for line in lines)
    found.failed += bad - fail if fails is None else 0
    if (int(done), int(failed), units_done) != (int(total), bad, units) or bad != fail and not failures and fails is None:
        found.problems.append(f"{what}: {done} items of {total} done, {failed} failed, {bad} lines of failures, "
                              f"{units_done} units of {units}")
    if not started or not float(created) - 2 <= float(started) <= float(finished) + 2:
        found.problems.append(f"{what}: created {created}, started {started}, finished {finished}")
    if ack and KINDS[ack.kind].inputs and not bad:
        if [line["result"] for line in lines] != KINDS[ack.kind].inputs[:len(lines)]:
            found.problems.append(f"{what}: results that are not its inputs")


# ---- through nginx


def ask_api(found, web, acked, tasks, threads=4):
    """What a user is told of each acknowledged task, and the answer that said it was over."""
    ids, lock = list(acked), threading.Lock()

    def ask():
        client = web.connect()
        while True:
            with lock:
                if not ids:
                    break
                id = ids.pop()
            try:
                said = one(web, client, id, acked[id], tasks.get(id))
            except (OSError, ValueError, KeyError) as e:
                said = [f"{id}: {type(e).__name__}: {e}"]
            with lock:
                found.problems += said
        client.close()
    workers = [threading.Thread(target=ask, daemon=True) for _ in range(threads)]
    for t in workers:
        t.start()
    for t in workers:
        t.join()


def one(web, client, id, ack, task):
    status, headers, text = web.raw("GET", f"/api/v1/tasks/{id}/results", headers={"Accept": "application/x-ndjson"}, client=client)
    if status != 200:
        return [f"{id} ({ack.kind}): the api answers {status}"]
    said = []
    got = [json.loads(line)["index"] for line in text.decode().splitlines()]
    if got != list(range(ack.items)):
        said.append(f"{id} ({ack.kind}): the api has {len(got)} lines, {len(set(got))} different, for {ack.items} items")
    if task and headers["Lathe-Task-State"] != task[0]:
        said.append(f"{id} ({ack.kind}): {headers['Lathe-Task-State']} at the api, {task[0]} in the database")
    if ack.document and task:
        d = ack.document
        if (d["state"], d["items"]["done"]) != (task[0], int(task[2])):
            said.append(f"{id} ({ack.kind}): was answered as {d['state']} with {d['items']}, is {task}")
    return said
