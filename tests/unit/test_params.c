/* fcgi/params.h */
#include "unit/unit.h"

#include "core/limits.h"
#include "core/mem.h"
#include "fcgi/params.h"

struct got {
    struct arena arena;
    struct request req;
    int64_t length;
    struct err e;
    bool good;
};

static void got_release(struct got *g)
{
    arena_release(&g->arena);
}

#define READ(...) read_list((const char *const[]){__VA_ARGS__, NULL})

/* From copies that are gone when it returns: nothing may be borrowed. */
static struct got read_list(const char *const *list)
{
    struct got g = {.arena = ARENA_INIT, .length = -7, .e = ERR_INIT};
    char *copy[32] = {0};
    for (size_t i = 0; list[i]; i++)
        copy[i] = mem_copy_text(list[i]);
    g.good = params_read(copy, &g.arena, &g.req, &g.length, &g.e);
    for (size_t i = 0; copy[i]; i++)
        mem_free(copy[i]);
    return g;
}

#define PATH "DOCUMENT_URI=/a"

static void t01_everything(void **state)
{
    (void)state;
    struct got g CLEANUP(got_release) =
        READ("FCGI_ROLE=RESPONDER", "REQUEST_METHOD=POST", "DOCUMENT_URI=/api/v1/tasks/a b",
             "QUERY_STRING=a=1&b=%20", "CONTENT_LENGTH=12", "CONTENT_TYPE=application/json",
             "REQUEST_ID=0123456789abcdef", "HTTP_ACCEPT=*/*", "HTTP_PREFER=wait=3",
             "HTTP_IF_NONE_MATCH=\"x\"", "HTTP_IDEMPOTENCY_KEY=", "HTTP_COOKIE=ignored", "SOMETHING", "");
    assert_true(g.good);
    assert_int_equal(g.req.method, METHOD_POST);
    assert_span(g.req.path, "/api/v1/tasks/a b");
    assert_span(g.req.query, "a=1&b=%20");
    assert_int_equal(g.length, 12);
    assert_span(g.req.content_type, "application/json");
    assert_span(g.req.request_id, "0123456789abcdef");
    assert_span(g.req.accept, "*/*");
    assert_span(g.req.prefer, "wait=3");
    assert_span(g.req.if_none_match, "\"x\"");
    assert_span(g.req.body, "");
}

static void t02_nothing_but_a_path(void **state)
{
    (void)state;
    struct got g CLEANUP(got_release) = READ(PATH, "CONTENT_LENGTH=");
    assert_true(g.good);
    assert_int_equal(g.req.method, METHOD_OTHER);
    assert_int_equal(g.length, 0);
    assert_span(g.req.query, "");
    assert_int_equal(g.req.request_id.len, 36); /* one was made */
}

static void t03_methods(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        enum method method;
    } tries[] = {{"GET", METHOD_GET},       {"HEAD", METHOD_HEAD},       {"PUT", METHOD_PUT},
                 {"DELETE", METHOD_DELETE}, {"OPTIONS", METHOD_OPTIONS}, {"PATCH", METHOD_OTHER},
                 {"get", METHOD_OTHER},     {"", METHOD_OTHER}};
    for (size_t i = 0; i < COUNT_OF(tries); i++) {
        char line[64];
        snprintf(line, sizeof line, "REQUEST_METHOD=%s", tries[i].text);
        struct got g CLEANUP(got_release) = READ(line, PATH);
        assert_true(g.good);
        assert_int_equal(g.req.method, tries[i].method);
    }
}

static void t04_request_uri_where_there_is_no_document_uri(void **state)
{
    (void)state;
    struct got g CLEANUP(got_release) = READ("REQUEST_URI=/a%2fb%C3%A4%25?x=%zz");
    assert_true(g.good);
    assert_span(g.req.path, "/a/b\xc3\xa4%");
    static const char *const bad[] = {"REQUEST_URI=/a%",
                                      "REQUEST_URI=/a%2",
                                      "REQUEST_URI=/%zz",
                                      "REQUEST_URI=/a%00b",
                                      "REQUEST_URI=/a%0d%0aSet-Cookie:%20x",
                                      "REQUEST_URI=http://x/",
                                      "REQUEST_URI="};
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        struct got b CLEANUP(got_release) = READ(bad[i]);
        if (b.good || b.e.code != ERR_BAD_REQUEST)
            fail_msg("%s", bad[i]);
        assert_span(b.req.path, "");
    }
}

