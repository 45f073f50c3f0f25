/*
 * sql/009_submit.sql: submitting from SQL, inside a transaction that is the caller's.
 *
 * log may say: lathe\.submit|permission denied
 */
#include "../lib/test.h"

#include <string.h>

#include "model/strategy.h"
#include "store_bench.h"

/* Refused, with these words. */
static void refused(PGconn *c, const char *sql, const char *words)
{
    PGresult *r = PQexec(c, sql);
    if (PQresultStatus(r) != PGRES_FATAL_ERROR)
        fail_msg("taken: %s", sql);
    if (!strstr(PQresultErrorMessage(r), words))
        fail_msg("%s: %s", sql, PQresultErrorMessage(r));
    PQclear(r);
}

static struct uuid submitted(struct store_bench *b, const char *sql)
{
    struct uuid id;
    PGresult *r = PQexec(b->admin, sql);
    if (PQresultStatus(r) != PGRES_TUPLES_OK || PQntuples(r) != 1)
        fail_msg("%s: %s", sql, PQresultErrorMessage(r));
    assert_true(uuid_parse(span_of(PQgetvalue(r, 0, 0)), &id));
    PQclear(r);
    return id;
}

static void wake(struct store_bench *b)
{
    bench_sql(b, "SELECT lathe_wake(1000)");
}

static void t01_there_if_it_commits(void **state)
{
    struct store_bench *b = *state;
    bench_sql(b, "BEGIN; SELECT lathe.submit('echo'); ROLLBACK");
    bench_count(b, "tasks", 0);
    bench_count(b, "work", 0);
    struct uuid id =
        submitted(b, "SELECT lathe.submit('echo', '{\"a\": 1}', items => '[1, {\"x\": \"y\\nz\"}, null]', "
                     "batch_size => 2, priority => 7, tags => '{t}', meta => '{\"m\": 1}')");
    struct claim c = bench_claim(b, 10);
    assert_int_equal(c.count, 2);
    assert_true(uuid_eq(c.units[0].task, id));
    assert_true(span_is(c.units[0].handler, "echo") && span_is(c.units[0].params, "{\"a\": 1}"));
    assert_true(span_is(c.units[0].inputs, "1\n{\"x\": \"y\\nz\"}\n") &&
                span_is(c.units[1].inputs, "null\n"));
    assert_int_equal(c.units[0].digest, 0); /* the worker's to find */
    claim_release(&c);
    struct task t = bench_get(b, id);
    assert_int_equal(t.priority, 7);
    assert_true(span_is(t.tags, "[\"t\"]") && span_is(t.meta, "{\"m\": 1}"));
    int64_t age_us = t.created_us - uuid_wall_ms(id) * 1000;
    assert_true(age_us > -60000000 && age_us < 60000000);
}

static void t02_strategies_are_those_of_c(void **state)
{
    struct store_bench *b = *state;
    size_t n = 0;
    char sql[256];
    for (; strategies[n]; n++) {
        snprintf(sql, sizeof sql,
                 "SELECT lathe.submit('echo', strategy => '%s', items_count => 10, batch_size => 4)",
                 strategies[n]->name);
        struct uuid id = submitted(b, sql);
        assert_int_equal(bench_get(b, id).units_total, strategies[n]->kind == STRATEGY_QUEUED ? 3 : 1);
    }
    assert_int_equal(bench_number(b, "SELECT cardinality(lathe_strategies())"), n);
}

static void t03_what_is_refused(void **state)
{
    struct store_bench *b = *state;
    static const char *const bad[][2] = {
        {"''", "handler"},
        {"'a b'", "handler"},
        {"NULL", "handler"},
        {"'echo', '3'", "params must be an object"},
        {"'echo', jsonb_build_object('x', repeat('x', 70000))", "params have more"},
        {"'echo', items => '{}'", "items must be an array"},
        {"'echo', items => '[]'", "items_count"},
        {"'echo', items_count => 0", "items_count"},
        {"'echo', items_count => 1000001", "items_count"},
        {"'echo', strategy => 'warp'", "strategy \"warp\""},
        {"'echo', queue => 'a b'", "queue"},
        {"'echo', priority => 10", "priority"},
        {"'echo', batch_size => 0", "batch_size"},
        {"'echo', on_item_error => 'x'", "on_item_error"},
        {"'echo', timeout_ms => -1", "timeout_ms"},
        {"'echo', unique_key => ''", "unique_key"},
        {"'echo', unique_key => 'k', unique_while => 'x'", "unique_while"},
        {"'echo', unique_key => 'k', unique_while => 'queued'", "only by HTTP"},
        {"'echo', run_at => 'infinity'", "run_at"},
        {"'echo', run_at => '-infinity'", "run_at"},
        {"'echo', run_at => now() + interval '367 days'", "run_at"},
        {"'echo', depends_on => ARRAY[gen_random_uuid()]", "there is no task"},
    };
    char sql[256];
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        snprintf(sql, sizeof sql, "SELECT lathe.submit(%s)", bad[i][0]);
        refused(b->admin, sql, bad[i][1]);
    }
    refused(b->admin, "SELECT lathe.submit_many('echo', ARRAY['{}', '1']::jsonb[])", "params[2]");
    refused(b->admin, "SELECT lathe.submit_many('[{\"handler\": \"echo\", \"x\": 1}]')",
            "tasks[0] has a member \"x\"");
    refused(b->admin, "SELECT lathe.submit_many('{}')", "array");
    bench_count(b, "tasks", 0);
}

