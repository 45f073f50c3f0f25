/*
 * Few tasks are seen by workers before the disk has confirmed them, and answered after it. Needs the named fault points
 * (configure --enable-fault-points).
 *
 * log may say: connection to client lost|unexpected EOF|invalid byte sequence|function pg_logical_emit_message
 */
#include "../lib/test.h"

#include <stdatomic.h>

#include "core/clock.h"
#include "store_bench.h"

#define MOST 9

struct watched {
    struct store_bench *b;
    struct new_tasks put;
    struct err err;
    int seen;
    int64_t there;              /* rows, when it was seen */
    int64_t before, flushed_at; /* the end of the WAL before it; what is on the disk when it is answered */
    _Atomic bool done;
};

static int64_t wal(struct store_bench *b, const char *which)
{
    char sql[80];
    snprintf(sql, sizeof sql, "SELECT pg_current_wal_%s_lsn() - '0/0'::pg_lsn", which);
    return bench_number(b, sql);
}

/* Both on the writer's thread, while the test's waits. */
static void on_seen(void *arg)
{
    struct watched *w = arg;
    w->seen++;
    w->there = bench_number(w->b, "SELECT count(*) FROM work");
}

static void on_done(void *arg, const struct err *e)
{
    struct watched *w = arg;
    if (e)
        w->err = *e;
    w->flushed_at = wal(w->b, "flush");
    atomic_store(&w->done, true);
}

static struct watched put(struct store_bench *b, const struct new_task *list, size_t n)
{
    struct err e = ERR_INIT;
    struct put_verdict verdicts[MOST];
    struct watched w = {.b = b, .err = ERR_INIT, .before = wal(b, "insert")};
    w.put = (struct new_tasks){
        .list = list, .count = n, .verdicts = verdicts, .done = on_done, .seen = on_seen, .arg = &w};
    int64_t deadline = clock_after_ms(60000);
    assert_true(n <= MOST);
    assert_true(store_put(b->writer, &w.put, &e));
    while (!atomic_load(&w.done))
        assert_true(clock_now() < deadline);
    return w;
}

/* Nobody else brings the WAL to the disk meanwhile. */
static void let_the_disk_rest(struct store_bench *b)
{
    int64_t deadline = clock_after_ms(60000);
    bench_sql(b, "ALTER SYSTEM SET wal_writer_delay = '10s'");
    bench_sql(b, "SELECT pg_reload_conf()");
    while (bench_number(b, "SELECT setting::int FROM pg_settings WHERE name = 'wal_writer_delay'") != 10000)
        assert_true(clock_now() < deadline);
}

/* First: the fault point is hit once. The connection is lost after the rows can be seen and before they are on the disk; sent
 * again they are not written again, and are answered when they are on the disk all the same. */
static void t01_lost_before_the_disk(void **state)
{
    struct store_bench *b = *state;
    struct new_task n = bench_task(1, 1);
    let_the_disk_rest(b);
    struct watched w = put(b, &n, 1);
    assert_int_equal(w.err.code, ERR_NONE);
    assert_int_equal(w.seen, 1);
    assert_int_equal(w.there, 1);
    assert_true(w.flushed_at > w.before);
    bench_count(b, "tasks", 1);
    bench_count(b, "work", 1);
}

static void t02_seen_and_then_answered(void **state)
{
    struct store_bench *b = *state;
    struct new_task n[MOST - 1];
    for (size_t i = 0; i < COUNT_OF(n); i++)
        n[i] = bench_task(1, 1);
    let_the_disk_rest(b);
    struct watched w = put(b, n, COUNT_OF(n));
    assert_int_equal(w.err.code, ERR_NONE);
    assert_int_equal(w.seen, 1);
    assert_int_equal(w.there, COUNT_OF(n));
    assert_true(w.flushed_at > w.before);
}

/* Many, and such as a verdict may be against, are seen when they are answered. */
static void t03_others_wait_for_the_disk(void **state)
{
    struct store_bench *b = *state;
    struct new_task n[MOST];
    for (size_t i = 0; i < COUNT_OF(n); i++)
        n[i] = bench_task(1, 1);
    struct watched w = put(b, n, COUNT_OF(n));
    assert_int_equal(w.err.code, ERR_NONE);
    assert_int_equal(w.seen, 0);
    struct new_task later = bench_task(1, 1);
    later.run_at_us = clock_wall_us() + 3600 * INT64_C(1000000);
    w = put(b, &later, 1);
    assert_int_equal(w.err.code, ERR_NONE);
    assert_int_equal(w.seen, 0);
    bench_count(b, "tasks", MOST + 1);
}

static void t04_refused_is_not_seen(void **state)
{
    struct store_bench *b = *state;
    struct new_task n = bench_task(1, 1);
    n.handler = SPAN("\xff");
    struct watched w = put(b, &n, 1);
    assert_int_equal(w.err.code, ERR_DATA);
    assert_int_equal(w.seen, 0);
    bench_count(b, "tasks", 0);
}

/* The rows are there then, so that it is not said that nothing was written. */
static void t05_a_disk_that_nobody_may_wait_for(void **state)
{
    struct store_bench *b = *state;
    struct new_task n = bench_task(1, 1);
    b->conf.store_timeout = 300;
    bench_sql(b, "ALTER FUNCTION pg_catalog.pg_logical_emit_message(boolean, text, text) RENAME TO away");
    bench_sql(b, "ALTER FUNCTION pg_catalog.pg_logical_emit_message(boolean, text, bytea) RENAME TO away");
    struct watched w = put(b, &n, 1);
    bench_sql(b, "ALTER FUNCTION pg_catalog.away(boolean, text, text) RENAME TO pg_logical_emit_message");
    bench_sql(b, "ALTER FUNCTION pg_catalog.away(boolean, text, bytea) RENAME TO pg_logical_emit_message");
    assert_int_equal(w.err.code, ERR_STORE);
    assert_int_equal(w.seen, 1);
    assert_true(w.put.resent);
    bench_count(b, "work", 1);
}

int main(void)
{
    setenv("LATHE_FAULT", "store.seen:1:drop", 1);
    const struct CMUnitTest tests[] = {
        STORE_TEST(t01_lost_before_the_disk), STORE_TEST(t02_seen_and_then_answered),
        STORE_TEST(t03_others_wait_for_the_disk), STORE_TEST(t04_refused_is_not_seen),
        STORE_TEST(t05_a_disk_that_nobody_may_wait_for)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
