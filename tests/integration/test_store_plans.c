/*
 * The store on a PostgreSQL of its own: how its statements find their rows. A plan is made once, here on tables that are
 * empty, and must be right when they are not.
 *
 * log may say: canceling statement due to statement timeout|there is no counting this|canceling autovacuum task
 */
#include "../unit/unit.h"

#include <poll.h>
#include <string.h>

#include "core/mem.h"
#include "store/inside.h"
#include "store/rows.h"
#include "store_bench.h"

/* How often a table was read from end to end in this transaction. */
static const struct stmt scans_stmt = {
    "test_scans", "SELECT seq_scan FROM pg_stat_xact_user_tables WHERE relid = $1::text::regclass"};

static const struct stmt explain_get = {"test_explain_get", "EXPLAIN (COSTS off) EXECUTE get('{}')"};

static const struct stmt explain_get_ended = {"test_explain_get_ended",
                                              "EXPLAIN (COSTS off) EXECUTE get_ended('{}')"};

static const struct stmt explain_list = {"test_explain_list",
                                         "EXPLAIN (COSTS off) EXECUTE list(NULL, NULL, '', '', '', '', 10)"};

static const struct stmt explain_children = {
    "test_explain_children",
    "EXPLAIN (COSTS off) EXECUTE list_children(NULL, NULL, '', '', '', '', 10, NULL)"};

static const struct claim_place beginning = {.rank_us = 0};

static struct task make_task(struct store_bench *b)
{
    struct new_task n = bench_task(1, 1);
    bench_put_ok(b, &n, 1);
    return bench_get(b, n.id);
}

/* The session that the pool gives first is the one that the last call had. */
static void assert_plan(struct store_bench *b, const struct stmt *explain, const char *wanted)
{
    PGresult *r CLEANUP(db_result_clear) = NULL;
    struct err e = ERR_INIT;
    struct buf plan CLEANUP(buf_release) = BUF_INIT(MIB);
    if (!store_read(b->store, explain, NULL, &r, &e))
        fail_msg("%s", e.text);
    for (int i = 0; i < PQntuples(r); i++) {
        struct row row = row_at(r, i);
        buf_span(&plan, row_span(&row));
        buf_char(&plan, '\n');
    }
    struct span text = buf_view(&plan);
    if (!memmem(text.ptr, text.len, wanted, strlen(wanted)))
        fail_msg("not %s:\n" SPAN_FMT, wanted, SPAN_ARG(text));
}

static void t01_a_task_is_found_by_its_id(void **state)
{
    struct store_bench *b = *state;
    struct task t;
    struct err e = ERR_INIT;
    assert_false(store_get(b->store, &b->arena, uuid_v7(), &t, &e)); /* planned: nothing is there */
    assert_plan(b, &explain_get, "tasks_pkey");
    struct uuid id = uuid_v7();
    struct task *list;
    size_t n;
    assert_true(store_get_many(b->store, &b->arena, &id, 1, true, &list, &n, &e));
    assert_plan(b, &explain_get_ended, "tasks_pkey");
}

static void t01b_lists_stop_where_they_may(void **state)
{
    struct store_bench *b = *state;
    struct task *list;
    size_t n;
    struct uuid next;
    struct err e = ERR_INIT;
    struct task_filter f = {.limit = 10};
    assert_true(store_list(b->store, &b->arena, &f, &list, &n, &next, &e));
    assert_plan(b, &explain_list, "Index Scan Backward using tasks_pkey");
    f.parent = uuid_v7();
    assert_true(store_list(b->store, &b->arena, &f, &list, &n, &next, &e));
    assert_plan(b, &explain_children, "tasks_parent");
}

static void t02_a_cancel_reads_no_table(void **state)
{
    struct store_bench *b = *state;
    static const struct stmt cancel = {"test_cancel", "SELECT lathe_cancel($1::uuid)"};
    struct params id CLEANUP(params_release_at) = PARAMS_INIT;
    struct params table CLEANUP(params_release_at) = PARAMS_INIT;
    struct step steps[] = {{.stmt = &cancel, .params = &id},
                           {.stmt = &scans_stmt, .params = &table, .sync = true}};
    struct err e = ERR_INIT;
    struct task t = make_task(b);
    params_uuid(&id, t.id);
    params_text(&table, SPAN("tasks"));
    assert_true(store_run(b->store, steps, COUNT_OF(steps), &e));
    struct row row = row_at(steps[1].result, 0);
    assert_int_equal(row_int(&row), 0);
    db_steps_clear(steps, COUNT_OF(steps));
    STATE_IS(b, t.id, "cancelled");
}

