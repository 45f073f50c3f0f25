/* exec/http.h through the engine: what a handler gets from servers of every kind, and what it never gets. */
#include "exec_fixture.h"

#include <sched.h>
#include <sys/resource.h>

#include "../lib/http_server.h"
#include "core/limits.h"
#include "core/net_guard.h"
#include "exec/http.h"

#define FILES 700 /* descriptors of this process: few, so that all that there may be can be used up */

static struct http_server server, other;

/* What every item of a run asks for, and what it sees; in the test's memory: threads only. */
struct wish {
    const char *path; /* behind http://127.0.0.1:port, or a whole URL */
    const char *method, *body, *header, *value;
    int64_t most, redirects, ms;
    bool unpack, close_guard;
    /* seen by the last */
    struct http_call answer;
    char head[1024], text[4096];
    _Atomic int over;
};

static struct wish *shared; /* with children */

struct asking {
    struct http_call *call;
};

static enum step ask(struct item *it)
{
    struct wish *w = *(struct wish *const *)it->args;
    struct asking *s = it->state;
    char url[256] = "";
    if (!s->call) {
        struct http_header h = {span_of(w->header), span_of(w->value)};
        if (w->path[0] == '/')
            snprintf(url, sizeof url, "http://127.0.0.1:%d%s", server.port, w->path);
        s->call = http_start(it, &(struct http_request){.url = span_of(url[0] ? url : w->path),
                                                        .method = span_of(w->method),
                                                        .body = span_of(w->body),
                                                        .headers = &h,
                                                        .header_count = w->header ? 1 : 0,
                                                        .most = w->most ? w->most : 4000,
                                                        .redirects = w->redirects,
                                                        .unpack = w->unpack,
                                                        .timeout_ms = w->ms});
        if (!s->call)
            return STEP_FAIL;
        if (w->close_guard && !net_guard_open("", &it->err))
            return STEP_FAIL;
    }
    if (!s->call->done)
        return item_wait_call(it);
    w->answer = *s->call;
    snprintf(w->head, sizeof w->head, SPAN_FMT, SPAN_ARG(s->call->head));
    snprintf(w->text, sizeof w->text, SPAN_FMT, SPAN_ARG(s->call->body));
    atomic_fetch_add(&w->over, 1);
    if (s->call->err.code == ERR_NONE)
        return buf_int(&it->out, it->index), STEP_DONE;
    it->err = s->call->err;
    return STEP_FAIL;
}

static void hang_up(struct item *it)
{
    struct asking *s = it->state;
    http_drop(s->call);
}

static const struct handler asker = {
    .name = "asker",
    .params = {NULL, 0, sizeof(struct wish *)},
    .state_size = sizeof(struct asking),
    .step = ask,
    .drop = hang_up,
};

static struct exec_report run(struct wish *w, struct notes *n, struct plan p)
{
    struct exec_report r = {0};
    struct err e = ERR_INIT;
    p.handler = &asker;
    p.args = &w;
    assert_true(exec_run(&p, &r, &e));
    check_contract(&p, n, &r);
    return r;
}

static struct plan plan_of(struct notes *n, int64_t count, int64_t width)
{
    static const struct orders none;
    return fixture_plan(n, &none, count, (struct shape){.threads = 1, .width = width, .grain = 1});
}

/* One item; the code that it failed with. */
static enum err_code one(struct wish *w)
{
    struct notes *n = notes_new();
    struct exec_report r = run(w, n, plan_of(n, 1, 1));
    enum err_code code = r.ok ? ERR_NONE : n->last.code;
    if (r.failed)
        w->answer.err = n->last;
    mem_free(n);
    return code;
}

static void expect(struct wish w, enum err_code code, const char *said)
{
    if (one(&w) != code)
        fail_msg("%s: %s (%s)", w.path, err_slug(w.answer.err.code), w.answer.err.text);
    if (said && !strstr(w.answer.err.text, said))
        fail_msg("%s: \"%s\" is not in \"%s\"", w.path, said, w.answer.err.text);
}

