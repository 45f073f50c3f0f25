/*
 * sql.query on a real PostgreSQL, through the engine: types, parameters, shapes, refusals, cancels, and a server that goes.
 *
 * log may say: canceling statement|terminating connection|division by zero|connection to client lost|could not send data
 * log may say: syntax error|read-only transaction|does not exist|cached plan|invalid input|duplicate key|unexpected EOF
 * log may say: statement timeout|unrecognized setting
 */
#include "../lib/test.h"

#include <libpq-fe.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>

#include "core/limits.h"
#include "core/mem.h"
#include "core/sig.h"
#include "exec/exec.h"
#include "handlers/registry.h"
#include "handlers/sql_query.h"
#include "model/strategy.h"
#include "store/sql_cancel.h"

#define MOST 5000

static PGconn *admin;

/* A server of another make: it knows settings, but for one. */
static const char refusing_sql[] =
    "CREATE SCHEMA other; "
    "CREATE FUNCTION other.set_config(text, text, boolean) RETURNS text LANGUAGE plpgsql AS $$ BEGIN "
    "IF $1 = 'client_connection_check_interval' THEN RAISE EXCEPTION 'unrecognized setting' USING ERRCODE = '42704'; END IF; "
    "RETURN pg_catalog.set_config($1, $2, $3); END $$";
static char other_url[512];

static struct conf_database databases[] = {
    {.name = "main", .connections = 4, .timeout = 120000},
    {.name = "hasty", .connections = 2, .timeout = 300},
    {.name = "away", .url = "host=/nowhere/at/all user=lathe", .connections = 4, .timeout = 300},
    {.name = "other", .connections = 1, .timeout = 60000},
};

static struct conf_query queries[] = {
    {.name = "types",
     .sql =
         "SELECT true AS yes, 7::smallint AS small, 8 AS int, 9223372036854775807 AS big, 1.5::float8 AS f, 'NaN'::float8 "
         "AS nan, '-Infinity'::float4 AS inf, 1e20::float8 AS far, 1.10::numeric AS num, E'a\"b\\n' AS text, NULL::int "
         "AS nothing, '{\"a\": [1, null]}'::jsonb AS doc, E'{\"k\":\\n 1, \"k\": 2}'::json AS twice, E'[1,\\n2]'::json AS "
         "lines, '2026-01-02'::date AS day"},
    {.name = "echo", .sql = "SELECT $1::text AS a, $2::text AS b"},
    {.name = "doc", .sql = "SELECT $1::jsonb -> 'n' AS n"},
    {.name = "none", .sql = "SELECT 1 AS one"},
    {.name = "pid", .sql = "SELECT pg_backend_pid() AS pid"},
    {.name = "napping", .sql = "SELECT pg_sleep(0.002), pg_backend_pid() AS pid"},
    {.name = "divide", .sql = "SELECT 10 / $1::int AS q"},
    {.name = "rows", .sql = "SELECT generate_series(1, $1::int) AS n", .rows = 100},
    {.name = "long", .sql = "SELECT repeat('x', $1::int) AS x"},
    {.name = "many", .sql = "SELECT repeat('x', 1000) AS x FROM generate_series(1, 100000)", .rows = 1000000},
    {.name = "count", .sql = "SELECT count(*)::int AS n FROM things"},
    {.name = "all", .sql = "SELECT * FROM things"},
    {.name = "sneak", .sql = "INSERT INTO things VALUES ($1::int)"},
    {.name = "insert", .sql = "INSERT INTO things VALUES ($1::int)", .write = true},
    {.name = "return", .sql = "INSERT INTO things VALUES ($1::int) RETURNING id", .write = true},
    {.name = "swell",
     .sql =
         "INSERT INTO things VALUES ($1::int) RETURNING repeat('x', CASE id % 10 WHEN 3 THEN 10000000 ELSE 1 END) AS x",
     .write = true},
    {.name = "sleep", .sql = "SELECT pg_sleep($1::float8)"},
    {.name = "hasty", .database = "hasty", .sql = "SELECT pg_sleep($1::float8)"},
    {.name = "syntax", .sql = "SELEC 1"},
    {.name = "twins", .sql = "SELECT 1 AS a, 2 AS a"},
    {.name = "copy", .sql = "COPY things TO STDOUT"},
    {.name = "empty", .sql = "-- nothing"},
    {.name = "away", .database = "away", .sql = "SELECT 1 AS one"},
    {.name = "other",
     .database = "other",
     .sql = "SELECT current_setting('client_connection_check_interval') AS looks"},
    {.name = "trespass", .database = "other", .sql = "INSERT INTO things VALUES ($1::int)"},
    {.name = "excess", .database = "other", .sql = "SELECT generate_series(1, 2) AS n", .rows = 1},
    {.name = "burst",
     .database = "other",
     .sql =
         "SELECT repeat('x', 9000), CASE n WHEN 5 THEN pg_advisory_lock(1)::text END FROM generate_series(1,5) n",
     .rows = 1},
    {.name = "locked", .database = "other", .sql = "SELECT count(*)::int AS n FROM things"},
    {.name = "locked too", .database = "other", .sql = "DELETE FROM things", .write = true},
};

