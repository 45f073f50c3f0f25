/*
 * The port to Redis and the gates that ask it for leave (cache/port.c, exec/gate.c), driven by hand as the thread of a reactor
 * would, on a Redis that is killed and emptied under them.
 */
#include "../lib/test.h"

#include <poll.h>
#include <string.h>

#include "../lib/redis_server.h"
#include "cache/port.h"
#include "core/breaker.h"
#include "core/clock.h"
#include "core/limits.h"
#include "core/mem.h"
#include "exec/gate.h"
#include "model/redis.h"

static struct redis_server server;
static struct conf conf;
static void *client;

/* ---- a thread */

static void drive_until(const int *count, int want)
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

static void count(void *arg)
{
    ++*(int *)arg;
}

/* What was asked before is over too. */
static void ask_and_wait(void)
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

static int setup(void **state)
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

static int teardown(void **state)
{
    (void)state;
    redis_own_port.close(client);
    redis_own_port.release();
    return 0;
}

/* ---- calls */

static struct redis_call *calls[3 * LIMIT_REDIS_CALLS];
static int over;

static void start_calls(int n)
{
    struct span words[] = {SPAN("INCR"), SPAN("n")};
    struct err e = ERR_INIT;
    over = 0;
    for (int i = 0; i < n; i++)
        if (!(calls[i] = redis_start_for(client, words, 2, count, &over, &e)))
            fail_msg("call %d: %s", i, e.text);
}

/* More than may be under way wait for their turn, and keep their order; those that nobody waits for are sent all the same. */
static void t01_in_turn(void **state)
{
    enum { CALLS = 3 * LIMIT_REDIS_CALLS, DROPPED = CALLS / 3 };
    (void)state;
    start_calls(CALLS);
    for (int i = 0; i < CALLS; i += 3) {
        redis_drop(calls[i]);
        calls[i] = NULL;
    }
    drive_until(&over, CALLS - DROPPED);
    for (int i = 0; i < CALLS; i++) {
        if (!calls[i])
            continue;
        assert_int_equal(calls[i]->err.code, ERR_NONE);
        assert_int_equal(calls[i]->number, i + 1);
        redis_drop(calls[i]);
    }
    assert_int_equal(over, CALLS - DROPPED);
}

/* Those that wait are lost with those that were sent, each once. */
static void t02_lost(void **state)
{
    enum { CALLS = 2 * LIMIT_REDIS_CALLS };
    (void)state;
    start_calls(CALLS);
    redis_drop(calls[CALLS - 1]);
    redis_server_kill(&server);
    drive_until(&over, CALLS - 1);
    assert_int_equal(over, CALLS - 1);
    for (int i = 0; i < CALLS - 1; i++) {
        assert_true(i < (int)LIMIT_REDIS_CALLS || calls[i]->err.code == ERR_CACHE);
        redis_drop(calls[i]);
    }
}

static void ask_again(void *arg)
{
    struct err e = ERR_INIT;
    over++;
    assert_null(redis_start_for(client, (struct span[]){SPAN("PING")}, 1, count, arg, &e));
    assert_int_equal(e.code, ERR_CACHE);
}

/* Who hears of an answer asks for more, and the connection has been closed behind that answer: there is no other. */
static void t03_asked_again_in_vain(void **state)
{
    struct pollfd p = {.fd = redis_own_port.descriptor(client), .events = POLLIN};
    struct err e = ERR_INIT;
    (void)state;
    over = 0;
    struct redis_call *c = redis_start_for(client, (struct span[]){SPAN("PING")}, 1, ask_again, &over, &e);
    assert_non_null(c);
    redis_own_port.flush(client);
    assert_int_equal(poll(&p, 1, 60000), 1);
    redis_server_kill(&server);
    drive_until(&over, 1);
    assert_int_equal(c->err.code, ERR_NONE);
    redis_drop(c);
}

/* The last to hear of a loss asks anew, of a Redis that is there again, and is answered. */
static void start_anew(void *arg)
{
    struct err e = ERR_INIT;
    redis_server_start(&server);
    *(struct redis_call **)arg = redis_start_for(client, (struct span[]){SPAN("PING")}, 1, count, &over, &e);
    assert_non_null(*(struct redis_call **)arg);
}

