/*
 * The store on a PostgreSQL of its own: the life of tasks and units, one worker.
 *
 * log may say: invalid byte sequence for encoding
 */
#include "../lib/test.h"

#include "store_bench.h"
#include "core/clock.h"

/* ---- put and get ---- */

static void t01_put_and_get(void **state)
{
    struct store_bench *b = *state;
    struct new_task n = bench_task(3, 3);
    n.tags = SPAN("[\"x\"]");
    n.meta = SPAN("{\"y\":  2}");
    bench_put_ok(b, &n, 1);
    struct task t = bench_get(b, n.id);
    assert_true(uuid_eq(t.id, n.id));
    assert_true(uuid_is_nil(t.parent));
    assert_string_equal(state_name(t.state), "queued");
    assert_true(span_is(t.handler, "echo") && span_is(t.strategy, "sequential") &&
                span_is(t.queue, "default"));
    assert_true(span_is(t.params, "{\"a\": 1}") && span_is(t.tags, "[\"x\"]") &&
                span_is(t.meta, "{\"y\":  2}"));
    assert_int_equal(t.items_total, 3);
    assert_int_equal(t.units_total, 1);
    assert_int_equal(t.priority, 5);
    assert_int_equal(t.attempt, 1);
    assert_int_equal(t.shape.threads, 0);
    int64_t age = clock_wall_us() - t.created_us;
    assert_true(age > -60000000 && age < 600000000);
    assert_int_equal(t.started_us, 0);
    assert_int_equal(t.finished_us, 0);
    assert_int_equal(t.err.code, ERR_NONE);
    bench_count(b, "work", 1);
}

static void t02_no_such_task(void **state)
{
    struct store_bench *b = *state;
    struct task t;
    struct err e = ERR_INIT;
    assert_false(store_get(b->store, &b->arena, uuid_v7(), &t, &e));
    assert_int_equal(e.code, ERR_NO_TASK);
    e = (struct err)ERR_INIT;
    struct ended ended;
    assert_false(store_cancel(b->store, &b->arena, uuid_v7(), &t, &ended, &e));
    assert_int_equal(e.code, ERR_NO_TASK);
}

static void t03_put_again_adds_nothing(void **state)
{
    struct store_bench *b = *state;
    struct span chunks[] = {SPAN("1\n2\n"), SPAN("3\n")};
    struct new_task n = bench_task(3, 2);
    n.inputs = chunks;
    bench_put_ok(b, &n, 1);
    bench_put_ok(b, &n, 1);
    bench_count(b, "tasks", 1);
    bench_count(b, "work", 2);
    bench_count(b, "inputs", 2);
}

/* All in flight at once, so that they meet in batches; the odd one out cannot be stored. */
struct many {
    struct new_task task;
    struct new_tasks put;
    struct err err;
    _Atomic bool done;
};

static void on_many(void *arg, const struct err *e)
{
    struct many *m = arg;
    if (e)
        m->err = *e;
    atomic_store(&m->done, true);
}

static void t04_a_bad_row_fails_alone(void **state)
{
    struct store_bench *b = *state;
    static struct many m[200];
    struct err e = ERR_INIT;
    for (size_t i = 0; i < COUNT_OF(m); i++) {
        m[i] = (struct many){.task = bench_task(1, 1)};
        if (i % 50 == 17)
            m[i].task.tags = SPAN("\xff"); /* no UTF-8 */
        m[i].put = (struct new_tasks){.list = &m[i].task, .count = 1, .done = on_many, .arg = &m[i]};
        assert_true(store_put(b->writer, &m[i].put, &e));
    }
    store_writer_free(b->writer); /* answers everything first */
    assert_true(store_writer_new(b->store, &b->writer, &e));
    for (size_t i = 0; i < COUNT_OF(m); i++) {
        assert_true(atomic_load(&m[i].done));
        assert_int_equal(m[i].err.code, i % 50 == 17 ? ERR_DATA : ERR_NONE);
    }
    bench_count(b, "tasks", 196);
    bench_count(b, "work", 196);
}

