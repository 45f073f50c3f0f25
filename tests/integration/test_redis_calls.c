/*
 * The port to Redis (cache/port.c), driven by hand as the thread of a reactor would, on a Redis that is killed and emptied under it.
 */
#include "core/breaker.h"
#include "redis_bench.h"

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

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(t01_in_turn),
        TEST(t02_lost),
        TEST(t03_asked_again_in_vain),
        TEST(t04_asked_anew),
        TEST(t09_taken_later),
        TEST(t11_looked_after),
        TEST(t12_given_up),
        TEST(t13_told_is_not_answered),
        TEST(t14_many_end),
        TEST(t15_long_answers),
    };
    RUN_WITH_REDIS(tests);
}
