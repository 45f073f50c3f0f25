/* exec/http.h by hand, as the thread of a reactor would: calls that wait for a place, and connections that are kept. */
#include "../lib/test.h"

#include <poll.h>
#include <string.h>
#include <sys/resource.h>

#include "../lib/http_server.h"
#include "core/clock.h"
#include "core/limits.h"
#include "core/net_guard.h"
#include "exec/http.h"

#define FILES 700 /* descriptors of this process: few, so that all that there may be can be used up */

static struct http_server server;
static int deaf_port;

static void count_over(void *arg)
{
    ++*(int *)arg;
}

static struct http_call *begin_at(struct http *h, const char *host, int port, const char *path, int64_t ms,
                                  int *over)
{
    char url[64];
    struct err e = ERR_INIT;
    struct http_call *c;
    snprintf(url, sizeof url, "http://%s:%d%s", host, port, path);
    struct http_request r = {.url = span_of(url), .most = 4000, .timeout_ms = ms};
    assert_true(http_begin(h, &r, count_over, over, &c, &e));
    return c;
}

static struct http_call *begin(struct http *h, const char *path, int64_t ms, int *over)
{
    return begin_at(h, "127.0.0.1", server.port, path, ms, over);
}

static void drive_until(struct http *h, const int *over, int count)
{
    while (*over < count) {
        struct pollfd p = {.fd = http_descriptor(h), .events = POLLIN};
        assert_int_equal(poll(&p, 1, 30000), 1);
        http_drive(h);
    }
}

/* Takes connections and requests, by way of the kernel, and never says a word. */
static int deaf_server(void)
{
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof in;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&in, sizeof in), 0);
    assert_int_equal(listen(fd, FILES), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&in, &len), 0);
    deaf_port = ntohs(in.sin_port);
    return fd;
}

/* While as many hang as there may be, no other is begun; a place that is free goes to the next that was not dropped. */
static void t16_calls_wait_for_a_place(void **state)
{
    (void)state;
    void *h;
    struct err e = ERR_INIT;
    struct http_call *hung[FILES], *next[3];
    size_t most = (size_t)http_most_calls();
    int over = 0, answered = 0, deaf = deaf_server();
    assert_in_range(most, 100, FILES);
    assert_true(http_open(&h, &e));
    for (size_t i = 0; i < most; i++)
        hung[i] = begin_at(h, "127.0.0.1", deaf_port, "/", i == 7 ? 500 : 0, &over);
    for (size_t i = 0; i < COUNT_OF(next); i++)
        next[i] = begin(h, "/echo", 20000, &answered);
    drive_until(h, &over, 1);
    assert_int_equal(hung[7]->err.code, ERR_TIMEOUT);
    assert_int_equal(answered, 0);
    http_drop(next[1]); /* waits still */
    drive_until(h, &answered, 2);
    assert_int_equal(next[0]->status, 200);
    assert_int_equal(next[2]->status, 200);
    http_drop(hung[7]);
    hung[7] = begin_at(h, "127.0.0.1", deaf_port, "/", 0, &over); /* the last place again */
    next[1] = begin(h, "/echo", 20000, &answered);
    http_drop(hung[0]); /* a call that is dropped leaves its place too */
    drive_until(h, &answered, 3);
    assert_int_equal(next[1]->status, 200);
    assert_int_equal(over, 1);
    for (size_t i = 1; i < most; i++)
        http_drop(hung[i]);
    for (size_t i = 0; i < COUNT_OF(next); i++)
        http_drop(next[i]);
    http_close(h);
    close(deaf);
}