static void t05_lengths_that_are_none(void **state)
{
    (void)state;
    static const char *const bad[] = {"-1", "1x", " 1", "0x10", "99999999999999999999", "1.0"};
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        char line[64];
        snprintf(line, sizeof line, "CONTENT_LENGTH=%s", bad[i]);
        struct got g CLEANUP(got_release) = READ(PATH, line, "REQUEST_ID=abc");
        if (g.good || g.e.code != ERR_BAD_REQUEST)
            fail_msg("%s", line);
        assert_string_equal(g.e.pointer, "CONTENT_LENGTH");
        assert_int_equal(g.length, -7);
        assert_span(g.req.request_id, "abc"); /* the problem document names it */
    }
}

static char *long_line(const char *name, size_t n)
{
    size_t at = strlen(name);
    char *line = mem_alloc(at + n + 1);
    memcpy(line, name, at);
    memset(line + at, '/', n);
    return line;
}

static void t06_caps(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        size_t most;
    } caps[] = {
        {"DOCUMENT_URI=", LIMIT_PATH}, {"QUERY_STRING=", LIMIT_QUERY}, {"HTTP_PREFER=", LIMIT_HEADER}};
    for (size_t i = 0; i < COUNT_OF(caps); i++)
        for (size_t over = 0; over < 2; over++) {
            char *line = long_line(caps[i].name, caps[i].most + over);
            struct got g CLEANUP(got_release) = READ(line, PATH);
            assert_int_equal(g.good, !over);
            if (over)
                assert_int_equal(g.e.code, ERR_TOO_LARGE);
            mem_free(line);
        }
    char *line = long_line("REQUEST_URI=", LIMIT_PATH + 1);
    struct got g CLEANUP(got_release) = READ(line);
    assert_true(!g.good && g.e.code == ERR_TOO_LARGE);
    mem_free(line);
}

static void t07_control_characters(void **state)
{
    (void)state;
    static const char *const bad[] = {"DOCUMENT_URI=/a\nb", "HTTP_PREFER=a\rb", "QUERY_STRING=\x01",
                                      "HTTP_ACCEPT=\x7f"};
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        struct got g CLEANUP(got_release) = READ(bad[i], PATH);
        if (g.good || g.e.code != ERR_BAD_REQUEST)
            fail_msg("%zu", i);
    }
    struct got g CLEANUP(got_release) = READ(PATH, "REQUEST_ID=a b\"c", "HTTP_ACCEPT=a\tb");
    assert_true(g.good);
    assert_int_equal(g.req.request_id.len, 36); /* not a plain word: another was made */
}

static void t08_the_first_counts(void **state)
{
    (void)state;
    struct got g CLEANUP(got_release) = READ(PATH, "DOCUMENT_URI=/b");
    assert_span(g.req.path, "/a");
}

static void t09_an_idempotency_key_is_refused(void **state)
{
    (void)state;
    struct got g CLEANUP(got_release) = READ("REQUEST_METHOD=POST", PATH, "HTTP_IDEMPOTENCY_KEY=k");
    assert_false(g.good);
    assert_int_equal(g.e.code, ERR_BAD_REQUEST);
    assert_string_equal(g.e.pointer, "Idempotency-Key");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(t01_everything),
        cmocka_unit_test(t02_nothing_but_a_path),
        cmocka_unit_test(t03_methods),
        cmocka_unit_test(t04_request_uri_where_there_is_no_document_uri),
        cmocka_unit_test(t05_lengths_that_are_none),
        cmocka_unit_test(t06_caps),
        cmocka_unit_test(t07_control_characters),
        cmocka_unit_test(t08_the_first_counts),
        cmocka_unit_test(t09_an_idempotency_key_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
