/*
 * Tasks that know each other, at the store: dependencies, their ends, and what two sessions make of each other while
 * they put and finish. (Unique work: test_store_unique.c.)
 */
#include "../lib/test.h"

#include <string.h>

#include "core/mem.h"
#include "follow_bench.h"

#define MANY 10000

/* ---- moves ---- */

static struct new_task needing_end(struct store_bench *b, struct uuid id)
{
    struct new_task t = with_terms(b, "{\"depends_on\": [\"%s\"], \"depends_if\": \"end\"}", id_text(b, id));
    t.waits = true;
    return t;
}

/* In how many milliseconds to look again. */
static int64_t wake_next(struct store_bench *b)
{
    int64_t woken, next, fire;
    struct err e = ERR_INIT;
    if (!store_wake(b->worker, 1000, &woken, &next, &fire, &e))
        fail_msg("%s", e.text);
    return next;
}

static void wake(struct store_bench *b)
{
    (void)wake_next(b);
}

/* ---- dependencies ---- */

static void t01_a_chain(void **state)
{
    struct store_bench *b = *state;
    struct new_task list[3] = {bench_task(1, 1)};
    list[1] = needing(b, list[0].id);
    list[2] = needing(b, list[1].id);
    put_taken(b, list, 3);
    STATE_IS(b, list[0].id, "queued");
    STATE_IS(b, list[1].id, "scheduled");
    for (int i = 0; i < 3; i++) {
        bench_count(b, "work", 1);
        assert_int_equal(bench_run_all(b, TASK_succeeded), 1);
        STATE_IS(b, list[i].id, "succeeded");
    }
    nothing_left(b);
}

static void t02_the_last_of_a_group_releases(void **state)
{
    struct store_bench *b = *state;
    struct new_task group[3] = {bench_task(1, 1), bench_task(2, 1), bench_task(1, 1)};
    put_taken(b, group, 3);
    struct new_task chord =
        with_terms(b, "{\"depends_on\": [\"%s\",\"%s\",\"%s\",\"%s\"]}", id_text(b, group[0].id),
                   id_text(b, group[1].id), id_text(b, group[2].id), id_text(b, group[0].id));
    chord.waits = true;
    put_taken(b, &chord, 1);
    for (int left = 4; left > 0; left--) {
        STATE_IS(b, chord.id, "scheduled");
        struct claim c = bench_claim(b, 1);
        struct finish f = bench_end(b, c.units, TASK_succeeded, 0);
        bench_finish(b, &f, 1);
        claim_release(&c);
    }
    STATE_IS(b, chord.id, "queued");
    assert_int_equal(bench_run_all(b, TASK_succeeded), 1);
    nothing_left(b);
}

static void t03_what_needs_a_failure_fails(void **state)
{
    struct store_bench *b = *state;
    struct new_task list[5] = {bench_task(1, 1)};
    list[1] = needing(b, list[0].id);
    list[2] = needing(b, list[1].id);
    list[3] = needing_end(b, list[0].id);
    list[4] = needing_end(b, list[2].id);
    put_taken(b, list, 5);
    assert_int_equal(bench_run_all(b, TASK_failed), 1);
    struct task t = bench_get(b, list[2].id);
    assert_string_equal(state_name(t.state), "failed");
    assert_int_equal(t.err.code, ERR_DEPENDENCY);
    assert_non_null(strstr(t.err.text, id_text(b, list[1].id)));
    STATE_IS(b, list[1].id, "failed");
    STATE_IS(b, list[3].id, "queued");
    STATE_IS(b, list[4].id, "queued");
    assert_int_equal(bench_run_all(b, TASK_succeeded), 2);
    nothing_left(b);
}

static void t04_cancelling_cancels_what_needs_it(void **state)
{
    struct store_bench *b = *state;
    struct new_task list[4] = {bench_task(1, 1)};
    list[1] = needing(b, list[0].id);
    list[2] = needing(b, list[1].id);
    list[3] = needing_end(b, list[1].id);
    put_taken(b, list, 4);
    struct ended ended;
    bench_cancel_ends(b, list[1].id, &ended);
    assert_int_equal(ended.count, 2);
    assert_true(ended.released);
    STATE_IS(b, list[0].id, "queued");
    STATE_IS(b, list[1].id, "cancelled");
    STATE_IS(b, list[2].id, "cancelled");
    STATE_IS(b, list[3].id, "queued");
    assert_int_equal(bench_run_all(b, TASK_succeeded), 2);
    nothing_left(b);
}

