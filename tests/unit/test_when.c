/* Times and cursors as callers write them. */
#include <string.h>

#include "api/cursor.h"
#include "core/when.h"
#include "core/attr.h"
#include "core/clock.h"
#include "../lib/test.h"

static void check_time(const char *text, int64_t us)
{
    int64_t found = -1;
    if (!when_read(span_of(text), &found))
        fail_msg("\"%s\" was refused", text);
    assert_int_equal(found, us);
}

static void t01_times(void **state)
{
    (void)state;
    check_time("1970-01-01", 0);
    check_time("1970-01-01T00:00:00Z", 0);
    check_time("1970-01-01T00:00:01.5Z", 1500000);
    check_time("1970-01-01t01:00:00+01:00", 0);
    check_time("1970-01-01 01:00:00 01:00", 0);
    check_time("1970-01-01T00:00:00-00:30", 1800 * INT64_C(1000000));
    check_time("2000-02-29T00:00:00Z", INT64_C(951782400) * 1000000);
    check_time("2026-11-21T03:14:05.123456Z", INT64_C(1795230845) * 1000000 + 123456);
    check_time("1970-01-01T00:00:00.123456789Z", 123456);
}

static void t02_reads_what_we_write(void **state)
{
    (void)state;
    const int64_t times[] = {0, 1, INT64_C(951782399999999), INT64_C(4102444800000000),
                             INT64_C(253402300799999999)};
    for (size_t i = 0; i < COUNT_OF(times); i++) {
        char text[CLOCK_TEXT];
        clock_format(times[i], text);
        check_time(text, times[i]);
    }
}

static void t03_no_times(void **state)
{
    (void)state;
    const char *const bad[] = {"",
                               "now",
                               "2026",
                               "2026-13-01",
                               "2026-00-01",
                               "2026-02-29",
                               "2026-04-31",
                               "2100-02-29",
                               "2026-1-01",
                               "2026-01-01T",
                               "2026-01-01T00:00",
                               "2026-01-01T00:00:00",
                               "2026-01-01T24:00:00Z",
                               "2026-01-01T00:60:00Z",
                               "2026-01-01T00:00:00.Z",
                               "2026-01-01T00:00:00ZZ",
                               "2026-01-01T00:00:00+1:00",
                               "2026-01-01T00:00:00+24:00",
                               "-026-01-01",
                               "2026-01-01x",
                               "12345678901"};
    int64_t us;
    for (size_t i = 0; i < COUNT_OF(bad); i++)
        if (when_read(span_of(bad[i]), &us))
            fail_msg("\"%s\" was taken for a time", bad[i]);
    assert_false(when_read((struct span){"1970\0 01-01", 10}, &us));
}

static void t04_cursor(void **state)
{
    (void)state;
    char text[CURSOR_TEXT];
    struct uuid id = uuid_v7(), found;
    cursor_write(id, SPAN("state=failed"), text);
    assert_int_equal(strlen(text), CURSOR_TEXT - 1);
    assert_true(cursor_read(span_of(text), SPAN("state=failed"), &found));
    assert_true(uuid_eq(id, found));
    assert_false(cursor_read(span_of(text), SPAN("state=queued"), &found));
}

static void t05_no_cursor(void **state)
{
    (void)state;
    char text[CURSOR_TEXT];
    struct uuid found;
    cursor_write(uuid_v7(), SPAN(""), text);
    assert_false(cursor_read(SPAN(""), SPAN(""), &found));
    assert_false(cursor_read((struct span){text, CURSOR_TEXT - 2}, SPAN(""), &found));
    text[0] = '!';
    assert_false(cursor_read(span_of(text), SPAN(""), &found));
    text[0] = 'B'; /* another version */
    assert_false(cursor_read(span_of(text), SPAN(""), &found));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(t01_times),     cmocka_unit_test(t02_reads_what_we_write),
        cmocka_unit_test(t03_no_times),  cmocka_unit_test(t04_cursor),
        cmocka_unit_test(t05_no_cursor),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
