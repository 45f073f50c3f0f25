/* The states and their moves against an independent list, and the names both ways. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "model/task.h"

/* Written out again on purpose: a change to state.def has to be meant. A row is from, a column to. */
static const char *const names[] = {"scheduled", "queued", "running", "succeeded", "failed", "cancelled"};
static const char *const allowed[] = {
    ".xx.xx", /* scheduled */
    "..xxxx", /* queued */
    "...xxx", /* running */
    "xx....", /* succeeded */
    "xx....", /* failed */
    "xx....", /* cancelled */
};

static void test_names(void **unused)
{
    enum task_state s = TASK_queued;

    (void)unused;
    assert_int_equal(TASK_STATES, COUNT_OF(names));
    for (int i = 0; i < (int)TASK_STATES; i++) {
        assert_string_equal(state_name((enum task_state)i), names[i]);
        assert_true(state_by_name(span_of(names[i]), &s));
        assert_int_equal(s, i);
    }
}

static void test_unknown_name_leaves_result_alone(void **unused)
{
    static const char *const bad[] = {"", "Queued", "queue", "queuedx", "dead"};
    enum task_state s = TASK_failed;

    (void)unused;
    for (size_t i = 0; i < COUNT_OF(bad); i++)
        assert_false(state_by_name(span_of(bad[i]), &s));
    assert_int_equal(s, TASK_failed);
}

static void test_every_move(void **unused)
{
    (void)unused;
    for (int from = 0; from < (int)TASK_STATES; from++)
        for (int to = 0; to < (int)TASK_STATES; to++)
            if (state_may((enum task_state)from, (enum task_state)to) != (allowed[from][to] == 'x'))
                fail_msg("%s -> %s", names[from], names[to]);
}

static void test_final(void **unused)
{
    (void)unused;
    for (int i = 0; i < (int)TASK_STATES; i++)
        assert_int_equal(state_final((enum task_state)i), i >= 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_unknown_name_leaves_result_alone),
        cmocka_unit_test(test_every_move),
        cmocka_unit_test(test_final),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
