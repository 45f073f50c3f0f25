/*
 * Two and three sessions that finish, release, reap, cancel and claim at once, in every order of their steps. A step is
 * a call in an open transaction, or its commit. Whatever the order: nobody deadlocks, no unit is lost or held twice, and
 * what is left can be worked off, after which every task is final.
 */
#include "../lib/test.h"

#include <poll.h>
#include <string.h>

#include "core/clock.h"
#include "store/inside.h"
#include "store_bench.h"

#define SESSIONS 3
#define PATIENCE_MS 20000

/* Ids that can be written down: task t, lease l. */
#define ID(n) "00000000-0000-7000-8000-00000000000" #n
#define P ID(1) /* the parent */
#define T ID(2) /* the task that it is about */
#define U ID(3) /* another: a sibling where there is a parent */
#define V ID(4)
#define W ID(5) /* one that is submitted meanwhile */
#define L1 ID(a)
#define L2 ID(b)

#define FINISH(lease, seq, state, again)                                                       \
    "SELECT * FROM lathe_finish(0, '{" lease "}', '{" T "}', '{" seq "}', '{" state            \
    "}', '{1}', '{0}', '{0}', '{1}', '{1}', "                                                  \
    "'{1}', '{1}', '{1}', '{1}', '{1}', '{0}', '{0}', '{0}', '{item-failed}', '{x}', '{" again \
    "}', '{1}', '{1}', '{0}', '{0}', '{\"\"}')"

/* As the only unit of its task; T of other fixtures has several, or a parent, and is not finished so. */
#define FINISH_MANY                                                                                         \
    "SELECT * FROM lathe_finish_many(0, '{" L1 "}', ARRAY(SELECT id FROM tasks WHERE id = '" T              \
    "' AND units_total = 1 AND parent IS NULL), 'x', '{1}', '{1}', '{}', '{1}', '{}', '{}', '{1}', '{1}', " \
    "'{1}', '{1}', '{1}', '{1}', '{1}', '{}', '{0}', '{0}', '{}', '{}', '{}')"

/* And where its lease lists it is known. */
#define FINISH_AT                                                                                           \
    "SELECT * FROM lathe_finish_many(0, '{" L1 "}', ARRAY(SELECT 1::bigint FROM tasks WHERE id = '" T       \
    "' AND units_total = 1 AND parent IS NULL), ARRAY(SELECT id FROM tasks WHERE id = '" T                  \
    "' AND units_total = 1 AND parent IS NULL), 'x', '{1}', '{1}', '{}', '{1}', '{}', '{}', '{1}', '{1}', " \
    "'{1}', '{1}', '{1}', '{1}', '{1}', '{}', '{0}', '{0}', '{}', '{}', '{}')"

/* The same, and all of its lease as well; a lease that is gone or has more units is left to lathe_finish_alone. */
#define FINISH_ONE                                                                            \
    "SELECT * FROM lathe_finish_one(0, '" L1 "', (SELECT coalesce(max(id::text)::uuid, '" ID( \
        f) "') FROM tasks WHERE id = '" T                                                     \
           "' AND units_total = 1 AND parent IS NULL), 'x', 0, 1, 0, 0, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0, NULL, NULL)"

/* A call of one session. */
static const struct op {
    const char *name, *sql;
    enum { OF_ANY, OF_PLAIN, OF_LIMITED, OF_FOLLOWED } of; /* which fixtures it is played with */
} ops[] = {
    {"finish", FINISH(L1, "0", "succeeded", "NULL"), OF_ANY},
    {"finish-many", FINISH_MANY, OF_PLAIN},
    {"finish-at", FINISH_AT, OF_PLAIN},
    {"finish-one", FINISH_ONE, OF_PLAIN},
    {"fail", FINISH(L1, "0", "failed", "NULL"), OF_ANY},
    {"again", FINISH(L1, "0", "failed", "0"), OF_ANY},
    {"wake", "SELECT * FROM lathe_wake_due(10)", OF_ANY}, /* lathe_wake looks first whether anything is due */
    {"finish-other", FINISH(L2, "1", "succeeded", "NULL"), OF_ANY},
    {"release", "SELECT lathe_release('{" L1 "}', NULL, NULL, 0, 3)", OF_ANY},
    {"release-two", "SELECT lathe_release('{" L2 "," L1 "}', NULL, NULL, 0, 3)", OF_PLAIN},
    {"reap", "SELECT * FROM lathe_reap(3, 10)", OF_ANY},
    {"reap-last", "SELECT * FROM lathe_reap(1, 10)", OF_ANY},
    {"cancel", "SELECT lathe_cancel('" T "')", OF_ANY},
    {"cancel-parent", "SELECT lathe_cancel('" P "')", OF_PLAIN},
    {"place", "SELECT test_limited('" W "', 1, false); SELECT lathe_place('{" W "}')", OF_LIMITED},
    {"tidy", "SELECT lathe_tidy(10)", OF_LIMITED},
    {"put-dependent", "SELECT test_put('" W "', 'scheduled', '{\"depends_on\": [\"" T "\"]}')", OF_FOLLOWED},
    {"put-unique", "SELECT test_put(gen_random_uuid(), 'queued', '{\"unique\": {\"key\": \"k\"}}')",
     OF_FOLLOWED},
    {"claim", NULL, OF_ANY}, /* the statement of claim.c */
};

