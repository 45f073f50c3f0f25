/* The store on a PostgreSQL of its own: cancelling, and parents whose children run one by one. */
#include "../lib/test.h"

#include "core/clock.h"
#include "store_bench.h"

static void t20_cancel_queued(void **state)
{
    struct store_bench *b = *state;
    struct new_task n = bench_task(6, 2);
    bench_put_ok(b, &n, 1);
    struct task t = bench_cancel(b, n.id);
    assert_string_equal(state_name(t.state), "cancelled");
    assert_false(t.cancelling);
    assert_int_equal(t.units_done, 3);
    assert_int_equal(t.items_done, 0);
    bench_count(b, "work", 0);
    t = bench_cancel(b, n.id);
    assert_string_equal(state_name(t.state), "cancelled");
}

static void t21_cancel_running(void **state)
{
    struct store_bench *b = *state;
    struct new_task n = bench_task(6, 2);
    bench_put_ok(b, &n, 1);
    struct claim c = bench_claim(b, 1);
    struct task t = bench_cancel(b, n.id);
    assert_string_equal(state_name(t.state), "running");
    assert_true(t.cancelling);
    bench_count(b, "work", 0);
    struct finish f = bench_end(b, c.units, TASK_cancelled, 0);
    bench_finish(b, &f, 1);
    assert_true(f.applied && f.final);
    STATE_IS(b, n.id, "cancelled");
    claim_release(&c);
}

static void t22_cancel_running_single(void **state)
{
    struct store_bench *b = *state;
    struct new_task n = bench_task(1, 1);
    bench_put_ok(b, &n, 1);
    struct claim c = bench_claim(b, 1);
    struct task t = bench_cancel(b, n.id);
    assert_string_equal(state_name(t.state), "running");
    assert_true(t.cancelling);
    const struct unit *u = c.units;
    struct err e = ERR_INIT;
    struct ended ended;
    assert_true(store_release(b->worker, &b->arena, &u, 1, false, &ended,
                              &e)); /* not back to work: it was cancelled */
    assert_true(ended.count == 1 && uuid_eq(ended.ids[0], n.id) && !ended.released);
    STATE_IS(b, n.id, "cancelled");
    bench_count(b, "work", 0);
    claim_release(&c);
}

static void t23_cancel_then_lost(void **state)
{
    struct store_bench *b = *state;
    struct new_task n = bench_task(1, 1);
    bench_put_ok(b, &n, 1);
    struct claim c = bench_claim(b, 1);
    bench_cancel(b, n.id);
    bench_expire(b);
    struct reaped r = bench_reap(b);
    assert_int_equal(r.requeued, 0);
    assert_int_equal(r.ended.count, 1);
    STATE_IS(b, n.id, "cancelled");
    claim_release(&c);
}

/* A worker that lost a unit and got it again ends both runs in one turn, among others: the one under the lease that is left counts. */
static void two_ends_of_one_task(struct store_bench *b, bool lost_first)
{
    struct new_task n[] = {bench_task(1, 1), bench_task(1, 1)};
    bench_put_ok(b, &n[0], 1);
    struct claim lost = bench_claim(b, 1);
    bench_expire(b);
    assert_int_equal(bench_reap(b).requeued, 1);
    bench_put_ok(b, &n[1], 1);
    struct claim c = bench_claim(b, 3);
    assert_int_equal(c.count, 2);
    struct finish f[3];
    for (size_t i = 0; i < 2; i++)
        f[i + lost_first] = bench_end(b, &c.units[i], TASK_succeeded, 0);
    f[lost_first ? 0 : 2] = bench_end(b, lost.units, TASK_failed, 1);
    for (int round = 0; round < 2; round++) { /* the second as if the answer had been lost */
        bench_finish(b, f, 3);
        for (size_t i = 0; i < 3; i++)
            if (f[i].applied != !uuid_eq(f[i].unit->lease, lost.lease))
                fail_msg("end %zu, round %d: %d", i, round, f[i].applied);
    }
    STATE_IS(b, n[0].id, "succeeded");
    STATE_IS(b, n[1].id, "succeeded");
    bench_count(b, "leases", 0);
    claim_release(&lost);
    claim_release(&c);
}

static void t22_two_ends_of_one_task(void **state)
{
    two_ends_of_one_task(*state, false);
    two_ends_of_one_task(*state, true);
}

