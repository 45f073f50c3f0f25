/* handlers/webhook.h: the published vector of Standard Webhooks, secrets, and what becomes of what a receiver answers. */
#include "unit.h"

#include "../lib/http_server.h"
#include "core/limits.h"
#include "core/net_guard.h"
#include "exec/exec.h"
#include "exec/http.h"
#include "handlers/registry.h"
#include "handlers/webhook.h"

#define VECTOR_SECRET "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
#define VECTOR_SIGNATURE "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="

static struct http_server server;
static struct err e;

static void assert_signature(const char *want)
{
    struct buf b CLEANUP(buf_release) = BUF_INIT(256);
    webhook_sign(&b, SPAN("msg_p5jXN8AQM9LWM0D4loKWxJek"), 1614265330, SPAN("{\"test\": 2432232314}"));
    assert_span(buf_view(&b), want);
}

static void t01_the_published_vector(void **state)
{
    (void)state;
    assert_true(webhook_open(VECTOR_SECRET, 1000, &e));
    assert_signature(VECTOR_SIGNATURE);
}

static void t02_two_secrets_sign_both(void **state)
{
    (void)state;
    assert_true(webhook_open("  plain  " VECTOR_SECRET " ", 1000, &e));
    struct buf b CLEANUP(buf_release) = BUF_INIT(256);
    webhook_sign(&b, SPAN("i"), 1, SPAN("{}"));
    /* python3: base64.b64encode(hmac.digest(b"plain", b"i.1.{}", "sha256")) */
    assert_int_equal(strncmp(b.ptr, "v1,/KUEYz2wMUbMSQsvHnw+lR2NjvpGeLoeNd2K9GdGb3s= v1,", 51), 0);
    assert_true(webhook_open("", 1000, &e));
    assert_signature("");
}

static void t03_secrets_that_are_none(void **state)
{
    (void)state;
    static const char *const bad[] = {"whsec_", "whsec_!hidden!", "one two three"};
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        e = (struct err)ERR_INIT;
        assert_false(webhook_open(bad[i], 1000, &e));
        assert_int_equal(e.code, ERR_CONFIG);
        assert_null(strstr(e.text, "hidden"));
        assert_null(strstr(e.text, "three"));
    }
}

/* ---- deliveries */

struct seen {
    enum outcome_kind kind;
    struct err err;
    char result[64];
    int64_t snooze_ms;
};

static void note(void *arg, const struct outcome *o)
{
    struct seen *s = arg;
    s->kind = o->kind;
    s->snooze_ms = o->snooze_ms;
    if (o->kind == OUTCOME_OK)
        snprintf(s->result, sizeof s->result, SPAN_FMT, SPAN_ARG(o->result));
    else
        s->err = *o->err;
}

static struct seen deliver(const char *input)
{
    struct seen s = {.kind = OUTCOME_CANCELLED, .err = ERR_INIT};
    struct span inputs[] = {span_of(input)};
    struct plan p = {.handler = handler_find(SPAN("webhook")),
                     .inputs = inputs,
                     .count = 1,
                     .shape = {.threads = 1, .width = 1, .grain = 1},
                     .deadline = CLOCK_NEVER,
                     .done = note,
                     .arg = &s};
    assert_true(exec_run(&p, NULL, &e));
    return s;
}

static struct seen deliver_to(const char *path)
{
    char input[256];
    snprintf(input, sizeof input,
             "{\"id\":\"d1\",\"url\":\"http://127.0.0.1:%d%s\",\"event\":{\"type\":\"task.failed\"}}",
             server.port, path);
    return deliver(input);
}

static void t04_what_is_taken(void **state)
{
    (void)state;
    static const char *const good[] = {"/status/200", "/status/202", "/status/204", "/status/299",
                                       "/endless"};
    assert_true(webhook_open("s", 5000, &e));
    for (size_t i = 0; i < COUNT_OF(good); i++) {
        struct seen s = deliver_to(good[i]);
        if (s.kind != OUTCOME_OK)
            fail_msg("%s: %s", good[i], s.err.text);
    }
    assert_string_equal(deliver_to("/status/202").result, "{\"status\":202}");
}

static void t05_what_is_tried_again_and_what_is_not(void **state)
{
    (void)state;
    static const struct {
        const char *path;
        bool again;
    } cases[] = {
        {"/status/500", true},      {"/status/408", true},  {"/status/425", true},  {"/reset", true},
        {"/status/400", false},     {"/status/401", false}, {"/status/404", false}, {"/status/410", false},
        {"/to?/status/200", false}, {"/garbage", false},
    };
    assert_true(webhook_open("s", 5000, &e));
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct seen s = deliver_to(cases[i].path);
        if (s.kind != OUTCOME_FAILED || err_retryable(s.err.code) != cases[i].again)
            fail_msg("%s: %s, %s", cases[i].path, err_slug(s.err.code), s.err.text);
    }
    assert_true(webhook_open("s", 100, &e));
    struct seen s = deliver_to("/hang");
    assert_int_equal(s.err.code, ERR_TIMEOUT);
    assert_true(err_retryable(s.err.code));
    s = deliver("{\"id\":\"d1\",\"url\":\"http://10.0.0.1/\",\"event\":{}}");
    assert_int_equal(s.err.code, ERR_FORBIDDEN_ADDRESS);
}

static void t06_a_receiver_that_asks_for_time(void **state)
{
    (void)state;
    static const char *const paths[] = {"/status/429", "/status/503"};
    assert_true(webhook_open("s", 5000, &e));
    for (size_t i = 0; i < COUNT_OF(paths); i++) {
        struct seen s = deliver_to(paths[i]);
        assert_int_equal(s.err.code, ERR_SNOOZED);
        assert_int_equal(s.snooze_ms, 7000);
    }
}

static void t07_inputs_that_are_no_delivery(void **state)
{
    (void)state;
    static const char *const bad[] = {"",
                                      "3",
                                      "{}",
                                      "{\"id\":\"a\"}",
                                      "{\"url\":\"http://127.0.0.1/\"}",
                                      "{\"id\":3,\"url\":\"http://127.0.0.1/\"}",
                                      "{\"id\":\"a\",\"url\":\"file:///etc/passwd\"}",
                                      "{\"id\":\"a\\nb: c\",\"url\":\"http://127.0.0.1/\"}"};
    for (size_t i = 0; i < COUNT_OF(bad); i++)
        if (deliver(bad[i]).kind != OUTCOME_FAILED)
            fail_msg("%s is taken", bad[i]);
}

static int start(void **state)
{
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
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(t01_the_published_vector),
        cmocka_unit_test(t02_two_secrets_sign_both),
        cmocka_unit_test(t03_secrets_that_are_none),
        cmocka_unit_test(t04_what_is_taken),
        cmocka_unit_test(t05_what_is_tried_again_and_what_is_not),
        cmocka_unit_test(t06_a_receiver_that_asks_for_time),
        cmocka_unit_test(t07_inputs_that_are_no_delivery),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
