/*
 * Units in time: tried again, put off, not begun any more, and the order in which they are claimed as they grow older.
 * Time is moved in the tables: nothing here waits for a clock.
 */
#include "../lib/test.h"

#include "core/clock.h"
#include "store_bench.h"

#define PUT_OFF "UPDATE waiting SET run_at = now() - interval '1 second'"

static struct new_task with_terms(int64_t items, int64_t unit_size, const char *terms)
{
    struct new_task t = bench_task(items, unit_size);
    t.terms = span_of(terms);
    return t;
}

static void wake(struct store_bench *b, int64_t want)
{
    int64_t woken, next, fire;
    struct err e = ERR_INIT;
    bench_sql(b, PUT_OFF);
    assert_true(store_wake(b->worker, 100, &woken, &next, &fire, &e));
    assert_int_equal(woken, want);
}

/* The end of a failed try. */
static struct finish failed(struct store_bench *b, const struct unit *u, bool counts, int64_t ms)
{
    struct finish f = bench_end(b, u, TASK_failed, u->count);
    err_set(&f.err, ERR_ITEM_FAILED, "try %d", u->tries + 1);
    f.again = true;
    f.counts = counts;
    f.again_ms = ms;
    return f;
}

static void once_more(struct store_bench *b, bool counts)
{
    struct claim c = bench_claim(b, 10);
    assert_int_equal(c.count, 1);
    struct finish f = failed(b, c.units, counts, 1000);
    bench_finish(b, &f, 1);
    assert_true(f.applied && !f.final);
    claim_release(&c);
}

static void t01_tried_again(void **state)
{
    struct store_bench *b = *state;
    struct new_task n = with_terms(2, 2, "{\"retries\":5}");
    bench_put_ok(b, &n, 1);
    for (int try = 1; try <= 2; try++) {
        once_more(b, true);
        bench_count(b, "leases", 0);
        bench_count(b, "results", 0);
        bench_count(b, "work", 0);
        struct task t = bench_get(b, n.id);
        assert_int_equal(t.state, TASK_queued);
        assert_int_equal(t.tries, try);
        assert_int_equal(t.attempt, 1);
        assert_int_equal(t.err.code, ERR_ITEM_FAILED); /* of the try, while it waits */
        wake(b, 1);
    }
    struct claim c = bench_claim(b, 10);
    assert_int_equal(c.units[0].tries, 2);
    assert_int_equal(c.units[0].attempt, 1);
    struct finish f = bench_end(b, c.units, TASK_succeeded, 0);
    bench_finish(b, &f, 1);
    struct task t = bench_get(b, n.id);
    assert_int_equal(t.state, TASK_succeeded);
    assert_int_equal(t.tries, 2);
    assert_int_equal(t.err.code, ERR_NONE);
    assert_int_equal(t.items_done, 2);
    claim_release(&c);
}

/* The error that the caller sees is the last one's. */
static void t02_last_error(void **state)
{
    struct store_bench *b = *state;
    struct new_task n = with_terms(1, 1, "{\"retries\":1}");
    bench_put_ok(b, &n, 1);
    once_more(b, true);
    wake(b, 1);
    struct claim c = bench_claim(b, 10);
    struct finish f = bench_end(b, c.units, TASK_failed, 1);
    err_set(&f.err, ERR_ITEM_TIMEOUT, "the last");
    bench_finish(b, &f, 1);
    struct task t = bench_get(b, n.id);
    assert_int_equal(t.state, TASK_failed);
    assert_int_equal(t.err.code, ERR_ITEM_TIMEOUT);
    assert_string_equal(t.err.text, "the last");
    claim_release(&c);
}

/* A worker that is lost is no failure, and a failure is no lost worker. */
static void t03_counted_apart(void **state)
{
    struct store_bench *b = *state;
    struct new_task n = with_terms(1, 1, "{\"retries\":5}");
    bench_put_ok(b, &n, 1);
    once_more(b, true);
    wake(b, 1);
    struct claim c = bench_claim(b, 10);
    bench_expire(b);
    assert_int_equal(bench_reap(b).requeued, 1);
    bench_count(b, "logs", 1);
    assert_int_equal(
        bench_number(b, "SELECT (convert_from(bytes, 'UTF8')::json ->> 'try')::integer FROM logs"), 2);
    claim_release(&c);
    c = bench_claim(b, 10);
    assert_int_equal(c.units[0].tries, 1);
    assert_int_equal(c.units[0].attempt, 2);
    claim_release(&c);
}

static void t04_put_off(void **state)
{
    struct store_bench *b = *state;
    struct new_task n = bench_task(1, 1);
    bench_put_ok(b, &n, 1);
    once_more(b, false);
    struct task t = bench_get(b, n.id);
    assert_int_equal(t.tries, 0);
    assert_int_equal(t.err.code, ERR_NONE);
    bench_sql(b, "UPDATE tasks SET created_at = created_at - interval '8 days'");
    wake(b, 1);
    struct claim c = bench_claim(b, 10);
    struct finish f = failed(b, c.units, false, 1000);
    bench_finish(b, &f, 1);
    assert_true(f.applied && f.final); /* it has been put off for long enough */
    STATE_IS(b, n.id, "failed");
    claim_release(&c);
}

