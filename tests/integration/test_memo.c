/*
 * redis.get, and results that are remembered, over every strategy, on a Redis that is killed, frozen and emptied under them.
 */
#include "../lib/test.h"

#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "cache/port.h"
#include "core/json.h"
#include "core/limits.h"
#include "core/mem.h"
#include "exec/exec.h"
#include "handlers/redis_get.h"
#include "handlers/registry.h"
#include "model/strategy.h"
#include "memo_probe.h"

static struct span inputs_of(int kinds, int64_t i)
{
    static char text[MOST][16];
    snprintf(text[i], sizeof text[i], "%d", (int)(i % kinds));
    return span_of(text[i]);
}

static void fill(struct span *inputs, int64_t n, int kinds)
{
    for (int64_t i = 0; i < n; i++)
        inputs[i] = inputs_of(kinds, i);
}

static void check_results(const struct seen *s, int64_t n, int kinds)
{
    char want[32];
    for (int64_t i = 0; i < n; i++) {
        snprintf(want, sizeof want, "{\"is\":%d}", (int)(i % kinds));
        assert_string_equal(s->text[i], want);
    }
}

static const struct shape in_children = {.processes = 2, .threads = 2, .width = 60, .grain = 1};
static const struct shape in_worker = {.threads = 4, .width = 60, .grain = 1};

/* ---- results that are remembered */

/* Same inputs are computed once, whoever has them, under every strategy; and the next time not at all. */
static void test_every_strategy(void **state)
{
    static struct seen s;
    struct span inputs[40];
    struct orders o = {.ms = 1};
    (void)state;
    fill(inputs, COUNT_OF(inputs), 5);
    for (size_t i = 0; strategies[i]; i++) {
        const struct ask ask = {.items = 40, .batch_size = 20, .workers = 3, .cores = 2};
        if (strategies[i]->kind != STRATEGY_SHAPED)
            continue;
        flush_redis();
        struct plan p = plan_of(&s, &counting, &o, inputs, 40, strategies[i]->shape(&ask));
        run(&p, &s);
        check_results(&s, 40, 5);
        assert_int_equal(atomic_load(&tape->computed), 5);
        assert_int_equal(s.report.cached, 35);
        p = plan_of(&s, &counting, &o, inputs, 40, strategies[i]->shape(&ask));
        run(&p, &s);
        check_results(&s, 40, 5);
        assert_int_equal(atomic_load(&tape->computed), 0);
        assert_int_equal(s.report.cached, 40);
        assert_int_equal(s.report.item_cpu_ns + s.report.wait_ns, 0); /* nothing for a profile to learn */
        assert_int_equal(keys(), 5);
    }
}

/* 200 that are the same and take long: one computes, wherever they are. */
static void test_stampede(void **state)
{
    static struct seen s;
    struct span inputs[200];
    struct orders o = {.ms = 300};
    (void)state;
    fill(inputs, COUNT_OF(inputs), 1);
    for (int i = 0; i < 2; i++) {
        flush_redis();
        struct plan p = plan_of(&s, &counting, &o, inputs, 200, i ? in_children : in_worker);
        run(&p, &s);
        check_results(&s, 200, 1);
        assert_int_equal(atomic_load(&tape->computed), 1);
        assert_int_equal(s.report.cached, 199);
    }
}

static void put_setting(const void *args, struct buf *to)
{
    (void)args;
    buf_puts(to, "select 1");
}

/* Items that are only counted differ by their index; params and another handler's name differ too. */
static void test_what_differs(void **state)
{
    static struct seen s;
    struct orders o = {.ms = 0}, other = {.ms = 1};
    struct handler renamed = counting, newer = counting, salted = counting;
    (void)state;
    renamed.name = "another";
    newer.version = 1;
    salted.salt = put_setting;
    const struct handler *handlers_[] = {&counting, &counting, &renamed, &newer, &salted};
    const struct orders *orders[] = {&o, &other, &o, &o, &o};
    flush_redis();
    for (size_t i = 0; i < COUNT_OF(orders); i++) {
        struct plan p = plan_of(&s, handlers_[i], orders[i], NULL, 30, in_worker);
        run(&p, &s);
        check_results(&s, 30, 30);
        assert_int_equal(s.report.cached, 0);
        p = plan_of(&s, handlers_[i], orders[i], NULL, 30, in_worker);
        run(&p, &s);
        check_results(&s, 30, 30);
        assert_int_equal(s.report.cached, 30);
    }
}

