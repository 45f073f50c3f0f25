/*
 * The gates that ask Redis for leave (exec/gate.c), driven by hand as the thread of a reactor would, on a Redis that is killed and emptied
 * under them.
 */
#include "exec/gate.h"

#include "redis_bench.h"

#define PLACES "lathe:dest:{slow}:places"

#define BUCKET "lathe:dest:{slow}:bucket"

static const struct conf_destination one_at_a_time = {.name = "slow", .concurrency = 1};
static const struct conf_destination elsewhere = {.name = "slow",
                                                  .concurrency = 1}; /* as in another process */
static const struct conf_destination some_at_a_time = {.name = "slow", .concurrency = 4};
static const struct conf_destination in_time = {.name = "slow", .concurrency = 1, .rate = 100, .per_s = 1};
static int gone; /* through a gate */

static void on_go(void *arg, struct pass *p)
{
    (void)arg;
    assert_true(p->inside);
    gone++;
}

static void on_timer(void *arg)
{
    (void)arg;
}

static struct gate *new_gate(const struct conf_destination *limits)
{
    gone = 0;
    return gate_new(limits, client, on_go, on_timer, NULL);
}

/* As a thread does that waits for `g` too: until `want` have gone, or, for 0, until it is to be looked at. */
static void drive_gate(struct gate *g, int want)
{
    struct pollfd p = {.fd = redis_own_port.descriptor(client), .events = POLLIN};
    int64_t give_up = clock_after_ms(60000);
    while (want > 0 ? gone < want : gate_due(g) == CLOCK_NEVER) {
        assert_true(clock_now() < give_up);
        redis_own_port.flush(client);
        poll(&p, 1, 10);
        redis_own_port.drive(client);
        if (want > 0)
            gate_look(g, clock_now());
    }
}

/* Leases that last for so long yet, at least. */
static long leases(const char *ms)
{
    char command[300];
    snprintf(
        command, sizeof command,
        "EVAL \"local t=redis.call('time') return redis.call('zcount',KEYS[1],t[1]*1000+%s,'+inf')\" 1 " PLACES,
        ms);
    return redis_server_number(&server, command);
}

static void make_old(void)
{
    char reply[64];
    redis_server_ask(&server,
                     "EVAL \"for _,m in ipairs(redis.call('zrange',KEYS[1],0,-1)) do "
                     "redis.call('zadd',KEYS[1],1,m) end return 1\" 1 " PLACES,
                     reply, sizeof reply);
    assert_string_equal(reply, "1");
}

/* A call that lasts keeps its place: its lease is renewed, also when Redis has forgotten it. */
static void t05_a_place_is_kept(void **state)
{
    struct gate *a = new_gate(&one_at_a_time), *b = new_gate(&elsewhere);
    struct pass long_one, other;
    char reply[64];
    (void)state;
    gate_enter(a, &long_one);
    drive_until(&gone, 1);
    for (int i = 0; i < 2; i++) {
        if (i == 0)
            make_old();
        else
            redis_server_ask(&server, "FLUSHALL", reply, sizeof reply);
        assert_true(i > 0 || gate_due(a) < clock_after_ms(10000));
        gate_look(a, gate_due(a));
        gate_enter(b, &other);
        ask_and_wait();
        assert_int_equal(gone, 1);
        assert_int_equal(leases("10000"), 1);
        gate_leave(&other);
    }
    gate_leave(&long_one);
    gate_enter(b, &other);
    drive_until(&gone, 2);
    gate_leave(&other);
    ask_and_wait();
    assert_int_equal(leases("0"), 0);
    gate_look(a, gate_due(a));
    assert_true(gate_due(a) == CLOCK_NEVER);
    gate_free(a);
    gate_free(b);
}

/* The place of a worker that died comes free, and a call that goes while Redis is away is told of when it is back. */
static void t06_others_come_in(void **state)
{
    struct gate *g = new_gate(&one_at_a_time);
    struct pass p;
    (void)state;
    assert_int_equal(redis_server_number(&server, "ZADD " PLACES " +inf dead"), 1);
    gate_enter(g, &p);
    ask_and_wait();
    assert_int_equal(gone, 0);
    make_old();
    gate_look(g, gate_due(g));
    drive_until(&gone, 1);
    gate_leave(&p);
    redis_server_kill(&server);
    gate_enter(g, &p);
    drive_gate(g, 2);
    redis_server_start(&server);
    gate_look(g, gate_due(g));
    ask_and_wait();
    assert_int_equal(leases("10000"), 1);
    gate_leave(&p);
    gate_free(g);
}