/* A claim of some units does not read the inputs of the others. */
static const char fill_sql[] =
    "INSERT INTO tasks SELECT (s.r).* FROM (SELECT jsonb_populate_record(t, jsonb_build_object('id', gen_random_uuid())) "
    "AS r FROM tasks t, generate_series(1, 20000) WHERE t.id = (SELECT id FROM tasks ORDER BY id LIMIT 1) OFFSET 0) s";

static const char believed_sql[] = "SELECT reltuples::bigint FROM pg_class WHERE oid = 'tasks'::regclass";

static const char deleted_sql[] = "SELECT pg_stat_get_tuples_deleted('tasks'::regclass)";

static const char unlock_sql[] = "SELECT pg_advisory_unlock_all()";

static void look(struct store_bench *b)
{
    struct err e = ERR_INIT;
    b->worker->look_pause_ms = 0;
    if (!store_measure(b->worker, &e))
        fail_msg("%s", e.text);
}

/* Until nothing is under way any more, and PostgreSQL has done what it was told last. */
static void look_to_the_end(struct store_bench *b)
{
    int64_t give_up = clock_after_ms(60000);
    while (b->worker->sweeping) {
        struct err e = ERR_INIT;
        assert_true(clock_now() < give_up);
        poll(NULL, 0, 10);
        if (!store_measure(b->worker, &e))
            fail_msg("%s", e.text);
    }
}

static int64_t believed_then(struct store_bench *b)
{
    look(b);
    look_to_the_end(b);
    return bench_number(b, believed_sql);
}

/* Many tasks of which PostgreSQL knows nothing: rows of a transaction that is not over do not count when it measures a table, and it
 * takes it for an empty one. */
static PGconn *make_miscounted(struct store_bench *b)
{
    PGconn *other = PQconnectdb(test_pg());
    make_task(b);
    bench_sql(b, "BEGIN");
    bench_sql(b, fill_sql);
    PQclear(PQexec(other, "ANALYZE tasks"));
    bench_sql(b, "COMMIT");
    assert_true(bench_number(b, believed_sql) < 1000);
    return other;
}

/* Or an ANALYZE is told of it afterwards, as if it were new. */
static void await_deleted(struct store_bench *b, int64_t rows)
{
    for (int64_t give_up = clock_after_ms(60000); bench_number(b, deleted_sql) < rows; poll(NULL, 0, 50))
        assert_true(clock_now() < give_up);
}

static void t02b_what_was_miscounted_is_counted(void **state)
{
    struct store_bench *b = *state;
    PGconn *other = make_miscounted(b);
    assert_true(believed_then(b) > 15000);
    PQfinish(other);
}

/* A table in whose way somebody is, is passed by; and one with few rows in many pages is not counted again and again. */
static void t02c_nobody_waits_for_it(void **state)
{
    struct store_bench *b = *state;
    struct err e = ERR_INIT;
    PGconn *other = make_miscounted(b);
    PQclear(PQexec(other, "BEGIN; LOCK TABLE tasks IN SHARE UPDATE EXCLUSIVE MODE"));
    assert_true(believed_then(b) < 1000);
    make_task(b); /* the store goes on */
    PQclear(PQexec(other, "COMMIT"));
    assert_true(believed_then(b) > 15000);
    int64_t deleted = bench_number(b, deleted_sql);
    bench_sql(b, "DELETE FROM tasks WHERE id <> (SELECT max(id::text)::uuid FROM tasks)");
    await_deleted(b, deleted + 20000);
    bench_sql(b, "ANALYZE tasks");
    assert_true(
        bench_number(b, "SELECT count(*) FROM pg_class WHERE oid = 'tasks'::regclass AND relpages > 64 AND "
                        "reltuples < relpages") == 1);
    assert_int_equal(bench_number(b, "SELECT count(*) FROM lathe_miscounted(false)"), 1);
    assert_int_equal(bench_number(b, "SELECT count(*) FROM lathe_miscounted(true)"), 0);
    look(b);
    look_to_the_end(b);
    int64_t pause_ms = b->worker->look_pause_ms;
    assert_true(pause_ms > 0); /* nothing came of it */
    for (int i = 0; i < 20; i++) {
        b->worker->looked = 0;
        assert_true(store_measure(b->worker, &e));
        look_to_the_end(b);
        assert_true(b->worker->look_pause_ms >= pause_ms);
    }
    assert_true(b->worker->look_pause_ms > 10 * pause_ms);
    assert_true(b->worker->look_pause_ms <= 600000);
    b->worker->seen++; /* it is not as it was: soon again */
    assert_true(store_measure(b->worker, &e));
    assert_int_equal(b->worker->look_pause_ms, pause_ms);
    PQfinish(other);
}

