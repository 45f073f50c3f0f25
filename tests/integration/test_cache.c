/* The cache on a Redis of its own, which is stopped, frozen, flushed and started again under it. */
#include "../lib/test.h"

#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>

#include "cache/cache.h"
#include "core/clock.h"
#include "core/log.h"
#include "core/mem.h"
#include "core/net.h"
#include "core/sig.h"
#include "../lib/redis_server.h"

#define PATIENCE_MS 30000

struct bench {
    struct redis_server server;
    struct conf conf;
    struct cache *cache;
};

static void open_cache(struct bench *b)
{
    struct err e = ERR_INIT;
    assert_true(cache_open(&b->conf, &b->cache, &e));
}

static int setup(void **state)
{
    struct bench *b = mem_alloc(sizeof *b);
    redis_server_init(&b->server);
    redis_server_start(&b->server);
    b->conf.cache_url = b->server.address;
    b->conf.cache_password = "";
    b->conf.cache_prefix = "t";
    b->conf.cache_timeout =
        2000; /* generous: only the tests of silence wait that long, and they set their own */
    open_cache(b);
    *state = b;
    return 0;
}

static int teardown(void **state)
{
    struct bench *b = *state;
    cache_close(b->cache);
    redis_server_release(&b->server);
    mem_free(b);
    return 0;
}

/* Asks until it answers: for what comes back by itself. */
static void wait_ready(struct cache *c)
{
    int64_t deadline = clock_after_ms(PATIENCE_MS);
    while (!cache_ready(c, NULL)) {
        assert_true(clock_now() < deadline);
        poll(NULL, 0, 5);
    }
}

/* ---- messages: what a listener saw, to wait for ---- */

struct ear {
    pthread_mutex_t lock;
    pthread_cond_t news;
    char text[4096]; /* "channel=message;" one after the other */
    int ups, downs;
    struct cache_listener *listener;
};

static void on_message(void *arg, struct span channel, struct span message)
{
    struct ear *ear = arg;
    pthread_mutex_lock(&ear->lock);
    size_t used = strlen(ear->text);
    snprintf(ear->text + used, sizeof ear->text - used, SPAN_FMT "=" SPAN_FMT ";", SPAN_ARG(channel),
             SPAN_ARG(message));
    pthread_cond_broadcast(&ear->news);
    pthread_mutex_unlock(&ear->lock);
}

static void on_state(void *arg, bool connected)
{
    struct ear *ear = arg;
    pthread_mutex_lock(&ear->lock);
    *(connected ? &ear->ups : &ear->downs) += 1;
    pthread_cond_broadcast(&ear->news);
    pthread_mutex_unlock(&ear->lock);
}

static void ear_open(struct ear *ear, struct cache *c)
{
    static const char *const channels[] = {"work", "done", NULL};
    *ear = (struct ear){.lock = PTHREAD_MUTEX_INITIALIZER, .news = PTHREAD_COND_INITIALIZER};
    struct err e = ERR_INIT;
    assert_true(cache_listen(c, channels, (struct cache_listener_calls){on_message, on_state, ear},
                             &ear->listener, &e));
}

static void ear_wait(struct ear *ear, const char *text, int ups, int downs)
{
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += PATIENCE_MS / 1000;
    pthread_mutex_lock(&ear->lock);
    int late = 0;
    while (late == 0 &&
           ((text != NULL && strcmp(ear->text, text) != 0) || ear->ups < ups || ear->downs < downs))
        late = pthread_cond_timedwait(&ear->news, &ear->lock, &until);
    pthread_mutex_unlock(&ear->lock);
    if (text != NULL)
        assert_string_equal(ear->text, text);
    assert_true(ear->ups >= ups && ear->downs >= downs);
}

static void say(struct cache *c, const char *channel, const char *text)
{
    struct err e = ERR_INIT;
    struct cache_message m = {channel, span_of(text)};
    assert_true(cache_publish(c, &m, 1, &e));
}

/* ---- tests ---- */

static void test_without_redis(void **state)
{
    (void)state;
    struct conf conf = {.cache_url = ""};
    struct cache *c = (struct cache *)&conf;
    struct err e = ERR_INIT;
    struct cache_view v = {.task = uuid_v7()};
    struct cache_listener *l = NULL;
    struct cache_message text = {"work", SPAN("x")};
    struct cache_sent sent;
    assert_true(cache_open(&conf, &c, &e));
    assert_null(c);
    assert_true(cache_broken(c));
    assert_false(cache_ready(c, &e));
    assert_int_equal(e.code, ERR_CACHE);
    assert_false(cache_publish(c, &text, 1, &e));
    assert_false(cache_publish_begin(c, &text, 1, &sent));
    assert_false(cache_put_views(c, &v, 1, &e));
    assert_false(cache_get_view(c, v.task, &v, &e));
    assert_false(cache_drop_views(c, &v, 1, &e));
    assert_false(
        cache_listen(c, (const char *const[]){"work", NULL}, (struct cache_listener_calls){0}, &l, &e));
    cache_listener_free(l);
    cache_close(c);
}

