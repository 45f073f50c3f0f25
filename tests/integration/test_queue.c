/* The queue on a real PostgreSQL and Redis: rows, messages, those who wait, the worker's side. */
#include <poll.h>
#include <unistd.h>

#include "../lib/queue_bench.h"
#include "core/clock.h"
#include "core/mem.h"
#include "core/net.h"

static void t01_messages_wake_both_sides(void **state)
{
    struct bench *b = *state;
    struct uuid id = put(b, "sequential", ONE_ITEM);
    struct caller *c = await_task(b, 0, id, LONG_MS);
    await_first_look(b);
    await_bell(b);
    claim(b, 8);
    assert_int_equal(b->claim.count, 1);
    assert_true(uuid_eq(b->claim.units[0].task, id));
    finish(b, TASK_succeeded);
    await_told(b, 1);
    assert_int_equal(c->code, ERR_NONE);
    assert_int_equal(c->task.state, TASK_succeeded);
    assert_int_equal(c->task.items_done, 1);
    assert_true(c->task.results.len > 0 && span_is(c->task.handler, "echo"));
}

static void t02_only_those_who_serve_the_queue_are_woken(void **state)
{
    struct bench *b = *state;
    int bell;
    struct queue_worker *other = open_worker(b, "first, other", &bell);
    struct pollfd p = {.fd = bell, .events = POLLIN};
    assert_int_equal(poll(&p, 1, PATIENCE_MS), 1);
    net_bell_clear(bell);
    put(b, "sequential", ONE_ITEM);
    await_bell(b);
    put(b, "sequential", "{\"handler\":\"echo\",\"queue\":\"other\"}");
    assert_int_equal(poll(&p, 1, PATIENCE_MS), 1);
    uint64_t rung = 0;
    assert_int_equal(read(bell, &rung, sizeof rung), sizeof rung);
    assert_int_equal(rung, 1);
    queue_worker_free(other);
    net_close(bell);
    claim(b, 8);
    assert_int_equal(b->claim.count, 1);
}

static void t03_a_thousand_wait(void **state)
{
    struct bench *b = *state;
    struct put *puts CLEANUP(mem_free_at) = mem_array(MANY, sizeof *puts);
    for (int i = 0; i < MANY; i++)
        put_begin(b, &puts[i], "background", ONE_ITEM);
    for (int i = 0; i < MANY; i++)
        await_task(b, i, put_end(b, &puts[i]), LONG_MS);
    await_first_look(b);
    int64_t before = waits_queries(b->api->waits);
    for (int got = 0; got < MANY; got += (int)b->claim.count) {
        claim(b, (int)LIMIT_CLAIM);
        assert_true(b->claim.count > 0);
        finish(b, TASK_succeeded);
    }
    await_told(b, MANY);
    assert_true(waits_queries(b->api->waits) - before < MANY / 10);
    for (int i = 0; i < MANY; i++)
        assert_int_equal(b->callers[i].task.state, TASK_succeeded);
}

static void t04_deadline_and_unwait(void **state)
{
    struct bench *b = *state;
    struct uuid id = put(b, "sequential", ONE_ITEM);
    struct caller *soon = await_task(b, 0, id, 1), *back = await_task(b, 1, id, LONG_MS);
    struct caller *none = await_task(b, 2, uuid_v7(), 1);
    await_told(b, 2);
    assert_int_equal(soon->task.state, TASK_queued);
    assert_int_equal(none->code, ERR_NO_TASK);
    assert_true(queue_unwait(b->api, &back->wait));
    assert_false(queue_unwait(b->api, &soon->wait));
    claim(b, 8);
    finish(b, TASK_succeeded);
}

static void t05_cancel(void **state)
{
    struct bench *b = *state;
    struct err e = ERR_INIT;
    struct task t;
    struct arena a CLEANUP(arena_release) = ARENA_INIT;
    struct uuid queued = put(b, "sequential", ONE_ITEM);
    struct caller *c = await_task(b, 0, queued, LONG_MS);
    await_first_look(b);
    assert_true(queue_cancel(b->api, &a, queued, &t, &e));
    assert_int_equal(t.state, TASK_cancelled);
    await_told(b, 1);
    assert_int_equal(c->task.state, TASK_cancelled);

    struct uuid running = put(b, "sequential", ONE_ITEM), ids[4];
    claim(b, 8);
    assert_int_equal(b->claim.count, 1);
    c = await_task(b, 1, running, LONG_MS);
    await_first_look(b);
    assert_true(queue_cancel(b->api, &a, running, &t, &e));
    assert_true(t.cancelling && !state_final(t.state));
    size_t n = 0;
    for (int64_t deadline = clock_after_ms(PATIENCE_MS); n == 0;
         n = queue_cancels(b->worker, ids, COUNT_OF(ids))) {
        assert_true(clock_now() < deadline);
        await_bell(b);
    }
    assert_int_equal(n, 1);
    assert_true(uuid_eq(ids[0], running));
    finish(b, TASK_cancelled);
    await_told(b, 2);
    assert_int_equal(c->task.state, TASK_cancelled);
    assert_false(queue_cancel(b->api, &a, uuid_v7(), &t, &e));
    assert_int_equal(e.code, ERR_NO_TASK);
}