static void t05_a_list_is_one(void **state)
{
    struct store_bench *b = *state;
    struct new_task n[] = {bench_task(1, 1), bench_task(1, 1)};
    n[1].meta = SPAN("\xff");
    assert_int_equal(bench_put(b, n, 2).code, ERR_DATA);
    bench_count(b, "tasks", 0);
    bench_count(b, "work", 0);
}

static struct new_task elaborate_task(int priority)
{
    struct new_task n = bench_task(5, 2);
    n.priority = priority;
    n.has_shape = true;
    n.shape = (struct shape){.processes = 1, .threads = 2, .width = 3, .grain = 4};
    n.tags = SPAN("[\"a\"]");
    n.inner = SPAN("threading");
    n.item_timeout_ms = 10;
    n.timeout_ms = 20;
    n.fail_fast = true;
    return n;
}

/* Tasks that are alike are sent by another statement than those that are not: their rows must be the same. */
static void t06_alike_or_not(void **state)
{
    struct store_bench *b = *state;
    struct new_task n[12];
    for (size_t i = 0; i < COUNT_OF(n); i++)
        n[i] = elaborate_task(i < 6 ? 5 : i < 11 ? 4 : 3); /* two kinds of six and five, and one by itself */
    n[1].meta = SPAN("{\"b\": 1}");
    n[11].meta = SPAN("{\"b\": 1}");
    bench_put_ok(b, n, COUNT_OF(n));
    bench_count(b, "tasks", 12);
    bench_count(b, "work", 36);
    assert_int_equal(bench_number(b, "SELECT count(*) FROM tasks WHERE meta <> ''"), 2);
    assert_int_equal(
        bench_number(
            b, "SELECT count(DISTINCT to_jsonb(t) - 'id' - 'priority' - 'meta' - 'created_at') FROM tasks t"),
        1);
    assert_int_equal(bench_number(b, "SELECT count(DISTINCT to_jsonb(w) - 'task' - 'rank') FROM work w"), 3);
    assert_int_equal(bench_number(b, "SELECT count(DISTINCT rank) FROM work"), 3);
}

/* ---- claim and finish ---- */

static void t10_life_of_a_single(void **state)
{
    struct store_bench *b = *state;
    struct new_task n = bench_task(2, 2);
    n.has_shape = true;
    n.shape = (struct shape){.processes = 1, .threads = 2, .width = 3, .grain = 4};
    bench_put_ok(b, &n, 1);
    struct claim c = bench_claim(b, 10);
    assert_int_equal(c.count, 1);
    struct unit *u = &c.units[0];
    assert_true(uuid_eq(u->task, n.id) && uuid_eq(u->lease, c.lease));
    assert_int_equal(u->count, 2);
    assert_int_equal(u->attempt, 1);
    assert_true(u->single && u->has_shape && u->shape.grain == 4 && u->digest == 7);
    assert_true(span_is(u->params, "{\"a\": 1}") && span_is(u->inputs, ""));

    struct task t = bench_get(b, n.id);
    assert_string_equal(state_name(t.state), "running");
    assert_true(t.started_us > 0);
    bench_count(b, "work", 0);
    assert_int_equal(bench_claim(b, 10).count, 0);

    struct finish f = bench_end(b, u, TASK_succeeded, 0);
    bench_finish(b, &f, 1);
    assert_true(f.applied && f.final && uuid_eq(f.ended[0], n.id) && uuid_is_nil(f.ended[1]) && !f.released);
    t = bench_get(b, n.id);
    assert_string_equal(state_name(t.state), "succeeded");
    assert_int_equal(t.items_done, 2);
    assert_int_equal(t.measured.wall_us, 6000);
    assert_int_equal(t.measured.cpu_us, 2000);
    assert_int_equal(t.measured.predicted_us, 2500);
    assert_int_equal(t.shape.threads, 2);
    assert_true(t.progress == 1.0);
    assert_true(t.started_us > 0 && t.finished_us >= t.started_us && t.finished_us - t.started_us < 60000000);
    assert_true(span_starts(t.results, "{\"index\":0,"));
    assert_int_equal(t.results.ptr[t.results.len - 1], '\n');
    bench_count(b, "leases", 0);
    claim_release(&c);
}

