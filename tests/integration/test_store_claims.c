/*
 * Claims and leases on a PostgreSQL of their own: what a worker gets and in which order, what it gives back, keeps and
 * loses.
 */
#include "../lib/test.h"

#include <string.h>

#include "store_bench.h"
#include "core/clock.h"
#include "core/limits.h"
#include "store/inside.h"

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

/* Where claims from the beginning are dear they begin at the last rank; what comes before it is claimed all the same, later. */
static void t18c_where_claims_begin(void **state)
{
    struct store_bench *b = *state;
    struct new_task n[4];
    struct err e = ERR_INIT;
    struct claim c;
    for (size_t i = 0; i < COUNT_OF(n); i++)
        n[i] = bench_task(1, 1);
    n[2].priority = 9;
    bench_put_ok(b, &n[0], 1);
    c = bench_claim(b, 1);
    assert_true(c.again == CLOCK_NEVER);
    claim_release(&c);
    bench_put_ok(b, &n[1], 1);
    bench_put_ok(b, &n[2], 1);
    bench_put_ok(b, &n[3], 1);

    b->worker->from.whole_ns = 1000 * NS_PER_S; /* as if it had taken so long */
    assert_true(store_turn(b->worker, NULL, 0, 1, &c, &e));
    assert_int_equal(c.count, 1);
    assert_true(uuid_eq(c.units[0].task, n[1].id));
    assert_true(c.again == CLOCK_NEVER);
    claim_release(&c);
    assert_true(store_turn(b->worker, NULL, 0, 2, &c, &e));
    assert_int_equal(c.count, 1);
    assert_true(uuid_eq(c.units[0].task, n[3].id));
    assert_true(c.again > clock_now() && c.again < CLOCK_NEVER);
    claim_release(&c);

    b->worker->from.whole_at -= 2000 * NS_PER_S;
    assert_true(store_turn(b->worker, NULL, 0, 2, &c, &e));
    assert_int_equal(c.count, 1);
    assert_true(uuid_eq(c.units[0].task, n[2].id));
    assert_true(c.again == CLOCK_NEVER);
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

static void claim_following(struct store_bench *b, struct claim_place *last, int n)
{
    struct claim c = bench_claim(b, n);
    assert_int_equal(c.count, n);
    for (size_t i = 0; i < c.count; i++) {
        assert_true(memcmp(last->task.b, c.units[i].task.b, sizeof(struct uuid)) < 0);
        last->task = c.units[i].task;
    }
    assert_true(uuid_eq(b->worker->from.last.task, last->task));
    claim_release(&c);
}

/* After a large claim the next begins behind its last unit, also among units of one rank; now and then from the beginning. */
static void t27_behind_the_last(void **state)
{
    struct store_bench *b = *state;
    struct new_task n[300], high = bench_task(1, 1);
    struct claim_place last = {.rank_us = 0};
    for (size_t i = 0; i < COUNT_OF(n); i++)
        n[i] = bench_task(1, 1);
    bench_put_ok(b, n, COUNT_OF(n));
    claim_following(b, &last, 64);
    struct claim_place first = b->worker->from.last;
    assert_true(b->worker->from.full);
    b->worker->from.whole_at = clock_now(); /* however slow this machine is */
    claim_following(b, &last, 64);
    assert_true(b->worker->from.last.rank_us == first.rank_us && b->worker->from.whole_at < clock_now());

    high.priority = 9;
    bench_put_ok(b, &high, 1);
    b->worker->from.whole_at = clock_now() + 1000 * NS_PER_MS;
    claim_following(b, &last, 64);
    b->worker->from.whole_at = 1; /* long ago */
    struct claim c = bench_claim(b, 64);
    assert_int_equal(c.count, 64);
    assert_true(uuid_eq(c.units[0].task, high.id));
    claim_release(&c);

    b->worker->from.whole_at = clock_now() + 1000 * NS_PER_MS;
    c = bench_claim(b, 200); /* all that is left; then there might be others */
    assert_int_equal(c.count, 45);
    assert_int_equal(claim_from(&b->worker->from, clock_now()).rank_us, 0);
    claim_release(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        STORE_TEST(t12_stale_finish_changes_nothing),
        STORE_TEST(t13_workers_lost),
        STORE_TEST(t17_order_and_queues),
        STORE_TEST(t18_inputs),
        STORE_TEST(t18c_where_claims_begin),
        STORE_TEST(t18b_a_claim_is_bounded),
        STORE_TEST(t19_release),
        STORE_TEST(t19b_release_keeps_its_place),
        STORE_TEST(t19c_an_end_that_is_refused_for_good),
        STORE_TEST(t60_beat),
        STORE_TEST(t27_behind_the_last),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
