/* api/call.h */
#include "unit/unit.h"

#include "api/call.h"
#include "core/json.h"
#include "core/limits.h"

static int sent;

static void on_send(struct call *c)
{
    (void)c;
    sent++;
}

static struct call open_call(void)
{
    struct call c = {.arena = ARENA_INIT, .req.request_id = SPAN("id-1"), .send = on_send};
    buf_init(&c.res.headers, LIMIT_RESPONSE_HEADERS);
    buf_init(&c.res.body, LIMIT_RESPONSE);
    return c;
}

static void close_call(struct call *c)
{
    buf_release(&c->res.headers);
    buf_release(&c->res.body);
    arena_release(&c->arena);
}

static void t01_headers(void **state)
{
    (void)state;
    struct call c CLEANUP(close_call) = open_call();
    call_header(&c, "Location", "/api/v1/tasks/%s", "a\r\nSet-Cookie: x");
    call_header(&c, "Retry-After", "%d", 2);
    assert_span(buf_view(&c.res.headers), "Location: /api/v1/tasks/aSet-Cookie: x\r\nRetry-After: 2\r\n");
}

static void t02_a_header_is_never_cut_short(void **state)
{
    (void)state;
    struct call c CLEANUP(close_call) = open_call();
    call_header(&c, "Link", "%*s", (int)LIMIT_HEADER, "x");
    assert_true(c.res.headers.failed);
}

static const struct json *problem_of(struct call *c, const char *member)
{
    const struct json *v;
    struct err e = ERR_INIT;
    if (!json_read(&c->arena, buf_view(&c->res.body), &v, &e))
        fail_msg("%s: %.*s", e.text, (int)c->res.body.len, c->res.body.ptr);
    return json_member(v, member);
}

static void t03_every_error_is_a_problem_document(void **state)
{
    (void)state;
    for (int code = ERR_NONE + 1; code < ERR_COUNT; code++) {
        struct call c CLEANUP(close_call) = open_call();
        struct err e = ERR_INIT;
        char type[128];
        err_at(&e, (enum err_code)code, "/items/0", "say \"no\" to %s", "\x01 and \xff");
        snprintf(type, sizeof type, "/problems/%s", err_slug(e.code));
        int before = sent;
        buf_puts(&c.res.body, "half an answer");
        c.res.stream.more = (void *)(uintptr_t)1;
        call_header(&c, "Allow", "GET");
        call_problem(&c, &e);
        assert_int_equal(sent, before + 1);
        assert_int_equal(c.res.status, err_status(e.code));
        assert_string_equal(c.res.content_type, "application/problem+json");
        assert_null(c.res.stream.more);
        assert_span(json_as_text(problem_of(&c, "type")), type);
        assert_span(json_as_text(problem_of(&c, "title")), err_title(e.code));
        assert_span(json_as_text(problem_of(&c, "request_id")), "id-1");
        assert_non_null(problem_of(&c, "detail"));
        assert_non_null(problem_of(&c, "errors"));
        bool again = err_retryable(e.code) && c.res.status == 503;
        assert_span(buf_view(&c.res.headers), again ? "Allow: GET\r\nRetry-After: 1\r\n" : "Allow: GET\r\n");
    }
}

static void t04_no_pointer_no_errors(void **state)
{
    (void)state;
    struct call c CLEANUP(close_call) = open_call();
    struct err e = ERR_INIT;
    err_set(&e, ERR_NO_ROUTE, "nothing");
    call_fill_problem(&c, &e);
    assert_null(problem_of(&c, "errors"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(t01_headers),
        cmocka_unit_test(t02_a_header_is_never_cut_short),
        cmocka_unit_test(t03_every_error_is_a_problem_document),
        cmocka_unit_test(t04_no_pointer_no_errors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