static void t04_unique_and_depends_on(void **state)
{
    struct store_bench *b = *state;
    struct uuid first = submitted(b, "SELECT lathe.submit('echo', unique_key => 'k')");
    struct uuid again = submitted(b, "SELECT lathe.submit('echo', unique_key => 'k')");
    assert_true(uuid_eq(first, again));
    char sql[256], text[UUID_TEXT];
    uuid_format(first, text);
    snprintf(sql, sizeof sql, "SELECT lathe.submit('echo', depends_on => '{%s}')", text);
    struct uuid after = submitted(b, sql);
    STATE_IS(b, after, "scheduled");
    assert_int_equal(bench_run_all(b, TASK_succeeded), 1);
    wake(b);
    STATE_IS(b, after, "queued");
    assert_int_equal(bench_run_all(b, TASK_succeeded), 1);
    bench_count(b, "uniques", 0);
    bench_count(b, "deps", 0);
    bench_count(b, "checks", 0);
}

/* A transaction that lasts and has submitted what depends on a task keeps nobody from ending that. */
static void t05_nobody_waits_for_the_caller(void **state)
{
    struct store_bench *b = *state;
    struct uuid need = submitted(b, "SELECT lathe.submit('echo')");
    char sql[256], text[UUID_TEXT];
    uuid_format(need, text);
    snprintf(sql, sizeof sql, "SELECT lathe.submit('echo', depends_on => '{%s}')", text);
    bench_sql(b, "BEGIN");
    struct uuid after = submitted(b, sql);
    assert_int_equal(bench_run_all(b, TASK_succeeded), 1);
    bench_sql(b, "COMMIT");
    STATE_IS(b, need, "succeeded");
    STATE_IS(b, after, "scheduled");
    wake(b);
    STATE_IS(b, after, "queued");
}

static void t06_many(void **state)
{
    struct store_bench *b = *state;
    assert_int_equal(
        bench_number(b, "SELECT count(DISTINCT id) FROM lathe.submit_many('echo', (SELECT array_agg("
                        "jsonb_build_object('n', n)) FROM generate_series(1, 10000) n), items_count => 3, "
                        "batch_size => 2, queue => 'q') id"),
        10000);
    bench_count(b, "work WHERE queue = 'q'", 20000);
    assert_int_equal(
        bench_number(b, "SELECT count(*) FROM (SELECT (params::jsonb -> 'n')::int AS n, row_number() OVER "
                        "(ORDER BY id) AS at FROM tasks) x WHERE n <> at"),
        0); /* ids in the order of params */
    assert_int_equal(
        bench_number(b, "SELECT count(*) FROM tasks WHERE substring(id::text FROM 15 FOR 1) <> '7'"), 0);
    assert_int_equal(
        bench_number(b, "SELECT count(*) FROM lathe.submit_many('[{\"handler\": \"echo\", \"items\": [1]}, "
                        "{\"handler\": \"echo\", \"unique_key\": \"k\", \"tags\": [\"a\"]}]')"),
        2);
    assert_int_equal(bench_run_all(b, TASK_succeeded), 2);
}

/* Who may submit needs no right on a table, and who was granted nothing may not. */
static void t07_rights(void **state)
{
    struct store_bench *b = *state;
    bench_sql(b, "DROP ROLE IF EXISTS lathe_test_app; CREATE ROLE lathe_test_app; SET ROLE lathe_test_app");
    refused(b->admin, "SELECT lathe.submit('echo')", "permission denied");
    bench_sql(b, "RESET ROLE; GRANT USAGE ON SCHEMA lathe TO lathe_test_app");
    bench_sql(b, "SET ROLE lathe_test_app");
    refused(b->admin, "SELECT lathe.submit('echo')", "permission denied");
    bench_sql(
        b,
        "RESET ROLE; GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA lathe TO lathe_test_app; SET ROLE lathe_test_app");
    bench_sql(b, "CREATE TEMP TABLE tasks (id int)"); /* is not taken for ours */
    bench_sql(b, "SELECT lathe.submit('echo', unique_key => 'k')");
    refused(b->admin, "SELECT count(*) FROM public.tasks", "permission denied");
    bench_sql(b,
              "RESET ROLE; DROP TABLE pg_temp.tasks; DROP OWNED BY lathe_test_app; DROP ROLE lathe_test_app");
    assert_int_equal(bench_run_all(b, TASK_succeeded), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        STORE_TEST(t01_there_if_it_commits),
        STORE_TEST(t02_strategies_are_those_of_c),
        STORE_TEST(t03_what_is_refused),
        STORE_TEST(t04_unique_and_depends_on),
        STORE_TEST(t05_nobody_waits_for_the_caller),
        STORE_TEST(t06_many),
        STORE_TEST(t07_rights),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