/* A name that is known leaves its place to the next, before there is an answer: on new connections and on old ones. */
static void t17_known_names_hold_no_place(void **state)
{
    (void)state;
    enum { CALLS = LIMIT_HTTP_RESOLVING + 20, OLD = 10 };
    void *h;
    struct err e = ERR_INIT;
    struct http_call *hung[CALLS], *answered[OLD], *last;
    int over = 0, done = 0, deaf = deaf_server();
    assert_true(http_open(&h, &e));
    for (size_t i = 0; i < OLD; i++)
        answered[i] = begin_at(h, "localhost", server.port, "/echo", 20000, &done);
    drive_until(h, &done, OLD);
    for (size_t i = 0; i < OLD; i++)
        http_drop(answered[i]);
    for (size_t i = 0; i < CALLS; i++)
        hung[i] = i < OLD ? begin_at(h, "localhost", server.port, "/hang", 0, &over)
                          : begin_at(h, "localhost", deaf_port, "/", 0, &over);
    last = begin_at(h, "localhost", server.port, "/echo", 20000, &done); /* behind all of them */
    drive_until(h, &done, OLD + 1);
    assert_int_equal(last->status, 200);
    assert_int_equal(over, 0);
    for (size_t i = 0; i < CALLS; i++)
        http_drop(hung[i]);
    http_drop(last);
    http_close(h);
    close(deaf);
}

static void await_open(int most)
{
    int64_t give_up = clock_after_ms(60000);
    while (server.open > most) {
        assert_true(clock_now() < give_up);
        poll(NULL, 0, 1);
    }
}

/* Of many that end together some keep their connections, for whoever comes next; looking through all of them would be dear. */
static void t18_few_connections_are_kept(void **state)
{
    (void)state;
    enum { CALLS = 300, KEPT = 128 };
    void *h;
    struct err e = ERR_INIT;
    struct http_call *calls[CALLS];
    int done = 0, again = 0, before;
    http_release();
    await_open(0);
    assert_true(http_open(&h, &e));
    for (size_t i = 0; i < CALLS; i++)
        calls[i] = begin(h, "/echo", 20000, &done);
    drive_until(h, &done, 1);
    poll(NULL, 0, 300); /* late: libcurl looks at all of them at once then, for it gives an address 200 ms */
    drive_until(h, &done, CALLS);
    for (size_t i = 0; i < CALLS; i++)
        http_drop(calls[i]);
    await_open(KEPT);
    before = server.connections;
    for (size_t i = 0; i < 32; i++)
        calls[i] = begin(h, "/echo", 20000, &again);
    drive_until(h, &again, 32);
    for (size_t i = 0; i < 32; i++) {
        assert_int_equal(calls[i]->status, 200);
        http_drop(calls[i]);
    }
    assert_int_equal(server.connections, before);
    http_close(h);
}

/* Where there may be few, others wait for them. */
static void t19_few_are_kept_for_those_who_wait(void **state)
{
    (void)state;
    enum { CALLS = 300, FEW = 2 };
    void *h;
    struct err e = ERR_INIT;
    struct http_call *calls[CALLS];
    int done = 0, before = server.connections;
    char url[64];
    snprintf(url, sizeof url, "http://127.0.0.1:%d/echo", server.port);
    struct http_request r = {.url = span_of(url), .most = 4000, .timeout_ms = 60000, .per_host = FEW};
    assert_true(http_open(&h, &e));
    for (size_t i = 0; i < CALLS; i++)
        assert_true(http_begin(h, &r, count_over, &done, &calls[i], &e));
    drive_until(h, &done, CALLS);
    for (size_t i = 0; i < CALLS; i++) {
        assert_int_equal(calls[i]->status, 200);
        http_drop(calls[i]);
    }
    assert_in_range(server.connections - before, 1, FEW);
    http_close(h);
}

static int start(void **state)
{
    struct err e = ERR_INIT;
    struct rlimit files = {FILES, FILES};
    (void)state;
    setrlimit(RLIMIT_NOFILE, &files);
    http_server_open(&server);
    if (!net_guard_open("127.0.0.1", &e))
        return -1;
    http_server_run(&server);
    return 0;
}

static int stop(void **state)
{
    (void)state;
    http_release();
    http_server_stop(&server);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(t16_calls_wait_for_a_place),
        cmocka_unit_test(t17_known_names_hold_no_place),
        cmocka_unit_test(t18_few_connections_are_kept),
        cmocka_unit_test(t19_few_are_kept_for_those_who_wait),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