static void test_views(void **state)
{
    struct bench *b = *state;
    struct uuid task = uuid_v7(), other = uuid_v7();
    struct err e = ERR_INIT;
    struct cache_view got;
    assert_true(cache_get_view(b->cache, task, &got, &e));
    assert_int_equal(got.seq, 0);

    struct cache_view views[] = {{task, 0, 10, 1, 500}, {task, 3, 5, 0, 250}, {other, 0, 100, 0, 0}};
    assert_true(cache_put_views(b->cache, views, COUNT_OF(views), &e));
    views[0].done = 12; /* the later word of a unit counts */
    assert_true(cache_put_views(b->cache, views, 1, &e));
    assert_true(cache_get_view(b->cache, task, &got, &e));
    assert_int_equal(got.seq, 2);
    assert_int_equal(got.done, 17);
    assert_int_equal(got.failed, 1);
    assert_int_equal(got.partial_milli, 750);

    char id[UUID_TEXT], command[128];
    uuid_format(task, id);
    snprintf(command, sizeof command, "PTTL t:view:%s", id);
    long life = redis_server_number(&b->server, command);
    assert_true(life > 0 && life <= 10000);

    assert_true(cache_drop_views(b->cache, &views[0], 1, &e));
    assert_true(cache_get_view(b->cache, task, &got, &e));
    assert_int_equal(got.seq, 1);
    assert_int_equal(got.done, 5);
    struct cache_view all = {.task = task, .seq = CACHE_ALL_UNITS};
    assert_true(cache_drop_views(b->cache, &all, 1, &e));
    assert_true(cache_get_view(b->cache, task, &got, &e));
    assert_int_equal(got.seq, 0);
    assert_true(cache_get_view(b->cache, other, &got, &e));
    assert_int_equal(got.done, 100);
}

static void test_more_views_than_one_pipeline(void **state)
{
    struct bench *b = *state;
    enum { MANY = 1234 };
    struct cache_view *views CLEANUP(mem_free_at) = mem_array(MANY, sizeof *views);
    struct uuid tasks[2] = {uuid_v7(), uuid_v7()};
    for (int i = 0; i < MANY; i++)
        views[i] = (struct cache_view){.task = tasks[i % 2], .seq = i, .done = 1};
    struct err e = ERR_INIT;
    struct cache_view got;
    assert_true(cache_put_views(b->cache, views, MANY, &e));
    assert_true(cache_get_view(b->cache, tasks[1], &got, &e));
    assert_int_equal(got.done, MANY / 2);
    assert_true(cache_drop_views(b->cache, views, MANY, &e));
    assert_int_equal(redis_server_number(&b->server, "DBSIZE"), 0);
}

static void test_foreign_values_are_not_counted(void **state)
{
    struct bench *b = *state;
    struct uuid task = uuid_v7();
    struct cache_view v = {task, 0, 4, 0, 0}, got;
    struct err e = ERR_INIT;
    assert_true(cache_put_views(b->cache, &v, 1, &e));
    char id[UUID_TEXT], command[128];
    uuid_format(task, id);
    snprintf(command, sizeof command, "HSET t:view:%s 1 nonsense", id);
    assert_int_equal(redis_server_number(&b->server, command), 1);
    assert_true(cache_get_view(b->cache, task, &got, &e));
    assert_int_equal(got.seq, 1);
    assert_int_equal(got.done, 4);
}

static void test_messages(void **state)
{
    struct bench *b = *state;
    struct ear ear;
    struct err e = ERR_INIT;
    ear_open(&ear, b->cache);
    ear_wait(&ear, NULL, 1, 0);
    say(b->cache, "work", "default");
    say(b->cache, "cancel", "not asked for");
    assert_int_equal(redis_server_number(&b->server, "PUBLISH other:work another-prefix"), 0);
    struct cache_message three[] = {{"done", SPAN("a b")}, {"done", SPAN("")}, {"work", SPAN("%s")}};
    assert_true(cache_publish(b->cache, three, COUNT_OF(three), &e));
    ear_wait(&ear, "work=default;done=a b;done=;work=%s;", 1, 0);
    cache_listener_free(ear.listener);
    assert_int_equal(ear.downs, 1);
}

