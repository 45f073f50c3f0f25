/* handlers/http_fetch.c: requests of every form, and what becomes of answers of every kind. */
#include "unit.h"

#include "../lib/http_server.h"
#include "core/limits.h"
#include "core/net_guard.h"
#include "exec/exec.h"
#include "exec/http.h"
#include "handlers/registry.h"

#include "../lib/run_item.h"

static struct http_server server;
static struct arena arena;

struct seen {
    int ok, failed;
    struct err err;
    const struct json *result;
};

static void note(void *arg, const struct outcome *o)
{
    struct seen *s = arg;
    struct err e = ERR_INIT;
    s->ok += o->kind == OUTCOME_OK;
    s->failed += o->kind == OUTCOME_FAILED;
    if (o->kind == OUTCOME_OK)
        assert_true(json_read(&arena, arena_copy(&arena, o->result), &s->result, &e));
    else
        s->err = *o->err;
}

/* PORT in the item is the server's. */
static const char *handler_name = "http.fetch";

static struct seen fetch_all(const char *item, const char *params, int64_t count, int64_t width)
{
    struct seen s = {.err = ERR_INIT};
    struct err e = ERR_INIT;
    char text[4096];
    const char *at = strstr(item, "PORT");
    if (at)
        snprintf(text, sizeof text, "%.*s%d%s", (int)(at - item), item, server.port, at + 4);
    else
        snprintf(text, sizeof text, "%s", item);
    struct span *inputs = arena_array(&arena, (size_t)count, sizeof *inputs);
    for (int64_t i = 0; i < count; i++)
        inputs[i] = span_of(text);
    const struct handler *h = handler_find(span_of(handler_name));
    struct plan p = {.handler = h,
                     .args = run_args(&arena, h, params, &e),
                     .inputs = inputs,
                     .count = count,
                     .shape = {.threads = 1, .width = width, .grain = 1},
                     .deadline = CLOCK_NEVER,
                     .item_timeout_ms = 30000, /* no test gets there */
                     .done = note,
                     .arg = &s};
    if (!p.args)
        fail_msg("%s: %s", params, e.text);
    assert_true(exec_run(&p, NULL, &e));
    return s;
}

static struct seen fetch(const char *item, const char *params)
{
    return fetch_all(item, params, 1, 1);
}

static const char *text_of(struct seen s, const char *key)
{
    if (!s.ok)
        fail_msg("failed: %s", s.err.text);
    return arena_text(&arena, json_as_text(json_member(s.result, key)));
}

static int64_t number_of(struct seen s, const char *key)
{
    if (!s.ok)
        fail_msg("failed: %s", s.err.text);
    return json_as_int(json_member(s.result, key));
}

static void t01_a_url(void **state)
{
    (void)state;
    struct seen s = fetch("\"http://127.0.0.1:PORT/gzip\"", "{\"body\":\"text\"}");
    assert_int_equal(number_of(s, "status"), 200);
    assert_int_equal(number_of(s, "bytes"), 5);
    assert_string_equal(text_of(s, "body"), "hello");
    assert_string_equal(text_of(s, "digest"),
                        "sha256:2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824");
    s = fetch("\"http://127.0.0.1:PORT/gzip\"", "{\"body\":\"base64\"}");
    assert_string_equal(text_of(s, "body"), "aGVsbG8=");
    s = fetch("\"http://127.0.0.1:PORT/gzip\"", "{}");
    assert_null(json_member(s.result, "body"));
}

static void t02_a_whole_request(void **state)
{
    (void)state;
    struct seen s = fetch(
        "{\"url\":\"http://127.0.0.1:PORT/echo\",\"method\":\"PUT\",\"headers\":{\"X-A\":\"1\"},\"body\":{\"k\":[1]}}",
        "{\"body\":\"text\"}");
    const char *said = text_of(s, "body");
    assert_holds(said, "PUT /echo HTTP/1.1");
    assert_holds(said, "\r\nX-A: 1\r\n");
    assert_holds(said, "\r\nContent-Type: application/json\r\n");
    assert_holds(said, "\r\n\r\n{\"k\":[1]}");
    s = fetch(
        "{\"url\":\"http://127.0.0.1:PORT/echo\",\"method\":\"POST\",\"headers\":{\"content-type\":\"a/b\"},\"body\":\"plain\"}",
        "{\"body\":\"text\"}");
    said = text_of(s, "body");
    assert_holds(said, "\r\ncontent-type: a/b\r\n");
    assert_holds(said, "\r\n\r\nplain");
}

