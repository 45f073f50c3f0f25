/* exec/http.h by hand: where a server may send a call on to, and what goes along. The house is open to 127.0.0.2 and 127.0.0.3; the
 * server on 127.0.0.1, which is not, must not hear of anything. */
#include "../lib/test.h"

#include <poll.h>
#include <string.h>

#include "../lib/http_server.h"
#include "core/net_guard.h"
#include "exec/http.h"

static struct http_server server, neighbour, other, inside; /* 127.0.0.2 twice, 127.0.0.3, 127.0.0.1 */

static const int statuses[] = {301, 302, 303, 307, 308};

static void count_over(void *arg)
{
    ++*(int *)arg;
}

/* The call to `path` of the server, ended. To be dropped before the client is closed. */
static struct http_call *call(void *h, const char *path, struct http_request r)
{
    char url[600];
    int over = 0;
    struct err e = ERR_INIT;
    struct http_call *c;
    snprintf(url, sizeof url, "http://127.0.0.2:%d%s", server.port, path);
    r.url = span_of(url);
    r.most = 8000;
    r.timeout_ms = 20000;
    assert_true(http_begin(h, &r, count_over, &over, &c, &e));
    while (over == 0) {
        struct pollfd p = {.fd = http_descriptor(h), .events = POLLIN};
        assert_int_equal(poll(&p, 1, 30000), 1);
        http_drive(h);
    }
    return c;
}

static void *client(void)
{
    void *h;
    struct err e = ERR_INIT;
    assert_true(http_open(&h, &e));
    return h;
}

/* Sent on to `target`, a GET ends so. */
static void ends(void *h, int status, const char *target, enum err_code expected)
{
    char path[500];
    snprintf(path, sizeof path, "/to/%d?%s", status, target);
    struct http_call *c = call(h, path, (struct http_request){.redirects = 5});
    if (c->err.code != expected)
        fail_msg("%d to %s: %s (%s)", status, target, err_slug(c->err.code), c->err.text);
    http_drop(c);
}

/* However it is written, and whatever is before it, what counts is the address. Where it says a port, a server listens there. */
static void t01_no_spelling_of_a_forbidden_address(void **state)
{
    static const char *const hosts[] = {"127.0.0.1",
                                        "2130706433",
                                        "0x7f000001",
                                        "017700000001",
                                        "127.1",
                                        "0x7f.0.0.1",
                                        "0177.0.0.01",
                                        "0",
                                        "[::1]",
                                        "[::ffff:127.0.0.1]",
                                        "[::ffff:7f00:1]",
                                        "[::127.0.0.1]",
                                        "[64:ff9b::7f00:1]",
                                        "127.0.0.2@127.0.0.1",
                                        "%31%32%37.0.0.1",
                                        "169.254.169.254",
                                        "2852039166",
                                        "0xa9fea9fe",
                                        "025177524776",
                                        "0251.0376.0251.0376",
                                        "0xa9.254.0xa9.254",
                                        "[::ffff:169.254.169.254]",
                                        "[::ffff:a9fe:a9fe]",
                                        "[64:ff9b::a9fe:a9fe]",
                                        "[2002:a9fe:a9fe::]",
                                        "[fd00:ec2::254]",
                                        "10.0.0.1",
                                        "[fe80::1]",
                                        "localhost",
                                        "LOCALHOST",
                                        "127.0.0.2@localhost"};
    (void)state;
    void *h = client();
    for (size_t i = 0; i < COUNT_OF(hosts); i++) {
        char target[400];
        snprintf(target, sizeof target, "http://%s:%d/echo", hosts[i], inside.port);
        for (size_t k = 0; k < COUNT_OF(statuses); k++)
            ends(h, statuses[k], target, ERR_FORBIDDEN_ADDRESS);
        snprintf(target, sizeof target, "//%s:%d/echo", hosts[i], inside.port); /* of the same scheme */
        ends(h, 302, target, ERR_FORBIDDEN_ADDRESS);
        snprintf(target, sizeof target, "/to/307?http://%s:%d/echo", hosts[i],
                 inside.port); /* at the second turn */
        ends(h, 308, target, ERR_FORBIDDEN_ADDRESS);
    }
    assert_int_equal(inside.connections, 0);
    http_close(h);
}

/* One that could be reached shows that those above were refused for what they are. */
static void t02_others_may_be_reached(void **state)
{
    static const char *const hosts[] = {"127.0.0.3", "2130706435", "0x7f000003", "127.3"};
    (void)state;
    void *h = client();
    for (size_t i = 0; i < COUNT_OF(hosts); i++) {
        char target[400];
        int before = other.requests;
        snprintf(target, sizeof target, "http://%s:%d/echo", hosts[i], other.port);
        for (size_t k = 0; k < COUNT_OF(statuses); k++)
            ends(h, statuses[k], target, ERR_NONE);
        assert_int_equal(other.requests - before, COUNT_OF(statuses));
    }
    http_close(h);
}

static void t03_no_other_scheme(void **state)
{
    static const char *const targets[] = {
        "file:///etc/passwd", "FILE:///etc/passwd",  "file://localhost/etc/passwd",
        "ftp://127.0.0.2/",   "gopher://127.0.0.2/", "dict://127.0.0.2/",
        "ldap://127.0.0.2/",  "tftp://127.0.0.2/",   "telnet://127.0.0.2/",
        "smb://127.0.0.2/x",  "ws://127.0.0.2/",     "javascript://127.0.0.2/"};
    (void)state;
    void *h = client();
    for (size_t i = 0; i < COUNT_OF(targets); i++)
        for (size_t k = 0; k < COUNT_OF(statuses); k++)
            ends(h, statuses[k], targets[i], ERR_REJECTED);
    http_close(h);
}