static struct new_task expiring(struct store_bench *b, int64_t items, int64_t unit_size, int64_t in_s)
{
    char *terms =
        arena_printf(&b->arena, "{\"expires_us\":%lld}", (long long)(clock_wall_us() + in_s * 1000000));
    return with_terms(items, unit_size, terms);
}

/* Nobody claims it: housekeeping ends it, wherever it lies. */
static void t05_expires(void **state)
{
    struct store_bench *b = *state;
    struct new_task list[] = {expiring(b, 3, 1, -5), expiring(b, 1, 1, -5), expiring(b, 1, 1, 500)};
    list[1].run_at_us = clock_wall_us() + 1000000000;
    bench_put_ok(b, list, COUNT_OF(list));
    struct reaped r = bench_reap(b);
    assert_int_equal(r.expired, 2);
    assert_int_equal(r.ended.count, 2);
    for (int i = 0; i < 2; i++) {
        struct task t = bench_get(b, list[i].id);
        assert_int_equal(t.state, TASK_failed);
        assert_int_equal(t.err.code, ERR_EXPIRED);
        assert_int_equal(t.items_done, 0);
        assert_int_equal(t.units_done, t.units_total);
    }
    STATE_IS(b, list[2].id, "queued");
    assert_int_equal(bench_reap(b).expired, 0);
    bench_count(b, "work", 1);
    bench_count(b, "waiting", 0);
    bench_count(b, "expiring", 1);
}

/* What a worker has goes on; what it gives back is looked at again. */
static void t06_expires_while_it_runs(void **state)
{
    struct store_bench *b = *state;
    struct new_task n = expiring(b, 1, 1, -5);
    bench_put_ok(b, &n, 1);
    struct claim c = bench_claim(b, 10);
    assert_int_equal(bench_reap(b).expired, 0);
    STATE_IS(b, n.id, "running");
    bench_expire(b);
    assert_int_equal(bench_reap(b).requeued, 1);
    bench_sql(b, "UPDATE expiring SET at = now() - interval '1 second'");
    assert_int_equal(bench_reap(b).expired, 1);
    STATE_IS(b, n.id, "failed");
    claim_release(&c);
}

/* What is run again after its time has none; rows of before do not matter. */
static void t10_run_again(void **state)
{
    struct store_bench *b = *state;
    struct new_task list[] = {expiring(b, 1, 1, 3600), expiring(b, 1, 1, 3600)};
    struct uuid ids[] = {{{0}}, {{0}}};
    struct err why = ERR_INIT, e = ERR_INIT;
    bench_put_ok(b, list, 2);
    struct claim c = bench_claim(b, 10);
    struct finish f[] = {bench_end(b, &c.units[0], TASK_failed, 1),
                         bench_end(b, &c.units[1], TASK_failed, 1)};
    bench_finish(b, f, 2);
    claim_release(&c);
    for (int i = 0; i < 2; i++) {
        ids[i] = list[i].id;
        if (!store_retry(b->store, &ids[i], 1, false, &why, &e))
            fail_msg("%s", e.text);
        assert_int_equal(why.code, ERR_NONE);
    }
    bench_count(b, "expiring", 0);
    bench_sql(b, "INSERT INTO expiring SELECT now() - interval '1 second', id FROM tasks");
    assert_int_equal(bench_reap(b).expired, 0);
    bench_count(b, "work", 2);
    bench_count(b, "expiring", 0);
}

/* A retry that would come after its time is not made: the failure is stored as it is. */
static void t07_no_retry_after_it(void **state)
{
    struct store_bench *b = *state;
    struct new_task n = expiring(b, 1, 1, 100);
    bench_put_ok(b, &n, 1);
    struct claim c = bench_claim(b, 10);
    struct finish f = failed(b, c.units, true, 200000);
    bench_finish(b, &f, 1);
    assert_true(f.applied && f.final);
    assert_int_equal(bench_get(b, n.id).err.code, ERR_ITEM_FAILED);
    claim_release(&c);
}

static void said(struct store_bench *b, struct finish *f, const char *text, int64_t at_us)
{
    f->log = span_of(arena_printf(&b->arena, "%s\n", text));
    f->logged_us = at_us;
}