static void t05_what_has_ended_before(void **state)
{
    struct store_bench *b = *state;
    struct new_task good = bench_task(1, 1), bad = bench_task(1, 1);
    put_taken(b, &good, 1);
    bench_run_all(b, TASK_succeeded);
    put_taken(b, &bad, 1);
    bench_run_all(b, TASK_failed);
    struct new_task list[3] = {needing(b, good.id), needing(b, bad.id), needing_end(b, bad.id)};
    put_taken(b, list, 3);
    STATE_IS(b, list[0].id, "queued");
    STATE_IS(b, list[1].id, "failed");
    STATE_IS(b, list[2].id, "queued");
    bench_run_all(b, TASK_succeeded);
    nothing_left(b);
}

static void t06_what_does_not_exist(void **state)
{
    struct store_bench *b = *state;
    struct uuid nobody = uuid_v7();
    struct new_task list[4] = {bench_task(1, 1)};
    list[1] = with_terms(b, "{\"depends_on\": [\"%s\", \"%s\"]}", id_text(b, list[0].id), id_text(b, nobody));
    list[1].waits = true;
    list[2] = needing(b, list[1].id);
    list[3] = needing(b, list[0].id);
    struct put_verdict v[4] = {0};
    put(b, list, 4, v);
    assert_int_equal(v[0].bad_need, 0);
    assert_int_equal(v[1].bad_need, 2);
    assert_int_equal(v[2].bad_need, 1);
    assert_int_equal(v[3].bad_need, 0);
    bench_count(b, "tasks", 2);
    bench_run_all(b, TASK_succeeded);
    bench_run_all(b, TASK_succeeded);
    nothing_left(b);
}

/* Sent again, as after a commit of which nobody knows: nothing is added, and nothing of it goes back. */
static void t07_sent_again(void **state)
{
    struct store_bench *b = *state;
    struct new_task list[3] = {bench_task(1, 1)};
    list[1] = needing(b, list[0].id);
    list[2] = with_terms(b, "{\"unique\": {\"key\": \"k\"}}");
    put_taken(b, list, 3);
    put_taken(b, list, 3);
    assert_int_equal(bench_run_all(b, TASK_succeeded), 2);
    STATE_IS(b, list[1].id, "queued");
    put_taken(b, list, 3);
    bench_count(b, "tasks", 3);
    assert_int_equal(bench_run_all(b, TASK_succeeded), 1);
    put_taken(b, list, 3);
    nothing_left(b);
}

/* A chain as long as a batch, made in one commit, fails as a whole when its first task does. */
static void t08_a_long_chain_fails(void **state)
{
    struct store_bench *b = *state;
    struct new_task *list CLEANUP(mem_free_at) = mem_array(MANY, sizeof *list);
    for (int k = 0; k < MANY / 500; k++) {
        for (int i = 0; i < 500; i++) {
            struct new_task *t = &list[k * 500 + i];
            *t = t == list ? bench_task(1, 1) : needing(b, t[-1].id);
        }
        put_taken(b, list + (ptrdiff_t)k * 500, 500);
    }
    assert_int_equal(bench_run_all(b, TASK_failed), 1);
    bench_count(b, "tasks WHERE state = 'failed'", MANY);
    for (int i = 0; i < 10; i++)
        wake(b);
    nothing_left(b);
}

/* ---- two sessions ---- */