static void t04_asked_anew(void **state)
{
    struct redis_call *again = NULL;
    struct err e = ERR_INIT;
    (void)state;
    over = 0;
    redis_server_kill(&server);
    struct redis_call *c = redis_start_for(client, (struct span[]){SPAN("BLPOP"), SPAN("none"), SPAN("0")}, 3,
                                           start_anew, &again, &e);
    if (!c) { /* it was seen at once that the connection is closed */
        redis_server_start(&server);
        assert_non_null(c = redis_start_for(client, (struct span[]){SPAN("BLPOP"), SPAN("none"), SPAN("0")},
                                            3, start_anew, &again, &e));
        redis_own_port.flush(client);
        redis_server_kill(&server);
    }
    drive_until(&over, 1);
    assert_int_equal(c->err.code, ERR_CACHE);
    assert_int_equal(again->err.code, ERR_NONE);
    redis_drop(c);
    redis_drop(again);
}

/* ---- what a run leaves behind */

/* More than the socket takes, to a Redis that is frozen. */
static void leave_behind(void *of, int calls_n)
{
    static char filler[KIB];
    struct span words[] = {SPAN("RPUSH"), SPAN("l"), {filler, sizeof filler}};
    struct err e = ERR_INIT;
    memset(filler, 'x', sizeof filler);
    for (int i = 0; i < calls_n; i++)
        redis_drop(redis_start_for(of, words, COUNT_OF(words), count, &over, &e));
    redis_own_port.close(of);
}

/* It is carried out: by the next run, or when there is none. */
static void t09_taken_later(void **state)
{
    enum { CALLS = LIMIT_REDIS_CALLS + 500 };
    struct err e = ERR_INIT;
    (void)state;
    for (int round = 1; round <= 2; round++) {
        redis_server_freeze(&server);
        leave_behind(client, CALLS);
        redis_server_thaw(&server);
        if (round == 2)
            redis_own_port.release();
        assert_true(redis_own_port.open(&client, &e));
        if (round == 1)
            ask_and_wait();
        assert_int_equal(redis_server_number(&server, "LLEN l"), round * CALLS);
    }
}

enum { THREADS = BREAKER_FAILURES, LEFT = 3000 }; /* as many failures would be too many */

static long taken(void)
{
    return redis_server_number(&server, "LLEN l");
}

static void threads_end(void)
{
    void *clients[THREADS] = {client};
    struct err e = ERR_INIT;
    for (int i = 1; i < THREADS; i++)
        assert_true(redis_own_port.open(&clients[i], &e));
    redis_server_freeze(&server);
    for (int i = 0; i < THREADS; i++)
        leave_behind(clients[i], LEFT);
}

/* More threads than clients are kept for: what Redis has not read yet when they end is carried out all the same. */
static void t14_many_end(void **state)
{
    enum { MANY = 20, SOME = 80 }; /* so many fit into the socket */
    void *clients[MANY] = {client};
    struct err e = ERR_INIT;
    (void)state;
    for (int i = 1; i < MANY; i++)
        assert_true(redis_own_port.open(&clients[i], &e));
    redis_server_freeze(&server);
    for (int i = 0; i < MANY; i++)
        leave_behind(clients[i], SOME);
    redis_server_thaw(&server);
    redis_own_port.settle(clock_after_ms(60000));
    assert_true(redis_own_port.open(&client, &e));
    assert_int_equal(taken(), MANY * SOME);
}

/* Nobody was there to look while its time was over: that says nothing of Redis. Who looks does not wait for one that is frozen. */
static void t11_looked_after(void **state)
{
    struct err e = ERR_INIT;
    int64_t patience = conf.cache_timeout, give_up = clock_after_ms(60000);
    (void)state;
    conf.cache_timeout = 1;
    threads_end();
    for (int64_t over_at = clock_after_ms(2); clock_now() < over_at;)
        poll(NULL, 0, 1);
    assert_true(redis_own_port.idle());
    conf.cache_timeout = patience;
    assert_true(redis_own_port.idle());
    redis_server_thaw(&server);
    while (redis_own_port.idle()) {
        assert_true(clock_now() < give_up);
        taken(); /* Redis has had a turn */
    }
    assert_int_equal(taken(), THREADS * LEFT);
    assert_true(redis_own_port.open(&client, &e));
    ask_and_wait();
}

static void idle_until_given_up(void)
{
    for (int i = 0; redis_own_port.idle(); i++)
        assert_true(i < 100000);
}

