/*
 * The contract of exec_run when a run is cut short: cancelled before, while its items wait, while they compute; at its
 * deadline; at an item's time limit; at the first failure. Over every strategy with a shape and random free shapes.
 */
#include "runs.h"

static void test_cancelled_before(void **unused)
{
    (void)unused;
    for (size_t i = 0; i < shapes_n; i++) {
        struct arena a CLEANUP(arena_release) = ARENA_INIT;
        static struct seen s;
        struct plan p = plan_of(&s, find("echo"), args_of(&a, "echo", "{}"), 50, shapes[i]);

        cancel_raise(&s.cancel);
        run(&p, &s, shape_names[i]);
        assert_int_equal(s.report.cancelled, 50);
        assert_int_equal(atomic_load(&probed->begun), 0);
        arena_release(&s.arena);
    }
}

/* A thread may have looked at the flag just before it went up: one late item each is no breach. */
static void check_cancelled(const struct plan *p, const struct seen *s, const char *shape_name)
{
    if (atomic_load(&probed->begun_late) > shape_threads(&p->shape))
        fail_msg("%s: %d items began after the cancel", shape_name, (int)atomic_load(&probed->begun_late));
    for (int64_t i = 0; i < s->count; i++)
        assert_true(s->code[i] == ERR_NONE || s->code[i] == ERR_CANCELLED);
    assert_true(s->report.cancelled > 0);
}

static void test_cancelled_while_waiting(void **unused)
{
    (void)unused;
    for (size_t i = 0; i < shapes_n; i++) {
        struct arena a CLEANUP(arena_release) = ARENA_INIT;
        static struct seen s;
        struct plan p = plan_of(&s, find("sleep"), args_of(&a, "sleep", "{\"ms\":10}"), 500, shapes[i]);

        s.cancel_after = 1;
        run(&p, &s, shape_names[i]);
        check_cancelled(&p, &s, shape_names[i]);
        arena_release(&s.arena);
    }
}

/* From a thread that has nothing to do with the run, while short items come and go. How late is late is a matter of the
 * machine; but the run ends long before its work would, and what was not begun by its end is never begun. */
static void test_cancelled_from_outside(void **unused)
{
    (void)unused;
    for (size_t i = 0; i < shapes_n; i++) {
        struct arena a CLEANUP(arena_release) = ARENA_INIT;
        static struct seen s;
        struct shape narrow = shapes[i];
        narrow.width = narrow.grain = 1;
        struct plan p = plan_of(&s, find("sleep"), args_of(&a, "sleep", "{\"ms\":10}"), PROBE_ITEMS, narrow);
        pthread_t thread;

        assert_int_equal(pthread_create(&thread, NULL, cancel_when_begun, &s), 0);
        base_threads++;
        struct err e = ERR_INIT;
        bool ok = exec_run(&p, &s.report, &e);
        int64_t begun = atomic_load(&probed->begun);
        assert_int_equal(pthread_join(thread, NULL), 0);
        base_threads--;
        assert_true(ok);
        check_run(&p, &s, shape_names[i]);
        if (s.report.cancelled < PROBE_ITEMS / 2)
            fail_msg("%s: only %d of %d were cancelled", shape_names[i], (int)s.report.cancelled,
                     PROBE_ITEMS);
        assert_int_equal(atomic_load(&probed->begun), begun);
        arena_release(&s.arena);
        p = plan_of(&s, find("echo"), args_of(&a, "echo", "{}"), 20, shapes[i]);
        run(&p, &s, shape_names[i]);
        assert_int_equal(atomic_load(&probed->begun), 20); /* by the same children: and none of before */
        arena_release(&s.arena);
    }
}

/* Computing that would take an hour ends because it looks at item_stopping(). */
static void test_cancelled_while_computing(void **unused)
{
    (void)unused;
    for (size_t i = 0; i < shapes_n; i++) {
        struct arena a CLEANUP(arena_release) = ARENA_INIT;
        static struct seen s;
        struct plan p = plan_of(&s, find("cpu.sum_squares"),
                                args_of(&a, "cpu.sum_squares", "{\"n\":1000000000000}"), 20, shapes[i]);
        pthread_t thread;

        assert_int_equal(pthread_create(&thread, NULL, cancel_when_begun, &s), 0);
        base_threads++;
        int64_t give_up = clock_after_ms(60000);
        struct err e = ERR_INIT;
        bool ok = exec_run(&p, &s.report, &e);
        assert_int_equal(pthread_join(thread, NULL), 0);
        base_threads--;
        assert_true(ok && clock_now() < give_up);
        check_run(&p, &s, shape_names[i]);
        check_cancelled(&p, &s, shape_names[i]);
        assert_int_equal(s.report.cancelled, 20);
        arena_release(&s.arena);
    }
}