/* ---- a run and what came of it */

static struct seen {
    struct arena arena;
    struct cancel cancel;
    const char *what[MOST];
    enum err_code code[MOST];
    int64_t total;
    struct exec_report report;
} seen;

static void on_item(void *arg, const struct outcome *o)
{
    (void)arg;
    seen.total++;
    seen.code[o->index] = o->kind == OUTCOME_OK ? ERR_NONE : o->err->code;
    seen.what[o->index] = o->kind == OUTCOME_OK ? arena_text(&seen.arena, o->result)
                                                : arena_printf(&seen.arena, "%s", o->err->text);
}

static struct plan plan_of(const char *query, const struct span *inputs, int64_t count, struct shape shape)
{
    static char args[LIMIT_NAME + 1];
    snprintf(args, sizeof args, "%s", query);
    arena_release(&seen.arena);
    memset(&seen, 0, sizeof seen);
    return (struct plan){.handler = &handler_sql_query,
                         .args = args,
                         .inputs = inputs,
                         .count = count,
                         .shape = shape_fit(shape, count, LIMIT_WORKERS),
                         .deadline = clock_after_ms(60000),
                         .cancel = &seen.cancel,
                         .done = on_item};
}

static void run(struct plan *p)
{
    struct err e = ERR_INIT;
    if (!exec_run(p, &seen.report, &e))
        fail_msg("%s", e.text);
    assert_int_equal(seen.total, p->count);
}

static const struct shape one = {0, 1, 1, 1};

/* One item; what it says. */
static const char *ask(const char *query, const char *input)
{
    struct span inputs[] = {span_of(input ? input : "")};
    struct plan p = plan_of(query, input ? inputs : NULL, 1, one);
    run(&p);
    return seen.what[0];
}

static void check(const char *query, const char *input, const char *want)
{
    assert_string_equal(ask(query, input), want);
    assert_int_equal(seen.code[0], ERR_NONE);
}

static void check_fails(const char *query, const char *input, enum err_code code, const char *in_text)
{
    const char *text = ask(query, input);
    if (seen.code[0] != code || !strstr(text, in_text))
        fail_msg("%s %s: %s: %s", query, input ? input : "", err_slug(seen.code[0]), text);
}

static void all_fine(int64_t count)
{
    for (int64_t i = 0; i < count; i++)
        if (seen.code[i] != ERR_NONE)
            fail_msg("item %d: %s: %s", (int)i, err_slug(seen.code[i]), seen.what[i]);
}

static const char *tell(const char *sql)
{
    static char text[200];
    PGresult *r = PQexec(admin, sql);
    if (PQresultStatus(r) != PGRES_TUPLES_OK && PQresultStatus(r) != PGRES_COMMAND_OK)
        fail_msg("%s: %s", sql, PQresultErrorMessage(r));
    snprintf(text, sizeof text, "%s", PQntuples(r) ? PQgetvalue(r, 0, 0) : "");
    PQclear(r);
    return text;
}