static bool never_an_odd_one(const struct item *it)
{
    return it->index % 2 == 0;
}

/* What failed, what is too large, and what may not be are not remembered; nor is it in anybody's way. */
static void test_what_is_not(void **state)
{
    static struct seen s;
    struct span inputs[8];
    struct orders failing = {.fail = true}, large = {.bytes = LIMIT_MEMO_RESULT};
    struct handler never = counting;
    struct orders plain = {.ms = 0};
    (void)state;
    never.unremembered = true;
    fill(inputs, COUNT_OF(inputs), 2);
    const struct handler *handlers_[] = {&counting, &counting, &never};
    const struct orders *orders[] = {&failing, &large, &plain};
    for (size_t i = 0; i < COUNT_OF(orders); i++) {
        flush_redis();
        struct plan p = plan_of(&s, handlers_[i], orders[i], inputs, 8, in_worker);
        run(&p, &s);
        assert_int_equal(s.report.cached, 0);
        assert_int_equal(atomic_load(&tape->computed), 8);
        assert_int_equal(s.report.failed, i == 0 ? 8 : 0);
        p = plan_of(&s, handlers_[i], orders[i], inputs, 1,
                    in_worker); /* by then its locks are given back too */
        run(&p, &s);
        assert_int_equal(s.report.cached, 0);
    }
}

/* Where the handler says so for some items, it is those and no others. */
static void test_some_are_not(void **state)
{
    static struct seen s;
    struct handler some = counting;
    struct orders o = {.ms = 0};
    (void)state;
    some.remembers = never_an_odd_one;
    flush_redis();
    for (int i = 0; i < 2; i++) {
        struct plan p = plan_of(&s, &some, &o, NULL, 30, in_worker);
        run(&p, &s);
        check_results(&s, 30, 30);
        assert_int_equal(s.report.cached, i == 0 ? 0 : 15);
        assert_int_equal(atomic_load(&tape->computed), i == 0 ? 30 : 15);
    }
}

/* An item that was tried again is remembered by the try that went well; who died with a lock stops nobody, itself least. */
static void test_crash(void **state)
{
    static struct seen s;
    struct span inputs[6];
    struct orders o = {.crash = true};
    (void)state;
    fill(inputs, COUNT_OF(inputs), 6);
    flush_redis();
    struct plan p = plan_of(&s, &counting, &o, inputs, 6, in_children);
    run(&p, &s);
    check_results(&s, 6, 6);
    assert_true(s.report.children_lost > 0);
    assert_true(s.report.wall_ns < 10 * NS_PER_S); /* less than a lock */
    assert_int_equal(keys(), 6);
}

static void put_everywhere(const char *text)
{
    char command[200], reply[100];
    snprintf(
        command, sizeof command,
        "EVAL \"for _,k in ipairs(redis.call('keys','*')) do redis.call('set',k,ARGV[1]) end return 1\" 0 \"%s\"",
        text);
    redis_server_ask(&server, command, reply, sizeof reply);
    assert_string_equal(reply, "1");
}

/* What somebody else has put there is not taken for a result. */
static void test_rubbish(void **state)
{
    static struct seen s;
    struct span inputs[10];
    struct orders o = {.ms = 0};
    const char *rubbish[] = {"V{", "V", "X", "V1\\n2"};
    (void)state;
    fill(inputs, COUNT_OF(inputs), 10);
    for (size_t i = 0; i < COUNT_OF(rubbish); i++) {
        struct plan p = plan_of(&s, &counting, &o, inputs, 10, in_worker);
        run(&p, &s);
        put_everywhere(rubbish[i]);
        p = plan_of(&s, &counting, &o, inputs, 10, in_worker);
        run(&p, &s);
        check_results(&s, 10, 10);
        assert_int_equal(s.report.cached, 0);
    }
}