static void t01_what_is_asked_and_answered(void **state)
{
    (void)state;
    struct wish w = {.path = "/echo?a=1", .header = "X-Mine", .value = "1 2"};
    struct span value;
    assert_int_equal(one(&w), ERR_NONE);
    assert_int_equal(w.answer.status, 200);
    assert_true(http_find(span_of(w.head), "x-test", &value) && span_is(value, "yes"));
    assert_non_null(strstr(w.text, "GET /echo?a=1 HTTP/1.1\r\n"));
    assert_non_null(strstr(w.text, "\r\nX-Mine: 1 2\r\n"));
    assert_non_null(strstr(w.text, "\r\nUser-Agent: lathe/"));
    assert_null(strcasestr(w.text, "content-type"));

    static const char *const methods[] = {"POST", "PUT", "PATCH", "DELETE"};
    for (size_t i = 0; i < COUNT_OF(methods); i++) {
        struct wish m = {.path = "/echo",
                         .method = methods[i],
                         .body = "{\"k\":1}",
                         .header = "Content-Type",
                         .value = "application/json"};
        assert_int_equal(one(&m), ERR_NONE);
        assert_true(strncmp(m.text, methods[i], strlen(methods[i])) == 0);
        assert_non_null(strstr(m.text, "\r\nContent-Length: 7\r\n"));
        assert_non_null(strstr(m.text, "\r\nContent-Type: application/json\r\n"));
        assert_null(strcasestr(m.text, "expect:"));
        assert_non_null(strstr(m.text, "\r\n\r\n{\"k\":1}"));
    }
    struct wish empty = {.path = "/echo", .method = "POST"};
    assert_int_equal(one(&empty), ERR_NONE);
    assert_non_null(strstr(empty.text, "\r\nContent-Length: 0\r\n"));
}

static void t02_a_status_is_an_answer(void **state)
{
    (void)state;
    struct wish w = {.path = "/status/503"};
    struct span value;
    assert_int_equal(one(&w), ERR_NONE);
    assert_int_equal(w.answer.status, 503);
    assert_true(http_find(span_of(w.head), "Retry-After", &value) && span_is(value, "7"));
    assert_false(http_find(span_of(w.head), "Retry", &value));
}

static void t03_connections_are_used_again(void **state)
{
    (void)state;
    struct wish w = {.path = "/echo"};
    one(&w);
    int before = server.connections;
    struct notes *n = notes_new();
    assert_int_equal(run(&w, n, plan_of(n, 40, 1)).ok, 40);
    mem_free(n);
    one(&w); /* by another reactor */
    assert_int_equal(server.connections, before);
}

/* With so many it does not look for a free connection where there can be none; and takes those that there are. */
static void t03b_of_many_too(void **state)
{
    (void)state;
    struct wish w = {.path = "/echo"};
    struct notes *n = notes_new();
    int before = server.connections;
    assert_int_equal(run(&w, n, plan_of(n, 1000, 100)).ok, 1000);
    assert_in_range(server.connections - before, 1, 200);
    mem_free(n);
}

static void t04_calls_of_one_thread_overlap(void **state)
{
    (void)state;
    int all = 0;
    for (int ms = 300; all < 50; ms *= 4) { /* on a slow machine the first is over before the last was sent */
        struct wish w = {.path = "/hang", .ms = ms};
        struct notes *n = notes_new();
        int before = server.requests;
        assert_true(ms < 10000);
        struct exec_report r = run(&w, n, plan_of(n, 50, 50));
        assert_int_equal(r.failed, 50);
        assert_int_equal(n->last.code, ERR_TIMEOUT);
        all = server.requests - before;
        assert_true(r.wait_ns >= 40 * ms * NS_PER_MS && r.wall_ns < 40 * ms * NS_PER_MS);
        mem_free(n);
    }
}

