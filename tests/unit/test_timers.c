/* exec/timers.h: earliest first, whatever was added and taken out in between. */
#include "../lib/test.h"

#include "core/mem.h"
#include "exec/timers.h"

#define MANY 2000

static uint32_t next_random(uint32_t *seed)
{
    return *seed = *seed * 1664525u + 1013904223u;
}

static void t01_nothing_is_due_of_nothing(void **state)
{
    (void)state;
    struct timers t = TIMERS_INIT;
    assert_true(timers_next(&t) == CLOCK_NEVER);
    assert_null(timers_pop(&t, CLOCK_NEVER));
    timers_release(&t);
}

static void t02_not_before_their_time(void **state)
{
    (void)state;
    struct timers t = TIMERS_INIT;
    struct timer a = {0}, b = {0};
    timers_add(&t, &a, 20);
    timers_add(&t, &b, 10);
    assert_null(timers_pop(&t, 9));
    assert_ptr_equal(timers_pop(&t, 10), &b);
    assert_null(timers_pop(&t, 19));
    assert_ptr_equal(timers_pop(&t, 30), &a);
    timers_remove(&t, &a); /* not in it: nothing happens */
    assert_null(timers_pop(&t, CLOCK_NEVER));
    timers_release(&t);
}

static void t03_in_order_after_any_changes(void **state)
{
    (void)state;
    struct timers t = TIMERS_INIT;
    struct timer *all = mem_array(MANY, sizeof *all);
    uint32_t seed = 7;
    size_t in = 0;
    for (int round = 0; round < 20 * MANY; round++) {
        struct timer *one = &all[next_random(&seed) % MANY];
        if (one->at) {
            timers_remove(&t, one);
            in--;
        } else {
            timers_add(&t, one, next_random(&seed) % 1000);
            in++;
        }
        assert_int_equal(t.count, in);
    }
    int64_t before = 0;
    for (struct timer *one; (one = timers_pop(&t, 1000)); in--) {
        assert_true(one->due >= before);
        assert_int_equal(one->at, 0);
        before = one->due;
    }
    assert_int_equal(in, 0);
    timers_release(&t);
    mem_free(all);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(t01_nothing_is_due_of_nothing),
        cmocka_unit_test(t02_not_before_their_time),
        cmocka_unit_test(t03_in_order_after_any_changes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