/* ---- parents ---- */

struct family {
    struct new_task list[4];
};

static struct family family(void)
{
    struct family f;
    static const struct span inputs[] = {SPAN("1\n2\n"), SPAN("3\n4\n")};
    for (size_t i = 0; i < COUNT_OF(f.list); i++) {
        f.list[i] = bench_task(4, i == 3 ? 2 : 4);
        if (i == 0)
            continue;
        f.list[i].parent = f.list[0].id;
        f.list[i].inputs_of = f.list[0].id;
        f.list[i].order = (int)i;
        f.list[i].waits = i > 1;
    }
    f.list[0].container = true;
    f.list[0].unit_size = 2;
    f.list[0].units = 2;
    f.list[0].inputs = inputs;
    f.list[0].items_total = 12;
    return f;
}

static void t30_children_one_by_one(void **state)
{
    struct store_bench *b = *state;
    struct family f = family();
    bench_put_ok(b, f.list, 4);
    struct task p = bench_get(b, f.list[0].id);
    assert_string_equal(state_name(p.state), "running");
    assert_int_equal(p.units_total, 3);
    STATE_IS(b, f.list[1].id, "queued");
    STATE_IS(b, f.list[2].id, "scheduled");

    for (int i = 1; i <= 3; i++) {
        struct claim c = bench_claim(b, 10);
        assert_int_equal(c.count, i == 3 ? 2 : 1);
        assert_true(uuid_eq(c.units[0].task, f.list[i].id));
        assert_true(span_is(c.units[0].inputs, i == 3 ? "1\n2\n" : "1\n2\n3\n4\n"));
        struct finish ends[2];
        for (size_t k = 0; k < c.count; k++)
            ends[k] = bench_end(b, &c.units[k], i == 2 ? TASK_failed : TASK_succeeded, 0);
        bench_finish(b, ends, c.count);
        assert_true(ends[0].final);
        assert_int_equal(ends[0].released, i < 3);
        assert_true(uuid_eq(ends[0].ended[0], f.list[i].id));
        assert_true(i < 3 ? uuid_is_nil(ends[0].ended[1]) : uuid_eq(ends[0].ended[1], f.list[0].id));
        assert_int_equal(bench_get(b, f.list[0].id).units_done, i);
        claim_release(&c);
    }
    p = bench_get(b, f.list[0].id);
    assert_string_equal(state_name(p.state), "succeeded");
    assert_int_equal(p.items_done, 12);
    assert_int_equal(p.measured.cpu_us, 12000);

    struct task *children;
    size_t n;
    struct err e = ERR_INIT;
    assert_true(store_children(b->store, &b->arena, f.list[0].id, &children, &n, &e));
    assert_int_equal(n, 3);
    assert_true(uuid_eq(children[2].id, f.list[3].id));
    assert_string_equal(state_name(children[1].state), "failed");
}

static void t31_inputs_cut_otherwise(void **state)
{
    struct store_bench *b = *state;
    struct family f = family();
    f.list[1].unit_size = 3;
    f.list[1].units = 2;
    bench_put_ok(b, f.list, 4);
    struct claim c = bench_claim(b, 10);
    assert_int_equal(c.count, 2);
    assert_true(span_is(c.units[0].inputs, "1\n2\n3\n"));
    assert_true(span_is(c.units[1].inputs, "4\n"));
    claim_release(&c);
}

static void t32_cancel_a_parent(void **state)
{
    struct store_bench *b = *state;
    struct family f = family();
    bench_put_ok(b, f.list, 4);
    struct claim c = bench_claim(b, 10);
    struct task p = bench_cancel(b, f.list[0].id);
    assert_string_equal(state_name(p.state), "running");
    assert_true(p.cancelling);
    STATE_IS(b, f.list[2].id, "cancelled");
    STATE_IS(b, f.list[3].id, "cancelled");
    struct finish end = bench_end(b, c.units, TASK_cancelled, 0);
    bench_finish(b, &end, 1);
    assert_true(uuid_eq(end.ended[1], f.list[0].id));
    STATE_IS(b, f.list[0].id, "cancelled");
    bench_count(b, "work", 0);
    claim_release(&c);
}