static const struct op retries[] = {
    {"retry", "SELECT lathe_retry('{" T "}', false)", OF_ANY},
    {"retry-failed", "SELECT lathe_retry('{" T "," U "}', true)", OF_ANY},
};

/* What is there before. Leases are expired, so that a reaper has something to do; everybody else does not look. */
static const struct fixture {
    const char *name, *sql; /* the name of those with a limit begins so */
} fixtures[] = {
    {"single", "SELECT test_task('" T "', NULL, 0, 'queued', 1, false); SELECT test_task('" U
               "', NULL, 0, 'queued', 1, false);"
               "SELECT lathe_enter(ARRAY['" U "'::uuid]); SELECT test_lease('" L1 "', '" T "', 0)"},
    {"units",
     "SELECT test_task('" T "', NULL, 0, 'queued', 3, false); SELECT test_lease('" L1 "', '" T "', 0);"
     "SELECT test_lease('" L2 "', '" T "', 1); SELECT test_work('" T "', 2)"},
    {"fail-fast",
     "SELECT test_task('" T "', NULL, 0, 'queued', 3, true); SELECT test_lease('" L1 "', '" T "', 0);"
     "SELECT test_lease('" L2 "', '" T "', 1); SELECT test_work('" T "', 2)"},
    {"child",
     "SELECT test_parent('" P "', 3); SELECT test_task('" T "', '" P "', 0, 'queued', 1, false);"
     "SELECT test_task('" U "', '" P "', 1, 'scheduled', 2, false);"
     "SELECT test_task('" V "', '" P "', 2, 'scheduled', 1, false); SELECT test_lease('" L1 "', '" T "', 0)"},
    {"last-child",
     "SELECT test_parent('" P "', 1); SELECT test_task('" T "', '" P "', 0, 'queued', 2, false);"
     "SELECT test_lease('" L1 "', '" T "', 0); SELECT test_lease('" L2 "', '" T "', 1)"},
    /* a chain behind work that is there once, and whose end is told */
    {"followed",
     "SELECT test_task('" T "', NULL, 0, 'queued', 1, false); SELECT test_lease('" L1 "', '" T "', 0);"
     "UPDATE tasks SET terms = '{\"unique\": {\"key\": \"k\"}, \"callback\": {\"url\": \"http://example.com/\"}}' WHERE id = '" T
     "';"
     "INSERT INTO uniques VALUES (lathe_unique_key('h', 'k'), '" T "', now(), now() + interval '1 hour');"
     "SELECT test_put('" U "', 'scheduled', '{\"depends_on\": [\"" T "\"]}');"
     "SELECT test_put('" V "', 'scheduled', '{\"depends_on\": [\"" U "\", \"" T "\"]}')"},
    /* two are inside, and two wait */
    {"limited", "SELECT test_limited('" T "', 3, false); SELECT test_limited('" U
                "', 1, false); SELECT test_gate('" T "', '" U "')"},
    {"limited-fast", "SELECT test_limited('" T "', 3, true); SELECT test_limited('" U
                     "', 1, false); SELECT test_gate('" T "', '" U "')"},
};