/* Until the admin's query says so. */
static void wait_until(const char *sql, const char *want)
{
    int64_t give_up = clock_after_ms(30000);
    while (strcmp(tell(sql), want) != 0) {
        if (clock_now() > give_up)
            fail_msg("%s is %s, not %s", sql, tell(sql), want);
        poll(NULL, 0, 5);
    }
}

#define OURS " FROM pg_stat_activity WHERE application_name = 'lathe-sql'"

/* Different values of "pid" in the results. */
static int pids(int64_t count)
{
    static long list[MOST];
    int n = 0;
    for (int64_t i = 0; i < count; i++) {
        const char *at = strstr(seen.what[i], "\"pid\":");
        long pid = at ? strtol(at + 6, NULL, 10) : 0;
        int k = 0;
        assert_true(pid > 0);
        while (k < n && list[k] != pid)
            k++;
        if (k == n)
            list[n++] = pid;
    }
    return n;
}

/* ---- what is asked and answered */

static void t01_types(void **state)
{
    (void)state;
    check(
        "types", NULL,
        "{\"rows\":[{\"yes\":true,\"small\":7,\"int\":8,\"big\":9223372036854775807,\"f\":1.5,\"nan\":\"NaN\",\"inf\":"
        "\"-Infinity\",\"far\":1e+20,\"num\":\"1.10\",\"text\":\"a\\\"b\\n\",\"nothing\":null,\"doc\":{\"a\": [1, "
        "null]},\"twice\":\"{\\\"k\\\":\\n 1, \\\"k\\\": 2}\",\"lines\":[1, 2],\"day\":\"2026-01-02\"}],\"count\":1}");
}

static void t02_parameters(void **state)
{
    (void)state;
    check("none", NULL, "{\"rows\":[{\"one\":1}],\"count\":1}");
    check("none", "[]", "{\"rows\":[{\"one\":1}],\"count\":1}");
    check("echo", "[\"x'; drop table things\",null]",
          "{\"rows\":[{\"a\":\"x'; drop table things\",\"b\":null}],\"count\":1}");
    check("echo", "[1.5,true]", "{\"rows\":[{\"a\":\"1.5\",\"b\":\"true\"}],\"count\":1}");
    check("echo", "[\"\",[1,{}]]", "{\"rows\":[{\"a\":\"\",\"b\":\"[1,{}]\"}],\"count\":1}");
    check("divide", "5", "{\"rows\":[{\"q\":2}],\"count\":1}");
    check("divide", "null", "{\"rows\":[{\"q\":null}],\"count\":1}");
    check("doc", "{\"n\":3}", "{\"rows\":[{\"n\":3}],\"count\":1}");
    check_fails("echo", "[1]", ERR_BAD_FIELD, "takes 2 parameters, not 1");
    check_fails("divide", NULL, ERR_BAD_FIELD, "takes 1 parameters, not 0");
    check_fails("divide", "\"five\"", ERR_REJECTED, "22P02");
    check_fails("nobody", NULL, ERR_BAD_FIELD, "no [query nobody]");
}

static void t03_bounds(void **state)
{
    (void)state;
    ask("rows", "100");
    assert_int_equal(seen.code[0], ERR_NONE);
    assert_non_null(strstr(seen.what[0], "\"count\":100}"));
    check_fails("rows", "101", ERR_ITEM_TOO_LARGE, "more than 100 rows");
    check_fails("rows", "50000000", ERR_ITEM_TOO_LARGE, "more than 100 rows");
    check_fails("many", NULL, ERR_ITEM_TOO_LARGE, "larger");
    check_fails("long", "2000000", ERR_ITEM_TOO_LARGE, "larger");
    check_fails("long", "200000000", ERR_ITEM_TOO_LARGE, "larger");
    check("none", NULL, "{\"rows\":[{\"one\":1}],\"count\":1}");
}

