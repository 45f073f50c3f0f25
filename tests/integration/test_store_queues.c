/*
 * Queues on a PostgreSQL of their own: some that are limited and paused; tenants that share one.
 */
#include "../lib/test.h"

#include <string.h>

#include "api/queue_document.h"
#include "core/clock.h"
#include "limits_bench.h"
#include "store/inside.h"

/* ---- queues ---- */

static void t20_a_queue_has_a_limit(void **state)
{
    struct store_bench *b = *state;
    put(b, 10, 1, 1, "");
    struct claim before = bench_claim(b, 1), c;
    bench_sql(b, "SELECT lathe_limit_queue('default', 3, NULL, 1)");
    c = bench_claim(b, 100);
    assert_int_equal(c.count, 2); /* one ran already */
    assert_int_equal(claimed(b), 0);
    finish_all(b, &c, TASK_succeeded);
    finish_all(b, &before,
               TASK_succeeded); /* it was begun when there was no limit: its end does not look for one */
    assert_int_equal(claimed(b), 2);
    assert_int_equal(bench_reap(b).leaked, 1);
    assert_int_equal(claimed(b), 1);
    bench_expire(b);
    assert_int_equal(bench_reap(b).requeued, 3);
    c = bench_claim(b, 100);
    assert_int_equal(c.count, 3);
    finish_all(b, &c, TASK_succeeded);
    bench_sql(b, "SELECT lathe_limit_queue('default', NULL, NULL, 1)");
    bench_count(b, "queues", 0);
    bench_count(b, "inside", 0);
    assert_int_equal(claimed(b), 4);
}

static void t21_a_queue_has_a_rate(void **state)
{
    struct store_bench *b = *state;
    int64_t next_ms;
    put(b, 10, 1, 1, "");
    bench_sql(b, "SELECT lathe_limit_queue('default', NULL, 4, 8)");
    assert_int_equal(claimed(b), 4);
    assert_int_equal(claimed(b), 0);
    wake(b, &next_ms);
    assert_in_range(next_ms, 1, 2000);
    bench_sql(b, "UPDATE gates SET refilled_at = refilled_at - interval '4.1 s', next_at = now()");
    assert_int_equal(wake(b, &next_ms), 1); /* somebody should look */
    assert_in_range(next_ms, 1, 4000);      /* and again: there is more at work than there are tokens */
    assert_int_equal(claimed(b), 2);
}

static void t22_a_paused_queue_is_left_alone(void **state)
{
    struct store_bench *b = *state;
    put(b, 4, 1, 1, "");
    struct claim c = bench_claim(b, 2);
    bench_sql(b, "SELECT lathe_pause_queue('default', true, 'cleaning')");
    assert_int_equal(claimed(b), 0);
    finish_all(b, &c, TASK_succeeded); /* what runs goes on */
    assert_int_equal(claimed(b), 0);
    bench_sql(b, "SELECT lathe_pause_queue('default', false, '')");
    bench_count(b, "queues", 0);
    assert_int_equal(claimed(b), 2);
}

static void t23_both_gates(void **state)
{
    struct store_bench *b = *state;
    put(b, 10, 1, 1, LIMIT_3);
    bench_sql(b, "SELECT lathe_limit_queue('default', 2, NULL, 1)");
    struct claim c = bench_claim(b, 100);
    assert_int_equal(c.count, 2);
    bench_count(b, "inside", MOST + 2);
    finish_all(b, &c, TASK_succeeded);
    bench_count(b, "inside", MOST);
    assert_int_equal(claimed(b), 2);
}