static void t33_cancel_a_child(void **state)
{
    struct store_bench *b = *state;
    struct family f = family();
    bench_put_ok(b, f.list, 4);
    bench_cancel(b, f.list[2].id); /* one that waits */
    STATE_IS(b, f.list[2].id, "cancelled");
    STATE_IS(b, f.list[1].id, "queued");
    struct ended ended;
    bench_cancel_ends(b, f.list[1].id, &ended); /* the one whose turn it is: the next begins */
    assert_true(ended.released && ended.count == 1 && uuid_eq(ended.ids[0], f.list[1].id));
    STATE_IS(b, f.list[3].id, "queued");
    bench_count(b, "work", 2);
    STATE_IS(b, f.list[0].id, "running");
    bench_cancel_ends(b, f.list[3].id, &ended);
    assert_true(!ended.released && ended.count == 2 && uuid_eq(ended.ids[1], f.list[0].id));
    STATE_IS(b, f.list[0].id, "cancelled"); /* nothing of it ran */
}

static void t34_a_child_whose_workers_are_lost(void **state)
{
    struct store_bench *b = *state;
    struct family f = family();
    b->conf.worker_attempts = 1;
    bench_put_ok(b, f.list, 4);
    struct claim c = bench_claim(b, 10);
    claim_release(&c);
    bench_expire(b);
    struct reaped r = bench_reap(b);
    assert_true(r.failed == 1 && r.requeued == 0 && r.ended.released);
    STATE_IS(b, f.list[1].id, "failed");
    STATE_IS(b, f.list[2].id, "queued");
}

/* However its children ended, a parent that failed says why. */
static void t35_failed_and_cancelled_children(void **state)
{
    struct store_bench *b = *state;
    struct family f = family();
    bench_put_ok(b, f.list, 4);
    bench_cancel(b, f.list[2].id);
    bench_cancel(b, f.list[3].id);
    struct claim c = bench_claim(b, 10);
    struct finish end = bench_end(b, c.units, TASK_failed, 0);
    bench_finish(b, &end, 1);
    struct task p = bench_get(b, f.list[0].id);
    assert_string_equal(state_name(p.state), "failed");
    assert_int_equal(p.err.code, ERR_ITEMS_FAILED);
    assert_true(p.err.text[0] != '\0');
    assert_int_equal(
        bench_number(b, "SELECT count(*) FROM tasks WHERE state = 'failed' AND error_code IS NULL"), 0);
    claim_release(&c);
}

/* Units that lost different numbers of workers: the task tells the most. */
static void t36_the_most_attempts(void **state)
{
    struct store_bench *b = *state;
    struct new_task n = bench_task(3, 1);
    b->conf.worker_attempts = 9;
    bench_put_ok(b, &n, 1);
    bench_sql(b, "UPDATE work SET attempt = 3 WHERE seq = 1");
    struct claim c = bench_claim(b, 10);
    claim_release(&c);
    bench_expire(b);
    assert_int_equal(bench_reap(b).requeued, 3);
    assert_int_equal(bench_get(b, n.id).attempt, 4);
}

/* ---- one at a time, or together ---- */

/* Claims `want` of four single units and ends them so: done, one item of it failed, failed, cancelled. */
static void end_four(struct store_bench *b, size_t want)
{
    static const enum task_state how[] = {TASK_succeeded, TASK_succeeded, TASK_failed, TASK_cancelled};
    for (size_t i = 0; i < 4;) {
        struct finish f[4];
        struct claim c = bench_claim(b, (int)want);
        assert_int_equal(c.count, want);
        for (size_t k = 0; k < want; k++, i++) {
            f[k] = bench_end(b, &c.units[k], how[i], i == 1);
            f[k].started_us = clock_now() / 1000 - 2000;
            f[k].finished_us = f[k].started_us + 1500;
            if (how[i] == TASK_failed)
                (void)err_set(&f[k].err, ERR_ITEM_FAILED, "it was \xc3"); /* cut inside a character */
        }
        bench_finish(b, f, want);
        for (size_t k = 0; k < want; k++)
            assert_true(f[k].applied && f[k].final && uuid_eq(f[k].ended[0], c.units[k].task));
        claim_release(&c);
    }
}

