#include "../lib/test.h"

#include <poll.h>
#include <stdio.h>

#include "core/breaker.h"
#include "core/clock.h"
#include "core/limits.h"
#include "exec/places.h"

static void fail_once(struct breaker *b, int64_t now, enum breaker_move expected)
{
    unsigned turn;
    assert_true(breaker_enter(b, now, &turn));
    assert_int_equal(breaker_leave(b, turn, false, now), expected);
}

static struct breaker opened(int64_t now)
{
    struct breaker b = {0};
    fail_once(&b, now, BREAKER_STAYED);
    fail_once(&b, now, BREAKER_STAYED);
    fail_once(&b, now, BREAKER_OPENED);
    return b;
}

static void test_three_failures_in_a_row(void **state)
{
    (void)state;
    struct breaker b = {0};
    unsigned turn;
    for (int i = 0; i < 5; i++) { /* a success in between starts the count again */
        fail_once(&b, 1, BREAKER_STAYED);
        fail_once(&b, 1, BREAKER_STAYED);
        assert_true(breaker_enter(&b, 1, &turn));
        assert_int_equal(breaker_leave(&b, turn, true, 1), BREAKER_STAYED);
    }
    b = opened(1);
    assert_true(breaker_refuses(&b, 1));
    assert_false(breaker_enter(&b, 1, &turn));
    assert_false(breaker_enter(&b, BREAKER_FIRST_NS / 2, &turn));
}

static void test_one_probe_at_a_time(void **state)
{
    (void)state;
    struct breaker b = opened(1);
    unsigned probe, other;
    int64_t later = b.until;
    assert_true(breaker_enter(&b, later, &probe));
    assert_false(breaker_enter(&b, later, &other));
    assert_int_equal(breaker_leave(&b, probe, true, later), BREAKER_CLOSED);
    assert_true(breaker_enter(&b, later, &other));
    assert_true(breaker_enter(&b, later, &other));
}

static void test_waits_grow_to_a_limit_and_start_again(void **state)
{
    (void)state;
    struct breaker b = opened(1);
    int64_t longest = 0;
    for (int i = 0; i < 12; i++) {
        int64_t now = b.until, before = b.wait;
        fail_once(&b, now, BREAKER_STAYED);
        assert_true(b.wait == before * 2 || b.wait == BREAKER_LONGEST_NS);
        assert_true(b.until - now >= b.wait / 2 && b.until - now <= b.wait * 3 / 2);
        longest = b.wait;
    }
    assert_int_equal(longest, BREAKER_LONGEST_NS);
    unsigned turn;
    assert_true(breaker_enter(&b, b.until, &turn));
    assert_int_equal(breaker_leave(&b, turn, true, b.until), BREAKER_CLOSED);
    int64_t now = 1;
    fail_once(&b, now, BREAKER_STAYED);
    fail_once(&b, now, BREAKER_STAYED);
    fail_once(&b, now, BREAKER_OPENED);
    assert_int_equal(b.wait, BREAKER_FIRST_NS);
}

static void test_calls_from_before_a_move_are_not_counted(void **state)
{
    (void)state;
    struct breaker b = {0};
    unsigned slow_ok, slow_bad, probe;
    assert_true(breaker_enter(&b, 1, &slow_ok));
    assert_true(breaker_enter(&b, 1, &slow_bad));
    for (int i = 0; i < 3; i++)
        fail_once(&b, 1, i == 2 ? BREAKER_OPENED : BREAKER_STAYED);
    assert_int_equal(breaker_leave(&b, slow_ok, true, 2), BREAKER_STAYED); /* does not close it */
    assert_true(breaker_refuses(&b, 2));
    assert_true(breaker_enter(&b, b.until, &probe));
    assert_int_equal(breaker_leave(&b, slow_bad, false, b.until),
                     BREAKER_STAYED); /* does not end the probe */
    assert_int_equal(breaker_leave(&b, probe, true, b.until), BREAKER_CLOSED);
}

/* A probe that was called off leaves the place to another; and a breaker may have numbers of its own. */
static void test_called_off(void **state)
{
    (void)state;
    struct breaker b = {.allowed = 1, .first_ns = 1000, .longest_ns = 3000};
    unsigned probe, next;
    fail_once(&b, 1, BREAKER_OPENED);
    assert_int_equal(b.wait, 1000);
    int64_t later = b.until;
    assert_true(breaker_enter(&b, later, &probe));
    assert_true(breaker_refuses(&b, later));
    breaker_forget(&b, probe);
    assert_true(breaker_enter(&b, later, &next));
    breaker_forget(&b, probe); /* not its own any more */
    assert_true(breaker_refuses(&b, later));
    assert_int_equal(breaker_leave(&b, next, false, later), BREAKER_STAYED);
    assert_int_equal(b.wait, 2000);
    assert_true(breaker_enter(&b, b.until, &next));
    assert_int_equal(breaker_leave(&b, next, true, later), BREAKER_CLOSED);
    fail_once(&b, 1, BREAKER_OPENED);
    assert_int_equal(b.wait, 1000);
}

static void fail_at(int number)
{
    char origin[64];
    struct visit v;
    snprintf(origin, sizeof origin, "http://h%d:80", number);
    assert_true(places_visit(origin, "h", &v, NULL));
    places_leave(&v, VISIT_FAILED);
}

static bool has_place(const char *origin)
{
    struct visit v;
    assert_true(places_visit(origin, "h", &v, NULL));
    bool has = v.place != NULL;
    places_leave(&v, VISIT_UNKNOWN);
    return has;
}

/* As many dead servers as there is room for: each is missed while it is left alone, and makes room when nobody asks again. */
static void test_places_of_the_dead(void **state)
{
    static struct conf c = {.http_breaker_failures = 1, .http_breaker_open = 600000};
    (void)state;
    places_open(&c);
    for (int i = 0; i < (int)LIMIT_ORIGINS - 1; i++)
        fail_at(i);
    c.http_breaker_open = 1;
    fail_at((int)LIMIT_ORIGINS - 1);
    for (int64_t until = clock_after_ms(20000); !has_place("http://new:80") && clock_now() < until;)
        poll(NULL, 0, 2);
    assert_true(has_place("http://new:80"));
    assert_true(places_refuse("http://h0:80", NULL));
    assert_false(places_refuse("http://h511:80", NULL));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_three_failures_in_a_row),
        cmocka_unit_test(test_one_probe_at_a_time),
        cmocka_unit_test(test_waits_grow_to_a_limit_and_start_again),
        cmocka_unit_test(test_called_off),
        cmocka_unit_test(test_places_of_the_dead),
        cmocka_unit_test(test_calls_from_before_a_move_are_not_counted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