/* A fast rate is asked for before its bucket runs over, and not ten times a second. */
static void t25_a_fast_rate_is_asked_for_in_time(void **state)
{
    struct store_bench *b = *state;
    int64_t next_ms;
    put(b, 30, 1, 1, "");
    bench_sql(b, "SELECT lathe_limit_queue('default', NULL, 10, 0.04)");
    assert_int_equal(claimed(b), 10);
    bench_sql(b, "UPDATE gates SET tokens = 0, refilled_at = now() + interval '1 hour', next_at = now()");
    assert_int_equal(wake(b, &next_ms), 1);
    assert_in_range(next_ms, 1, 25);
    bench_sql(b, "UPDATE gates SET refilled_at = now() - interval '1 hour'");
    assert_int_equal(claimed(b), 10); /* a bucket holds no more */
}

/* What its gate held back while others were claimed has a lower rank than they: a place that is free is for it. */
static void t26_a_limited_queue_from_its_beginning(void **state)
{
    struct store_bench *b = *state;
    put(b, 5, 1, 1, "");
    bench_sql(b, "SELECT lathe_limit_queue('default', 2, NULL, 1)");
    struct claim c = bench_claim(b, 100);
    assert_int_equal(c.count, 2);
    bench_sql(b, "UPDATE work SET rank = rank - interval '1 hour'");
    b->worker->from.whole_ns = 1000 * NS_PER_S; /* as if a claim from the beginning had taken so long */
    b->worker->from.whole_at = clock_now();
    assert_int_equal(claim_from(&b->worker->from, clock_now()).rank_us, b->worker->from.last.rank_us);
    finish_all(b, &c, TASK_succeeded);
    assert_int_equal(claimed(b), 2);
}

static void counts(struct store_bench *b, size_t at, const char *name, int64_t queued, int64_t waiting,
                   const char *at_least)
{
    struct buf text CLEANUP(buf_release) = BUF_INIT(MIB);
    struct json_out o = json_out(&text);
    struct queue_info *list, one;
    size_t n;
    struct err e = ERR_INIT;
    if (!store_queues(b->store, &b->arena, &list, &n, &e) ||
        !store_queue(b->store, &b->arena, span_of(name), &one, &e))
        fail_msg("%s", e.text);
    assert_true(at < n && span_is(list[at].name, name));
    assert_true(list[at].queued == queued && one.queued == queued);
    assert_true(list[at].waiting == waiting && one.waiting == waiting);
    queue_write(&one, true, &o);
    assert_non_null(memmem(text.ptr, text.len, at_least, strlen(at_least)));
}

/* A queue's numbers are its own, whatever waits in others; where counting ends they say so. */
static void t24_counts(void **state)
{
    struct store_bench *b = *state;
    bench_sql(b, "INSERT INTO waiting SELECT gen_random_uuid(), now(), now(), 0, 0, 1, 0, 1, 0, 'flood' FROM "
                 "generate_series(1, 20100)");
    bench_sql(b, "INSERT INTO waiting SELECT gen_random_uuid(), now(), now(), 0, 0, 1, 0, 1, 0, 'one' FROM "
                 "generate_series(1, 5)");
    put(b, 3, 1, 1, "");
    counts(b, 0, "default", 3, 0, "\"at_least\":false");
    counts(b, 1, "flood", 0, LIMIT_QUEUE_LOOK, "\"at_least\":true");
    counts(b, 2, "one", 0, 5, "\"at_least\":false");
}

/* ---- tenants ---- */

#define TENANT(t) "{\"tenant\":\"" t "\"}"

/* Claims and finishes n units; how many of them are this tenant's. */
static int drain(struct store_bench *b, int n, const char *tenant)
{
    b->worker->from.whole_at =
        1; /* long ago: the claim begins at the beginning, where a tenant's new units may be */
    struct claim c = bench_claim(b, n);
    int of = 0;
    for (size_t i = 0; i < c.count; i++)
        of += memmem(c.units[i].terms.ptr, c.units[i].terms.len, tenant, strlen(tenant)) != NULL;
    assert_int_equal(c.count, n);
    finish_all(b, &c, TASK_succeeded);
    return of;
}

