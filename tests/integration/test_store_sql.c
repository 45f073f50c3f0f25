/*
 * sql/009_submit.sql: submitting from SQL, inside a transaction that is the caller's.
 *
 * log may say: lathe\.submit|permission denied
 */
#include "../lib/test.h"

#include <string.h>

#include "model/strategy.h"
#include "model/terms.h"
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
        {"'echo', options => '[]'", "options must be an object"},
        {"'echo', options => '{\"handler\": \"x\"}'", "no options.handler"},
        {"'echo', options => '{\"retry\": 1}'", "no options.retry"},
        {"'echo', options => '{\"retries\": 1001}'",
         "options.retries must be an integer from 0 to 1000, not 1001"},
        {"'echo', options => '{\"retries\": \"1\"}'", "options.retries"},
        {"'echo', options => '{\"item_retries\": 0.5}'", "options.item_retries"},
        {"'echo', options => '{\"backoff\": {\"factor\": 0}}'", "options.backoff.factor"},
        {"'echo', options => '{\"backoff\": {\"base\": 0}}'", "no options.backoff.base"},
        {"'echo', options => '{\"run_at\": \"2026-13-01T00:00:00Z\"}'", "options.run_at"},
        {"'echo', options => '{\"run_at\": \"soon\"}'", "options.run_at"},
        {"'echo', options => '{\"delay\": -1}'", "options.delay"},
        {"'echo', options => '{\"delay\": 1, \"run_at\": \"2026-12-01T00:00:00Z\"}'", "options.delay"},
        {"'echo', options => '{\"expires\": 3, \"delay\": 4}'", "options.expires"},
        {"'echo', options => '{\"expires\": \"2000-01-01T00:00:00Z\"}'", "options.expires"},
        {"'echo', options => '{\"expires\": {}}'", "options.expires"},
        {"'echo', options => '{\"limit\": {\"key\": \"k\"}}'", "options.limit"},
        {"'echo', options => '{\"limit\": {\"key\": \"k\", \"rate\": 1, \"per_s\": 0}}'",
         "options.limit.per_s"},
        {"'echo', options => '{\"limit\": {\"key\": \"\", \"rate\": 1}}'", "options.limit.key"},
        {"'echo', options => '{\"tenant\": \"a\\u0001\"}'", "options.tenant"},
        {"'echo', options => '{\"unique\": {\"for_s\": 1}}'", "options.unique"},
        {"'echo', options => '{\"unique\": {\"key\": \"k\", \"while\": \"queued\"}}'",
         "options.unique.while"},
        {"'echo', options => '{\"depends_on\": [\"#a\"]}'", "options.depends_on"},
        {"'echo', options => '{\"depends_on\": [\"01a2228c-0000-7000-8000-000000000000\"]}'",
         "no task 01a2228c"},
        {"'echo', options => '{\"callback\": {}}'", "options.callback.url"},
        {"'echo', options => '{\"callback\": {\"url\": \"ftp://example.com\"}}'", "options.callback.url"},
        {"'echo', options => '{\"callback\": {\"url\": \"http://u@example.com/\"}}'", "options.callback.url"},
        {"'echo', options => '{\"callback\": {\"tasks\": [{\"handler\": \"echo\", \"depends_on\": []}]}}'",
         "callback.tasks[0]"},
        {"'echo', options => '{\"callback\": {\"tasks\": [{\"handler\": \"echo\", \"x\": 1}]}}'",
         "callback.tasks[0]"},
        {"'echo', options => '{\"inner\": \"background\"}'", "options.inner"},
        {"'echo', options => '{\"shape\": {\"threads\": 0}}'", "options.shape.threads"},
        {"'echo', options => '{\"queue\": \"a b\"}'", "options.queue"},
        {"'echo', options => '{\"tags\": [3]}'", "options.tags"},
        {"'echo', options => '{\"meta\": []}'", "options.meta"},
        {"'echo', options => '{\"delay\": 1}', run_at => now()", "options.delay"},
        {"'echo', options => '{\"unique\": {\"key\": \"k\"}}', unique_key => 'k'", "options.unique"},
        {"'echo', options => '{\"depends_if\": \"end\"}', depends_on => ARRAY[gen_random_uuid()]",
         "options.depends_if"},
        {"'echo', options => '{\"cache_ttl_s\": 31622401}'", "options.cache_ttl_s"},
        {"'echo', strategy => 'auto', options => '{\"inner\": \"hybrid\"}'", "options.inner"},
    };
    char sql[512];
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        snprintf(sql, sizeof sql, "SELECT lathe.submit(%s)", bad[i][0]);
        refused(b->admin, sql, bad[i][1]);
    }
    refused(b->admin, "SELECT lathe.submit_many('echo', ARRAY['{}', '1']::jsonb[])", "params[2]");
    refused(b->admin, "SELECT lathe.submit_many('[{\"handler\": \"echo\", \"x\": 1}]')",
            "tasks[0] has a member \"x\"");
    refused(b->admin, "SELECT lathe.submit_many('[{\"handler\": \"echo\", \"depends_on\": \"x\"}]')",
            "depends_on must be an array");
    refused(b->admin, "SELECT lathe.submit_many('[{\"handler\": \"echo\", \"tags\": \"x\"}]')",
            "tags must be an array");
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
    assert_int_equal(bench_number(b, "SELECT count(*) FROM tasks WHERE id::text !~ '^.{14}7.{4}[89ab]' OR "
                                     "abs(('x' || left(translate(id::text, '-', ''), 12))::bit(48)::bigint - "
                                     "extract(epoch FROM created_at) * 1000) > 10000"),
                     0); /* version 7: its time, and three digits for 10,000 of them */
    bench_count(b, "work WHERE queue = 'q' AND (first, count) = (seq * 2, 2 - seq)", 20000);
    assert_int_equal(
        bench_number(b, "SELECT count(*) FROM lathe.submit_many('[{\"handler\": \"echo\", \"items\": [1]}, "
                        "{\"handler\": \"echo\", \"unique_key\": \"k\", \"tags\": [\"a\"]}]')"),
        2);
    assert_int_equal(bench_run_all(b, TASK_succeeded), 2);
}