/* A task that failed under a lease which it shares with another that goes on; one of its units succeeded. */
static const struct fixture over = {
    "over",
    "SELECT test_task('" T "', NULL, 0, 'queued', 2, false); SELECT test_task('" U
    "', NULL, 0, 'queued', 1, false);"
    "INSERT INTO leases VALUES ('" L1 "', '" L1 "', now(), now() - interval '1 hour', 1, '{" T "," U
    "}', '{0,0}', '{1,1}', "
    "'{0,0}', '{0,0}', '{1,1}');"
    "INSERT INTO results VALUES ('" T "', '" L1 "', 0, 0, 0, '{\"index\":0,\"state\":\"failed\"}\n'),"
    "('" T "', '" L2 "', 1, 0, 1, '{\"index\":1,\"state\":\"succeeded\"}\n');"
    "UPDATE tasks SET state = 'failed', units_done = 2, units_failed = 1, items_done = 2, items_failed = 1, finished_at = now() "
    "WHERE id = '" T "'"};

static const char helpers[] =
    "CREATE OR REPLACE FUNCTION test_task(id uuid, parent uuid, ord int, state task_state, units int, fast boolean) "
    "RETURNS void LANGUAGE sql AS $$ INSERT INTO tasks (id, parent, digest, item_timeout_ms, timeout_ms, state, ord, "
    "items_total, units_total, unit_size, batch_size, workers, priority, container, fail_fast, handler, strategy, "
    "inner_strategy, queue, params, tags, meta) VALUES (id, parent, 0, 0, 0, state, ord, units, units, 1, 1, 1, 5, false, "
    "fast, 'h', 's', '', 'default', '', '', '') ON CONFLICT DO NOTHING $$;"
    "CREATE OR REPLACE FUNCTION test_parent(id uuid, children int) RETURNS void LANGUAGE sql AS $$ INSERT INTO tasks (id, "
    "digest, item_timeout_ms, timeout_ms, state, ord, items_total, units_total, unit_size, batch_size, workers, priority, "
    "container, fail_fast, handler, strategy, inner_strategy, queue, params, tags, meta) VALUES (id, 0, 0, 0, 'running', 0, "
    "9, children, 1, 1, 1, 5, true, false, 'h', 'compare', '', 'default', '', '', '') $$;"
    "CREATE OR REPLACE FUNCTION test_put(new uuid, state task_state, terms jsonb) RETURNS void LANGUAGE plpgsql AS $$ BEGIN "
    "INSERT INTO tasks (id, digest, item_timeout_ms, timeout_ms, state, ord, items_total, units_total, unit_size, batch_size, "
    "workers, priority, container, fail_fast, handler, strategy, inner_strategy, queue, params, tags, meta, terms) VALUES (new, "
    "0, 0, 0, state, 0, 1, 1, 1, 1, 1, 5, false, false, 'h', 's', '', 'default', '', '', '', terms) ON CONFLICT DO NOTHING; "
    "PERFORM lathe_place(ARRAY[new]); END $$;"
    "CREATE OR REPLACE FUNCTION test_pair(one uuid, other uuid, its text, others text) RETURNS void LANGUAGE plpgsql AS $$ BEGIN "
    "PERFORM test_task(one, NULL, 0, 'queued', 2, false); PERFORM test_task(other, NULL, 0, 'scheduled', 2, false); "
    "UPDATE tasks SET terms = jsonb_build_object('tenant', its) WHERE id = one; "
    "UPDATE tasks SET terms = jsonb_build_object('tenant', others, 'depends_on', jsonb_build_array('" T
    "')) WHERE id = other; PERFORM lathe_place(ARRAY[one, other]); END $$;"
    "CREATE OR REPLACE FUNCTION test_work(task uuid, seq int) RETURNS void LANGUAGE sql AS $$ INSERT INTO work VALUES "
    "(task, now(), seq, seq, 1, 0, 1, 0, 'default') $$;"
    "CREATE OR REPLACE FUNCTION test_lease(id uuid, task uuid, seq int) RETURNS void LANGUAGE sql AS $$ INSERT INTO leases "
    "VALUES (id, id, now(), now() - interval '1 hour', 1, ARRAY[task], ARRAY[seq], ARRAY[1], ARRAY[0], ARRAY[seq], ARRAY[1]) $$;"
    "CREATE OR REPLACE FUNCTION test_limited(task uuid, units int, fast boolean) RETURNS void LANGUAGE sql AS $$ "
    "SELECT test_task(task, NULL, 0, 'queued', units, fast); "
    "UPDATE tasks SET terms = '{\"limit\":{\"key\":\"k\",\"concurrency\":2}}' WHERE id = task AND terms IS NULL $$;"
    "CREATE OR REPLACE FUNCTION test_gate(task uuid, other uuid) RETURNS void LANGUAGE sql AS $$ "
    "SELECT lathe_define(ARRAY[task]); SELECT test_lease('" L1 "', task, 0); SELECT test_lease('" L2
    "', task, 1); "
    "INSERT INTO inside VALUES ('key/k', task, 0), ('key/k', task, 1); "
    "INSERT INTO waiting VALUES (task, now(), now(), 2, 2, 1, 0, 1, 0, 'default', 'key/k'), "
    "(other, now(), now(), 0, 0, 1, 0, 1, 0, 'default', 'key/k') $$;";