static void t04_refusals(void **state)
{
    (void)state;
    check_fails("syntax", NULL, ERR_REJECTED, "42601");
    check_fails("twins", NULL, ERR_REJECTED, "two columns");
    check_fails("copy", NULL, ERR_REJECTED, "answer is rows");
    check_fails("empty", NULL, ERR_REJECTED, "empty");
    check_fails("divide", "0", ERR_REJECTED, "22012");
    check("none", NULL, "{\"rows\":[{\"one\":1}],\"count\":1}");
}

/* Only a query that says so changes anything, and only while it runs: the sessions are shared. */
static void t05_writing(void **state)
{
    (void)state;
    tell("TRUNCATE things");
    check_fails("sneak", "1", ERR_REJECTED, "25006");
    check("insert", "1", "{\"rows\":[],\"count\":1}");
    check_fails("insert", "1", ERR_REJECTED, "23505");
    check("return", "2", "{\"rows\":[{\"id\":2}],\"count\":1}");
    check_fails("sneak", "3", ERR_REJECTED, "25006");
    check("count", NULL, "{\"rows\":[{\"n\":2}],\"count\":1}");
}

/* A plan whose columns changed under it is prepared again. */
static void t06_stale_plans(void **state)
{
    (void)state;
    tell("TRUNCATE things");
    tell("INSERT INTO things VALUES (1)");
    check("all", NULL, "{\"rows\":[{\"id\":1}],\"count\":1}");
    tell("ALTER TABLE things ADD extra text DEFAULT 'new'");
    check("all", NULL, "{\"rows\":[{\"id\":1,\"extra\":\"new\"}],\"count\":1}");
    tell("ALTER TABLE things DROP extra");
    check("all", NULL, "{\"rows\":[{\"id\":1}],\"count\":1}");
}

/* ---- shapes */

static void t07_thousands_on_four(void **state)
{
    (void)state;
    struct plan p = plan_of("pid", NULL, MOST, (struct shape){0, 1, 2000, 1});
    run(&p);
    all_fine(MOST);
    assert_in_range(pids(MOST), 1, 4);
}

static void t08_threads_share(void **state)
{
    (void)state;
    struct plan p = plan_of("napping", NULL, 400, (struct shape){0, 16, 1, 1});
    run(&p);
    all_fine(400);
    assert_in_range(pids(400), 2, 4);
    p = plan_of("napping", NULL, 400, (struct shape){0, 8, 25, 1});
    run(&p);
    all_fine(400);
    assert_in_range(pids(400), 2, 4);
}

/* Children with one item in flight have one connection each. */
static void t09_processes(void **state)
{
    (void)state;
    struct plan p = plan_of("napping", NULL, 200, (struct shape){3, 1, 1, 1});
    run(&p);
    all_fine(200);
    assert_in_range(pids(200), 1, 3);
}

static void t10_every_strategy(void **state)
{
    static struct span inputs[60];
    const struct ask all = {.items = 60, .batch_size = 30, .workers = 3, .cores = 2};
    (void)state;
    for (int i = 0; i < 60; i++)
        inputs[i] = i % 7 == 3 ? SPAN("0") : SPAN("5");
    for (size_t s = 0; strategies[s]; s++) {
        if (strategies[s]->kind != STRATEGY_SHAPED)
            continue;
        struct plan p = plan_of("divide", inputs, 60, strategies[s]->shape(&all));
        run(&p);
        for (int i = 0; i < 60; i++)
            if (strcmp(seen.what[i],
                       i % 7 == 3 ? "22012: division by zero" : "{\"rows\":[{\"q\":2}],\"count\":1}") != 0)
                fail_msg("%s: item %d: %s", strategies[s]->name, i, seen.what[i]);
    }
}

/* ---- time */

static void *cancel_when_asleep(void *arg)
{
    wait_until("SELECT count(*) > 1" OURS " AND query LIKE '%pg_sleep%' AND state = 'active'", "t");
    cancel_raise(&seen.cancel);
    return arg;
}