/* In the order in which runs ended, whatever their units; in pieces; a finish that is told twice is there once. */
static void t09_log(void **state)
{
    struct store_bench *b = *state;
    struct new_task n = with_terms(2, 1, "{\"retries\":1}");
    struct err e = ERR_INIT;
    bench_put_ok(b, &n, 1);
    struct claim c = bench_claim(b, 10);
    struct finish ends[] = {failed(b, &c.units[0], true, 0), bench_end(b, &c.units[1], TASK_succeeded, 0)};
    said(b, &ends[0], "a", 1000000);
    said(b, &ends[1], "b", 3000000);
    bench_finish(b, ends, 2);
    bench_finish(b, ends, 2);
    wake(b, 1);
    struct claim later = bench_claim(b, 10);
    struct finish end = bench_end(b, later.units, TASK_succeeded, 0);
    said(b, &end, "c", 2000000);
    bench_finish(b, &end, 1);
    STATE_IS(b, n.id, "succeeded");
    for (size_t max = 2; max <= 6; max++) {
        struct store_log l = {.id = n.id};
        struct buf all CLEANUP(buf_release) = BUF_INIT(100);
        bool over = false;
        for (int calls = 0; !over; calls++) {
            struct buf piece CLEANUP(buf_release) = BUF_INIT(max);
            assert_true(calls < 5);
            assert_true(store_log_more(b->store, &l, &piece, &over, &e));
            buf_span(&all, buf_view(&piece));
        }
        assert_true(span_is(buf_view(&all), "a\nc\nb\n"));
    }
    claim_release(&c);
    claim_release(&later);
}

static void put_of_priority(struct store_bench *b, int priority)
{
    struct new_task n = bench_task(1, 1);
    n.priority = priority;
    bench_put_ok(b, &n, 1);
}

/* Each minute brings two of priority 9, and one is done; one of priority 0 that came first waits for those of the first nine
 * minutes and for no later one. */
static void t08_nothing_starves(void **state)
{
    struct store_bench *b = *state;
    int minutes = 0;
    put_of_priority(b, 0);
    for (bool done = false; !done; minutes++) {
        assert_true(minutes < 40);
        put_of_priority(b, 9);
        put_of_priority(b, 9);
        struct claim c = bench_claim(b, 1);
        done =
            bench_number(b, "SELECT count(*) FROM work WHERE rank > now() - interval '100 days' AND task IN "
                            "(SELECT id FROM tasks WHERE priority = 0)") == 0;
        claim_release(&c);
        bench_sql(b, "UPDATE work SET rank = rank - interval '1 minute'"); /* a minute passes */
    }
    assert_in_range(minutes, 18, 22);
}

/* When somebody should look again, where nothing is due: lathe_wake finds out by itself, and says what lathe_wake_due would. */
static void look_again(struct store_bench *b, const char *put, const char *next)
{
    char sql[512];
    bench_sql(b, put);
    snprintf(
        sql, sizeof sql,
        "SELECT (w.woken = 0 AND w.next IS NOT DISTINCT FROM %s AND w.next IS NOT DISTINCT FROM d.next AND d.woken = 0)::integer "
        "FROM lathe_wake(10) w, lathe_wake_due(10) d",
        next);
    assert_int_equal(bench_number(b, sql), 1);
}

#define WAITS(run_at)                                                                          \
    "INSERT INTO waiting (task, run_at, rank, seq, first, count, kib, attempt, tries, queue) " \
    "VALUES (gen_random_uuid(), " run_at ", now(), 0, 0, 1, 0, 1, 0, 'default')"
#define GATE(name, next_at)                                                              \
    "INSERT INTO gates (name, concurrency, rate, per_s, tokens, next_at) VALUES ('" name \
    "', 1, 1, 1, 0, " next_at ")"

static void t11_when_to_look_again(void **state)
{
    struct store_bench *b = *state;
    look_again(b, "TRUNCATE waiting", "NULL");
    look_again(b, "UPDATE waiting SET gate = 'key/x'; " GATE("key/x", "NULL"), "NULL");
    look_again(b, WAITS("'infinity'"), "now() + interval '1 day'");
    look_again(b, WAITS("'2200-01-01'"), "now() + interval '1 day'");
    look_again(b, WAITS("date_trunc('hour', now()) + interval '2 hours'"),
               "date_trunc('hour', now()) + interval '2 hours'");
    look_again(b, GATE("key/y", "date_trunc('hour', now()) + interval '90 minutes'"),
               "date_trunc('hour', now()) + interval '90 minutes'");
}

/* Each of the three for which it must look. */
static void t12_what_is_due(void **state)
{
    struct store_bench *b = *state;
    int64_t woken, next, fire;
    struct err e = ERR_INIT;
    struct new_task n = with_terms(1, 1, "{\"retries\":5}");
    bench_put_ok(b, &n, 1);
    once_more(b, true);
    wake(b, 1); /* its time has come */
    bench_sql(b, "INSERT INTO checks SELECT id FROM tasks");
    assert_true(store_wake(b->worker, 100, &woken, &next, &fire, &e));
    bench_count(b, "checks", 0);
    bench_sql(b, GATE("queue/default", "now()"));
    assert_true(store_wake(b->worker, 100, &woken, &next, &fire, &e));
    assert_int_equal(woken, 1); /* a queue that may be claimed from again */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        STORE_TEST(t01_tried_again),
        STORE_TEST(t02_last_error),
        STORE_TEST(t03_counted_apart),
        STORE_TEST(t04_put_off),
        STORE_TEST(t05_expires),
        STORE_TEST(t06_expires_while_it_runs),
        STORE_TEST(t07_no_retry_after_it),
        STORE_TEST(t10_run_again),
        STORE_TEST(t08_nothing_starves),
        STORE_TEST(t09_log),
        STORE_TEST(t11_when_to_look_again),
        STORE_TEST(t12_what_is_due),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