/* One row a rule that is broken. */
static const char rules[] =
    "WITH done AS (SELECT task, seq FROM results WHERE part = 0 UNION ALL SELECT id, 0 FROM tasks WHERE lease IS NOT NULL), "
    "held AS (SELECT l.id, u.task, u.seq FROM leases l, unnest(l.tasks, l.seqs) u(task, seq) WHERE NOT EXISTS "
    "(SELECT FROM done r WHERE r.task = u.task AND r.seq = u.seq)), "
    "places AS (SELECT task, seq FROM work UNION ALL SELECT task, seq FROM waiting UNION ALL SELECT task, seq FROM held UNION ALL "
    "SELECT task, seq FROM done) "
    "SELECT 'a unit is in two places' FROM places GROUP BY task, seq HAVING count(*) > 1 "
    "UNION ALL SELECT 'units do not add up' FROM tasks t WHERE NOT container AND state <> 'scheduled' AND units_total <> "
    "units_done + (SELECT count(*) FROM work w WHERE w.task = t.id) + (SELECT count(*) FROM waiting w WHERE w.task = t.id) + (SELECT count(*) FROM held h WHERE h.task = t.id) "
    "UNION ALL SELECT 'a task is over and is not' FROM tasks t WHERE lathe_final(state) <> (units_done = units_total) "
    "UNION ALL SELECT 'a lease miscounts' FROM leases l WHERE remaining <> (SELECT count(*) FROM held h WHERE h.id = l.id) "
    "UNION ALL SELECT 'a cancelled task goes on' FROM tasks t JOIN work w ON w.task = t.id WHERE t.cancelling "
    "UNION ALL SELECT 'a cancelled task waits' FROM tasks t JOIN waiting w ON w.task = t.id WHERE t.cancelling "
    "UNION ALL SELECT 'more inside than may be' FROM inside GROUP BY gate HAVING count(*) > 2 "
    "UNION ALL SELECT 'inside, and nowhere' FROM inside i WHERE NOT EXISTS (SELECT FROM work w WHERE (w.task, w.seq) = (i.task, "
    "i.seq)) AND NOT EXISTS (SELECT FROM held h WHERE (h.task, h.seq) = (i.task, i.seq)) "
    "UNION ALL SELECT 'at work, and not inside' FROM (SELECT task, seq FROM work UNION ALL SELECT task, seq FROM held) u JOIN tasks t "
    "ON t.id = u.task WHERE t.terms ? 'limit' AND NOT EXISTS (SELECT FROM inside i WHERE (i.task, i.seq) = (u.task, u.seq)) "
    "UNION ALL SELECT 'waits before an open gate' FROM waiting w JOIN gates g ON g.name = w.gate WHERE (SELECT count(*) FROM inside i "
    "WHERE i.gate = g.name) < g.concurrency "
    "UNION ALL SELECT 'an end is not told once' FROM tasks t WHERE t.terms ? 'callback' AND lathe_final(t.state) AND 1 <> "
    "(SELECT count(*) FROM tasks d WHERE d.handler = 'webhook' AND d.meta::jsonb ->> 'task' = t.id::text) "
    "UNION ALL SELECT 'a scheduled task has work' FROM tasks t JOIN work w ON w.task = t.id WHERE t.state = 'scheduled' "
    "UNION ALL SELECT 'a parent has no child in turn' FROM tasks p WHERE container AND NOT lathe_final(state) AND 1 <> "
    "(SELECT count(*) FROM tasks c WHERE c.parent = p.id AND c.state IN ('queued', 'running')) "
    "UNION ALL SELECT 'the same work is there twice' FROM tasks t WHERE t.terms -> 'unique' IS NOT NULL AND NOT lathe_final(t.state) "
    "GROUP BY t.terms -> 'unique' HAVING count(*) > 1 "
    "UNION ALL SELECT 'what waits is forgotten' FROM tasks t WHERE t.terms -> 'depends_on' IS NOT NULL AND t.state = 'scheduled' "
    "AND NOT EXISTS (SELECT FROM checks c WHERE c.task = t.id) AND (NOT EXISTS (SELECT FROM deps d WHERE d.task = t.id) OR EXISTS "
    "(SELECT FROM deps d JOIN tasks n ON n.id = d.needs WHERE d.task = t.id AND (lathe_final(n.state) OR NOT n.followed))) "
    "UNION ALL SELECT 'it runs before what it needs' FROM tasks t, jsonb_array_elements_text(t.terms -> 'depends_on') d(id) JOIN "
    "tasks n ON n.id = d.id::uuid WHERE t.state IN ('queued', 'running', 'succeeded') AND n.state <> 'succeeded' "
    "UNION ALL SELECT 'a parent is over before its children' FROM tasks p JOIN tasks c ON c.parent = p.id "
    "WHERE lathe_final(p.state) AND NOT lathe_final(c.state)";