/* As they are answered; and calls of one millisecond share nothing but that. */
static void t06b_ids_of_many(void **state)
{
    struct store_bench *b = *state;
    bench_sql(b, "CREATE TEMP TABLE answer AS SELECT * FROM lathe.submit_many('echo', "
                 "ARRAY['{\"n\": 1}', '{\"n\": 2}', '{\"n\": 3}']::jsonb[]) WITH ORDINALITY o(id, at)");
    bench_count(b, "answer JOIN tasks USING (id) WHERE (params::jsonb -> 'n')::int = at", 3);
    assert_int_equal(bench_number(b, "SELECT count(DISTINCT id) FROM generate_series(1, 300) c, "
                                     "lathe.submit_many('echo', ARRAY[jsonb_build_object('n', c), '{}']) id"),
                     600);
    assert_int_equal(bench_number(b, "SELECT count(DISTINCT right(id::text, 17)) FROM tasks"), 603);
    assert_int_equal(bench_number(b, "SELECT count(*) FROM lathe.submit_many('echo', '{}')"), 0);
    assert_int_equal(bench_number(b, "SELECT count(*) FROM lathe.submit_many('echo', NULL::jsonb[])"), 0);
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

/* Every term, as a submission by HTTP would store it. */
static void t08_options(void **state)
{
    struct store_bench *b = *state;
    struct terms terms;
    struct err e = ERR_INIT;
    struct uuid id = submitted(
        b,
        "SELECT lathe.submit('echo', options => '{\"retries\": 3, \"item_retries\": 2, \"cache_ttl_s\": 60, \"backoff\": {\"base_ms\": 7}, \"expires\": 3600, \"delay\": 60, "
        "\"limit\": {\"key\": \"k\", \"concurrency\": 1, \"rate\": 2}, "
        "\"tenant\": \"t\", \"unique\": {\"key\": \"u\", \"for_s\": 1}, \"callback\": {\"url\": \"http://example.com/x?y=1\", \"queue\": \"hooks\"}, "
        "\"queue\": \"q\", \"priority\": 9, \"workers\": 3, \"inner\": \"hybrid\", \"shape\": {\"threads\": 2}, "
        "\"batch_size\": 7, \"timeout_ms\": 5, \"item_timeout_ms\": 4, \"on_item_error\": \"fail\", \"tags\": [\"a\"], \"meta\": {\"m\": 1}}')");
    struct task t = bench_get(b, id);
    STATE_IS(b, id, "scheduled");
    assert_true(span_is(t.queue, "q") && span_is(t.inner, "hybrid") && span_is(t.tags, "[\"a\"]"));
    assert_true(t.priority == 9 && t.workers == 3 && t.batch_size == 7 && t.timeout_ms == 5 && t.fail_fast);
    assert_true(terms_read(&b->arena, t.terms, &terms, &e));
    assert_true(terms.retries == 3 && terms.item_retries == 2 && terms.cache_ttl_s == 60 &&
                terms.backoff.base_ms == 7 && terms.backoff.max_ms == 3600000);
    assert_true(terms.expires_us > t.created_us + INT64_C(3500000000));
    bench_count(b, "expiring", 1);
    bench_count(b, "uniques", 1);
    bench_count(b, "tenants", 0); /* nobody's clock is held for as long as the transaction lasts */
    bench_sql(b, "UPDATE waiting SET run_at = now()");
    wake(b);
    bench_count(b, "inside WHERE gate = 'key/k'", 1);
    bench_sql(b, "UPDATE work SET queue = 'default'");
    assert_int_equal(bench_run_all(b, TASK_succeeded), 1);
    bench_count(b, "tasks WHERE handler = 'webhook' AND queue = 'hooks'", 1);
}

static void t09_what_follows(void **state)
{
    struct store_bench *b = *state;
    submitted(
        b,
        "SELECT lathe.submit('echo', options => '{\"callback\": {\"tasks\": [{\"handler\": \"echo\", \"retries\": 2, "
        "\"callback\": {\"tasks\": [{\"handler\": \"sleep\"}]}}]}}')");
    bench_count(b, "tasks", 3);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(bench_run_all(b, TASK_succeeded), 1);
        wake(b);
    }
    refused(
        b->admin,
        "SELECT lathe.submit_many('echo', ARRAY['{}']::jsonb[], options => '{\"callback\": {\"tasks\": [{}]}}')",
        "callback.tasks");
}

