/* core/clock.h. Nothing here depends on how fast the machine is. */
#include "unit/unit.h"

#include <limits.h>

#include "core/clock.h"

static void t01_clocks_run(void **state)
{
    (void)state;
    int64_t now = clock_now(), cpu = clock_thread_cpu(), process = clock_process_cpu();
    while (clock_thread_cpu() - cpu < NS_PER_MS)
        ;
    assert_true(clock_now() - now >=
                NS_PER_MS); /* a thread cannot compute longer than the time that went by */
    assert_true(clock_process_cpu() > process);
    assert_true(clock_wall_us() > INT64_C(1700000000) * 1000000);
}

static void t02_deadlines(void **state)
{
    (void)state;
    assert_true(clock_after_ms(-1) == CLOCK_NEVER);
    assert_true(clock_after_ms(INT64_MAX) == CLOCK_NEVER);
    assert_true(clock_after_ms(INT64_MAX / NS_PER_MS) ==
                CLOCK_NEVER); /* the product fits, the sum does not */
    int64_t before = clock_now(), d = clock_after_ms(50), after = clock_now();
    assert_true(d >= before + 50 * NS_PER_MS && d <= after + 50 * NS_PER_MS);
}

static void t03_poll_time_outs(void **state)
{
    (void)state;
    assert_int_equal(clock_poll_ms(CLOCK_NEVER), -1);
    assert_int_equal(clock_poll_ms(0), 0);
    assert_int_equal(clock_poll_ms(clock_now()), 0);
    assert_int_equal(clock_poll_ms(clock_now() + INT64_C(1000000) * 3600 * NS_PER_S), INT_MAX);
    int ms = clock_poll_ms(clock_now() + 3600 * NS_PER_S);
    assert_true(ms > 0 && ms <= 3600000);
    /* rounded up: a loop that polls with it never spins at the end */
    int64_t deadline = clock_now() + NS_PER_S;
    int left;
    while ((left = clock_poll_ms(deadline)) > 999)
        ;
    assert_true(left >= 1 || clock_now() >= deadline);
}

static void t04_format(void **state)
{
    (void)state;
    static const struct {
        int64_t us;
        const char *text;
    } rows[] = {{0, "1970-01-01T00:00:00.000000Z"},
                {INT64_C(1795230845123456), "2026-11-21T03:14:05.123456Z"},
                {INT64_C(1709164800000001), "2024-02-29T00:00:00.000001Z"},
                {-1, "1969-12-31T23:59:59.999999Z"},
                {INT64_C(253402300799999999), "9999-12-31T23:59:59.999999Z"}};
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        char text[CLOCK_TEXT];
        clock_format(rows[i].us, text);
        assert_string_equal(text, rows[i].text);
    }
    char text[CLOCK_TEXT];
    clock_format(INT64_MAX, text); /* no year that we know, but no overrun either */
    assert_int_equal(strlen(text), CLOCK_TEXT - 1);
    clock_format(INT64_MIN, text);
    assert_int_equal(strlen(text), CLOCK_TEXT - 1);
}

static void t05_jitter(void **state)
{
    (void)state;
    bool differs = false;
    int64_t first = clock_jitter(1000);
    for (int i = 0; i < 200; i++) {
        int64_t j = clock_jitter(1000);
        assert_true(j >= 500 && j < 1500);
        differs = differs || j != first;
    }
    assert_true(differs);
    assert_int_equal(clock_jitter(0), 0);
}

static bool close_to(int64_t us, int64_t want)
{
    return us >= want && us < want + 60 * 1000000; /* whatever the machine does in between */
}

static void t06_shared(void **state)
{
    (void)state;
    assert_true(close_to(clock_shared_us(), clock_wall_us() - 1000000)); /* nobody has told */
    clock_told(5000000);
    assert_true(close_to(clock_shared_us(), 5000000));
    int64_t before = clock_shared_us();
    while (clock_shared_us() == before)
        ; /* it goes on */
    clock_told(clock_wall_us() + INT64_C(3600) * 1000000);
    assert_true(close_to(clock_shared_us(), clock_wall_us() + INT64_C(3599) * 1000000));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(t01_clocks_run),     cmocka_unit_test(t02_deadlines),
        cmocka_unit_test(t03_poll_time_outs), cmocka_unit_test(t04_format),
        cmocka_unit_test(t05_jitter),         cmocka_unit_test(t06_shared),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