/* A worker that does not know whether its finish arrived asks again and is told the same. */
static void t11_finish_again(void **state)
{
    struct store_bench *b = *state;
    struct new_task n = bench_task(1, 1);
    bench_put_ok(b, &n, 1);
    struct claim c = bench_claim(b, 1);
    struct finish f = bench_end(b, c.units, TASK_succeeded, 0);
    bench_finish(b, &f, 1);
    f.applied = f.final = false;
    bench_finish(b, &f, 1);
    assert_true(f.applied && f.final && uuid_eq(f.ended[0], n.id));
    assert_int_equal(bench_get(b, n.id).items_done, 1);
    assert_int_equal(bench_number(b, "SELECT units_done FROM tasks"), 1);
    claim_release(&c);
}

static void t14_units_of_one_task(void **state)
{
    struct store_bench *b = *state;
    struct new_task n = bench_task(10, 4);
    bench_put_ok(b, &n, 1);
    struct claim c = bench_claim(b, 2), d = bench_claim(b, 5);
    assert_int_equal(c.count, 2);
    assert_int_equal(d.count, 1);
    assert_int_equal(d.units[0].first, 8);
    assert_int_equal(d.units[0].count, 2);
    assert_false(d.units[0].single);
    struct finish f = bench_end(b, &c.units[1], TASK_succeeded, 0);
    bench_finish(b, &f, 1);
    assert_true(f.applied && !f.final && uuid_is_nil(f.ended[0]));
    struct task t = bench_get(b, n.id);
    assert_string_equal(state_name(t.state), "running");
    assert_int_equal(t.units_done, 1);
    assert_int_equal(t.items_done, 4);
    assert_true(t.progress > 0.39 && t.progress < 0.41);
    assert_int_equal(bench_number(b, "SELECT remaining FROM leases ORDER BY id LIMIT 1"), 1);
    struct finish rest[] = {bench_end(b, &d.units[0], TASK_succeeded, 1),
                            bench_end(b, &c.units[0], TASK_succeeded, 0)};
    bench_finish(b, rest, 2);
    assert_true(rest[0].final && rest[1].final);
    t = bench_get(b, n.id);
    assert_string_equal(state_name(t.state), "succeeded"); /* on_item_error is continue */
    assert_int_equal(t.items_failed, 1);
    assert_int_equal(t.err.code, ERR_NONE);
    assert_int_equal(t.measured.cpu_us, 10000);
    bench_count(b, "leases", 0);
    claim_release(&c);
    claim_release(&d);
}

static void t15_every_item_failed(void **state)
{
    struct store_bench *b = *state;
    struct new_task n = bench_task(2, 2);
    bench_put_ok(b, &n, 1);
    struct claim c = bench_claim(b, 1);
    struct finish f = bench_end(b, c.units, TASK_succeeded, 2);
    bench_finish(b, &f, 1);
    struct task t = bench_get(b, n.id);
    assert_string_equal(state_name(t.state), "failed");
    assert_int_equal(t.err.code, ERR_ITEMS_FAILED);
    assert_string_equal(t.err.text, "item 0 was bad");
    claim_release(&c);
}