static void t05_servers_that_misbehave(void **state)
{
    (void)state;
    expect((struct wish){.path = "/reset"}, ERR_UNREACHABLE, NULL);
    expect((struct wish){.path = "/garbage"}, ERR_REJECTED, NULL);
    expect((struct wish){.path = "/endless"}, ERR_ITEM_TOO_LARGE, "4000");
    expect((struct wish){.path = "/heads"}, ERR_ITEM_TOO_LARGE, NULL);
    expect((struct wish){.path = "/long?4001"}, ERR_ITEM_TOO_LARGE, NULL);
    expect((struct wish){.path = "/long?4000"}, ERR_NONE, NULL);
    expect((struct wish){.path = "/long?4001", .method = "HEAD"}, ERR_NONE, NULL);
    expect((struct wish){.path = "/gzip", .unpack = true, .most = 4}, ERR_ITEM_TOO_LARGE, NULL);
    expect((struct wish){.path = "http://127.0.0.1:1/"}, ERR_UNREACHABLE, NULL);
    expect((struct wish){.path = "http://name.invalid/"}, ERR_UNREACHABLE, NULL);

    struct wish w = {.path = "/gzip", .unpack = true};
    assert_int_equal(one(&w), ERR_NONE);
    assert_string_equal(w.text, "hello");
    assert_int_equal(w.answer.bytes, 25);
}

/* What is packed to a thousandth is unpacked as far as the limit, and no further. */
static void t05b_what_grows_when_unpacked(void **state)
{
    enum { CAP = 1 << 20, WHOLE = 10 * CAP };
    (void)state;
    struct wish w = {.path = "/bomb?10485760", .unpack = true, .most = WHOLE};
    assert_int_equal(one(&w), ERR_NONE);
    assert_int_equal(w.answer.body.len, WHOLE);
    assert_in_range(w.answer.bytes, 1, WHOLE / 500);
    w.most = CAP;
    assert_int_equal(one(&w), ERR_ITEM_TOO_LARGE);
    assert_in_range(w.answer.body.len, 1, CAP);
    assert_non_null(strstr(w.answer.err.text, "larger than 1048576 bytes"));
}

static void t06_redirects(void **state)
{
    (void)state;
    struct wish w = {.path = "/to?/echo"};
    assert_int_equal(one(&w), ERR_NONE);
    assert_int_equal(w.answer.status, 302);
    w = (struct wish){.path = "/to?/to?/echo", .redirects = 2};
    assert_int_equal(one(&w), ERR_NONE);
    assert_int_equal(w.answer.status, 200);
    assert_int_equal(w.answer.redirects, 2);
    assert_null(strstr(w.text, "gone"));
    expect((struct wish){.path = "/to?/to?/echo", .redirects = 1}, ERR_REJECTED, NULL);
    expect((struct wish){.path = "/to?file:///etc/passwd", .redirects = 3}, ERR_REJECTED, NULL);
    expect((struct wish){.path = "/to?ftp://127.0.0.1/", .redirects = 3}, ERR_REJECTED, NULL);
    /* only 127.0.0.1 is open: the target is looked at as well */
    expect((struct wish){.path = "/to?http://127.0.0.2/", .redirects = 3}, ERR_FORBIDDEN_ADDRESS,
           "127.0.0.2");
    expect((struct wish){.path = "/to?http://[::ffff:10.0.0.1]/", .redirects = 3}, ERR_FORBIDDEN_ADDRESS,
           "private");
    expect((struct wish){.path = "/to?http://169.254.169.254/latest/", .redirects = 3}, ERR_FORBIDDEN_ADDRESS,
           "metadata");
}

static void t14_redirects_of_what_changes_something(void **state)
{
    (void)state;
    static const char *const methods[] = {"POST", "PUT", "PATCH", "DELETE"};
    for (size_t i = 0; i < COUNT_OF(methods); i++) {
        struct wish w = {.path = "/to?/echo", .method = methods[i], .redirects = 5};
        assert_int_equal(one(&w), ERR_NONE);
        assert_int_equal(w.answer.status, 302);
        assert_int_equal(w.answer.redirects, 0);
    }
    struct wish w = {.path = "/to?/echo", .method = "GET", .body = "secret", .redirects = 5};
    assert_int_equal(one(&w), ERR_NONE);
    assert_int_equal(w.answer.status, 302);
    w = (struct wish){.path = "/to?/echo", .method = "HEAD", .redirects = 5};
    one(&w); /* this server sends a body all the same */
    assert_int_equal(w.answer.redirects, 1);
}