/* ANALYZE keeps what dies meanwhile: what is dead in `work` is vacuumed before it. What cannot be removed keeps nobody from counting. */
static void t02i_what_is_dead_goes_first(void **state)
{
    struct store_bench *b = *state;
    static const char dead_sql[] = "SELECT pg_stat_get_dead_tuples('work'::regclass)";
    static const char vacuums_sql[] = "SELECT pg_stat_get_vacuum_count('work'::regclass)";
    int64_t give_up = clock_after_ms(60000), vacuums = bench_number(b, vacuums_sql);
    PGconn *other = make_miscounted(b);
    bench_sql(
        b,
        "INSERT INTO work SELECT gen_random_uuid(), now(), 0, 0, 1, 0, 1, 0, 'default' FROM generate_series(1, 25000)");
    PQclear(PQexec(other, "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM work"));
    bench_sql(b, "DELETE FROM work");
    for (; bench_number(b, dead_sql) < 25000; poll(NULL, 0, 50))
        assert_true(clock_now() < give_up);
    look(b);
    enum sweeping first = b->worker->sweeping;
    look_to_the_end(b);
    int64_t believed = bench_number(b, believed_sql);
    PQfinish(other);
    assert_int_equal(first, SWEEPING_WORK);
    assert_true(bench_number(b, vacuums_sql) > vacuums);
    assert_true(believed > 15000);
}

/* What one worker counts no other does, and what somebody has looked at in vain is left alone for a while. */
static void t02e_one_at_a_time(void **state)
{
    struct store_bench *b = *state;
    struct err e = ERR_INIT;
    PGconn *other = make_miscounted(b);
    PQclear(PQexec(other, "SELECT pg_advisory_lock(7523458003)"));
    assert_true(believed_then(b) < 1000);
    assert_true(store_measure(b->worker, &e));
    assert_int_equal(b->worker->sweeping, SWEEPING_NOTHING);
    PQclear(PQexec(other, unlock_sql));
    assert_true(believed_then(b) > 15000);
    PQfinish(other);
}

/* The same with an index whose statistics then take what is said of them. */
static PGconn *make_slow(struct store_bench *b, const char *what)
{
    char sql[512];
    bench_sql(
        b, "CREATE OR REPLACE FUNCTION test_slow(text) RETURNS integer LANGUAGE sql IMMUTABLE AS 'SELECT 1'");
    bench_sql(b, "DROP INDEX IF EXISTS test_slow");
    bench_sql(b, "CREATE INDEX test_slow ON tasks (test_slow(handler))");
    PGconn *other = make_miscounted(b);
    snprintf(
        sql, sizeof sql,
        "CREATE OR REPLACE FUNCTION test_slow(text) RETURNS integer LANGUAGE plpgsql IMMUTABLE AS $$ BEGIN "
        "%s RETURN 1; END $$",
        what);
    bench_sql(b, sql);
    return other;
}

/* It takes longer than statements may: a statement that began after it was ended for that. */
static void t02f_it_may_take_its_time(void **state)
{
    struct store_bench *b = *state;
    static const struct stmt sleep_stmt = {"test_sleep", "SELECT pg_sleep(600)"};
    static const char waits_sql[] =
        "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep' AND query LIKE 'CALL%'";
    PGresult *r = NULL;
    struct err e = ERR_INIT;
    int64_t give_up = clock_after_ms(60000);
    PGconn *other =
        make_slow(b, "WHILE NOT pg_try_advisory_lock_shared(42) LOOP PERFORM pg_sleep(0.01); END LOOP;");
    PQclear(PQexec(other, "SELECT pg_advisory_lock(42)"));
    db_close(&b->worker->db);
    b->conf.store_timeout = 3000;
    look(b);
    while (bench_number(b, waits_sql) == 0) {
        assert_true(clock_now() < give_up);
        poll(NULL, 0, 10);
    }
    assert_false(db_one(&b->worker->db, &sleep_stmt, NULL, give_up, &r, &e));
    assert_non_null(strstr(e.text, "57014"));
    PQclear(PQexec(other, unlock_sql));
    look_to_the_end(b);
    assert_true(bench_number(b, believed_sql) > 15000);
    bench_sql(b, "DROP INDEX test_slow");
    PQfinish(other);
}