static void t03_redirects_and_statuses(void **state)
{
    (void)state;
    struct seen s = fetch("\"http://127.0.0.1:PORT/to?/echo\"", "{}");
    assert_int_equal(number_of(s, "status"), 200);
    assert_int_equal(number_of(s, "redirects"), 1);
    assert_holds(text_of(s, "url"), "/echo");
    assert_int_equal(number_of(fetch("\"http://127.0.0.1:PORT/to?/echo\"", "{\"redirects\":0}"), "status"),
                     302);
    assert_int_equal(
        number_of(fetch("\"http://127.0.0.1:PORT/status/404\"", "{\"any_status\":true}"), "status"), 404);
    static const struct {
        const char *path;
        enum err_code code;
    } cases[] = {
        {"status/404", ERR_REJECTED},
        {"status/410", ERR_REJECTED},
        {"status/500", ERR_UPSTREAM},
        {"status/429", ERR_UPSTREAM},
        {"reset", ERR_UNREACHABLE},
        {"endless", ERR_ITEM_TOO_LARGE},
        {"long?2000000", ERR_ITEM_TOO_LARGE},
        {"garbage", ERR_REJECTED},
        {"to?http://127.0.0.2/", ERR_FORBIDDEN_ADDRESS},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        char item[128];
        snprintf(item, sizeof item, "\"http://127.0.0.1:PORT/%s\"", cases[i].path);
        s = fetch(item, "{\"retry_after\":0}");
        if (s.err.code != cases[i].code)
            fail_msg("%s: %s, %s", cases[i].path, err_slug(s.err.code), s.err.text);
    }
    assert_int_equal(fetch("\"http://127.0.0.1:PORT/hang\"", "{\"timeout_ms\":50}").err.code, ERR_TIMEOUT);
}

static void t04_items_that_are_no_request(void **state)
{
    (void)state;
    static const char *const bad[] = {"",
                                      "3",
                                      "null",
                                      "[]",
                                      "\"\"",
                                      "\"ftp://127.0.0.1/\"",
                                      "{}",
                                      "{\"url\":3}",
                                      "{\"url\":\"http://127.0.0.1/\",\"to\":1}",
                                      "{\"url\":\"http://127.0.0.1/\",\"headers\":[]}",
                                      "{\"url\":\"http://127.0.0.1/\",\"headers\":{\"A\":1}}",
                                      "{\"url\":\"http://127.0.0.1/\",\"headers\":{\"A\":\"1\\n\"}}",
                                      "{\"url\":\"http://127.0.0.1/\",\"method\":\"A B\"}"};
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        struct seen s = fetch(bad[i], "{}");
        if (!s.failed || err_retryable(s.err.code))
            fail_msg("%s: %s", bad[i], s.err.text);
    }
    assert_int_equal(fetch("\"http://10.0.0.1/\"", "{}").err.code, ERR_FORBIDDEN_ADDRESS);
}

static void t05_connections_to_one_host(void **state)
{
    (void)state;
    http_release();
    int before = server.connections;
    assert_int_equal(fetch_all("\"http://127.0.0.1:PORT/echo\"", "{\"per_host\":2}", 40, 20).ok, 40);
    assert_in_range(server.connections - before, 1, 2);
    assert_int_equal(fetch_all("\"http://127.0.0.1:PORT/echo\"", "{}", 40, 20).ok, 40);
}

/* Comes back when it is told to, as often as it may; then the status is what counts. */
static void t06_retry_after(void **state)
{
    (void)state;
    int before = server.requests;
    assert_int_equal(fetch("\"http://127.0.0.1:PORT/soon\"", "{\"retry_after\":1}").err.code, ERR_UPSTREAM);
    assert_int_equal(server.requests - before, 2);
}