static void t11_cancel(void **state)
{
    static struct span inputs[40];
    const struct shape shapes[] = {{0, 1, 40, 1}, {0, 4, 1, 1}, {2, 1, 1, 1}, {2, 2, 10, 1}};
    (void)state;
    for (int i = 0; i < 40; i++)
        inputs[i] = SPAN("300");
    for (size_t s = 0; s < COUNT_OF(shapes); s++) {
        pthread_t thread;
        struct plan p = plan_of("sleep", inputs, 40, shapes[s]);
        p.deadline = clock_after_ms(200000);
        assert_int_equal(pthread_create(&thread, NULL, cancel_when_asleep, NULL), 0);
        run(&p);
        pthread_join(thread, NULL);
        assert_int_equal(seen.report.cancelled, 40);
        if (shapes[s].processes ==
            0) /* a child is killed if it must be; its server finds out at its next word */
            wait_until("SELECT count(*)" OURS " AND query LIKE '%pg_sleep%' AND state = 'active'", "0");
    }
    tell("SELECT count(pg_terminate_backend(pid))" OURS);
}

/* The cancel of one hits none of its neighbours. */
static void t12_item_time(void **state)
{
    static struct span inputs[200];
    (void)state;
    for (int i = 0; i < 200; i++)
        inputs[i] = i % 20 == 5 ? SPAN("300") : SPAN("0.001");
    struct plan p = plan_of("sleep", inputs, 200, (struct shape){0, 1, 50, 1});
    p.item_timeout_ms = 1000;
    run(&p);
    for (int i = 0; i < 200; i++)
        if (seen.code[i] != ERR_ITEM_TIMEOUT && (seen.code[i] != ERR_NONE || i % 20 == 5))
            fail_msg("item %d: %s", i, seen.what[i]);
    assert_true(seen.report.ok > 0);
    wait_until("SELECT count(*)" OURS " AND query LIKE '%pg_sleep%' AND state = 'active'", "0");
}

static void t13_statement_time(void **state)
{
    struct span inputs[] = {SPAN("0"), SPAN("300"), SPAN("0.001")};
    (void)state;
    struct plan p = plan_of("hasty", inputs, 3, (struct shape){0, 1, 3, 1});
    run(&p);
    assert_int_equal(seen.code[0], ERR_NONE);
    assert_int_equal(seen.code[1], ERR_TIMEOUT);
    assert_int_equal(seen.code[2], ERR_NONE);
    assert_non_null(strstr(seen.what[1], "57014"));
}

/* `arg` is the connection that locks: who asks in a transaction who waits is told the same all the time. */
static void *cancel_what_waits(void *arg)
{
    wait_until("SELECT count(*)" OURS " AND wait_event_type = 'Lock'", "1");
    tell("SELECT pg_cancel_backend(pid)" OURS " AND wait_event_type = 'Lock'");
    PQclear(PQexec(arg, "ROLLBACK"));
    return NULL;
}

/* Nor does one that came too late hit what the session prepares next. The two rows of `excess` are all there when the second
 * is found to be one too many; the cancel that finds a session at rest is struck again here, where it does harm. */
static void t12b_late_cancel(void **state)
{
    static const char *const next[] = {"locked", "locked too"};
    static const char *const want[] = {"{\"rows\":[{\"n\":0}],\"count\":1}", "{\"rows\":[],\"count\":0}"};
    (void)state;
    PGconn *locker = PQconnectdb(test_pg());
    tell("TRUNCATE things");
    for (size_t i = 0; i < COUNT_OF(next); i++) {
        pthread_t thread;
        check_fails("excess", NULL, ERR_ITEM_TOO_LARGE, "more than 1 rows");
        sql_cancel_wait(clock_after_ms(30000));
        PQclear(PQexec(locker, "BEGIN; LOCK things"));
        assert_int_equal(pthread_create(&thread, NULL, cancel_what_waits, locker), 0);
        check(next[i], NULL, want[i]);
        pthread_join(thread, NULL);
    }
    PQfinish(locker);
}