static void t30_floods_alternate(void **state)
{
    struct store_bench *b = *state;
    for (int i = 0; i < 4; i++)
        put(b, 500, 1, 1, TENANT("a"));
    assert_int_equal(drain(b, 300, "\"a\""), 300); /* nobody else is there */
    for (int i = 0; i < 2; i++)
        put(b, 500, 1, 1, TENANT("b"));
    for (int i = 0; i < 5; i++)
        assert_in_range(drain(b, 100, "\"b\""), 48, 52);
    put(b, 10, 1, 1, TENANT("c"));
    assert_int_equal(drain(b, 60, "\"c\""), 10); /* a third of the first units */
    for (int i = 0; i < 5; i++)
        assert_in_range(drain(b, 100, "\"b\""), 48, 52);
}

static void t31_a_newcomer_waits_for_no_flood(void **state)
{
    struct store_bench *b = *state;
    struct new_task flood = bench_task(10000, 1);
    flood.terms = SPAN(TENANT("a"));
    bench_put_ok(b, &flood, 1);
    drain(b, 100, "\"a\"");
    bench_sql(
        b,
        "UPDATE work SET rank = rank - interval '1 hour'; UPDATE tenants SET clock = clock - interval '1 hour'");
    put(b, 10, 1, 1, TENANT("b")); /* an hour later, and the flood is still there */
    assert_int_equal(drain(b, 40, "\"b\""), 10);
}

static void t32_who_was_alone_owes_nothing(void **state)
{
    struct store_bench *b = *state;
    for (int i = 0; i < 2; i++)
        put(b, 500, 1, 1, TENANT("a"));
    drain(b, 500, "\"a\"");
    drain(b, 500, "\"a\"");
    put(b, 100, 1, 1, TENANT("a"));
    put(b, 100, 1, 1, TENANT("b"));
    assert_in_range(drain(b, 100, "\"a\""), 48, 52);
}

static void t33_shares_of_a_limited_key(void **state)
{
    struct store_bench *b = *state;
    put(b, 500, 1, 1, "{\"tenant\":\"a\",\"limit\":{\"key\":\"k\",\"concurrency\":4}}");
    put(b, 10, 1, 1, "{\"tenant\":\"b\",\"limit\":{\"key\":\"k\",\"concurrency\":4}}");
    int of = 0;
    for (int i = 0; i < 8; i++)
        of += drain(b, 4, "\"b\"");
    assert_int_equal(of, 10);
}

static void give_back(struct store_bench *b, struct claim *c)
{
    const struct unit **units = mem_array(c->count, sizeof *units);
    struct ended ended;
    struct err e = ERR_INIT;
    for (size_t i = 0; i < c->count; i++)
        units[i] = &c->units[i];
    if (!store_release(b->worker, &b->arena, units, c->count, false, &ended, &e))
        fail_msg("%s", e.text);
    mem_free(units);
    claim_release(c);
}

/* Units that stand where they were created would draw newcomers back to there, before all who have been served since. */
static void t34_what_is_given_back_draws_nobody_back(void **state)
{
    struct store_bench *b = *state;
    for (int i = 0; i < 4; i++)
        put(b, 500, 1, 1, i % 2 ? TENANT("a") : TENANT("b"));
    for (int i = 0; i < 4; i++)
        drain(b, 200, "\"a\"");
    struct claim c = bench_claim(b, 10);
    give_back(b, &c);
    put(b, 500, 1, 1, TENANT("c"));
    drain(b, 10, "\"a\"");
    assert_in_range(drain(b, 90, "\"c\""), 28, 33);
    c = bench_claim(b, 10);
    bench_expire(b); /* as if their worker were lost */
    claim_release(&c);
    assert_int_equal(bench_reap(b).requeued, 10);
    put(b, 500, 1, 1, TENANT("d"));
    drain(b, 10, "\"a\"");
    assert_in_range(drain(b, 80, "\"d\""), 18, 23);
}