static void t06_children_run_one_after_another(void **state)
{
    struct bench *b = *state;
    struct uuid id = put(b, NULL,
                         "{\"handler\":\"echo\",\"items\":[1,2,3],\"batch_size\":2,"
                         "\"strategies\":[\"sequential\",\"background\",\"hybrid\"]}");
    struct caller *c = await_task(b, 0, id, LONG_MS);
    static const struct {
        const char *strategy, *inputs[2];
    } expected[] = {
        {"sequential", {"1\n2\n3\n"}}, {"background", {"1\n2\n", "3\n"}}, {"hybrid", {"1\n2\n3\n"}}};
    for (size_t i = 0; i < COUNT_OF(expected); i++) {
        await_bell(b); /* the first by a message, the others by a message or the worker itself */
        claim(b, 8);
        size_t units = expected[i].inputs[1] != NULL ? 2 : 1;
        assert_int_equal(b->claim.count, units);
        for (size_t k = 0; k < units; k++) {
            const struct unit *u = &b->claim.units[k];
            assert_true(span_is(u->strategy, expected[i].strategy));
            assert_in_range(u->seq, 0, units - 1);
            assert_true(span_is(u->inputs, expected[i].inputs[u->seq]));
        }
        net_bell_clear(b->bell);
        finish(b, TASK_succeeded);
    }
    await_told(b, 1);
    assert_int_equal(c->task.state, TASK_succeeded);
    assert_int_equal(c->task.items_total, 9);
    assert_int_equal(c->task.items_done, 9);
}

static void t07_cancelling_a_parent_names_its_children(void **state)
{
    struct bench *b = *state;
    struct err e = ERR_INIT;
    struct task t;
    struct arena a CLEANUP(arena_release) = ARENA_INIT;
    struct uuid id =
        put(b, NULL, "{\"handler\":\"echo\",\"items\":[1],\"strategies\":[\"sequential\",\"hybrid\"]}");
    struct uuid ids[16];
    claim(b, 8);
    assert_int_equal(b->claim.count, 1);
    struct uuid child = b->claim.units[0].task;
    assert_true(queue_cancel(b->api, &a, id, &t, &e));
    bool named = false;
    for (int64_t deadline = clock_after_ms(PATIENCE_MS); !named; poll(NULL, 0, 2)) {
        assert_true(clock_now() < deadline);
        size_t n = queue_cancels(b->worker, ids, COUNT_OF(ids));
        for (size_t i = 0; i < n; i++)
            named = named || uuid_eq(ids[i], child);
    }
    finish(b, TASK_cancelled);
    await_task(b, 0, id, LONG_MS);
    await_told(b, 1);
    assert_int_equal(b->callers[0].task.state, TASK_cancelled);
}

static void t07b_cancelling_a_child_goes_on(void **state)
{
    struct bench *b = *state;
    struct err e = ERR_INIT;
    struct task t, *children;
    size_t n;
    struct arena a CLEANUP(arena_release) = ARENA_INIT;
    struct uuid id =
        put(b, NULL, "{\"handler\":\"echo\",\"items\":[1],\"strategies\":[\"sequential\",\"hybrid\"]}");
    assert_true(store_children(queue_store(b->api), &a, id, &children, &n, &e));
    struct caller *c = await_task(b, 0, id, LONG_MS);
    await_first_look(b);
    await_bell(b); /* of the submission */
    net_bell_clear(b->bell);
    assert_true(queue_cancel(b->api, &a, children[0].id, &t, &e));
    await_bell(b); /* of the next child */
    claim(b, 8);
    assert_int_equal(b->claim.count, 1);
    struct uuid last = b->claim.units[0].task;
    assert_true(uuid_eq(last, children[1].id));
    const struct unit *units[] = {&b->claim.units[0]};
    assert_true(queue_release(b->worker, units, 1, false, &e));
    assert_true(queue_cancel(b->api, &a, last, &t, &e));
    await_told(b, 1);
    assert_int_equal(c->task.state, TASK_cancelled);
}

