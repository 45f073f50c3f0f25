#include "../lib/test.h"

#include "cache/view_text.h"

static void test_what_is_written_is_read(void **state)
{
    (void)state;
    struct cache_view sum = {.done = 1, .failed = 2, .partial_milli = 3};
    struct cache_view v = {.done = 1000000, .failed = 7, .partial_milli = 999999999};
    char text[VIEW_TEXT];
    size_t n = view_format(&v, text);
    assert_true(view_add((struct span){text, n}, &sum));
    assert_int_equal(sum.done, 1000001);
    assert_int_equal(sum.failed, 9);
    assert_int_equal(sum.partial_milli, 1000000002);
}

static void test_foreign_text_adds_nothing(void **state)
{
    (void)state;
    static const char *const bad[] = {"",
                                      " ",
                                      "1",
                                      "1 2",
                                      "1 2 ",
                                      "1 2 3 4",
                                      "1 2 3 ",
                                      " 1 2 3",
                                      "1  2 3",
                                      "-1 2 3",
                                      "1 -2 3",
                                      "1 2 -3",
                                      "a b c",
                                      "1 2 3.5",
                                      "9223372036854775807 0 0",
                                      "99999999999999999999 0 0",
                                      "1 2 0x3",
                                      "1,2,3"};
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        struct cache_view sum = {.done = 5, .failed = 5, .partial_milli = 5};
        assert_false(view_add(span_of(bad[i]), &sum));
        assert_int_equal(sum.done, 5);
        assert_int_equal(sum.failed, 5);
        assert_int_equal(sum.partial_milli, 5);
    }
    struct cache_view sum = {0};
    assert_false(view_add((struct span){"1 2\0003", 5}, &sum));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_is_written_is_read),
        cmocka_unit_test(test_foreign_text_adds_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