struct session {
    PGconn *conn;
    int pid;
    const struct op *op;
    int next;  /* step: 0 call, 1 commit, 2 over */
    bool busy; /* sent, not answered */
};

static struct session sessions[SESSIONS];
static char trace[512];

static void note(const char *what)
{
    size_t len = strlen(trace);
    snprintf(trace + len, sizeof trace - len, " %s", what);
}

/* ---- steps ---- */

static void send_claim(PGconn *c)
{
    static unsigned claims;
    char lease[64];
    snprintf(lease, sizeof lease, "00000000-0000-7000-8000-0001%08x", ++claims);
    const char *values[] = {lease, L1, "600000", "{default}", "f", "10", "100", NULL, L1, "0"};
    assert_true(PQsendQueryParams(c, claim_stmt.sql, COUNT_OF(values), NULL, values, NULL, NULL, 0));
}

static void send_step(struct session *s)
{
    char text[64];
    snprintf(text, sizeof text, "%s%s", s->op->name, s->next == 0 ? "" : "/commit");
    note(text);
    if (s->next == 1) {
        assert_true(PQsendQuery(s->conn, "COMMIT"));
    } else {
        char sql[1024];
        snprintf(sql, sizeof sql, "BEGIN; %s", s->op->sql ? s->op->sql : "");
        if (s->op->sql) {
            assert_true(PQsendQuery(s->conn, sql));
        } else {
            PQclear(PQexec(s->conn, sql));
            send_claim(s->conn);
        }
    }
    s->busy = true;
}

static void take_result(struct session *s)
{
    PGresult *r;
    while ((r = PQgetResult(s->conn))) {
        if (PQresultStatus(r) != PGRES_TUPLES_OK && PQresultStatus(r) != PGRES_COMMAND_OK)
            fail_msg("%s: %s", trace, PQresultErrorMessage(r));
        PQclear(r);
    }
    s->busy = false;
    s->next++;
}

static bool is_blocked(struct store_bench *b, const struct session *s)
{
    char sql[96];
    snprintf(sql, sizeof sql, "SELECT cardinality(pg_blocking_pids(%d))", s->pid);
    return bench_number(b, sql) > 0;
}

/* Until the session has its answer, or waits for another one. */
static void settle(struct store_bench *b, struct session *s)
{
    int64_t deadline = clock_after_ms(PATIENCE_MS);
    while (s->busy) {
        struct pollfd p = {.fd = PQsocket(s->conn), .events = POLLIN};
        poll(&p, 1, 2);
        assert_true(PQconsumeInput(s->conn));
        if (!PQisBusy(s->conn))
            take_result(s);
        else if (is_blocked(b, s))
            return;
        assert_true(clock_now() < deadline);
    }
}

static void settle_all(struct store_bench *b)
{
    for (int i = 0; i < SESSIONS; i++)
        settle(b, &sessions[i]);
}

/* ---- an order ---- */

/* order: whose turn it is. A session that waits for another one is passed over, and comes at the end. */
static void play(struct store_bench *b, const int *order, int steps)
{
    for (int i = 0; i < steps; i++) {
        struct session *s = &sessions[order[i]];
        settle_all(b);
        if (!s->busy && s->next < 2)
            send_step(s);
        settle(b, s);
    }
    int64_t deadline = clock_after_ms(PATIENCE_MS);
    for (bool left = true; left;) {
        left = false;
        settle_all(b);
        for (int i = 0; i < SESSIONS; i++) {
            struct session *s = &sessions[i];
            if (!s->op || s->next == 2)
                continue;
            left = true;
            if (!s->busy)
                send_step(s);
            settle(b, s);
        }
        assert_true(clock_now() < deadline);
    }
}

