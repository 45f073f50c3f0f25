/*
 * The table of states as a graph: what is over stays over unless somebody asks for it to run again, everything else can be reached and can end, and whatever may
 * run may be cancelled. (The moves one by one: tests/unit/test_state.c; the same table in SQL: tests of store/.)
 */
#include "../lib/test.h"

#include "model/task.h"

#define EACH(s) for (enum task_state s = 0; s < TASK_STATES; s++)

static void test_final_is_final(void **unused)
{
    (void)unused;
    EACH(from)
    EACH(to)
    if (state_final(from) && state_may(from, to) != (to == TASK_scheduled || to == TASK_queued))
        fail_msg("%s -> %s", state_name(from), state_name(to));
}

static void test_no_move_to_itself(void **unused)
{
    (void)unused;
    EACH(s) assert_false(state_may(s, s));
}

/* Which states can be reached from `from`, itself included, without being run again. */
static unsigned reach(enum task_state from)
{
    unsigned seen = 1u << from, before;

    do {
        before = seen;
        EACH(s) EACH(t) if ((seen >> s & 1u) && !state_final(s) && state_may(s, t)) seen |= 1u << t;
    } while (seen != before);
    return seen;
}

static void test_everything_is_reached(void **unused)
{
    (void)unused;
    assert_int_equal(reach(TASK_scheduled), (1u << TASK_STATES) - 1);
}

static void test_everything_can_end(void **unused)
{
    (void)unused;
    EACH(s)
    EACH(end)
    if (!state_final(s) && state_final(end) && !(reach(s) >> end & 1u))
        fail_msg("%s can never be %s", state_name(s), state_name(end));
}

static void test_everything_can_be_cancelled(void **unused)
{
    (void)unused;
    EACH(s) assert_int_equal(state_may(s, TASK_cancelled), !state_final(s));
}

/* Time has one direction: what ran is not queued again as a task (its units are). */
static void test_no_way_back(void **unused)
{
    (void)unused;
    EACH(from) EACH(to) if (!state_final(from) && state_may(from, to)) assert_false(reach(to) >> from & 1u);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_final_is_final),
        cmocka_unit_test(test_no_move_to_itself),
        cmocka_unit_test(test_everything_is_reached),
        cmocka_unit_test(test_everything_can_end),
        cmocka_unit_test(test_everything_can_be_cancelled),
        cmocka_unit_test(test_no_way_back),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