/* The caller's headers are for the origin that the caller named, and do not come back when the way does. */
static void t15_headers_stay_with_their_origin(void **state)
{
    (void)state;
    char away[128], back[192];
    struct wish w = {.path = "/to?/echo", .redirects = 5, .header = "X-Api-Key", .value = "secret"};
    assert_int_equal(one(&w), ERR_NONE);
    assert_int_equal(w.answer.redirects, 1);
    assert_non_null(strstr(w.text, "\r\nX-Api-Key: secret\r\n"));
    snprintf(away, sizeof away, "/to?http://127.0.0.1:%d/echo", other.port);
    snprintf(back, sizeof back, "/to?http://127.0.0.1:%d/to?http://127.0.0.1:%d/echo", other.port,
             server.port);
    const char *const paths[] = {away, back, away};
    for (size_t i = 0; i < COUNT_OF(paths); i++) {
        w = (struct wish){.path = paths[i], .redirects = 5, .header = "X-Api-Key", .value = "secret"};
        assert_int_equal(one(&w), ERR_NONE);
        assert_int_equal(w.answer.status, 200);
        assert_non_null(strstr(w.text, "GET /echo HTTP/1.1\r\n"));
        assert_non_null(strstr(w.text, "\r\nUser-Agent: lathe/"));
        assert_null(strstr(w.text, "secret"));
    }
}

static void t07_forbidden(void **state)
{
    (void)state;
    static const char *const literals[] = {"http://127.0.0.2/",
                                           "http://0/",
                                           "http://10.1/",
                                           "http://[::1]:8080/",
                                           "https://0x7f000002/",
                                           "http://[::ffff:7f00:2]/",
                                           "http://[64:ff9b::7f00:2]",
                                           "http://169.254.169.254/"};
    for (size_t i = 0; i < COUNT_OF(literals); i++)
        expect((struct wish){.path = literals[i]}, ERR_FORBIDDEN_ADDRESS, NULL);
    static const char *const bad[] = {"",
                                      "/",
                                      "ftp://127.0.0.1/",
                                      "file:///etc/passwd",
                                      "http:/127.0.0.1/",
                                      "http://",
                                      "http://u:p@127.0.0.1/",
                                      "http://a b/",
                                      "http://127.0.0.1:0/",
                                      "http://127.0.0.1:65536/",
                                      "http://%31/",
                                      "http://a\\@b/",
                                      "gopher://x/"};
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        struct err e = ERR_INIT;
        if (http_check_url(span_of(bad[i]), "/url", &e))
            fail_msg("%s is taken", bad[i]);
        assert_int_equal(e.code, ERR_BAD_FIELD);
        assert_string_equal(e.pointer, "/url");
    }
}

/* Names are looked up when they are connected to, and what counts is the address of the socket: here the house is closed
 * after the URL was found to be good, as by a name server that says something else the second time. */
static void t08_the_address_of_the_socket_counts(void **state)
{
    (void)state;
    struct err e = ERR_INIT;
    char url[64];
    snprintf(url, sizeof url, "http://localhost:%d/echo", server.port);
    expect((struct wish){.path = url}, ERR_NONE, NULL);
    http_release();
    expect((struct wish){.path = url, .close_guard = true}, ERR_FORBIDDEN_ADDRESS,
           "the host stands for a loopback address"); /* and not for which */
    assert_true(net_guard_open("127.0.0.1", &e));
    expect((struct wish){.path = "/echo", .close_guard = true}, ERR_FORBIDDEN_ADDRESS,
           "127.0.0.1 is a loopback address");
    assert_true(net_guard_open("127.0.0.1", &e));
    expect((struct wish){.path = "/echo"}, ERR_NONE, NULL);
}

static void t09_headers_that_are_not_the_callers(void **state)
{
    (void)state;
    const char *const bad[][2] = {{"Content-Length", "3"},
                                  {"transfer-encoding", "chunked"},
                                  {"Connection", "close"},
                                  {"A b", "1"},
                                  {"", "1"},
                                  {"A:", "1"},
                                  {"A", "1\r\nB: 2"},
                                  {"Proxy-Authorization", "x"}};
    for (size_t i = 0; i < COUNT_OF(bad); i++)
        expect((struct wish){.path = "/echo", .header = bad[i][0], .value = bad[i][1]}, ERR_BAD_FIELD, NULL);
    expect((struct wish){.path = "/echo", .method = "GE T"}, ERR_BAD_FIELD, NULL);
    expect((struct wish){.path = "/echo", .method = "CONNECT"}, ERR_BAD_FIELD, NULL);
}