/* What asks goes on as what it was; what changes something is not sent to a second place, the redirect is the answer. */
static void t04_methods(void **state)
{
    static const char *const changing[] = {"POST", "PUT", "PATCH", "DELETE"};
    char path[400];
    (void)state;
    void *h = client();
    for (size_t k = 0; k < COUNT_OF(statuses); k++) {
        snprintf(path, sizeof path, "/to/%d?http://127.0.0.3:%d/echo", statuses[k], other.port);
        struct http_call *c = call(h, path, (struct http_request){.redirects = 5});
        assert_int_equal(c->status, 200);
        assert_int_equal(c->redirects, 1);
        assert_true(span_starts(c->body, "GET /echo HTTP/1.1\r\n"));
        http_drop(c);
        int before = other.requests;
        for (size_t i = 0; i < COUNT_OF(changing); i++)
            for (int with_body = 0; with_body < 2; with_body++) {
                c = call(h, path,
                         (struct http_request){.method = span_of(changing[i]),
                                               .body = span_of(with_body ? "secret" : ""),
                                               .redirects = 5});
                assert_int_equal(c->err.code, ERR_NONE);
                assert_int_equal(c->status, statuses[k]);
                assert_int_equal(c->redirects, 0);
                http_drop(c);
            }
        assert_int_equal(other.requests, before);
    }
    http_close(h);
}

/* The server sends a body there, but to HEAD. */
static void t05_head_stays_head(void **state)
{
    char path[100];
    (void)state;
    void *h = client();
    for (size_t k = 0; k < COUNT_OF(statuses); k++) {
        snprintf(path, sizeof path, "/to/%d?/long?4", statuses[k]);
        struct http_call *c = call(h, path, (struct http_request){.method = SPAN("HEAD"), .redirects = 5});
        assert_int_equal(c->redirects, 1);
        assert_int_equal(c->body.len, 0);
        http_drop(c);
    }
    http_close(h);
}

/* They are for the scheme, host and port that the caller named. */
static void t06_secrets_stay_at_home(void **state)
{
    static const struct http_header secrets[] = {{SPAN("Authorization"), SPAN("Bearer secret")},
                                                 {SPAN("Cookie"), SPAN("session=secret")},
                                                 {SPAN("X-Api-Key"), SPAN("secret")}};
    const struct {
        const char *host;
        int port;
        bool home;
    } targets[] = {{"127.0.0.2", server.port, true},
                   {"127.0.0.2", neighbour.port, false}, /* another port */
                   {"127.0.0.3", other.port, false}};    /* another host */
    (void)state;
    void *h = client();
    for (size_t i = 0; i < COUNT_OF(targets); i++)
        for (size_t k = 0; k < COUNT_OF(statuses); k++) {
            char path[200], text[9000];
            snprintf(path, sizeof path, "/to/%d?http://%s:%d/echo", statuses[k], targets[i].host,
                     targets[i].port);
            struct http_call *c =
                call(h, path, (struct http_request){.headers = secrets, .header_count = 3, .redirects = 5});
            assert_int_equal(c->status, 200);
            snprintf(text, sizeof text, SPAN_FMT, SPAN_ARG(c->body));
            assert_non_null(strstr(text, "GET /echo HTTP/1.1\r\n"));
            for (size_t s = 0; s < COUNT_OF(secrets); s++) {
                char line[100];
                snprintf(line, sizeof line, "\r\n" SPAN_FMT ":", SPAN_ARG(secrets[s].name));
                assert_int_equal(strcasestr(text, line) != NULL, targets[i].home);
            }
            http_drop(c);
        }
    http_close(h);
}

static void t07_their_number_is_bounded(void **state)
{
    (void)state;
    void *h = client();
    for (int most = 1; most <= 20; most += 19) {
        int before = server.requests;
        struct http_call *c = call(h, "/loop", (struct http_request){.redirects = most});
        assert_int_equal(c->err.code, ERR_REJECTED);
        assert_int_equal(server.requests - before, most + 1);
        http_drop(c);
    }
    http_close(h);
}

static int start(void **state)
{
    struct err e = ERR_INIT;
    (void)state;
    http_server_open_at(&server, "127.0.0.2");
    http_server_open_at(&neighbour, "127.0.0.2");
    http_server_open_at(&other, "127.0.0.3");
    http_server_open_at(&inside, "127.0.0.1");
    if (!net_guard_open("127.0.0.2,127.0.0.3", &e))
        return -1;
    http_server_run(&server);
    http_server_run(&neighbour);
    http_server_run(&other);
    http_server_run(&inside);
    return 0;
}

static int stop(void **state)
{
    (void)state;
    http_release();
    http_server_stop(&server);
    http_server_stop(&neighbour);
    http_server_stop(&other);
    http_server_stop(&inside);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(t01_no_spelling_of_a_forbidden_address),
        cmocka_unit_test(t02_others_may_be_reached),
        cmocka_unit_test(t03_no_other_scheme),
        cmocka_unit_test(t04_methods),
        cmocka_unit_test(t05_head_stays_head),
        cmocka_unit_test(t06_secrets_stay_at_home),
        cmocka_unit_test(t07_their_number_is_bounded),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