static void test_messages_in_two_halves(void **state)
{
    struct bench *b = *state;
    struct ear ear;
    struct err e = ERR_INIT;
    struct cache_message two[] = {{"work", SPAN("a")}, {"done", SPAN("b")}};
    struct cache_sent sent;
    ear_open(&ear, b->cache);
    ear_wait(&ear, NULL, 1, 0);
    assert_false(cache_publish_begin(b->cache, two, 2, &sent)); /* there is no connection yet */
    assert_true(cache_ready(b->cache, &e));
    assert_false(cache_publish_begin(b->cache, two, 0, &sent));
    assert_true(cache_publish_begin(b->cache, two, 2, &sent));
    ear_wait(&ear, "work=a;done=b;", 1, 0); /* they are there before anybody ended it */
    struct cache_sent none;
    assert_false(cache_publish_begin(b->cache, two, 2, &none)); /* the connection is in use */
    assert_true(cache_publish_end(b->cache, &sent, &e));
    assert_true(cache_publish_begin(b->cache, two, 1, &sent));
    assert_true(cache_publish_end(b->cache, &sent, &e));
    ear_wait(&ear, "work=a;done=b;work=a;", 1, 0);
    cache_listener_free(ear.listener);
}

/* More than the socket takes: the other half sends the rest. A Redis that stands still is found by that half, in its time. */
static void test_halves_never_wait(void **state)
{
    struct bench *b = *state;
    struct err e = ERR_INIT;
    enum { LARGE = 4 * 1024 * 1024 };
    char *text CLEANUP(mem_free_at) = mem_alloc(LARGE);
    memset(text, 'x', LARGE);
    struct cache_message large = {"nobody", {text, LARGE}}, small = {"nobody", SPAN("x")};
    struct cache_sent sent;
    assert_true(cache_ready(b->cache, &e));
    assert_true(cache_publish_begin(b->cache, &large, 1, &sent));
    assert_true(cache_publish_end(b->cache, &sent, &e));
    b->conf.cache_timeout = 20;
    redis_server_freeze(&b->server);
    for (int i = 0; i < 3; i++) {
        bool begun = cache_publish_begin(b->cache, &large, 1, &sent); /* which the socket does not take */
        assert_int_equal(begun, i == 0);                              /* afterwards there is no connection */
        assert_false(begun ? cache_publish_end(b->cache, &sent, &e) : cache_publish(b->cache, &small, 1, &e));
        assert_int_equal(e.code, ERR_CACHE);
    }
    assert_true(cache_broken(b->cache));
    redis_server_thaw(&b->server);
}

static void test_restart_costs_nothing(void **state)
{
    struct bench *b = *state;
    struct err e = ERR_INIT;
    struct ear ear;
    ear_open(&ear, b->cache);
    ear_wait(&ear, NULL, 1, 0);
    assert_true(cache_ready(b->cache, &e));
    redis_server_kill(&b->server);
    redis_server_start(&b->server);
    struct cache_message m = {"done", SPAN("lost")};
    struct cache_sent sent;
    assert_false(cache_publish_begin(b->cache, &m, 1, &sent)); /* nor does it send over a dead one */
    assert_true(cache_ready(b->cache, &e)); /* the pooled connection was dead, and nobody noticed */
    ear_wait(&ear, NULL, 2, 1);
    say(b->cache, "done", "again");
    ear_wait(&ear, "done=again;", 2, 1);
    cache_listener_free(ear.listener);
}

static void test_flushall(void **state)
{
    struct bench *b = *state;
    struct err e = ERR_INIT;
    struct cache_view v = {uuid_v7(), 0, 4, 0, 0}, got;
    char reply[64];
    assert_true(cache_put_views(b->cache, &v, 1, &e));
    redis_server_ask(&b->server, "FLUSHALL", reply, sizeof reply);
    assert_string_equal(reply, "OK");
    assert_true(cache_get_view(b->cache, v.task, &got, &e));
    assert_int_equal(got.seq, 0);
    assert_true(cache_put_views(b->cache, &v, 1, &e));
}

/* Fails until it is refused; returns the number of calls that really tried. */
static int tries_until_open(struct cache *c)
{
    int tries = 0;
    struct err e = ERR_INIT;
    while (!cache_broken(c)) {
        assert_true(tries < 10);
        assert_false(cache_ready(c, &e));
        assert_int_equal(e.code, ERR_CACHE);
        tries++;
    }
    return tries;
}