static void until_it_is_asked_again(void)
{
    struct err e = ERR_INIT;
    struct redis_call *c;
    int64_t give_up = clock_after_ms(60000);
    assert_null(redis_start_for(client, (struct span[]){SPAN("PING")}, 1, count, &over, &e));
    while (!(c = redis_start_for(client, (struct span[]){SPAN("PING")}, 1, count, &over, &e))) {
        assert_true(clock_now() < give_up);
        poll(NULL, 0, 10);
    }
    redis_drop(c);
}

/* One that takes nothing at all is given up, by whom it may; and is left alone then. One that was killed meanwhile is not: it may be back. */
static void t12_given_up(void **state)
{
    struct err e = ERR_INIT;
    int64_t patience = conf.cache_timeout;
    (void)state;
    threads_end();
    redis_server_kill(&server);
    redis_server_start(&server);
    assert_false(redis_own_port.idle());
    assert_true(redis_own_port.open(&client, &e));
    ask_and_wait();
    threads_end();
    idle_until_given_up();
    redis_server_thaw(&server);
    assert_true(redis_own_port.open(&client, &e));
    until_it_is_asked_again();
    ask_and_wait();
    assert_true(taken() < THREADS * LEFT);
    threads_end();
    conf.cache_timeout = 1;
    redis_own_port.settle(CLOCK_NEVER);
    conf.cache_timeout = patience;
    redis_server_thaw(&server);
    assert_true(redis_own_port.open(&client, &e));
    until_it_is_asked_again();
    ask_and_wait();
}

/* An answer that comes in more parts than there are looks in vain: who still sends is well. */
static void t15_long_answers(void **state)
{
    void *clients[THREADS] = {client};
    struct err e = ERR_INIT;
    (void)state;
    assert_int_equal(redis_server_number(&server, "SETRANGE big 25165823 x"), 24 * MIB);
    for (int i = 1; i < THREADS; i++)
        assert_true(redis_own_port.open(&clients[i], &e));
    for (int i = 0; i < THREADS; i++) {
        redis_drop(
            redis_start_for(clients[i], (struct span[]){SPAN("GET"), SPAN("big")}, 2, count, &over, &e));
        redis_own_port.close(clients[i]);
    }
    for (int i = 0; redis_own_port.idle(); i++) {
        assert_true(i < 100000);
        taken(); /* Redis has had a turn */
    }
    assert_true(redis_own_port.open(&client, &e));
    ask_and_wait();
}

/* Runs that are not answered, and say something to the same Redis as they end: what becomes of that is no success yet. */
static void t13_told_is_not_answered(void **state)
{
    struct err e = ERR_INIT;
    int64_t patience = conf.cache_timeout;
    (void)state;
    conf.cache_timeout = 1;
    redis_server_freeze(&server);
    for (int i = 0; i < BREAKER_FAILURES; i++) {
        over = 0;
        struct redis_call *c = redis_start_for(client, (struct span[]){SPAN("PING")}, 1, count, &over, &e);
        if (!c)
            break; /* what the one before told it was found to be late as well */
        drive_until(&over, 1);
        assert_int_equal(c->err.code, ERR_CACHE);
        redis_drop(c);
        leave_behind(client, 1);
        assert_true(redis_own_port.open(&client, &e));
    }
    conf.cache_timeout = patience;
    redis_server_thaw(&server);
    until_it_is_asked_again();
    ask_and_wait();
}

/* ---- gates */

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
    over = 0;
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
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(t01_in_turn),
        TEST(t02_lost),
        TEST(t03_asked_again_in_vain),
        TEST(t04_asked_anew),
        TEST(t05_a_place_is_kept),
        TEST(t06_others_come_in),
        TEST(t07_given_back_to_nobody),
        TEST(t08_asks_for_what_it_can_use),
        TEST(t09_taken_later),
        TEST(t10_asked_twice),
        TEST(t11_looked_after),
        TEST(t12_given_up),
        TEST(t13_told_is_not_answered),
        TEST(t14_many_end),
        TEST(t15_long_answers),
        TEST(t16_granted_late),
    };
    redis_server_init(&server);
    conf = (struct conf){.cache_url = server.address,
                         .cache_password = "",
                         .cache_prefix = "lathe",
                         .cache_timeout = 20000,
                         .redis_url = "",
                         .redis_password = ""};
    redis_ports_open(&conf);
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    redis_server_release(&server);
    return failed;
}