/* A turn with one end has a statement of its own: nobody can tell from the rows. */
static void t40_one_by_one_or_together(void **state)
{
    struct store_bench *b = *state;
    struct new_task list[8];
    for (size_t i = 0; i < 8; i++) {
        list[i] = bench_task(2, 2);
        list[i].priority = i < 4 ? 9 : 1; /* the first four first */
    }
    bench_put_ok(b, list, 8);
    end_four(b, 4);
    end_four(b, 1);
    bench_count(b, "leases", 0);
    bench_count(b, "dead", 2);
    static const char rows[] =
        "SELECT count(*) FROM (SELECT state, units_done, units_failed, units_cancelled, items_done, items_failed, "
        "wall_us, cpu_us, wait_us, peak_rss_kib, predicted_us, shape_used, error_code, error_text, result, "
        "round(extract(epoch FROM last_end - started_at) * 1e6), finished_at >= last_end - interval '1 s' "
        "FROM tasks GROUP BY 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17 HAVING count(*) = 2) x";
    assert_int_equal(bench_number(b, rows), 4);
    assert_int_equal(bench_number(b, "SELECT count(*) FROM tasks WHERE error_text = 'it was '"), 2);
}

/* The units of one lease in turns of their own; and once more each, by a worker that did not hear the answer. */
static void t41_one_of_a_lease(void **state)
{
    struct store_bench *b = *state;
    struct new_task list[] = {bench_task(1, 1), bench_task(1, 1), bench_task(1, 1)};
    bench_put_ok(b, list, 3);
    struct claim c = bench_claim(b, 2), one = bench_claim(b, 2);
    assert_int_equal(c.count, 2);
    assert_int_equal(one.count, 1);
    struct finish alone = bench_end(b, one.units, TASK_succeeded, 0);
    for (int again = 0; again < 2; again++) {
        bench_finish(b, &alone, 1);
        assert_true(alone.applied && alone.final);
    }
    claim_release(&one);
    for (int64_t left = 1; left >= 0; left--) {
        struct finish f = bench_end(b, &c.units[left], TASK_succeeded, 0);
        for (int again = 0; again < 2; again++) {
            bench_finish(b, &f, 1);
            assert_true(f.applied && f.final);
        }
        assert_int_equal(bench_number(b, "SELECT coalesce(sum(remaining), 0) FROM leases"), left);
    }
    struct unit stranger = c.units[0];
    stranger.lease = uuid_v7();
    struct finish f = bench_end(b, &stranger, TASK_succeeded, 0);
    bench_finish(b, &f, 1);
    assert_false(f.applied || f.final);
    claim_release(&c);
}

/* Of many ends in one call the first failed unit's reason is the task's, and before that of items; each task has its own. */
static void t42_the_first_reason(void **state)
{
    enum { TASKS = 3, UNITS = 12, N = TASKS * UNITS };
    static struct finish ends[N];
    struct store_bench *b = *state;
    struct new_task list[TASKS];
    for (int i = 0; i < TASKS; i++)
        list[i] = bench_task(UNITS, 1);
    bench_put_ok(b, list, TASKS);
    struct claim c = bench_claim(b, N);
    assert_int_equal(c.count, N);
    for (int i = 0; i < N; i++) {
        int64_t seq = c.units[i].seq;
        bool failed = seq > 1 && seq % 2 == 0;
        ends[i] = bench_end(b, &c.units[i], failed ? TASK_failed : TASK_succeeded, seq > 0);
        if (seq > 0)
            err_set(&ends[i].err, failed ? ERR_INTERNAL : ERR_BAD_FIELD, "unit %d", (int)seq);
    }
    bench_finish(b, ends, N);
    bench_count(b, "tasks WHERE error_text = 'unit 2' AND error_code = 'internal'", TASKS);
    claim_release(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        STORE_TEST(t20_cancel_queued),
        STORE_TEST(t21_cancel_running),
        STORE_TEST(t22_cancel_running_single),
        STORE_TEST(t23_cancel_then_lost),
        STORE_TEST(t22_two_ends_of_one_task),
        STORE_TEST(t30_children_one_by_one),
        STORE_TEST(t31_inputs_cut_otherwise),
        STORE_TEST(t32_cancel_a_parent),
        STORE_TEST(t33_cancel_a_child),
        STORE_TEST(t34_a_child_whose_workers_are_lost),
        STORE_TEST(t35_failed_and_cancelled_children),
        STORE_TEST(t36_the_most_attempts),
        STORE_TEST(t40_one_by_one_or_together),
        STORE_TEST(t41_one_of_a_lease),
        STORE_TEST(t42_the_first_reason),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