/* Not before the time that was told, by the server's clock; then it is as if nothing had been. */
static void t06b_comes_when_it_was_told(void **state)
{
    (void)state;
    static const char *const items[] = {"\"http://127.0.0.1:PORT/again?1\"",
                                        "\"http://127.0.0.1:PORT/again?date\""};
    for (size_t i = 0; i < COUNT_OF(items); i++) {
        int before = server.requests;
        server.due = server.date = 0;
        server.early = true;
        struct seen s = fetch(items[i], "{\"body\":\"text\"}");
        assert_int_equal(number_of(s, "status"), 200);
        assert_string_equal(text_of(s, "body"), "late");
        assert_int_equal(s.failed, 0);
        assert_int_equal(server.requests - before, 2);
        assert_false(server.early);
    }
}

/* There is nothing to wait for. */
static void t06c_a_time_that_is_over(void **state)
{
    (void)state;
    int before = server.requests;
    server.due = server.date = 0;
    assert_int_equal(fetch("\"http://127.0.0.1:PORT/again?past\"", "{}").err.code, ERR_UPSTREAM);
    assert_int_equal(server.requests - before, 1);
}

/* A place in the run is not held for as long as a stranger says. */
static void t07_later_than_an_item_waits(void **state)
{
    (void)state;
    static const char *const later[] = {"61", "31536000", "9223372036854775807", "99999999999999999999"};
    for (size_t i = 0; i < COUNT_OF(later); i++) {
        char item[128];
        int before = server.requests;
        snprintf(item, sizeof item, "\"http://127.0.0.1:PORT/later?%s\"", later[i]);
        assert_int_equal(fetch(item, "{}").err.code, ERR_UPSTREAM);
        assert_int_equal(server.requests - before, 1);
    }
}

/* What is done to a body: "hello", unpacked. */
static void t08_work_on_the_body(void **state)
{
    (void)state;
    static const struct {
        const char *params, *work;
    } cases[] = {
        {"{}", "{\"bytes\":5,\"lines\":0,\"words\":1}"},
        {"{\"work\":\"hash\",\"hash\":\"crc32\"}", "{\"bytes\":5,\"digest\":\"crc32:3610a686\"}"},
        {"{\"work\":\"hash\"}",
         "{\"bytes\":5,\"digest\":\"sha256:2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824\"}"},
    };
    handler_name = "fetch.process";
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct buf b CLEANUP(buf_release) = BUF_INIT(4096);
        struct seen s = fetch("\"http://127.0.0.1:PORT/gzip\"", cases[i].params);
        assert_int_equal(number_of(s, "status"), 200);
        json_emit(&b, json_member(s.result, "work"));
        assert_span(buf_view(&b), cases[i].work);
    }
    struct seen s =
        fetch("\"http://127.0.0.1:PORT/long?1000000\"", "{\"work\":\"compress\",\"method\":\"zlib\"}");
    const struct json *work = s.ok ? json_member(s.result, "work") : NULL;
    assert_non_null(work);
    assert_int_equal(json_as_int(json_member(work, "bytes")), 1000000);
    assert_in_range(json_as_int(json_member(work, "packed")), 100, 10000);
    assert_int_equal(fetch("\"http://127.0.0.1:PORT/status/404\"", "{}").err.code, ERR_REJECTED);
    handler_name = "http.fetch";
}

static int start(void **state)
{
    struct err e = ERR_INIT;
    (void)state;
    http_server_open(&server);
    http_server_run(&server);
    return net_guard_open("127.0.0.1", &e) ? 0 : -1;
}

static int stop(void **state)
{
    (void)state;
    http_release();
    http_server_stop(&server);
    arena_release(&arena);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(t01_a_url),
        cmocka_unit_test(t02_a_whole_request),
        cmocka_unit_test(t03_redirects_and_statuses),
        cmocka_unit_test(t04_items_that_are_no_request),
        cmocka_unit_test(t05_connections_to_one_host),
        cmocka_unit_test(t06_retry_after),
        cmocka_unit_test(t06b_comes_when_it_was_told),
        cmocka_unit_test(t06c_a_time_that_is_over),
        cmocka_unit_test(t07_later_than_an_item_waits),
        cmocka_unit_test(t08_work_on_the_body),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