static void test_dead_redis_opens_the_breaker(void **state)
{
    struct bench *b = *state;
    struct err e = ERR_INIT;
    redis_server_kill(&b->server);
    assert_int_equal(tries_until_open(b->cache), 3);
    assert_false(cache_ready(b->cache, &e));
    assert_non_null(strstr(e.text, "left alone"));
    redis_server_start(&b->server);
    wait_ready(b->cache);
    assert_false(cache_broken(b->cache));
}

static void test_silent_redis_costs_three_timeouts(void **state)
{
    struct bench *b = *state;
    struct err e = ERR_INIT;
    assert_true(cache_ready(b->cache, &e));
    b->conf.cache_timeout = 20;
    redis_server_freeze(&b->server);
    assert_int_equal(tries_until_open(b->cache), 3);
    for (int i = 0; i < 1000; i++) /* would be 20 s */
        if (cache_broken(b->cache))
            assert_false(cache_ready(b->cache, &e));
    b->conf.cache_timeout = 2000;
    redis_server_thaw(&b->server);
    wait_ready(b->cache);
}

static void test_silent_subscription_is_noticed(void **state)
{
    struct bench *b = *state;
    struct ear ear;
    b->conf.cache_timeout = 20;
    ear_open(&ear, b->cache);
    ear_wait(&ear, NULL, 1, 0);
    redis_server_freeze(&b->server);
    ear_wait(&ear, NULL, 1, 1);
    cache_listener_free(ear.listener); /* while it can connect and gets no answer */
    redis_server_thaw(&b->server);
}

static void test_password_and_database(void **state)
{
    struct bench *b = *state;
    struct err e = ERR_INIT;
    cache_close(b->cache);
    redis_server_kill(&b->server);
    b->server.password = "right";
    redis_server_start(&b->server);

    b->conf.cache_password = "wrong";
    open_cache(b);
    assert_false(cache_ready(b->cache, &e));
    assert_int_equal(e.code, ERR_CACHE);
    assert_null(strstr(e.text, "wrong"));
    assert_int_equal(tries_until_open(b->cache), 2);
    cache_close(b->cache);

    b->conf.cache_password = "";
    open_cache(b);
    assert_false(cache_ready(b->cache, &e));
    cache_close(b->cache);

    b->conf.cache_password = "right";
    b->conf.cache_db = 3;
    open_cache(b);
    struct cache_view v = {uuid_v7(), 0, 4, 0, 0};
    assert_true(cache_put_views(b->cache, &v, 1, &e));
    assert_int_equal(redis_server_number(&b->server, "DBSIZE"), 0); /* not in database 0 */
}

static void test_bad_address_is_an_outage(void **state)
{
    struct bench *b = *state;
    struct err e = ERR_INIT;
    cache_close(b->cache);
    b->conf.cache_url = "neither host nor path";
    open_cache(b);
    assert_false(cache_ready(b->cache, &e));
    assert_int_equal(e.code, ERR_CACHE);
}

/* More threads than connections: they take turns, and none is refused. */
static void *hammer(void *arg)
{
    struct bench *b = arg;
    for (int i = 0; i < 100; i++) {
        struct cache_view v = {uuid_v7(), 0, i, 0, 0}, got = {0};
        if (!cache_put_views(b->cache, &v, 1, NULL) || !cache_get_view(b->cache, v.task, &got, NULL) ||
            got.done != i)
            return b;
    }
    return NULL;
}

static void test_many_threads(void **state)
{
    struct bench *b = *state;
    pthread_t threads[40];
    b->conf.cache_timeout = 10000;
    for (size_t i = 0; i < COUNT_OF(threads); i++)
        assert_int_equal(pthread_create(&threads[i], NULL, hammer, b), 0);
    for (size_t i = 0; i < COUNT_OF(threads); i++) {
        void *bad;
        assert_int_equal(pthread_join(threads[i], &bad), 0);
        assert_null(bad);
    }
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    if (redis_server_missing()) {
        puts("1..0 # SKIP redis-server is not installed");
        return 77;
    }
    sig_block();
    log_setup(LOG_ERROR, LOG_LOGFMT, "test");
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_without_redis),
        TEST(test_views),
        TEST(test_more_views_than_one_pipeline),
        TEST(test_foreign_values_are_not_counted),
        TEST(test_messages),
        TEST(test_messages_in_two_halves),
        TEST(test_halves_never_wait),
        TEST(test_restart_costs_nothing),
        TEST(test_flushall),
        TEST(test_dead_redis_opens_the_breaker),
        TEST(test_silent_redis_costs_three_timeouts),
        TEST(test_silent_subscription_is_noticed),
        TEST(test_password_and_database),
        TEST(test_bad_address_is_an_outage),
        TEST(test_many_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
