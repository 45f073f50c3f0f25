/* Prefer, Accept, Content-Type, If-None-Match. */
#include <string.h>

#include "api/prefer.h"
#include "core/attr.h"
#include "../lib/test.h"

static struct prefer prefer(const char *text)
{
    return prefer_read(span_of(text));
}

static void t01_prefer(void **state)
{
    (void)state;
    assert_false(prefer("").respond_async);
    assert_false(prefer("").has_wait);
    assert_true(prefer("respond-async").respond_async);
    assert_true(prefer("Respond-Async").respond_async);
    assert_true(prefer("wait=7").has_wait);
    assert_int_equal(prefer("wait=7").wait_s, 7);
    assert_int_equal(prefer("wait = \"7\"; foo=bar").wait_s, 7);
    struct prefer both = prefer("handling=strict, respond-async , wait=10");
    assert_true(both.respond_async && both.has_wait && both.wait_s == 10);
    assert_int_equal(prefer("wait=3, wait=9").wait_s, 3);
    assert_int_equal(prefer("foo=\"a, wait=4\", wait=5").wait_s, 5);
}

static void t02_nonsense_is_ignored(void **state)
{
    (void)state;
    const char *const bad[] = {"wait",   "wait=",   "wait=-1", "wait=1.5", "wait=99999999999999999999",
                               "wait=x", "waits=3", ",,;=,\"", "\"wait=3", "wait=\"3",
                               "\\"};
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        struct prefer p = prefer(bad[i]);
        if (p.has_wait || p.respond_async)
            fail_msg("\"%s\" was taken for a preference", bad[i]);
    }
}

static void t03_how_long(void **state)
{
    (void)state;
    struct prefer none = prefer(""), async = prefer("respond-async"), some = prefer("wait=2"),
                  both = prefer("respond-async, wait=2"), much = prefer("wait=9223372036854775807");
    assert_int_equal(prefer_wait_ms(&none, 25000), 25000);
    assert_int_equal(prefer_wait_ms(&async, 25000), 0);
    assert_int_equal(prefer_wait_ms(&some, 25000), 2000);
    assert_int_equal(prefer_wait_ms(&both, 25000), 2000);
    assert_int_equal(prefer_wait_ms(&much, 25000), 25000);
    assert_int_equal(prefer_wait_ms(&some, 500), 500);
    assert_int_equal(prefer_wait_ms(&none, 0), 0);
}

static void t04_applied(void **state)
{
    (void)state;
    char text[PREFER_TEXT];
    const char *const same[] = {"", "respond-async", "wait=3", "respond-async, wait=3"};
    for (size_t i = 0; i < COUNT_OF(same); i++) {
        struct prefer p = prefer(same[i]);
        prefer_applied(&p, text);
        assert_string_equal(text, same[i]);
    }
}

static void t05_media_type(void **state)
{
    (void)state;
    assert_true(span_is(media_type(SPAN("application/json; charset=utf-8")), "application/json"));
    assert_true(span_is(media_type(SPAN("  text/plain ")), "text/plain"));
    assert_int_equal(media_type(SPAN("")).len, 0);
    assert_int_equal(media_type(SPAN(";")).len, 0);
}

static int choose(const char *accept)
{
    static const char *const offers[] = {"application/json", "application/x-ndjson"};
    return media_choose(span_of(accept), offers, 2);
}

static void t06_accept(void **state)
{
    (void)state;
    assert_int_equal(choose(""), 0);
    assert_int_equal(choose("*/*"), 0);
    assert_int_equal(choose("application/*"), 0);
    assert_int_equal(choose("application/x-ndjson"), 1);
    assert_int_equal(choose("Application/X-NDJSON;q=0.5"), 1);
    assert_int_equal(choose("application/json;q=0.1, application/x-ndjson;q=0.9"), 1);
    assert_int_equal(choose("application/json;q=0, */*"), 1);
    assert_int_equal(choose("text/html, */*;q=0.1"), 0);
    assert_int_equal(choose("text/html"), -1);
    assert_int_equal(choose("application/json;q=0"), -1);
    assert_int_equal(choose("appli"), -1);
    assert_int_equal(choose("application/"), -1);
}

static bool matches(const char *header)
{
    return etag_matches(span_of(header), SPAN("\"abc\""));
}

static void t07_etag(void **state)
{
    (void)state;
    assert_true(matches("\"abc\""));
    assert_true(matches("W/\"abc\""));
    assert_true(matches("\"x,y\", \"abc\""));
    assert_true(matches("*"));
    assert_false(matches(""));
    assert_false(matches("abc"));
    assert_false(matches("\"abcd\""));
    assert_false(matches("\"x, \"abc\""));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(t01_prefer),     cmocka_unit_test(t02_nonsense_is_ignored),
        cmocka_unit_test(t03_how_long),   cmocka_unit_test(t04_applied),
        cmocka_unit_test(t05_media_type), cmocka_unit_test(t06_accept),
        cmocka_unit_test(t07_etag),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