/* One that has hit its statement may hit another: the server sends its signal twice. The second is played here. */
static void t12c_twice(void **state)
{
    pthread_t thread;
    (void)state;
    PGconn *locker = PQconnectdb(test_pg());
    PQclear(PQexec(locker, "SELECT pg_advisory_lock(1)"));
    tell("SELECT count(pg_terminate_backend(pid))" OURS); /* a session of which nothing was cancelled */
    check_fails("burst", NULL, ERR_ITEM_TOO_LARGE, "more than 1 rows"); /* at a lock, for its last row */
    wait_until("SELECT count(*)" OURS " AND state = 'active'", "0");
    PQclear(PQexec(locker, "BEGIN; LOCK things"));
    assert_int_equal(pthread_create(&thread, NULL, cancel_what_waits, locker), 0);
    check("locked", NULL, "{\"rows\":[{\"n\":0}],\"count\":1}");
    pthread_join(thread, NULL);
    PQfinish(locker);
}

/* ---- a server that goes */

static void *end_sessions(void *arg)
{
    for (int i = 0; i < 3; i++) {
        wait_until("SELECT count(*) > 1" OURS " AND query LIKE '%pg_sleep%' AND state = 'active'", "t");
        tell("SELECT count(pg_terminate_backend(pid))" OURS);
    }
    return arg;
}

static void t14_sessions_end(void **state)
{
    static struct span inputs[300];
    (void)state;
    for (int i = 0; i < 300; i++)
        inputs[i] = SPAN("0.01");
    pthread_t thread;
    struct plan p = plan_of("sleep", inputs, 300, (struct shape){0, 1, 300, 1});
    p.item_retries = 5;
    p.backoff = (struct backoff){.base_ms = 10, .factor = 1, .max_ms = 10};
    assert_int_equal(pthread_create(&thread, NULL, end_sessions, NULL), 0);
    run(&p);
    pthread_join(thread, NULL);
    all_fine(300);
    tell("SELECT count(pg_terminate_backend(pid))" OURS); /* idle ones */
    wait_until("SELECT count(*)" OURS, "0");
    check("none", NULL, "{\"rows\":[{\"one\":1}],\"count\":1}");
}

static void t15_away(void **state)
{
    (void)state;
    struct plan p = plan_of("away", NULL, 200, (struct shape){0, 2, 3, 1});
    run(&p);
    for (int i = 0; i < 200; i++)
        if (seen.code[i] != ERR_UNREACHABLE || !strstr(seen.what[i], "cannot be reached"))
            fail_msg("item %d: %s: %s", i, err_slug(seen.code[i]), seen.what[i]);
}

/* A server that has no way to see that we have gone, or not even the setting, is one like others. */
static void t15b_a_wish_is_refused(void **state)
{
    (void)state;
    check("other", NULL, "{\"rows\":[{\"looks\":\"0\"}],\"count\":1}");
    check_fails("trespass", "1", ERR_REJECTED, "read-only");
}

/* One that hangs is given up by our own clock. */
static void t16_frozen(void **state)
{
    struct span inputs[] = {SPAN("0"), SPAN("0"), SPAN("0"), SPAN("0"), SPAN("0"), SPAN("0")};
    (void)state;
    tell("SELECT count(pg_terminate_backend(pid))" OURS);
    ask("hasty", "0"); /* a session that is there when it freezes */
    long pid = strtol(tell("SELECT pid" OURS), NULL, 10);
    assert_true(pid > 0);
    assert_int_equal(kill((pid_t)pid, SIGSTOP), 0);
    assert_int_equal(kill(test_pg_pid(), SIGSTOP), 0);
    struct plan p = plan_of("hasty", inputs, 6, (struct shape){0, 1, 6, 1});
    run(&p);
    kill(test_pg_pid(), SIGCONT);
    kill((pid_t)pid, SIGCONT);
    for (int i = 0; i < 6; i++)
        if (seen.code[i] != ERR_TIMEOUT && seen.code[i] != ERR_UNREACHABLE)
            fail_msg("item %d: %s: %s", i, err_slug(seen.code[i]), seen.what[i]);
    struct plan again = plan_of("hasty", inputs, 6, (struct shape){0, 1, 6, 1});
    again.item_retries = 20;
    again.backoff = (struct backoff){.base_ms = 100, .factor = 1, .max_ms = 100};
    run(&again);
    all_fine(6);
}