/* One that cannot be counted keeps no other from its turn; and somebody gets to know. */
static void t02g_what_fails_is_told(void **state)
{
    struct store_bench *b = *state;
    static const char others_sql[] =
        "SELECT count(*) FROM pg_class WHERE relname = 'results' AND relpages > 100";
    PGconn *other = make_slow(b, "RAISE EXCEPTION 'there is no counting this';");
    bench_sql(
        b,
        "INSERT INTO results (task, lease, seq, part, first, bytes) SELECT gen_random_uuid(), gen_random_uuid(), 0, 0, 0, '' "
        "FROM generate_series(1, 50000)");
    look(b);
    look_to_the_end(b);
    assert_true(b->worker->sweep_failed[SWEEPING_TABLES]);
    assert_int_equal(bench_number(b, others_sql), 1);
    bench_sql(b, "DROP INDEX test_slow");
    assert_true(believed_then(b) > 15000);
    assert_false(b->worker->sweep_failed[SWEEPING_TABLES]);
    PQfinish(other);
}

/* After retention has emptied the table, while somebody holds what is dead: it is not passed by row for row. */
static void t02h_what_is_dead_is_not_walked(void **state)
{
    struct store_bench *b = *state;
    static const char call_sql[] =
        "EXPLAIN (ANALYZE, BUFFERS, COSTS off, TIMING off) SELECT lathe_miscounted(true)";
    PGconn *other = PQconnectdb(test_pg());
    long pages = 0, hit, read;
    make_task(b);
    PQclear(PQexec(other, "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM tasks"));
    for (int i = 0; i < 4; i++)
        bench_sql(b, fill_sql);
    int64_t deleted = bench_number(b, deleted_sql);
    bench_sql(b, "DELETE FROM tasks WHERE id <> (SELECT max(id::text)::uuid FROM tasks)");
    await_deleted(b, deleted + 80000);
    bench_sql(b, "ANALYZE tasks");
    bench_sql(b, "SET enable_seqscan = off");
    assert_true(bench_number(b, "SELECT relpages FROM pg_class WHERE oid = 'tasks'::regclass") > 3000);
    assert_int_equal(bench_number(b, "SELECT count(*) FROM lathe_miscounted(true) m WHERE m = 'tasks'"), 0);
    PGresult *r = PQexec(b->admin, call_sql);
    for (int i = 0; i < PQntuples(r) && pages == 0; i++) {
        const char *at = strstr(PQgetvalue(r, i, 0), "Buffers: shared");
        hit = at && strstr(at, "hit=") ? strtol(strstr(at, "hit=") + 4, NULL, 10) : 0;
        read = at && strstr(at, "read=") ? strtol(strstr(at, "read=") + 5, NULL, 10) : 0;
        pages = hit + read;
    }
    PQclear(r);
    PQfinish(other);
    if (pages == 0 || pages > 2000)
        fail_msg("%ld pages", pages);
}

/* What PostgreSQL has to say beside its answers is no line of our log. */
static void t04_notices_are_not_printed(void **state)
{
    struct store_bench *b = *state;
    struct err e = ERR_INIT;
    struct capture c = capture_start(STDERR_FILENO);
    bool ok =
        db_script(&b->worker->db, "DO $$ BEGIN RAISE WARNING 'mind this'; END $$", clock_after_ms(20000), &e);
    char *said = capture_stop(c, STDERR_FILENO);
    assert_true(ok);
    assert_string_equal(said, "");
    free(said);
}

/* What is planned ahead is what is called later, and changes nothing. */
static void t02d_a_store_that_is_warm(void **state)
{
    struct store_bench *b = *state;
    struct new_task n = bench_task(3, 1);
    struct err e = ERR_INIT;
    bench_put_ok(b, &n, 1);
    if (!store_warm(b->worker, &e))
        fail_msg("%s", e.text);
    bench_count(b, "work", 3);
    assert_int_equal(bench_run_all(b, TASK_succeeded), 3);
    STATE_IS(b, n.id, "succeeded");
}

