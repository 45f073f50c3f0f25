/* Templates against paths: which one has it, what it allows, and what fits nothing. */
#include <string.h>

#include "api/router.h"
#include "../lib/test.h"

static void nothing(struct api *a, struct call *c, struct span p)
{
    (void)a, (void)c, (void)p;
}

static const struct route table[] = {
    {METHOD_POST, ROUTE_PLAIN, "/t/compare", nothing, "literal"},
    {METHOD_GET, ROUTE_PLAIN, "/t", nothing, "list"},
    {METHOD_POST, ROUTE_PLAIN, "/t/{strategy}", nothing, "submit"},
    {METHOD_GET, ROUTE_PLAIN, "/t/{id}", nothing, "get"},
    {METHOD_DELETE, ROUTE_PLAIN, "/t/{id}", nothing, "cancel"},
    {METHOD_GET, ROUTE_PLAIN, "/t/status/{id}", nothing, "status"},
    {METHOD_GET, ROUTE_PLAIN, "/t/{id}/results", nothing, "results"},
    {METHOD_GET, ROUTE_EFFECTS, "/begin", nothing, "begin"},
};

static struct route_match match(enum method m, const char *path)
{
    return route_match(table, COUNT_OF(table), m, span_of(path));
}

static void check_route(enum method m, const char *path, const char *summary, const char *parameter)
{
    struct route_match r = match(m, path);
    assert_non_null(r.route);
    assert_string_equal(r.route->summary, summary);
    assert_true(span_is(r.parameter, parameter));
}

static void t01_routes(void **state)
{
    (void)state;
    check_route(METHOD_GET, "/t", "list", "");
    check_route(METHOD_POST, "/t/hybrid", "submit", "hybrid");
    check_route(METHOD_GET, "/t/17", "get", "17");
    check_route(METHOD_DELETE, "/t/17", "cancel", "17");
    check_route(METHOD_GET, "/t/17/results", "results", "17");
}

static void t02_the_more_literal_template_has_it(void **state)
{
    (void)state;
    check_route(METHOD_POST, "/t/compare", "literal", "");
    assert_null(match(METHOD_GET, "/t/compare").route);
    assert_string_equal(match(METHOD_GET, "/t/compare").path, "/t/compare");
    check_route(METHOD_GET, "/t/status/results", "status", "results");
}

static void t03_head_is_get(void **state)
{
    (void)state;
    check_route(METHOD_HEAD, "/t/17", "get", "17");
    assert_null(match(METHOD_HEAD, "/t/compare").route);
}

static void t04_no_head_of_what_has_effects(void **state)
{
    (void)state;
    check_route(METHOD_GET, "/begin", "begin", "");
    assert_null(match(METHOD_HEAD, "/begin").route);
    assert_string_equal(match(METHOD_HEAD, "/begin").path, "/begin");
    assert_int_equal(match(METHOD_HEAD, "/begin").allowed, 1u << METHOD_GET | 1u << METHOD_OPTIONS);
}

static void t05_allow(void **state)
{
    (void)state;
    char text[ALLOW_TEXT];
    allow_format(match(METHOD_PUT, "/t/17").allowed, text);
    assert_string_equal(text, "GET, HEAD, POST, DELETE, OPTIONS");
    allow_format(match(METHOD_OTHER, "/t/compare").allowed, text);
    assert_string_equal(text, "POST, OPTIONS");
    assert_null(match(METHOD_PUT, "/t/17").route);
}

static void t06_strict(void **state)
{
    (void)state;
    const char *const none[] = {"",
                                "/",
                                "t",
                                "/t/",
                                "/t//",
                                "//t",
                                "/T",
                                "/tt",
                                "/t/17/",
                                "/t/17/results/",
                                "/t//results",
                                "/t/17/other",
                                "/t/a/b/c",
                                "/t/status/"};
    for (size_t i = 0; i < COUNT_OF(none); i++) {
        struct route_match r = match(METHOD_GET, none[i]);
        if (r.path)
            fail_msg("\"%s\" fits %s", none[i], r.path);
        assert_int_equal(r.allowed, 0);
    }
}

static void t07_any_byte(void **state)
{
    (void)state;
    struct span odd = {"/t/a\0b", 6};
    assert_true(
        span_eq(route_match(table, COUNT_OF(table), METHOD_GET, odd).parameter, (struct span){"a\0b", 3}));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(t01_routes),      cmocka_unit_test(t02_the_more_literal_template_has_it),
        cmocka_unit_test(t03_head_is_get), cmocka_unit_test(t04_no_head_of_what_has_effects),
        cmocka_unit_test(t05_allow),       cmocka_unit_test(t06_strict),
        cmocka_unit_test(t07_any_byte),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