/* Who waits for another's lock until its own time limit would be over has all of that limit left to compute. */
static void test_waiting_is_not_its_time(void **state)
{
    static struct seen s;
    struct orders o = {.ms = 0};
    (void)state;
    flush_redis();
    struct plan p = plan_of(&s, &counting, &o, NULL, 10, in_worker);
    p.item_timeout_ms = 300;
    run(&p, &s);
    put_everywhere("Lsomebody");
    p = plan_of(&s, &counting, &o, NULL, 10, in_worker);
    p.item_timeout_ms = 300;
    run(&p, &s);
    check_results(&s, 10, 10);
    assert_int_equal(s.report.cached, 0);
}

/* ---- a Redis that goes away */

static void away(void (*how)(struct redis_server *s), struct shape shape)
{
    static struct seen s;
    struct span inputs[60];
    struct orders o = {.ms = 1};
    fill(inputs, COUNT_OF(inputs), 60);
    flush_redis();
    struct plan p = plan_of(&s, &counting, &o, inputs, 30, shape);
    run(&p, &s);
    how(&server);
    p = plan_of(&s, &counting, &o, inputs, 60, shape);
    run(&p, &s);
    check_results(&s, 60, 60);
    assert_int_equal(s.report.cached, 0);
    assert_int_equal(atomic_load(&tape->computed), 60);
}

/* Until the breaker has found out that it is back. */
static void until_back(struct shape shape)
{
    static struct seen s;
    struct span inputs[4];
    struct orders o = {.ms = 0};
    int64_t give_up = clock_after_ms(60000);
    fill(inputs, COUNT_OF(inputs), 4);
    do {
        assert_true(clock_now() < give_up);
        poll(NULL, 0, 10);
        struct plan p = plan_of(&s, &counting, &o, inputs, 4, shape);
        run(&p, &s);
        check_results(&s, 4, 4);
    } while (s.report.cached < 4);
}

static void test_killed(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++) {
        struct shape shape = i ? in_children : in_worker;
        away(redis_server_kill, shape);
        redis_server_start(&server);
        until_back(shape);
    }
}

static void test_frozen(void **state)
{
    (void)state;
    conf.cache_timeout = 100;
    for (int i = 0; i < 2; i++) {
        struct shape shape = i ? in_children : in_worker;
        away(redis_server_freeze, shape);
        redis_server_thaw(&server);
        until_back(shape);
    }
    conf.cache_timeout = 5000;
}

/* Killed, emptied and started again while items run: each is right, and none is lost. */
static void *trouble(void *arg)
{
    atomic_bool *stop = arg;
    for (int i = 0; !atomic_load(stop); i++) {
        poll(NULL, 0, 5);
        redis_server_kill(&server);
        redis_server_start(&server);
    }
    return NULL;
}

static void test_trouble(void **state)
{
    static struct seen s;
    struct span inputs[400];
    struct orders o = {.ms = 1};
    pthread_t thread;
    atomic_bool stop = false;
    (void)state;
    fill(inputs, COUNT_OF(inputs), 40);
    assert_int_equal(pthread_create(&thread, NULL, trouble, &stop), 0);
    for (int i = 0; i < 10; i++) {
        struct shape shape = i % 2 ? in_children : in_worker;
        shape.width = 5;
        struct plan p = plan_of(&s, &counting, &o, inputs, 400, shape);
        p.item_timeout_ms = 20000;
        run(&p, &s);
        check_results(&s, 400, 40);
    }
    atomic_store(&stop, true);
    pthread_join(thread, NULL);
    redis_server_kill(&server); /* it would go with the thread that began it */
    redis_server_start(&server);
}

static void test_cancelled(void **state)
{
    static struct seen s;
    struct span inputs[50];
    struct orders o = {.ms = 60000};
    struct cancel cancel = {0};
    (void)state;
    fill(inputs, COUNT_OF(inputs), 1);
    struct plan p = plan_of(&s, &counting, &o, inputs, 50, in_worker);
    p.cancel = &cancel;
    p.deadline = clock_after_ms(200);
    flush_redis();
    run(&p, &s);
    assert_int_equal(s.report.failed, 50);
    struct orders quick = {.ms = 0}; /* another key; and the lock of the first is given back */
    p = plan_of(&s, &counting, &quick, inputs, 50, in_worker);
    run(&p, &s);
    assert_int_equal(keys(), 1);
}

static void *thaw_when_computed(void *arg)
{
    (void)arg;
    while (atomic_load(&tape->computed) == 0)
        poll(NULL, 0, 2);
    redis_server_thaw(&server);
    return NULL;
}