static void t16_fail_fast(void **state)
{
    struct store_bench *b = *state;
    struct new_task n = bench_task(5, 1);
    n.fail_fast = true;
    bench_put_ok(b, &n, 1);
    struct claim c = bench_claim(b, 2);
    struct finish f = bench_end(b, &c.units[0], TASK_failed, 1);
    bench_finish(b, &f, 1);
    assert_false(f.final); /* the other one still runs */
    bench_count(b, "work", 0);
    STATE_IS(b, n.id, "running");

    struct uuid *stopping;
    size_t stopping_n;
    bool lost[1];
    struct err e = ERR_INIT;
    assert_true(store_beat(b->worker, &b->arena, &b->info, &c.lease, 1, lost, &stopping, &stopping_n, &e));
    assert_false(lost[0]);
    assert_int_equal(stopping_n, 1);
    assert_true(uuid_eq(stopping[0], n.id));

    struct finish g = bench_end(b, &c.units[1], TASK_cancelled, 0);
    bench_finish(b, &g, 1);
    struct task t = bench_get(b, n.id);
    assert_string_equal(state_name(t.state), "failed");
    assert_int_equal(t.err.code, ERR_ITEM_FAILED);
    assert_int_equal(t.units_done, 5);
    claim_release(&c);
}

/* ---- workers and evidence ---- */

static void t61_profile(void **state)
{
    struct store_bench *b = *state;
    struct profile p;
    struct correction c[16];
    struct err e = ERR_INIT;
    assert_true(store_profile(b->store, SPAN("echo"), 7, CLOCK_NEVER, &p, c, 16, &e));
    assert_int_equal(p.runs, 0);
    assert_true(c[1].factor == 1);
    for (int i = 0; i < 3; i++) {
        struct new_task n = bench_task(4, 4);
        bench_put_ok(b, &n, 1);
        struct claim claim = bench_claim(b, 1);
        struct finish f = bench_end(b, claim.units, TASK_succeeded, 0);
        bench_finish(b, &f, 1);
        claim_release(&claim);
    }
    assert_true(store_profile(b->store, SPAN("echo"), 7, CLOCK_NEVER, &p, c, 16, &e));
    assert_int_equal(p.runs, 3);
    assert_int_equal(p.items, 12);
    assert_float_equal(p.cpu, 1e6, 1);
    assert_float_equal(p.wait, 2e6, 1);
    assert_true(p.result_bytes > 20 && p.failure_rate == 0);
    assert_int_equal(c[1].runs, 3); /* threading is the second of strategies.def */
    assert_float_equal(c[1].factor, 2, 0.001);
    assert_int_equal(c[0].runs, 0);
    assert_true(store_profile(b->store, SPAN("echo"), 8, CLOCK_NEVER, &p, c, 16, &e));
    assert_int_equal(p.runs, 0);
}

/* Who keeps house vacuums what was claimed, and does not wait for it. */
static void t62_sweep(void **state)
{
    struct store_bench *b = *state;
    static const char vacuums[] = "SELECT vacuum_count FROM pg_stat_user_tables WHERE relname = 'work'";
    int64_t before = bench_number(b, vacuums), deadline = clock_after_ms(60000);
    bench_sql(
        b,
        "INSERT INTO work SELECT gen_random_uuid(), now(), 0, 0, 1, 0, 1, 0, 'default' FROM generate_series(1, 25000)");
    bench_sql(b, "DELETE FROM work");
    while (bench_number(b, vacuums) == before) {
        bench_reap(b);
        assert_true(clock_now() < deadline);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        STORE_TEST(t01_put_and_get),
        STORE_TEST(t02_no_such_task),
        STORE_TEST(t03_put_again_adds_nothing),
        STORE_TEST(t04_a_bad_row_fails_alone),
        STORE_TEST(t05_a_list_is_one),
        STORE_TEST(t06_alike_or_not),
        STORE_TEST(t10_life_of_a_single),
        STORE_TEST(t11_finish_again),
        STORE_TEST(t14_units_of_one_task),
        STORE_TEST(t15_every_item_failed),
        STORE_TEST(t16_fail_fast),
        STORE_TEST(t61_profile),
        STORE_TEST(t62_sweep),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