/* A submission by HTTP, of the same tenant, does not wait for the transaction. */
static void t10_no_clock_is_held(void **state)
{
    struct store_bench *b = *state;
    struct new_task other = bench_task(1, 1);
    other.terms = SPAN("{\"tenant\":\"a\"}");
    bench_put_ok(b, &other, 1);
    bench_sql(b, "BEGIN");
    assert_int_equal(
        bench_number(b, "SELECT count(*) FROM lathe.submit_many('echo', ARRAY['{}', '{}', '{}']::jsonb[], "
                        "options => '{\"tenant\": \"a\", \"retries\": 1, \"workers\": 2}')"),
        3);
    other.id = uuid_v7();
    other.inputs_of = other.id;
    bench_put_ok(b, &other, 1);
    bench_sql(b, "COMMIT");
    bench_count(b, "work", 2);
    wake(b);
    bench_count(b, "work WHERE rank < 'infinity'", 5);
    assert_int_equal(bench_run_all(b, TASK_succeeded), 5);
}

static void t11_the_same_work_in_many(void **state)
{
    struct store_bench *b = *state;
    assert_int_equal(
        bench_number(
            b,
            "SELECT count(DISTINCT id) FROM lathe.submit_many('[{\"handler\": \"echo\", \"unique\": {\"key\": "
            "\"z\"}}, {\"handler\": \"echo\", \"unique\": {\"key\": \"z\"}}, {\"handler\": \"echo\", "
            "\"limit\": {\"key\": \"k\", \"rate\": 1}}]') id"),
        2);
    assert_int_equal(
        bench_number(b,
                     "SELECT count(DISTINCT id) FROM lathe.submit_many('echo', ARRAY['{}', '{}']::jsonb[], "
                     "options => '{\"unique\": {\"key\": \"y\"}}') id"),
        1);
}

#define LIMITED(key) \
    "SELECT lathe.submit('echo', options => '{\"limit\": {\"key\": \"" key "\", \"concurrency\": 1}}')"
#define FILL "INSERT INTO gates (name, concurrency) SELECT 'key/' || i, 1 FROM generate_series(1, %d) i"

/* As many keys as there may be, and what is one more waits, or is refused, and stands in nobody's way. */
static void t12_no_more_keys_than_there_may_be(void **state)
{
    struct store_bench *b = *state;
    bench_sql(b, LIMITED("a"));
    bench_sql(b, LIMITED("b"));
    bench_sql(b, LIMITED("5"));
    bench_sql(b, arena_printf(&b->arena, FILL, (int)LIMIT_GATES - 1));
    wake(b);
    bench_count(b, "gates", LIMIT_GATES);
    bench_count(b, "work", 2); /* of the one that still came in, and of the one that was there */
    bench_count(b, "waiting WHERE run_at > now()", 1);
    refused(b->admin, LIMITED("c"), "options.limit.key: there are 100000 keys in use, and \"c\"");
    refused(
        b->admin,
        "SELECT lathe.submit_many('echo', ARRAY[jsonb '{}'], options => '{\"limit\": {\"key\": \"c\", \"rate\": 1}}')",
        "options.limit.key");
    bench_sql(b, LIMITED("7"));
    bench_sql(b, "DELETE FROM gates WHERE name = 'key/9'; UPDATE waiting SET run_at = now()");
    wake(b);
    bench_count(b, "gates", LIMIT_GATES);
    bench_count(b, "waiting", 0);
    bench_count(b, "work", 4);
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
        STORE_TEST(t06b_ids_of_many),
        STORE_TEST(t07_rights),
        STORE_TEST(t08_options),
        STORE_TEST(t09_what_follows),
        STORE_TEST(t10_no_clock_is_held),
        STORE_TEST(t11_the_same_work_in_many),
        STORE_TEST(t12_no_more_keys_than_there_may_be),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
