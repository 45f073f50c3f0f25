/* The queue while its Redis is absent, dies, is flushed, falls silent or comes late. */
#include <poll.h>

#include "../lib/queue_bench.h"
#include "core/clock.h"

/* Put, run, told: the whole way, `break_it` in the middle. */
static void whole_way(struct bench *b, void (*break_it)(struct redis_server *s))
{
    int told = b->told;
    struct uuid id = put(b, "sequential", ONE_ITEM);
    struct caller *c = await_task(b, told, id, LONG_MS);
    if (break_it != NULL) {
        await_first_look(b);
        break_it(&b->redis);
    }
    claim(b, 8);
    assert_int_equal(b->claim.count, 1);
    finish(b, TASK_succeeded);
    await_told(b, told + 1);
    assert_int_equal(c->task.state, TASK_succeeded);
}

static void t01_without_redis(void **state)
{
    struct bench *b = *state;
    struct arena a CLEANUP(arena_release) = ARENA_INIT;
    struct err e = ERR_INIT;
    struct task t;
    whole_way(b, NULL);
    assert_false(queue_prompt(b->api));
    struct uuid id = put(b, "sequential", ONE_ITEM);
    assert_int_equal(get(b, &a, id).state, TASK_queued);
    assert_true(queue_cancel(b->api, &a, id, &t, &e));
    queue_tell(b->worker, &(struct cache_view){.task = id}, 1);
    await_task(b, 1, id, LONG_MS);
    await_told(b, 2);
    assert_int_equal(b->callers[1].task.state, TASK_cancelled);
}

static void t02_redis_dies_in_the_middle(void **state)
{
    struct bench *b = *state;
    whole_way(b, redis_server_kill);
    whole_way(b, NULL);
}

static void flush(struct redis_server *s)
{
    char reply[64];
    redis_server_ask(s, "FLUSHALL", reply, sizeof reply);
}

static void t03_redis_is_flushed_in_the_middle(void **state)
{
    whole_way(*state, flush);
}

static void t04_redis_falls_silent_in_the_middle(void **state)
{
    struct bench *b = *state;
    whole_way(b, redis_server_freeze);
    whole_way(b, NULL);
    redis_server_thaw(&b->redis);
}

static void t05_redis_comes_late(void **state)
{
    struct bench *b = *state;
    whole_way(b, NULL);
    redis_server_start(&b->redis);
    await_prompt(b);
    while (cache_broken(queue_cache(b->far)) || !cache_ready(queue_cache(b->far), NULL))
        poll(NULL, 0, 2);
    struct caller *c = await_task(b, 1, put(b, "sequential", ONE_ITEM), LONG_MS);
    await_first_look(b);
    claim(b, 8);
    finish(b, TASK_succeeded);
    await_told(b, 2); /* by a message: the poll is far away */
    assert_int_equal(c->task.state, TASK_succeeded);
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
        TEST(t01_without_redis, bench_setup_none),
        TEST(t01_without_redis, bench_setup_dead),
        TEST(t02_redis_dies_in_the_middle, bench_setup),
        TEST(t03_redis_is_flushed_in_the_middle, bench_setup),
        TEST(t04_redis_falls_silent_in_the_middle, bench_setup),
        TEST(t05_redis_comes_late, bench_setup_dead),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
