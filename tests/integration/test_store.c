/*
 * The store on a PostgreSQL of its own: the life of tasks and units, one worker.
 *
 * log may say: invalid byte sequence for encoding
 */
#include "../lib/test.h"

#include <string.h>

#include "store_bench.h"
#include "core/clock.h"
#include "core/limits.h"

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

static void t12_stale_finish_changes_nothing(void **state)
{
    struct store_bench *b = *state;
    struct new_task n = bench_task(1, 1);
    bench_put_ok(b, &n, 1);
    struct claim old = bench_claim(b, 1);
    assert_int_equal(bench_reap(b).leases, 0); /* not expired */
    bench_expire(b);
    struct reaped r = bench_reap(b);
    assert_int_equal(r.leases, 1);
    assert_int_equal(r.requeued, 1);
    assert_int_equal(r.ended.count, 0);
    STATE_IS(b, n.id, "queued");

    struct finish stale = bench_end(b, old.units, TASK_succeeded, 0);
    bench_finish(b, &stale, 1);
    assert_false(stale.applied || stale.final);
    STATE_IS(b, n.id, "queued");
    bench_count(b, "results", 0);
    bench_count(b, "tasks WHERE result IS NOT NULL", 0);

    struct claim again = bench_claim(b, 1);
    assert_int_equal(again.count, 1);
    assert_int_equal(again.units[0].attempt, 2);
    assert_int_equal(bench_get(b, n.id).attempt, 2);
    bench_finish(b, &stale, 1);
    assert_false(stale.applied);
    struct finish f = bench_end(b, again.units, TASK_succeeded, 0);
    bench_finish(b, &f, 1);
    assert_true(f.applied && f.final);
    bench_finish(b, &stale, 1);
    assert_false(stale.applied);
    bench_count(b, "tasks WHERE result IS NOT NULL", 1);
    claim_release(&old);
    claim_release(&again);
}