static void check_rules(struct store_bench *b)
{
    PGresult *r = PQexecPrepared(b->admin, "rules", 0, NULL, NULL, NULL, 0);
    if (PQresultStatus(r) != PGRES_TUPLES_OK)
        fail_msg("%s", PQresultErrorMessage(r));
    if (PQntuples(r) > 0)
        fail_msg("%s:%s", PQgetvalue(r, 0, 0), trace);
    PQclear(r);
}

/* Works off what is left: every lease comes back, every unit is claimed and finished. */
static void work_off(struct store_bench *b)
{
    for (int round = 0; round < 10; round++) {
        if (bench_number(b, "SELECT count(*) FROM tasks WHERE NOT lathe_final(state)") == 0)
            return;
        bench_sql(b, "SELECT lathe_release(array_agg(id), NULL, NULL, 0, 3) FROM leases");
        bench_sql(b, "UPDATE waiting SET run_at = now()");
        bench_sql(b, "SELECT lathe_wake(1000)");
        struct claim c = bench_claim(b, 100);
        if (c.count == 0)
            break;
        struct finish ends[100];
        for (size_t i = 0; i < c.count; i++)
            ends[i] = bench_end(b, &c.units[i], TASK_succeeded, 0);
        bench_finish(b, ends, c.count);
        claim_release(&c);
    }
    if (bench_number(b, "SELECT count(*) FROM tasks WHERE NOT lathe_final(state)") > 0)
        fail_msg("a task is stuck:%s", trace);
    check_rules(b);
}

static void begin(struct store_bench *b, const struct fixture *f, const struct op *const *chosen, int n)
{
    snprintf(trace, sizeof trace, " %s:", f->name);
    char sql[2048];
    snprintf(
        sql, sizeof sql,
        "DELETE FROM tasks; DELETE FROM work; DELETE FROM waiting; DELETE FROM leases; DELETE FROM results; "
        "DELETE FROM uniques; DELETE FROM deps; DELETE FROM checks; DELETE FROM dead; DELETE FROM gates; DELETE "
        "FROM inside; DELETE FROM expiring; DELETE FROM tenants; %s",
        f->sql);
    bench_sql(b, sql);
    for (int i = 0; i < SESSIONS; i++) {
        sessions[i].op = i < n ? chosen[i] : NULL;
        sessions[i].next = 0;
        sessions[i].busy = false;
    }
}

static void try_order(struct store_bench *b, const struct fixture *f, const struct op *const *chosen, int n,
                      const int *order)
{
    begin(b, f, chosen, n);
    play(b, order, n * 2);
    check_rules(b);
    work_off(b);
}

/* A number for what is in all tables that a call may change. */
static const char contents_sql[] =
    "SELECT hashtextextended(coalesce(string_agg(x, '' ORDER BY x), ''), 0) FROM (SELECT t::text FROM tasks t "
    "UNION ALL SELECT t::text FROM work t UNION ALL SELECT t::text FROM waiting t UNION ALL "
    "SELECT t::text FROM leases t UNION ALL SELECT t::text FROM results t UNION ALL SELECT t::text FROM uniques t "
    "UNION ALL SELECT t::text FROM deps t UNION ALL SELECT t::text FROM checks t UNION ALL SELECT t::text FROM dead t "
    "UNION ALL SELECT t::text FROM gates t UNION ALL SELECT t::text FROM inside t UNION ALL "
    "SELECT t::text FROM expiring t) rows(x)";

static int64_t contents(struct store_bench *b)
{
    PGresult *r = PQexecPrepared(b->admin, "contents", 0, NULL, NULL, NULL, 0);
    if (PQresultStatus(r) != PGRES_TUPLES_OK)
        fail_msg("%s", PQresultErrorMessage(r));
    int64_t number = 0;
    assert_true(span_to_int(span_of(PQgetvalue(r, 0, 0)), &number));
    PQclear(r);
    return number;
}