static void t10_time_limit_of_the_item(void **state)
{
    (void)state;
    struct wish w = {.path = "/hang"};
    struct notes *n = notes_new();
    struct plan p = plan_of(n, 3, 3);
    p.item_timeout_ms = 50;
    assert_int_equal(run(&w, n, p).failed, 3);
    assert_int_equal(n->last.code, ERR_ITEM_TIMEOUT);
    assert_int_equal(w.over, 0);
    mem_free(n);
}

static void *raise_it(void *arg)
{
    int *before = arg;
    while (server.requests < *before + 8)
        sched_yield();
    cancel_raise(&counts->cancel);
    return NULL;
}

static void t11_a_cancel_drops_them(void **state)
{
    (void)state;
    struct wish w = {.path = "/hang"};
    struct notes *n = notes_new();
    pthread_t thread;
    int before = server.requests;
    assert_int_equal(pthread_create(&thread, NULL, raise_it, &before), 0);
    assert_int_equal(run(&w, n, plan_of(n, 20, 8)).cancelled, 20);
    pthread_join(thread, NULL);
    assert_int_equal(w.over, 0);
    mem_free(n);
}

static void t12_nothing_is_left_open(void **state)
{
    (void)state;
    http_release();
    while (server.open > 0)
        sched_yield();
    int before = open_descriptors();
    struct wish w = {.path = "/echo"};
    one(&w);
    http_release();
    while (server.open > 0)
        sched_yield();
    assert_int_equal(open_descriptors(), before);
}

static void t13_in_children(void **state)
{
    (void)state;
    *shared = (struct wish){.path = "/echo"};
    struct notes *n = notes_new();
    struct plan p = plan_of(n, 40, 5);
    p.shape.processes = 2;
    assert_int_equal(run(shared, n, p).ok, 40);
    assert_int_equal(shared->over, 40);
    *shared = (struct wish){.path = "http://10.0.0.1/"};
    mem_free(n);
    n = notes_new();
    p.arg = n;
    assert_int_equal(run(shared, n, p).failed, 40);
    assert_int_equal(n->last.code, ERR_FORBIDDEN_ADDRESS);
    mem_free(n);
}

static int start(void **state)
{
    struct err e = ERR_INIT;
    struct rlimit files = {FILES, FILES};
    (void)state;
    setrlimit(RLIMIT_NOFILE, &files);
    setenv("http_proxy", "http://127.0.0.1:1", 1); /* not looked at */
    setenv("ALL_PROXY", "http://127.0.0.1:1", 1);
    shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    http_server_open(&server);
    http_server_open(&other);
    if (shared == MAP_FAILED || !net_guard_open("127.0.0.1", &e) || !exec_start(&e))
        return -1;
    http_server_run(&server);
    http_server_run(&other);
    return 0;
}

static int stop(void **state)
{
    (void)state;
    exec_stop();
    http_server_stop(&server);
    http_server_stop(&other);
    return 0;
}

#define TEST(f) cmocka_unit_test_setup(f, fixture_clear)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(t01_what_is_asked_and_answered),
        TEST(t02_a_status_is_an_answer),
        TEST(t03_connections_are_used_again),
        TEST(t03b_of_many_too),
        TEST(t04_calls_of_one_thread_overlap),
        TEST(t05_servers_that_misbehave),
        TEST(t05b_what_grows_when_unpacked),
        TEST(t06_redirects),
        TEST(t07_forbidden),
        TEST(t08_the_address_of_the_socket_counts),
        TEST(t09_headers_that_are_not_the_callers),
        TEST(t10_time_limit_of_the_item),
        TEST(t11_a_cancel_drops_them),
        TEST(t12_nothing_is_left_open),
        TEST(t13_in_children),
        TEST(t14_redirects_of_what_changes_something),
        TEST(t15_headers_stay_with_their_origin),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