/* Nobody goes alone for one question that was not answered: Redis, or this process, may have been slow for a moment. */
static void t10_asked_twice(void **state)
{
    struct gate *g = new_gate(&one_at_a_time);
    struct pass p;
    (void)state;
    redis_server_kill(&server);
    gate_enter(g, &p);
    drive_gate(g, 0);
    assert_int_equal(gone, 0);
    redis_server_start(&server);
    assert_int_equal(redis_server_number(&server, "ZADD " PLACES " +inf another"), 1);
    gate_look(g, gate_due(g));
    ask_and_wait();
    assert_int_equal(gone, 0);
    assert_int_equal(leases("0"), 1);
    gate_leave(&p);
    gate_free(g);
}

static void ask_in_vain(struct gate *g, struct pass *p)
{
    int64_t patience = conf.cache_timeout, give_up = clock_after_ms(60000);
    redis_server_freeze(&server);
    conf.cache_timeout = 1;
    gate_enter(g, p);
    drive_gate(g, gone + 1);
    conf.cache_timeout = patience;
    redis_server_thaw(&server);
    while (leases("0") < 2)
        assert_true(clock_now() < give_up);
}

/* Both questions before one goes alone are granted late: neither's places stay. */
static void t16_granted_late(void **state)
{
    struct gate *g = new_gate(&some_at_a_time);
    struct pass alone, other;
    (void)state;
    ask_in_vain(g, &alone);
    gate_enter(g, &other);
    drive_gate(g, 2);
    ask_and_wait();
    assert_int_equal(leases("0"), 1);
    gate_leave(&other);
    gate_leave(&alone);
    ask_and_wait();
    ask_in_vain(g, &alone);
    gate_leave(&alone);
    ask_and_wait();
    assert_int_equal(leases("0"), 0);
    gate_free(g);
}

/* What the process would refuse by its own count is not asked for: it would be taken from those of a time, for nothing. */
static void t08_asks_for_what_it_can_use(void **state)
{
    struct gate *a = new_gate(&in_time), *b = new_gate(&in_time);
    struct pass one, other;
    char reply[64];
    (void)state;
    gate_enter(a, &one);
    drive_until(&gone, 1);
    assert_int_equal(redis_server_number(&server, "EXISTS " BUCKET), 1);
    redis_server_ask(&server, "FLUSHALL", reply, sizeof reply);
    gate_enter(b, &other);
    ask_and_wait();
    assert_int_equal(gone, 1);
    assert_int_equal(redis_server_number(&server, "EXISTS " BUCKET), 0);
    gate_leave(&one);
    gate_look(b, gate_due(b));
    drive_until(&gone, 2);
    gate_leave(&other);
    gate_free(a);
    gate_free(b);
}

/* A place that is given back as the connection is found to be lost: what is free then is not looked at again. */
static void t07_given_back_to_nobody(void **state)
{
    static char filler[64 * KIB - 27]; /* with it the next command is one too many to be kept */
    struct gate *g = new_gate(&one_at_a_time);
    struct pass p;
    struct err e = ERR_INIT;
    (void)state;
    memset(filler, 'x', sizeof filler);
    gate_enter(g, &p);
    drive_until(&gone, 1);
    int over = 0;
    struct redis_call *c = redis_start_for(
        client, (struct span[]){SPAN("SET"), SPAN("k"), {filler, sizeof filler}}, 3, count, &over, &e);
    assert_non_null(c);
    assert_int_equal(over, 0);
    redis_server_kill(&server);
    gate_leave(&p);
    assert_int_equal(over, 1);
    redis_drop(c);
    gate_free(g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(t05_a_place_is_kept),          TEST(t06_others_come_in), TEST(t07_given_back_to_nobody),
        TEST(t08_asks_for_what_it_can_use), TEST(t10_asked_twice),    TEST(t16_granted_late),
    };
    RUN_WITH_REDIS(tests);
}