/* What is needed ends in a transaction that is open when the dependent is put: nobody waits, nobody is forgotten. */
static void t20_it_ends_at_that_moment(void **state)
{
    struct store_bench *b = *state;
    struct other o = other_open();
    struct new_task need = bench_task(1, 1), after = needing(b, need.id), doomed = needing(b, need.id);
    put_taken(b, &need, 1);
    struct claim c = bench_claim(b, 1);
    char sql[1024];
    snprintf(
        sql, sizeof sql,
        "BEGIN; SELECT * FROM lathe_finish(0, '{%s}', '{%s}', '{0}', '{succeeded}', '{1}', '{0}', '{0}', '{1}', "
        "'{1}', '{1}', '{1}', '{1}', '{1}', '{1}', '{0}', '{0}', '{0}', '{NULL}', '{NULL}', '{NULL}', '{0}', "
        "'{1}', '{0}', '{0}', '{\"\"}')",
        id_text(b, c.lease), id_text(b, need.id));
    other_sql(&o, sql);
    put_taken(b, &after, 1);
    STATE_IS(b, after.id, "scheduled");
    bench_count(b, "checks", 1);
    wake(b); /* cannot tell yet */
    STATE_IS(b, after.id, "scheduled");
    bench_count(b, "checks", 1);
    other_sql(&o, "COMMIT");
    put_taken(b, &doomed, 1);
    STATE_IS(b, doomed.id, "queued");
    wake(b);
    STATE_IS(b, after.id, "queued");
    claim_release(&c);
    bench_run_all(b, TASK_succeeded);
    nothing_left(b);
    PQfinish(o.conn);
}

/* The dependent is locked when what it needs fails: the end of that does not wait for it, and is not forgotten. */
static void t21_the_dependent_is_held(void **state)
{
    struct store_bench *b = *state;
    struct other o = other_open();
    struct new_task list[3] = {bench_task(1, 1)};
    list[1] = needing(b, list[0].id);
    list[2] = needing(b, list[1].id);
    put_taken(b, list, 3);
    char sql[256];
    snprintf(sql, sizeof sql, "BEGIN; SELECT FROM tasks WHERE id = '%s' FOR UPDATE", id_text(b, list[1].id));
    other_sql(&o, sql);
    assert_int_equal(bench_run_all(b, TASK_failed), 1);
    STATE_IS(b, list[1].id, "scheduled");
    wake(b);
    STATE_IS(b, list[1].id, "scheduled");
    other_sql(&o, "ROLLBACK");
    wake(b);
    STATE_IS(b, list[1].id, "failed");
    STATE_IS(b, list[2].id, "failed");
    wake(b);
    nothing_left(b);
    PQfinish(o.conn);
}

/* A unit that is due and locked is not asked for all the time, and one whose time never comes stops no other. */
static void t24_what_does_not_move(void **state)
{
    struct store_bench *b = *state;
    struct other o = other_open();
    struct new_task list[2] = {bench_task(1, 1), bench_task(1, 1)};
    put_taken(b, list, 2);
    bench_sql(
        b, "WITH w AS (DELETE FROM work RETURNING *) "
           "INSERT INTO waiting (task, run_at, rank, seq, first, count, kib, attempt, tries, queue) "
           "SELECT task, now() - interval '1 s', rank, seq, first, count, kib, attempt, tries, queue FROM w");
    char sql[256];
    snprintf(sql, sizeof sql, "BEGIN; SELECT FROM waiting WHERE task = '%s' FOR KEY SHARE",
             id_text(b, list[0].id));
    other_sql(&o, sql);
    assert_in_range(wake_next(b), 1, 1000);
    bench_count(b, "work", 1);
    other_sql(&o, "UPDATE waiting SET run_at = 'infinity'; COMMIT");
    assert_in_range(wake_next(b), 1, (uintmax_t)24 * 3600 * 1000);
    assert_int_equal(bench_run_all(b, TASK_succeeded), 1);
    PQfinish(o.conn);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        STORE_TEST(t01_a_chain),
        STORE_TEST(t02_the_last_of_a_group_releases),
        STORE_TEST(t03_what_needs_a_failure_fails),
        STORE_TEST(t04_cancelling_cancels_what_needs_it),
        STORE_TEST(t05_what_has_ended_before),
        STORE_TEST(t06_what_does_not_exist),
        STORE_TEST(t07_sent_again),
        STORE_TEST(t08_a_long_chain_fails),
        STORE_TEST(t20_it_ends_at_that_moment),
        STORE_TEST(t21_the_dependent_is_held),
        STORE_TEST(t24_what_does_not_move),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
