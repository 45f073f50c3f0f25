/*
 * What happened, when the answer was lost on its way: done again it is the same, and nothing is left lying about. Needs
 * the named fault points (configure --enable-fault-points).
 *
 * log may say: connection to client lost|unexpected EOF
 */
#include "../lib/test.h"

#include "store_bench.h"

static void t01_a_commit(void **state)
{
    struct store_bench *b = *state;
    struct new_task n = bench_task(3, 1);
    bench_put_ok(b, &n, 1); /* committed, lost, sent again */
    bench_count(b, "tasks", 1);
    bench_count(b, "work", 3);
}

static void never(void *arg, struct claim *c)
{
    (void)arg, (void)c;
    fail_msg("a claim was handed over");
}

/* Beside many ends, too; these are stored all the same. */
static void t01b_a_claim_beside_ends(void **state)
{
    enum { MANY = 64 };
    static struct finish ends[MANY];
    static struct new_task list[2 * MANY];
    struct store_bench *b = *state;
    struct claim none = {.count = 0};
    struct err e = ERR_INIT;
    for (int i = 0; i < 2 * MANY; i++)
        list[i] = bench_task(1, 1);
    bench_put_ok(b, list, 2 * MANY);
    struct claim c = bench_claim(b, MANY);
    for (int i = 0; i < MANY; i++)
        ends[i] = bench_end(b, &c.units[i], TASK_succeeded, 0);
    store_worker_hand(b->worker, never, NULL);
    assert_true(store_turn(b->worker, ends, MANY, MANY, &none, &e));
    assert_true(ends[0].applied);
    assert_int_equal(none.count, 0);
    bench_count(b, "leases", 1);
    claim_release(&c);
    c = bench_claim(b, MANY);
    assert_int_equal(c.count, MANY);
    assert_int_equal(c.units[0].attempt, 1);
    bench_count(b, "leases", 1);
    claim_release(&c);
}

/* The units of a claim that nobody got to know come back at the next turn, not when the lease expires. */
static void t02_a_claim(void **state)
{
    struct store_bench *b = *state;
    struct new_task n = bench_task(2, 1);
    struct claim c = {.count = 0};
    struct err e = ERR_INIT;
    bench_put_ok(b, &n, 1);
    assert_false(store_turn(b->worker, NULL, 0, 2, &c, &e));
    assert_int_equal(e.code, ERR_STORE);
    bench_count(b, "leases", 1);
    c = bench_claim(b, 2);
    assert_int_equal(c.count, 2);
    assert_int_equal(c.units[0].attempt, 1);
    bench_count(b, "leases", 1);
    claim_release(&c);
}

static void t03_a_finish(void **state)
{
    struct store_bench *b = *state;
    struct new_task n = bench_task(1, 1), m = bench_task(1, 1);
    struct claim none = {.count = 0};
    struct err e = ERR_INIT;
    bench_put_ok(b, &n, 1);
    bench_put_ok(b, &m, 1);
    struct claim c = bench_claim(b, 1);
    struct finish f = bench_end(b, c.units, TASK_succeeded, 0);
    assert_false(store_turn(b->worker, &f, 1, 1, &none, &e)); /* finished, and m claimed: nobody knows */
    assert_int_equal(e.code, ERR_STORE);
    assert_int_equal(none.count, 0);
    assert_true(store_turn(b->worker, &f, 1, 1, &none, &e));
    assert_true(f.applied && f.final);
    assert_int_equal(none.count, 1);
    assert_true(uuid_eq(none.units[0].task, m.id));
    bench_count(b, "tasks WHERE result IS NOT NULL", 1);
    bench_count(b, "leases", 1);
    claim_release(&none);
    claim_release(&c);
}

int main(void)
{
    /* A worker's first claim is for one; where there are more, as in two of these, that is a pass of its own. */
    setenv("LATHE_FAULT",
           "store.committed:1:drop,store.claimed:3:drop,store.claimed:6:drop,store.finished:2:drop", 1);
    const struct CMUnitTest tests[] = {STORE_TEST(t01_a_commit), STORE_TEST(t01b_a_claim_beside_ends),
                                       STORE_TEST(t02_a_claim), STORE_TEST(t03_a_finish)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