/* ---- plans that were made for empty tables ---- */

/* Tables that were counted when they held much, and then when they were empty and not vacuumed yet. */
static void know_to_be_empty(struct store_bench *b)
{
    make_task(b);
    for (int i = 0; i < 4; i++)
        bench_sql(b, fill_sql);
    bench_sql(b, "INSERT INTO work (task, rank, seq, first, count, kib, attempt, queue) "
                 "SELECT id, now(), 0, 0, 1, 0, 1, queue FROM tasks ON CONFLICT DO NOTHING");
    bench_sql(b, "VACUUM ANALYZE work, tasks");
    bench_sql(b, "DELETE FROM work");
    bench_sql(b, "DELETE FROM tasks");
    bench_sql(b, "ANALYZE work, tasks");
}

/* Many tasks, while autovacuum sleeps: nobody counts them. */
static void fill_at_once(struct store_bench *b, int n, int units)
{
    struct new_task *list = mem_array((size_t)n, sizeof *list);
    for (int i = 0; i < n; i++)
        list[i] = bench_task(units, 1);
    bench_put_ok(b, list, (size_t)n);
    mem_free(list);
}

/* Rows of the table that indexes found for these steps, of the worker's session; they are one transaction. */
static int64_t found_by(struct store_bench *b, const char *table, struct step *steps, size_t n)
{
    struct params name CLEANUP(params_release_at) = PARAMS_INIT;
    struct err e = ERR_INIT;
    params_text(&name, span_of(table));
    steps[n] = (struct step){.stmt = &bench_found_stmt, .params = &name, .sync = true};
    if (!db_run(&b->worker->db, steps, n + 1, clock_after_ms(20000), &e))
        fail_msg("%s", e.text);
    for (size_t i = 0; i <= n; i++)
        if (steps[i].err.code != ERR_NONE)
            fail_msg("step %zu: %s", i, steps[i].err.text);
    struct row row = row_at(steps[n].result, 0);
    return row_int(&row);
}

/* Planned by a bitmap, which has no order, it would sort all that waits, for each claim. */
static void t05_a_claim_reads_what_it_takes(void **state)
{
    struct store_bench *b = *state;
    struct params p CLEANUP(params_release_at) = PARAMS_INIT;
    struct step steps[3];
    know_to_be_empty(b);
    for (int round = 0; round < 2; round++) {
        params_clear(&p);
        claim_params(&p, b->worker, uuid_v7(), 10, &beginning);
        steps[0] = (struct step){.stmt = &claim_begin_stmt};
        steps[1] = (struct step){.stmt = &claim_stmt, .params = &p};
        int64_t found = found_by(b, "work", steps, 2);
        assert_int_equal(PQntuples(steps[1].result), round * 10);
        if (found > 100)
            fail_msg("%lld rows of work were read", (long long)found);
        db_steps_clear(steps, 3);
        if (round == 0)
            fill_at_once(b, 5000, 1);
    }
}

/* Nor do what finds tasks for it, and their ends, read all tasks. */
static void t06_ends_read_what_they_end(void **state)
{
    struct store_bench *b = *state;
    struct params p CLEANUP(params_release_at) = PARAMS_INIT, q CLEANUP(params_release_at) = PARAMS_INIT;
    struct step steps[3];
    struct finish ends[10], *list[10], *sorted[10];
    struct claim c = {.arena = ARENA_INIT};
    struct claim_place last;
    struct err e = ERR_INIT;
    know_to_be_empty(b);
    assert_true(store_warm(b->worker, &e));
    fill_at_once(b, 5000, 1);
    struct uuid lease = uuid_v7();
    claim_params(&p, b->worker, lease, 10, &beginning);
    steps[0] = (struct step){.stmt = &claim_begin_stmt};
    steps[1] = (struct step){.stmt = &claim_stmt, .params = &p};
    int64_t found = found_by(b, "tasks", steps, 2);
    claim_read(steps[1].result, lease, &c, &last);
    assert_int_equal(c.count, 10);
    if (found > 100)
        fail_msg("%lld rows of tasks were read by a claim", (long long)found);
    db_steps_clear(steps, 3);

    for (int i = 0; i < 10; i++) {
        ends[i] = bench_end(b, &c.units[i], TASK_succeeded, 0);
        list[i] = &ends[i];
    }
    assert_int_equal(finish_sort(list, 10, sorted), 10);
    finish_many_params(&q, sorted, 10, 0);
    steps[0] = (struct step){.stmt = &finish_many_stmt, .params = &q};
    found = found_by(b, "tasks", steps, 1);
    finish_many_answers(steps[0].result, sorted, 10);
    for (int i = 0; i < 10; i++)
        assert_true(ends[i].applied);
    if (found > 100)
        fail_msg("%lld rows of tasks were read by ten ends", (long long)found);
    db_steps_clear(steps, 2);
    claim_release(&c);

    c = bench_claim(b, 10); /* of its lease one ends by itself: the statement for one hands it on */
    assert_int_equal(c.count, 10);
    ends[0] = bench_end(b, &c.units[0], TASK_succeeded, 0);
    params_clear(&q);
    finish_one_params(&q, &ends[0]);
    steps[0] = (struct step){.stmt = &finish_one_stmt, .params = &q};
    found = found_by(b, "tasks", steps, 1);
    finish_many_answers(steps[0].result, list, 1);
    assert_true(ends[0].applied);
    if (found > 100)
        fail_msg("%lld rows of tasks were read by one end", (long long)found);
    db_steps_clear(steps, 2);
    claim_release(&c);
}