static void test_plan_deadline(void **unused)
{
    (void)unused;
    for (size_t i = 0; i < shapes_n; i++) {
        struct arena a CLEANUP(arena_release) = ARENA_INIT;
        static struct seen s;
        struct plan p = plan_of(&s, find("sleep"), args_of(&a, "sleep", "{\"ms\":10}"), 500, shapes[i]);

        p.shape.width = p.shape.width > 10 ? 10 : p.shape.width;
        p.deadline = clock_after_ms(35);
        run(&p, &s, shape_names[i]);
        for (int64_t k = 0; k < s.count; k++)
            if (s.code[k] != ERR_NONE && s.code[k] != ERR_TASK_TIMEOUT)
                fail_msg("%s: item %d: %s", shape_names[i], (int)k, s.what[k]);
        assert_true(s.report.failed > 0);
        arena_release(&s.arena);
    }
}

static void test_item_timeout(void **unused)
{
    (void)unused;
    for (size_t i = 0; i < shapes_n; i++) {
        struct span inputs[8];
        struct arena a CLEANUP(arena_release) = ARENA_INIT;
        static struct seen s;
        struct plan p = plan_of(&s, find("sleep"), args_of(&a, "sleep", "{}"), COUNT_OF(inputs), shapes[i]);

        for (size_t k = 0; k < COUNT_OF(inputs); k++)
            inputs[k] = k % 4 == 1 ? SPAN("3600000") : SPAN("0");
        p.inputs = inputs;
        p.item_timeout_ms = 400;
        run(&p, &s, shape_names[i]);
        for (size_t k = 0; k < COUNT_OF(inputs); k++)
            if (s.code[k] != (k % 4 == 1 ? ERR_ITEM_TIMEOUT : ERR_NONE))
                fail_msg("%s: item %d: %s", shape_names[i], (int)k, s.what[k]);
        arena_release(&s.arena);
    }
}

static void test_computing_item_timeout(void **unused)
{
    (void)unused;
    for (size_t i = 0; i < shapes_n; i++) {
        struct arena a CLEANUP(arena_release) = ARENA_INIT;
        static struct seen s;
        struct plan p = plan_of(&s, find("test.hang"),
                                args_of(&a, "test.hang", "{\"at\":1002,\"polite\":true}"), 6, shapes[i]);

        p.shape.width = 1; /* who waits beside somebody who computes has the same clock running */
        p.item_timeout_ms = 400;
        run(&p, &s, shape_names[i]);
        for (int64_t k = 0; k < s.count; k++)
            if (s.code[k] != (k == 2 ? ERR_ITEM_TIMEOUT : ERR_NONE))
                fail_msg("%s: item %d: %s", shape_names[i], (int)k, s.what[k]);
        arena_release(&s.arena);
    }
}

static void test_fail_fast(void **unused)
{
    struct span inputs[500];

    (void)unused;
    for (size_t k = 0; k < COUNT_OF(inputs); k++)
        inputs[k] = k == 0 ? SPAN("\"bad\"") : SPAN("10");
    for (size_t i = 0; i < shapes_n; i++) {
        struct arena a CLEANUP(arena_release) = ARENA_INIT;
        static struct seen s;
        struct plan p = plan_of(&s, find("sleep"), args_of(&a, "sleep", "{}"), COUNT_OF(inputs), shapes[i]);

        p.inputs = inputs;
        p.fail_fast = true;
        run(&p, &s, shape_names[i]);
        assert_int_equal(s.code[0], ERR_BAD_FIELD);
        assert_int_equal(s.report.failed, 1);
        assert_true(s.report.cancelled > 0);
        assert_false(cancel_raised(&s.cancel)); /* the caller's flag is the caller's */
        arena_release(&s.arena);
    }
}

static int tests(void)
{
    const struct CMUnitTest list[] = {
        cmocka_unit_test(test_cancelled_before),       cmocka_unit_test(test_cancelled_while_waiting),
        cmocka_unit_test(test_cancelled_from_outside), cmocka_unit_test(test_cancelled_while_computing),
        cmocka_unit_test(test_plan_deadline),          cmocka_unit_test(test_item_timeout),
        cmocka_unit_test(test_computing_item_timeout), cmocka_unit_test(test_fail_fast),
    };

    return cmocka_run_group_tests(list, NULL, NULL);
}

int main(void)
{
    return run_suite(tests);
}