/* A lock whose answer was lost may be ours all the same: it is given back, and in nobody's way for all of its time. */
static void test_unsure_of_the_lock(void **state)
{
    static struct seen s;
    struct span input = SPAN("1");
    struct orders o = {.ms = 300, .fail = true};
    pthread_t thread;
    (void)state;
    flush_redis();
    conf.cache_timeout = 100;
    struct plan p = plan_of(&s, &counting, &o, &input, 1, in_worker);
    redis_server_freeze(&server);
    assert_int_equal(pthread_create(&thread, NULL, thaw_when_computed, NULL), 0);
    run(&p, &s);
    pthread_join(thread, NULL);
    conf.cache_timeout = 5000;
    assert_int_equal(s.report.failed, 1);
    int64_t give_up = clock_after_ms(7000); /* half of a lock's time */
    while (keys() > 0) {
        assert_true(clock_now() < give_up);
        poll(NULL, 0, 10);
    }
}

/* ---- what a child leaves behind */

enum { MANY = 500 };

static void *freeze_when_all_compute(void *arg)
{
    (void)arg;
    while (atomic_load(&tape->computed) < MANY)
        poll(NULL, 0, 1);
    redis_server_freeze(&server);
    atomic_store(&tape->held, false);
    return NULL;
}

static void thaw_after_all(void *arg, const struct outcome *o)
{
    struct seen *s = arg;
    on_item(s, o);
    if (++s->count == MANY)
        redis_server_thaw(&server);
}

static long kept(void)
{
    return redis_server_number(&server, "EVAL \"local n=0 for _,k in ipairs(redis.call('keys','*')) do "
                                        "if string.sub(redis.call('get',k),1,1)=='V' then n=n+1 end end "
                                        "return n\" 0");
}

/* Redis takes nothing as the run ends, and no other follows: what its children had to say is said all the same, after the results. */
static void test_left_by_children(void **state)
{
    static struct seen s;
    struct orders o = {.bytes = 5000};
    pthread_t thread;
    (void)state;
    flush_redis();
    struct plan p = plan_of(&s, &counting, &o, NULL, MANY,
                            (struct shape){.processes = 1, .threads = 1, .width = MANY, .grain = 1});
    p.done = thaw_after_all;
    atomic_store(&tape->held, true);
    assert_int_equal(pthread_create(&thread, NULL, freeze_when_all_compute, NULL), 0);
    run(&p, &s);
    pthread_join(thread, NULL);
    assert_int_equal(s.report.ok, MANY);
    assert_int_equal(s.report.children_lost, 0);
    assert_int_equal(kept(), MANY);
}

/* ---- redis.get */

static long reads(void)
{
    return redis_server_number(
        &server,
        "EVAL \"return tonumber(string.match(redis.call('INFO','stats'),'total_reads_processed:(%d+)'))\" 0");
}

static const struct handler *redis_get(void)
{
    return handler_find(SPAN("redis.get"));
}

static void one(const char *input, int64_t keep, const char *want)
{
    static struct seen s;
    struct span in = span_of(input);
    char args[64] = {0}; /* more than it has */
    int how = (int)keep;
    memcpy(args, &how, sizeof how);
    struct plan p = plan_of(&s, redis_get(), args, &in, 1, in_worker);
    p.cache_ttl_ms = 0;
    run(&p, &s);
    assert_string_equal(s.text[0], want);
}