/* Whether a call changes anything, alone or after another one. */
static bool does(struct store_bench *b, const struct fixture *f, const struct op *first, const struct op *o)
{
    static const int whole[] = {0, 0};
    begin(b, f, &first, first ? 1 : 0);
    play(b, whole, first ? 2 : 0);
    int64_t before = contents(b);
    sessions[0] = (struct session){.conn = sessions[0].conn, .pid = sessions[0].pid, .op = o};
    play(b, whole, 2);
    return contents(b) != before;
}

/* Every way to merge the two steps of each of n sessions. */
static void all_orders(struct store_bench *b, const struct fixture *f, const struct op *const *chosen, int n,
                       int *order, int at, int *used)
{
    if (at == n * 2) {
        try_order(b, f, chosen, n, order);
        return;
    }
    for (int s = 0; s < n; s++) {
        if (used[s] == 2)
            continue;
        if (s > 0 && chosen[s] == chosen[s - 1] && used[s] == used[s - 1])
            continue; /* the same the other way round */
        used[s]++;
        order[at] = s;
        all_orders(b, f, chosen, n, order, at + 1, used);
        used[s]--;
    }
}

static void play_all(struct store_bench *b, const struct fixture *f, const struct op *const *chosen, int n)
{
    int order[2 * SESSIONS], used[SESSIONS] = {0};
    all_orders(b, f, chosen, n, order, 0, used);
}

static const struct op *op(const char *name)
{
    for (size_t i = 0; i < COUNT_OF(ops); i++)
        if (strcmp(ops[i].name, name) == 0)
            return &ops[i];
    fail_msg("no op %s", name);
    return NULL;
}

/* ---- tests ---- */

static int setup(void **state)
{
    store_bench_setup(state);
    struct store_bench *b = *state;
    bench_sql(b, helpers);
    bench_sql(b, "SET jit = off; SET plan_cache_mode = force_generic_plan");
    PQclear(
        PQprepare(b->admin, "rules", rules, 0, NULL)); /* planned once: they are asked thousands of times */
    PQclear(PQprepare(b->admin, "contents", contents_sql, 0, NULL));
    for (int i = 0; i < SESSIONS; i++) {
        sessions[i].conn = PQconnectdb(test_pg());
        assert_int_equal(PQstatus(sessions[i].conn), CONNECTION_OK);
        sessions[i].pid = PQbackendPID(sessions[i].conn);
    }
    return 0;
}

static int teardown(void **state)
{
    for (int i = 0; i < SESSIONS; i++)
        PQfinish(sessions[i].conn);
    return store_bench_teardown(state);
}

static bool fits(const struct op *o, const struct fixture *f)
{
    struct span name = span_of(f->name);
    if (span_is(name, "limited-fast"))
        return false; /* only among three */
    return o->of == OF_ANY || o->of == (span_starts(name, "limited") ? OF_LIMITED
                                        : span_is(name, "followed")  ? OF_FOLLOWED
                                                                     : OF_PLAIN);
}

/* Two of which one does nothing here, neither alone nor after the other, cannot get into each other's way. */
static bool meet(struct store_bench *b, const struct fixture *f, const struct op *one, const struct op *two)
{
    return (does(b, f, NULL, one) || does(b, f, two, one)) && (does(b, f, NULL, two) || does(b, f, one, two));
}

static void t01_every_pair(void **state)
{
    for (size_t f = 0; f < COUNT_OF(fixtures); f++)
        for (size_t i = 0; i < COUNT_OF(ops); i++)
            for (size_t k = i; k < COUNT_OF(ops); k++)
                if (fits(&ops[i], &fixtures[f]) && fits(&ops[k], &fixtures[f]) &&
                    meet(*state, &fixtures[f], &ops[i], &ops[k]))
                    play_all(*state, &fixtures[f], (const struct op *const[]){&ops[i], &ops[k]}, 2);
}

static void t02_some_triples(void **state)
{
    static const struct {
        const char *fixture, *ops[3];
    } triples[] = {{"units", {"finish", "reap", "cancel"}},
                   {"units", {"finish", "finish-other", "cancel-parent"}},
                   {"units", {"release-two", "finish-other", "cancel"}},
                   {"units", {"release", "reap", "cancel"}},
                   {"last-child", {"finish", "reap", "cancel"}},
                   {"last-child", {"finish", "finish-other", "cancel-parent"}},
                   {"last-child", {"release-two", "finish-other", "cancel"}},
                   {"last-child", {"release", "reap", "cancel"}},
                   {"limited", {"finish", "finish-other", "place"}},
                   {"limited", {"finish", "cancel", "place"}},
                   {"limited", {"again", "reap", "wake"}},
                   {"limited-fast", {"fail", "cancel", "place"}},
                   {"followed", {"fail", "put-dependent", "wake"}},
                   {"followed", {"cancel", "put-dependent", "reap-last"}}};
    for (size_t i = 0; i < COUNT_OF(triples); i++)
        for (size_t f = 0; f < COUNT_OF(fixtures); f++)
            if (strcmp(fixtures[f].name, triples[i].fixture) == 0)
                play_all(*state, &fixtures[f],
                         (const struct op *const[]){op(triples[i].ops[0]), op(triples[i].ops[1]),
                                                    op(triples[i].ops[2])},
                         3);
}