/* A row that is too large takes the connection with it: what writes behind it may have been executed, and is not sent anew. */
static void t17_written_once(void **state)
{
    static struct span inputs[100];
    static char numbers[100][8];
    (void)state;
    tell("TRUNCATE things");
    for (int i = 0; i < 100; i++) {
        snprintf(numbers[i], sizeof numbers[i], "%d", i);
        inputs[i] = span_of(numbers[i]);
    }
    struct plan p = plan_of("swell", inputs, 100, (struct shape){0, 1, 100, 1});
    p.item_retries = 3;
    run(&p);
    for (int i = 0; i < 100; i++)
        if (i % 10 == 3 ? seen.code[i] != ERR_ITEM_TOO_LARGE && seen.code[i] != ERR_REJECTED
                        : seen.code[i] != ERR_NONE && !strstr(seen.what[i], "may have been executed"))
            fail_msg("item %d: %s: %s", i, err_slug(seen.code[i]), seen.what[i]);
    wait_until("SELECT count(*)" OURS " AND state = 'active'", "0");
    assert_string_equal(tell("SELECT count(*) - count(DISTINCT id) FROM things"), "0");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(t01_types),
        cmocka_unit_test(t02_parameters),
        cmocka_unit_test(t03_bounds),
        cmocka_unit_test(t04_refusals),
        cmocka_unit_test(t05_writing),
        cmocka_unit_test(t06_stale_plans),
        cmocka_unit_test(t07_thousands_on_four),
        cmocka_unit_test(t08_threads_share),
        cmocka_unit_test(t09_processes),
        cmocka_unit_test(t10_every_strategy),
        cmocka_unit_test(t11_cancel),
        cmocka_unit_test(t12_item_time),
        cmocka_unit_test(t12b_late_cancel),
        cmocka_unit_test(t12c_twice),
        cmocka_unit_test(t13_statement_time),
        cmocka_unit_test(t14_sessions_end),
        cmocka_unit_test(t15_away),
        cmocka_unit_test(t15b_a_wish_is_refused),
        cmocka_unit_test(t16_frozen),
        cmocka_unit_test(t17_written_once),
    };
    struct err e = ERR_INIT;
    struct conf conf = {.databases = databases,
                        .database_count = COUNT_OF(databases),
                        .queries = queries,
                        .query_count = COUNT_OF(queries)};
    databases[0].url = databases[1].url = test_pg();
    snprintf(other_url, sizeof other_url, "%s options='-c search_path=other,pg_catalog,public'", test_pg());
    databases[3].url = other_url;
    for (size_t i = 0; i < COUNT_OF(queries); i++) {
        queries[i].database = queries[i].database ? queries[i].database : "main";
        queries[i].rows = queries[i].rows ? queries[i].rows : 10;
    }
    sig_block();
    databases[2].url = "host=x password='secret port=1";
    if (sql_query_open(&conf, &e) || e.code != ERR_CONFIG || !strstr(e.text, "[database away]") ||
        strstr(e.text, "secret")) {
        printf("Bail out! a url that cannot be read: %s\n", e.text);
        return 1;
    }
    databases[2].url = "host=/nowhere/at/all user=lathe";
    e = (struct err)ERR_INIT;
    if (!sql_query_open(&conf, &e) || !exec_start(&e)) {
        printf("Bail out! %s\n", e.text);
        return 1;
    }
    admin = PQconnectdb(test_pg());
    tell("CREATE TABLE things (id int PRIMARY KEY)");
    tell(refusing_sql);
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    PQfinish(admin);
    exec_stop();
    arena_release(&seen.arena);
    return failed;
}