static void t13_workers_lost(void **state)
{
    struct store_bench *b = *state;
    struct new_task n = bench_task(700, 700);
    bench_put_ok(b, &n, 1);
    struct reaped r = {0};
    for (int i = 0; i < 3; i++) {
        struct claim c = bench_claim(b, 1);
        assert_int_equal(c.count, 1);
        assert_int_equal(c.units[0].attempt, i + 1);
        claim_release(&c);
        bench_expire(b);
        r = bench_reap(b);
    }
    assert_int_equal(r.failed, 1);
    assert_int_equal(r.requeued, 0);
    assert_int_equal(r.ended.count, 1);
    assert_true(uuid_eq(r.ended.ids[0], n.id));
    struct task t = bench_get(b, n.id);
    assert_string_equal(state_name(t.state), "failed");
    assert_int_equal(t.err.code, ERR_WORKER_LOST);
    assert_int_equal(t.items_failed, 700);
    assert_int_equal(t.attempt, 3);
    bench_count(b, "work", 0);
    bench_count(b, "leases", 0);

    struct store_results from = {.id = n.id, .limit = LIMIT_ITEMS};
    struct buf out CLEANUP(buf_release) = BUF_INIT(MIB);
    struct err e = ERR_INIT;
    bool end = false;
    while (!end)
        assert_true(store_results_more(b->store, &from, &out, &end, &e));
    int lines = 0;
    for (size_t i = 0; i < out.len; i++)
        lines += out.ptr[i] == '\n';
    assert_int_equal(lines, 700);
    assert_non_null(memmem(out.ptr, out.len,
                           "{\"index\":699,\"state\":\"failed\",\"error\":{\"type\":\"worker-lost\"", 57));
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

/* The order of claims: priority, then age; of the worker's queues only. */
static void t17_order_and_queues(void **state)
{
    struct store_bench *b = *state;
    struct new_task n[4];
    for (size_t i = 0; i < COUNT_OF(n); i++)
        n[i] = bench_task(1, 1);
    n[1].queue = SPAN("other");
    n[2].priority = 9;
    for (size_t i = 0; i < COUNT_OF(n); i++)
        bench_put_ok(b, &n[i], 1);
    struct claim c = bench_claim(b, 10);
    assert_int_equal(c.count, 3);
    assert_true(uuid_eq(c.units[0].task, n[2].id));
    assert_true(uuid_eq(c.units[1].task, n[0].id));
    assert_true(uuid_eq(c.units[2].task, n[3].id));
    claim_release(&c);

    struct worker_info any = {.name = SPAN("any"), .queues = SPAN("*")};
    struct store_worker *w;
    struct err e = ERR_INIT;
    assert_true(store_worker_new(b->store, &any, &w, &e));
    assert_true(store_turn(w, NULL, 0, 10, &c, &e));
    assert_int_equal(c.count, 1);
    assert_true(uuid_eq(c.units[0].task, n[1].id));
    claim_release(&c);
    store_worker_free(w);
}

static void t18_inputs(void **state)
{
    struct store_bench *b = *state;
    struct span chunks[] = {SPAN("\"a\"\n{\"b\": 1}\n"), SPAN("3\n")};
    struct new_task n = bench_task(3, 2);
    n.inputs = chunks;
    bench_put_ok(b, &n, 1);
    struct claim c = bench_claim(b, 2);
    assert_true(span_is(c.units[0].inputs, "\"a\"\n{\"b\": 1}\n"));
    assert_true(span_is(c.units[1].inputs, "3\n"));
    claim_release(&c);
}

/* However many units are wanted: no more than a worker can hold. */
static void t18b_a_claim_is_bounded(void **state)
{
    struct store_bench *b = *state;
    struct buf line CLEANUP(buf_release) = BUF_INIT(32 * MIB);
    for (size_t i = 0; i < 20 * MIB; i++)
        buf_char(&line, i % 2 ? '1' : '2');
    buf_char(&line, '\n');
    struct span input = buf_view(&line);
    for (int i = 0; i < 5; i++) {
        struct new_task n = bench_task(1, 1);
        n.inputs = &input;
        bench_put_ok(b, &n, 1);
    }
    struct claim c = bench_claim(b, 100), rest = bench_claim(b, 100);
    assert_int_equal(c.count, 4); /* the fourth begins below the limit */
    assert_int_equal(rest.count, 1);
    assert_int_equal(rest.units[0].inputs.len, line.len);
    claim_release(&c);
    claim_release(&rest);
}

static void t19_release(void **state)
{
    struct store_bench *b = *state;
    struct new_task n = bench_task(4, 1);
    struct err e = ERR_INIT;
    bench_put_ok(b, &n, 1);
    struct claim c = bench_claim(b, 4);
    struct finish f = bench_end(b, &c.units[0], TASK_succeeded, 0);
    bench_finish(b, &f, 1);
    const struct unit *back[] = {&c.units[1], &c.units[0]}; /* one that is done, too: it stays done */
    struct ended ended;
    assert_true(store_release(b->worker, &b->arena, back, 2, false, &ended, &e));
    assert_int_equal(ended.count, 0);
    bench_count(b, "work", 1);
    assert_int_equal(bench_number(b, "SELECT remaining FROM leases"), 2);
    struct finish stale = bench_end(b, &c.units[1], TASK_succeeded, 0);
    bench_finish(b, &stale, 1);
    assert_false(stale.applied);
    const struct unit *rest[] = {&c.units[2], &c.units[3]};
    assert_true(store_release(b->worker, &b->arena, rest, 2, false, &ended, &e));
    bench_count(b, "leases", 0);
    struct claim d = bench_claim(b, 9);
    assert_int_equal(d.count, 3);
    assert_int_equal(d.units[0].attempt, 1);
    claim_release(&c);
    claim_release(&d);
}

/* What is given back goes before what came later, and may count as an attempt. */
static void t19b_release_keeps_its_place(void **state)
{
    struct store_bench *b = *state;
    struct new_task first = bench_task(1, 1), second = bench_task(1, 1);
    struct ended ended;
    struct err e = ERR_INIT;
    bench_put_ok(b, &first, 1);
    bench_put_ok(b, &second, 1);
    for (int attempt = 1; attempt <= 3; attempt++) {
        struct claim c = bench_claim(b, 1);
        assert_true(uuid_eq(c.units[0].task, first.id));
        assert_int_equal(c.units[0].attempt, attempt);
        const struct unit *back = &c.units[0];
        assert_true(store_release(b->worker, &b->arena, &back, 1, true, &ended, &e));
        claim_release(&c);
    }
    assert_int_equal(bench_get(b, first.id).attempt, 3);
    STATE_IS(b, first.id, "failed"); /* there is no fourth */
    assert_int_equal(bench_get(b, first.id).err.code, ERR_WORKER_LOST);
    assert_int_equal(ended.count, 1);
}

/* PostgreSQL refuses whatever would end it: the worker goes on with the others, and somebody tries it again. */
static void t19c_an_end_that_is_refused_for_good(void **state)
{
    struct store_bench *b = *state;
    struct new_task list[] = {bench_task(1, 1), bench_task(1, 1)};
    list[0].priority = 7;
    bench_put_ok(b, list, 2);
    struct claim c = bench_claim(b, 2);
    struct finish f[] = {bench_end(b, &c.units[0], TASK_succeeded, 0),
                         bench_end(b, &c.units[1], TASK_succeeded, 0)};
    bench_sql(
        b,
        "CREATE FUNCTION test_refuse() RETURNS trigger LANGUAGE plpgsql SET log_min_messages = 'panic' AS $$ BEGIN "
        "RAISE EXCEPTION USING ERRCODE = '22000', MESSAGE = 'no'; END $$");
    bench_sql(
        b, "CREATE TRIGGER test_refuse BEFORE UPDATE ON tasks FOR EACH ROW WHEN (NEW.finished_at IS NOT NULL "
           "AND NEW.priority = 7) EXECUTE FUNCTION test_refuse()");
    bench_finish(b, f, 2);
    bench_sql(b, "DROP FUNCTION test_refuse CASCADE");
    assert_false(f[0].applied);
    assert_true(f[1].applied);
    bench_count(b, "leases", 0);
    claim_release(&c);
    c = bench_claim(b, 2);
    assert_int_equal(c.count, 1);
    assert_true(uuid_eq(c.units[0].task, list[0].id));
    assert_int_equal(c.units[0].attempt, 2);
    claim_release(&c);
}

/* ---- workers and evidence ---- */

static void t60_beat(void **state)
{
    struct store_bench *b = *state;
    struct new_task n = bench_task(2, 1);
    bench_put_ok(b, &n, 1);
    struct claim c = bench_claim(b, 1), d = bench_claim(b, 1);
    struct uuid leases[] = {c.lease, uuid_v7(), d.lease}, *stopping;
    bool lost[3];
    size_t stopping_n;
    struct err e = ERR_INIT;
    bench_sql(b, "UPDATE leases SET until = now() + interval '1 second'");
    b->info.busy = 2;
    b->info.costs.item_cost = 1.5;
    assert_true(store_beat(b->worker, &b->arena, &b->info, leases, 3, lost, &stopping, &stopping_n, &e));
    assert_true(!lost[0] && lost[1] && !lost[2]);
    assert_int_equal(stopping_n, 0);
    assert_int_equal(bench_number(b, "SELECT count(*) FROM leases WHERE until > now() + interval '1 minute'"),
                     2);
    bench_cancel(b, n.id);
    assert_true(store_beat(b->worker, &b->arena, &b->info, leases, 3, lost, &stopping, &stopping_n, &e));
    assert_int_equal(stopping_n, 1);

    struct worker_info *workers;
    size_t workers_n;
    assert_true(store_workers(b->store, &b->arena, &workers, &workers_n, &e));
    assert_int_equal(workers_n, 1);
    assert_true(span_is(workers[0].name, "w1") && span_is(workers[0].queues, "default") &&
                workers[0].busy == 2);
    struct host host;
    assert_true(store_host(b->store, &host, &e));
    assert_true(host.item_cost == 1.5);
    struct store_stats stats;
    assert_true(store_stats(b->store, &stats, &e));
    assert_int_equal(stats.leases, 2);
    assert_int_equal(stats.running, 2);
    assert_int_equal(stats.workers, 1);
    store_worker_free(b->worker);
    bench_count(b, "workers", 0);
    assert_true(store_worker_new(b->store, &b->info, &b->worker, &e));
    claim_release(&c);
    claim_release(&d);
}

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
        STORE_TEST(t12_stale_finish_changes_nothing),
        STORE_TEST(t13_workers_lost),
        STORE_TEST(t14_units_of_one_task),
        STORE_TEST(t15_every_item_failed),
        STORE_TEST(t16_fail_fast),
        STORE_TEST(t17_order_and_queues),
        STORE_TEST(t18_inputs),
        STORE_TEST(t18b_a_claim_is_bounded),
        STORE_TEST(t19_release),
        STORE_TEST(t19b_release_keeps_its_place),
        STORE_TEST(t19c_an_end_that_is_refused_for_good),
        STORE_TEST(t60_beat),
        STORE_TEST(t61_profile),
        STORE_TEST(t62_sweep),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
