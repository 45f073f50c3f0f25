/* core/utf8.h */
#include "unit/unit.h"

#include "core/utf8.h"

static void t01_every_code_point(void **state)
{
    (void)state;
    for (uint32_t point = 0; point <= 0x10ffff; point++) {
        if (point >= 0xd800 && point <= 0xdfff)
            continue;
        char bytes[4];
        size_t n = utf8_encode(point, bytes);
        if (utf8_length((struct span){bytes, n}) != n ||
            (n > 1 && utf8_length((struct span){bytes, n - 1}) != 0))
            fail_msg("U+%04X", point);
    }
}

static void t02_what_is_none(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "\x80",
        "\xbf",
        "\xc0\x80",
        "\xc1\xbf",
        "\xc3",
        "\xc3(",
        "\xe0\x9f\xbf",
        "\xed\xa0\x80",
        "\xed\xbf\xbf",
        "\xe2\x82",
        "\xe2(\xa1",
        "\xf0\x8f\xbf\xbf",
        "\xf4\x90\x80\x80",
        "\xf5\x80\x80\x80",
        "\xff",
        "\xfe",
    };
    for (size_t i = 0; i < COUNT_OF(bad); i++)
        assert_int_equal(utf8_length(span_of(bad[i])), 0);
    assert_int_equal(utf8_length(SPAN("")), 0);
    assert_int_equal(utf8_length(SPAN("a\xff")), 1);
}

static void t03_clip(void **state)
{
    (void)state;
    struct span s = SPAN("a\xc3\xa9\xf0\x9f\x98\x80z"); /* a é 😀 z: 1 2 4 1 */
    static const size_t want[] = {0, 1, 1, 3, 3, 3, 3, 7, 8, 8};
    for (size_t max = 0; max < COUNT_OF(want); max++)
        assert_int_equal(utf8_clip(s, max).len, want[max]);
    assert_int_equal(utf8_clip(SPAN("\x80\x80\x80\x80\x80\x80"), 5).len,
                     2); /* no UTF-8: not far back at least */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(t01_every_code_point),
        cmocka_unit_test(t02_what_is_none),
        cmocka_unit_test(t03_clip),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