static void t08_progress_is_laid_over(void **state)
{
    struct bench *b = *state;
    struct arena a CLEANUP(arena_release) = ARENA_INIT;
    struct uuid id = put(b, "background", "{\"handler\":\"echo\",\"items_count\":20,\"batch_size\":10}");
    claim(b, 8);
    assert_int_equal(b->claim.count, 2);
    struct cache_view views[2];
    for (int i = 0; i < 2; i++)
        views[i] = (struct cache_view){id, b->claim.units[i].seq, 4, i, 500};
    queue_tell(b->worker, views, 2);
    struct task t = {0};
    for (int64_t deadline = clock_after_ms(PATIENCE_MS); t.items_done == 0; t = get(b, &a, id))
        assert_true(clock_now() < deadline);
    assert_int_equal(t.items_done, 8);
    assert_int_equal(t.items_failed, 1);
    assert_true(t.progress > 0.449 && t.progress < 0.451);
    finish(b, TASK_succeeded);
    t = get(b, &a, id);
    assert_int_equal(t.state, TASK_succeeded);
    assert_int_equal(t.items_done, 20);
    assert_int_equal(t.items_failed, 0);
    for (int64_t deadline = clock_after_ms(PATIENCE_MS); redis_server_number(&b->redis, "DBSIZE") > 0;
         poll(NULL, 0, 2))
        assert_true(clock_now() < deadline);
}

static void t09_what_is_given_back_wakes_workers(void **state)
{
    struct bench *b = *state;
    struct err e = ERR_INIT;
    put(b, "sequential", ONE_ITEM);
    await_bell(b);
    claim(b, 8);
    const struct unit *units[] = {&b->claim.units[0]};
    assert_true(queue_release(b->worker, units, 1, false, &e));
    await_bell(b);
    claim(b, 8);
    assert_int_equal(b->claim.count, 1);
    assert_int_equal(b->claim.units[0].attempt, 1);
}

static void t10_what_a_lost_worker_had_is_found(void **state)
{
    struct bench *b = *state;
    struct arena a CLEANUP(arena_release) = ARENA_INIT;
    struct reaped r = {0};
    struct err e = ERR_INIT;
    b->conf.worker_lease = 200;
    put(b, "sequential", ONE_ITEM);
    await_bell(b);
    claim(b, 8);
    assert_int_equal(b->claim.count, 1);
    for (int64_t deadline = clock_after_ms(PATIENCE_MS); r.requeued == 0; poll(NULL, 0, 20)) {
        assert_true(clock_now() < deadline);
        assert_true(queue_reap(b->worker, &a, &r, &e));
    }
    await_bell(b);
    claim(b, 8);
    assert_int_equal(b->claim.count, 1);
    assert_int_equal(b->claim.units[0].attempt, 2);
}

static void t11_the_end_tells_everybody(void **state)
{
    struct bench *b = *state;
    struct uuid id = put(b, "sequential", ONE_ITEM);
    for (int i = 0; i < 10; i++)
        await_task(b, i, id, LONG_MS);
    queue_close(b->api);
    b->api = NULL;
    assert_int_equal(b->told, 10);
    for (int i = 0; i < 10; i++)
        assert_int_equal(b->callers[i].task.state, TASK_queued);
}

/* Who is told of a time that is before the one he knows is woken, and nobody for a later one. */
static void t12_times_are_told(void **state)
{
    struct bench *b = *state;
    struct pollfd p = {.fd = b->bell, .events = POLLIN};
    assert_int_equal(queue_later(b->worker), -1);
    put(b, "sequential", "{\"handler\":\"echo\",\"delay\":2000}");
    await_bell(b);
    assert_in_range(queue_later(b->worker), 1000000, 2000000);
    put(b, "sequential", "{\"handler\":\"echo\",\"delay\":3000}");
    put(b, "sequential", "{\"handler\":\"echo\",\"delay\":1000}"); /* messages come in their order */
    assert_int_equal(poll(&p, 1, PATIENCE_MS), 1);
    uint64_t rung = 0;
    assert_int_equal(read(b->bell, &rung, sizeof rung), sizeof rung);
    assert_int_equal(rung, 1);
    assert_in_range(queue_later(b->worker), 1, 1000000);
}

#define TEST(f, s)                            \
    {                                         \
#f " " #s, f, s, bench_teardown, NULL \
    }

int main(void)
{
    if (redis_server_missing()) {
        puts("1..0 # SKIP redis-server is not installed");
        return 77;
    }
    migrate();
    const struct CMUnitTest tests[] = {
        TEST(t01_messages_wake_both_sides, bench_setup),
        TEST(t02_only_those_who_serve_the_queue_are_woken, bench_setup),
        TEST(t03_a_thousand_wait, bench_setup),
        TEST(t04_deadline_and_unwait, bench_setup),
        TEST(t05_cancel, bench_setup),
        TEST(t06_children_run_one_after_another, bench_setup),
        TEST(t07_cancelling_a_parent_names_its_children, bench_setup),
        TEST(t07b_cancelling_a_child_goes_on, bench_setup),
        TEST(t08_progress_is_laid_over, bench_setup),
        TEST(t09_what_is_given_back_wakes_workers, bench_setup),
        TEST(t10_what_a_lost_worker_had_is_found, bench_setup),
        TEST(t11_the_end_tells_everybody, bench_setup),
        TEST(t12_times_are_told, bench_setup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