/* Ends what nobody has begun in time, here of the tasks T and U; only beside those that may meet it. */
static void t03_expire(void **state)
{
    static const struct op expire = {"expire", "SELECT * FROM lathe_expire(10)", OF_ANY};
    static const char *const beside[] = {"finish", "again", "wake", "release-two", "reap", "cancel", "claim"};
    for (size_t f = 0; f < COUNT_OF(fixtures); f++) {
        if (strstr("single units limited", fixtures[f].name) == NULL)
            continue;
        char sql[2048];
        snprintf(sql, sizeof sql,
                 "%s; INSERT INTO expiring SELECT now() - interval '1 hour', id FROM tasks WHERE id IN ('" T
                 "', '" U "')",
                 fixtures[f].sql);
        const struct fixture late = {fixtures[f].name, sql};
        for (size_t i = 0; i < COUNT_OF(beside); i++)
            play_all(*state, &late, (const struct op *const[]){&expire, op(beside[i])}, 2);
        play_all(*state, &late, (const struct op *const[]){&expire, &expire}, 2);
    }
}

static void t04_running_again(void **state)
{
    const struct fixture *const places[] = {&over, &fixtures[1]};
    for (size_t f = 0; f < COUNT_OF(places); f++)
        for (size_t r = 0; r < COUNT_OF(retries); r++) {
            for (size_t i = 0; i < COUNT_OF(ops); i++)
                if (fits(&ops[i], places[f]))
                    play_all(*state, places[f], (const struct op *const[]){&ops[i], &retries[r]}, 2);
            play_all(*state, places[f], (const struct op *const[]){&retries[0], &retries[r]}, 2);
        }
    play_all(*state, &over, (const struct op *const[]){op("finish"), op("cancel"), &retries[1]}, 3);
}

/* A task of one tenant and, since what it needs is over, one of another's: each asks for two clocks, one after the other; some
 * the other way round, or while somebody has one. */
static void t05_clocks_of_tenants(void **state)
{
    static const struct fixture fixture = {
        "tenants",
        "SELECT test_task('" T
        "', NULL, 0, 'queued', 1, false); UPDATE tasks SET state = 'succeeded', units_done = 1, "
        "finished_at = now() WHERE id = '" T "';"
        "INSERT INTO results VALUES ('" T "', '" L1 "', 0, 0, 0, '{}');"
        "INSERT INTO tenants VALUES ('default', 'a', now(), 1, false), ('default', 'b', now(), 1, false)"};
    static const struct op pairs[] = {
        {"place-a-b", "SELECT test_pair('" U "', '" V "', 'a', 'b')", OF_ANY},
        {"place-b-a", "SELECT test_pair('" P "', '" W "', 'b', 'a')", OF_ANY},
        {"place-a", "SELECT test_pair('" ID(6) "', '" ID(7) "', 'a', 'a')", OF_ANY},
        {"place-new", "SELECT test_pair('" ID(8) "', '" ID(9) "', 'c', 'a')", OF_ANY}};
    const struct op *wakes = op("wake");
    for (size_t i = 2; i < COUNT_OF(pairs); i++)
        play_all(*state, &fixture, (const struct op *const[]){&pairs[0], &pairs[1], &pairs[i]}, 3);
    play_all(*state, &fixture, (const struct op *const[]){&pairs[0], &pairs[1], wakes}, 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(t01_every_pair, setup, teardown),
        cmocka_unit_test_setup_teardown(t02_some_triples, setup, teardown),
        cmocka_unit_test_setup_teardown(t03_expire, setup, teardown),
        cmocka_unit_test_setup_teardown(t04_running_again, setup, teardown),
        cmocka_unit_test_setup_teardown(t05_clocks_of_tenants, setup, teardown)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