/* The statement for all that is not simple: here units of which each task has two; some end, some are tried again. */
static void t07_other_ends_read_what_they_end(void **state)
{
    static const char *const tables[] = {"tasks", "results", "leases"};
    struct store_bench *b = *state;
    struct err e = ERR_INIT, why = {.code = ERR_TIMEOUT, .text = "late"};
    know_to_be_empty(b);
    assert_true(store_warm(b->worker, &e));
    fill_at_once(b, 2500, 2);
    bench_sql(
        b,
        "INSERT INTO leases SELECT gen_random_uuid(), gen_random_uuid(), now(), now() + interval '1 hour', 1, "
        "ARRAY [gen_random_uuid()], '{0}', '{1}', '{0}', '{0}', '{1}' FROM generate_series(1, 2500)");
    bench_sql(
        b,
        "INSERT INTO results (task, lease, seq, part, first, bytes) SELECT gen_random_uuid(), gen_random_uuid(), 0, 0, 0, '' "
        "FROM generate_series(1, 2500)");
    for (size_t t = 0; t < COUNT_OF(tables); t++) {
        struct params p CLEANUP(params_release_at) = PARAMS_INIT;
        struct step steps[2];
        struct finish ends[10], *list[10];
        struct claim c = bench_claim(b, 10);
        assert_int_equal(c.count, 10);
        for (int i = 0; i < 10; i++) {
            ends[i] = bench_end(b, &c.units[i], TASK_succeeded, 0);
            ends[i].again = i == 9;
            ends[i].err = i == 9 ? why : ends[i].err;
            list[i] = &ends[i];
        }
        finish_params(&p, list, 10);
        steps[0] = (struct step){.stmt = &finish_stmt, .params = &p};
        int64_t found = found_by(b, tables[t], steps, 1);
        finish_answers(steps[0].result, list, 10);
        for (int i = 0; i < 10; i++)
            assert_true(ends[i].applied);
        if (found > 200)
            fail_msg("%lld rows of %s were read by ten ends", (long long)found, tables[t]);
        db_steps_clear(steps, 2);
        claim_release(&c);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        STORE_TEST(t01_a_task_is_found_by_its_id),
        STORE_TEST(t01b_lists_stop_where_they_may),
        STORE_TEST(t02_a_cancel_reads_no_table),
        STORE_TEST(t02b_what_was_miscounted_is_counted),
        STORE_TEST(t02c_nobody_waits_for_it),
        STORE_TEST(t02d_a_store_that_is_warm),
        STORE_TEST(t02e_one_at_a_time),
        STORE_TEST(t02f_it_may_take_its_time),
        STORE_TEST(t02g_what_fails_is_told),
        STORE_TEST(t02h_what_is_dead_is_not_walked),
        STORE_TEST(t02i_what_is_dead_goes_first),
        STORE_TEST(t04_notices_are_not_printed),
        STORE_TEST(t05_a_claim_reads_what_it_takes),
        STORE_TEST(t06_ends_read_what_they_end),
        STORE_TEST(t07_other_ends_read_what_they_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