/* So also those whose time comes. */
static void t35_a_late_time_draws_nobody_back(void **state)
{
    struct store_bench *b = *state;
    struct new_task late = bench_task(1, 1);
    late.terms = SPAN(TENANT("a"));
    late.run_at_us = clock_wall_us() + 3600000000;
    bench_put_ok(b, &late, 1);
    for (int i = 0; i < 4; i++)
        put(b, 500, 1, 1, i % 2 ? TENANT("a") : TENANT("b"));
    for (int i = 0; i < 4; i++)
        drain(b, 200, "\"a\"");
    bench_sql(b, "UPDATE waiting SET run_at = now(), rank = (SELECT min(rank) FROM work) - interval '1 s'");
    assert_int_equal(wake(b, NULL), 1);
    put(b, 500, 1, 1, TENANT("c"));
    drain(b, 1, "\"a\"");
    assert_in_range(drain(b, 90, "\"c\""), 28, 33);
}

/* The end of what a tenant's task needs does not wait for his clock. */
static void t36_an_end_waits_for_no_clock(void **state)
{
    struct store_bench *b = *state;
    PGconn *other = PQconnectdb(test_pg());
    char text[UUID_TEXT], terms[128];
    struct new_task need = bench_task(1, 1), after = bench_task(1, 1);
    uuid_format(need.id, text);
    snprintf(terms, sizeof terms, "{\"tenant\":\"a\",\"depends_on\":[\"%s\"]}", text);
    after.terms = span_of(terms);
    after.waits = true;
    put(b, 1, 1, 1, TENANT("a"));
    drain(b, 1, "\"a\"");
    bench_put_ok(b, &need, 1);
    bench_put_ok(b, &after, 1);
    PQclear(PQexec(other, "BEGIN"));
    PQclear(PQexec(other, "SELECT FROM tenants FOR UPDATE"));
    assert_int_equal(bench_run_all(b, TASK_succeeded), 1);
    STATE_IS(b, after.id, "queued");
    bench_count(b, "work", 0);
    PQclear(PQexec(other, "ROLLBACK"));
    PQfinish(other);
    assert_int_equal(wake(b, NULL), 1);
    bench_count(b, "work WHERE rank < 'infinity'", 1);
    assert_int_equal(bench_run_all(b, TASK_succeeded), 1);
    STATE_IS(b, after.id, "succeeded");
}

#define CROWD 10000

/* Each in one commit: of lists that were compared with each other this took half a minute. */
static void t37_a_crowd_of_tenants(void **state)
{
    struct store_bench *b = *state;
    struct new_task *list CLEANUP(mem_free_at) = mem_array(CROWD, sizeof *list);
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < CROWD; i++) {
            list[i] = bench_task(1, 1);
            list[i].terms = span_of(arena_printf(&b->arena, "{\"tenant\":\"t%d\"}", round ? i : 0));
        }
        bench_put_ok(b, list, CROWD);
    }
    bench_count(b, "tenants", CROWD);
    bench_count(b, "work", (int64_t)2 * CROWD);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        STORE_TEST(t20_a_queue_has_a_limit),
        STORE_TEST(t21_a_queue_has_a_rate),
        STORE_TEST(t22_a_paused_queue_is_left_alone),
        STORE_TEST(t23_both_gates),
        STORE_TEST(t24_counts),
        STORE_TEST(t25_a_fast_rate_is_asked_for_in_time),
        STORE_TEST(t26_a_limited_queue_from_its_beginning),
        STORE_TEST(t30_floods_alternate),
        STORE_TEST(t31_a_newcomer_waits_for_no_flood),
        STORE_TEST(t32_who_was_alone_owes_nothing),
        STORE_TEST(t33_shares_of_a_limited_key),
        STORE_TEST(t34_what_is_given_back_draws_nobody_back),
        STORE_TEST(t35_a_late_time_draws_nobody_back),
        STORE_TEST(t36_an_end_waits_for_no_clock),
        STORE_TEST(t37_a_crowd_of_tenants),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
