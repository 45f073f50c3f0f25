/*
 * redis_bench.h: a client of the port to Redis, driven by hand as the thread of a reactor would, on a Redis of its own that is killed,
 * frozen and emptied. For one program each: everything is static.
 */
#ifndef LATHE_REDIS_BENCH_H
#define LATHE_REDIS_BENCH_H

#include <poll.h>
#include <string.h>

#include "../lib/redis_server.h"
#include "../lib/test.h"
#include "cache/port.h"
#include "core/clock.h"
#include "core/limits.h"
#include "core/mem.h"
#include "model/redis.h"

static struct redis_server server;
static struct conf conf;
static void *client;

static inline void drive_until(const int *count, int want)
{
    struct pollfd p = {.fd = redis_own_port.descriptor(client), .events = POLLIN};
    int64_t give_up = clock_after_ms(60000);
    while (*count < want) {
        assert_true(clock_now() < give_up);
        redis_own_port.flush(client);
        poll(&p, 1, 1000);
        redis_own_port.drive(client);
    }
}

static inline void count(void *arg)
{
    ++*(int *)arg;
}

/* What was asked before is over too. */
static inline void ask_and_wait(void)
{
    int n = 0;
    struct err e = ERR_INIT;
    struct redis_call *c = redis_start_for(client, (struct span[]){SPAN("PING")}, 1, count, &n, &e);
    if (!c)
        fail_msg("%s", e.text);
    drive_until(&n, 1);
    assert_int_equal(c->err.code, ERR_NONE);
    redis_drop(c);
}

static inline int setup(void **state)
{
    struct err e = ERR_INIT;
    char reply[64];
    (void)state;
    if (server.pid == 0)
        redis_server_start(&server);
    redis_server_ask(&server, "FLUSHALL", reply, sizeof reply);
    assert_true(redis_own_port.open(&client, &e));
    ask_and_wait(); /* it is known to be well again */
    return 0;
}

static inline int teardown(void **state)
{
    (void)state;
    redis_own_port.close(client);
    redis_own_port.release();
    return 0;
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

/* The rest of main(). cmocka_run_group_tests() with Redis' address known, and Redis ended. */
#define RUN_WITH_REDIS(tests)                                   \
    do {                                                        \
        redis_server_init(&server);                             \
        conf = (struct conf){.cache_url = server.address,       \
                             .cache_password = "",              \
                             .cache_prefix = "lathe",           \
                             .cache_timeout = 20000,            \
                             .redis_url = "",                   \
                             .redis_password = ""};             \
        redis_ports_open(&conf);                                \
        int failed = cmocka_run_group_tests(tests, NULL, NULL); \
        redis_server_release(&server);                          \
        return failed;                                          \
    } while (0)

#endif
