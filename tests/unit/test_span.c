/* core/span.h */
#include "unit/unit.h"

#include <locale.h>
#include <math.h>

static void t01_take(void **state)
{
    (void)state;
    struct span s = SPAN("abcdef");
    assert_span(span_take(&s, 2), "ab");
    assert_span(s, "cdef");
    assert_span(span_take(&s, 0), "");
    assert_span(span_take(&s, 99), "cdef");
    assert_span(span_take(&s, 1), "");
    struct span none = {NULL, 0};
    assert_span(span_take(&none, 3), "");
}

static void t02_cut(void **state)
{
    (void)state;
    struct span s = SPAN("a,,b");
    assert_span(span_cut(&s, ','), "a");
    assert_span(span_cut(&s, ','), "");
    assert_span(span_cut(&s, ','), "b");
    assert_int_equal(s.len, 0);
    assert_span(span_cut(&s, ','), "");
}

static void t03_lines(void **state)
{
    (void)state;
    struct span s = SPAN("1\n\n3\n4");
    assert_span(span_lines(&s, 0), "");
    assert_span(span_lines(&s, 2), "1\n\n");
    assert_span(span_lines(&s, 1), "3\n");
    assert_span(s, "4");
    assert_span(span_lines(&s, INT64_MAX), "4");
    assert_span(s, "");
    assert_span(span_lines(&s, 1), "");
    struct span none = {NULL, 0};
    assert_span(span_lines(&none, 3), "");
}

static void t04_trim_and_compare(void **state)
{
    (void)state;
    assert_span(span_trim(SPAN(" \t a b\t ")), "a b");
    assert_span(span_trim(SPAN(" \t ")), "");
    assert_true(span_starts(SPAN("unix:/x"), "unix:"));
    assert_true(span_starts(SPAN("x"), ""));
    assert_false(span_starts(SPAN("uni"), "unix"));
    assert_true(span_eq_nocase(SPAN("Content-TYPE"), "content-type"));
    assert_false(span_eq_nocase(SPAN("content-typ"), "content-type"));
    assert_false(span_eq_nocase(SPAN("["), "{")); /* 0x20 apart and no letters */
    assert_true(span_eq(SPAN("a\0b"), SPAN("a\0b")));
    assert_false(span_eq(SPAN("a\0b"), SPAN("a\0c")));
    assert_true(span_eq(span_of(NULL), SPAN("")));
}

static void t05_to_int(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t value;
    } good[] = {{"0", 0},
                {"-0", 0},
                {"007", 7},
                {"9223372036854775807", INT64_MAX},
                {"-9223372036854775808", INT64_MIN}};
    for (size_t i = 0; i < COUNT_OF(good); i++) {
        int64_t v = 42;
        assert_true(span_to_int(span_of(good[i].text), &v));
        assert_true(v == good[i].value);
    }
    static const char *const bad[] = {"",
                                      "-",
                                      "+1",
                                      " 1",
                                      "1 ",
                                      "1.0",
                                      "0x10",
                                      "1e3",
                                      "--1",
                                      "1-",
                                      "9223372036854775808",
                                      "-9223372036854775809",
                                      "99999999999999999999999"};
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        int64_t v = 42;
        assert_false(span_to_int(span_of(bad[i]), &v));
        assert_int_equal(v, 42);
    }
}

static void t06_to_num(void **state)
{
    (void)state;
    double v = 42;
    assert_true(span_to_num(SPAN("0.1"), &v));
    assert_true(v == 0.1);
    assert_true(span_to_num(SPAN("-1.5E+3"), &v));
    assert_true(v == -1500);
    assert_true(span_to_num(SPAN("1e-400"), &v)); /* too small is zero, as everywhere */
    assert_true(v == 0);
    v = 42;
    static const char *const bad[] = {"",   "inf", "NaN", "0x1p3", "1.",    ".5",     "1e", "1e+",
                                      " 1", "1 ",  "+1",  "1,5",   "1e999", "-1e999", "-"};
    for (size_t i = 0; i < COUNT_OF(bad); i++)
        assert_false(span_to_num(span_of(bad[i]), &v));
    assert_true(v == 42);
    char many[2000];
    memset(many, '1', sizeof many);
    assert_false(span_to_num((struct span){many, sizeof many}, &v));
    assert_true(span_to_num((struct span){many, 300}, &v));
}

static void t07_to_num_whatever_the_locale(void **state)
{
    (void)state;
    static const char *const comma[] = {"de_DE.UTF-8", "fr_FR.UTF-8", "de_DE", "fr_FR"};
    for (size_t i = 0; i < COUNT_OF(comma); i++)
        if (setlocale(LC_NUMERIC, comma[i]))
            break; /* where the machine has none, what is below still has to hold */
    double v = 0;
    assert_true(span_to_num(SPAN("1.5"), &v));
    assert_true(v == 1.5);
    setlocale(LC_NUMERIC, "C");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(t01_take),
        cmocka_unit_test(t02_cut),
        cmocka_unit_test(t03_lines),
        cmocka_unit_test(t04_trim_and_compare),
        cmocka_unit_test(t05_to_int),
        cmocka_unit_test(t06_to_num),
        cmocka_unit_test(t07_to_num_whatever_the_locale),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