static void test_get(void **state)
{
    char reply[64];
    (void)state;
    flush_redis();
    redis_server_ask(&server, "SET data:a \"caf\\xc3\\xa9\"", reply, sizeof reply);
    redis_server_ask(&server, "SET data:b \"\\x00\\xff\"", reply, sizeof reply);
    redis_server_ask(&server, "HSET data:h f 7", reply, sizeof reply);
    redis_server_ask(&server, "SET lathe:view:x secret", reply, sizeof reply);
    redis_server_ask(&server, "SET session:1 secret", reply, sizeof reply);

    conf.redis_allow = "";
    redis_get_open(&conf);
    one("\"data:a\"", 0, "forbidden-key");
    conf.redis_allow = "data:, more:";
    redis_get_open(&conf);
    one("\"data:a\"", 0, "{\"key\":\"data:a\",\"value\":\"café\",\"found\":true}");
    one("{\"key\":\"data:b\"}", 1, "{\"key\":\"data:b\",\"value\":\"AP8=\",\"found\":true}");
    one("\"data:none\"", 0, "{\"key\":\"data:none\",\"value\":null,\"found\":false}");
    one("{\"key\":\"data:h\",\"field\":\"f\"}", 0,
        "{\"key\":\"data:h\",\"field\":\"f\",\"value\":\"7\",\"found\":true}");
    one("\"data:h\"", 0, "rejected"); /* another type */
    one("\"session:1\"", 0, "forbidden-key");
    one("\"lathe:view:x\"", 0, "forbidden-key");
    one("7", 0, "bad-field");
    one("{\"kye\":\"a\"}", 0, "unknown-field");
    conf.redis_allow = "*";
    redis_get_open(&conf);
    one("\"session:1\"", 0, "{\"key\":\"session:1\",\"value\":\"secret\",\"found\":true}");
    one("\"lathe:view:x\"", 0, "forbidden-key");
    conf.redis_allow = "lathe:view:";
    redis_get_open(&conf);
    one("\"lathe:view:x\"", 0, "{\"key\":\"lathe:view:x\",\"value\":\"secret\",\"found\":true}");
}

/* All items of a thread go out together. */
static void test_pipeline(void **state)
{
    static struct seen s;
    struct span inputs[400];
    char args[64] = {0};
    (void)state;
    conf.redis_allow = "*";
    redis_get_open(&conf);
    for (size_t i = 0; i < COUNT_OF(inputs); i++)
        inputs[i] = SPAN("\"k\"");
    long before = reads();
    struct plan p = plan_of(&s, redis_get(), args, inputs, 400, (struct shape){0, 1, 400, 1});
    p.cache_ttl_ms = 0;
    run(&p, &s);
    assert_int_equal(s.report.ok, 400);
    assert_in_range(reads() - before, 2, 40); /* one of them is the question itself */
}

static void test_get_without_redis(void **state)
{
    (void)state;
    redis_server_kill(&server);
    for (int i = 0; i < 5; i++)
        one("\"k\"", 0, "cache-unavailable");
    redis_server_start(&server);
    until_back(in_worker);
    conf.redis_url = "";
    conf.cache_url = "";
    redis_ports_open(&conf);
    one("\"k\"", 0, "cache-unavailable");
    conf.cache_url = server.address;
    redis_ports_open(&conf);
}

static int tests(void)
{
    const struct CMUnitTest list[] = {
        cmocka_unit_test(test_every_strategy),
        cmocka_unit_test(test_stampede),
        cmocka_unit_test(test_what_differs),
        cmocka_unit_test(test_what_is_not),
        cmocka_unit_test(test_some_are_not),
        cmocka_unit_test(test_waiting_is_not_its_time),
        cmocka_unit_test(test_crash),
        cmocka_unit_test(test_rubbish),
        cmocka_unit_test(test_cancelled),
        cmocka_unit_test(test_unsure_of_the_lock),
        cmocka_unit_test(test_left_by_children),
        cmocka_unit_test(test_killed),
        cmocka_unit_test(test_frozen),
        cmocka_unit_test(test_get),
        cmocka_unit_test(test_pipeline),
        cmocka_unit_test(test_get_without_redis),
        cmocka_unit_test(test_trouble), /* the last: after it Redis is left alone for long */
    };
    return cmocka_run_group_tests(list, NULL, NULL);
}

int main(void)
{
    struct err e = ERR_INIT;
    tape = mmap(NULL, sizeof *tape, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    redis_server_init(&server);
    conf = (struct conf){.cache_url = server.address,
                         .cache_password = "",
                         .cache_prefix = "lathe",
                         .cache_timeout = 5000, /* generous: only the test of silence wants to wait less */
                         .redis_url = "",
                         .redis_password = "",
                         .redis_allow = ""};
    redis_ports_open(&conf);
    redis_get_open(&conf);
    if (!exec_start(&e)) {
        printf("Bail out! %s\n", e.text);
        return 1;
    }
    redis_server_start(&server);
    int failed = tests();
    exec_stop();
    redis_server_release(&server);
    return failed;
}
