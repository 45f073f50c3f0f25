/*
 * The contract of exec_run where children die: by a crash, by a limit of time or memory, by a cancel. Over every strategy
 * and random free shape that has processes.
 */
#include "runs.h"

#include "exec/children.h"

/* Exactly the items that kill are lost, and whoever shared their child is run again. */
static void test_crash(void **unused)
{
    static const char *const how[] = {"segv", "abort", "exit", "kill"};

    (void)unused;
    for (size_t i = 0; i < shapes_n * COUNT_OF(how); i++) {
        struct arena a CLEANUP(arena_release) = ARENA_INIT;
        const char *params = arena_printf(&a, "{\"every\":7,\"how\":\"%s\"}", how[i / shapes_n]);
        const char *shape_name = shape_names[i % shapes_n];
        static struct seen s;
        struct plan p =
            plan_of(&s, find("test.crash"), args_of(&a, "test.crash", params), 24, shapes[i % shapes_n]);

        if (p.shape.processes == 0)
            continue;
        p.shape.threads = p.shape.width = 1; /* beside a killer more than one item is in a child's hands */
        run(&p, &s, shape_name);
        for (int64_t k = 0; k < s.count; k++)
            if (s.code[k] != ((s.first + k + 1) % 7 == 0 ? ERR_ITEM_CRASHED : ERR_NONE))
                fail_msg("%s: item %d: %s", shape_name, (int)(s.first + k), s.what[k]);
        assert_true(s.report.children_lost > 0);
        arena_release(&s.arena);
    }
}

/* A child that dies once costs nothing but time. */
static void test_crash_once(void **unused)
{
    (void)unused;
    for (size_t i = 0; i < shapes_n; i++) {
        struct arena a CLEANUP(arena_release) = ARENA_INIT;
        const char *path = arena_printf(&a, "/tmp/lathe-contract-%d-%zu", (int)getpid(), i);
        const char *params = arena_printf(&a, "{\"at\":1010,\"how\":\"kill\",\"once\":\"%s\"}", path);
        static struct seen s;
        struct plan p = plan_of(&s, find("test.crash"), args_of(&a, "test.crash", params), 30, shapes[i]);

        if (p.shape.processes == 0)
            continue;
        run(&p, &s, shape_names[i]);
        assert_int_equal(unlink(path), 0);
        assert_int_equal(s.report.ok, 30);
        assert_int_equal(s.report.children_lost, 1);
        arena_release(&s.arena);
    }
}

/* Who never looks at item_stopping() is killed at the limit; the others of that child are run again. */
static void test_hang(void **unused)
{
    (void)unused;
    for (size_t i = 0; i < shapes_n; i++) {
        struct arena a CLEANUP(arena_release) = ARENA_INIT;
        static struct seen s;
        struct plan p =
            plan_of(&s, find("test.hang"), args_of(&a, "test.hang", "{\"at\":1004}"), 12, shapes[i]);

        if (p.shape.processes == 0)
            continue;
        p.shape.threads = p.shape.width = 1;
        p.item_timeout_ms = 400;
        run(&p, &s, shape_names[i]);
        for (int64_t k = 0; k < s.count; k++)
            if (s.code[k] != (k == 4 ? ERR_ITEM_TIMEOUT : ERR_NONE))
                fail_msg("%s: item %d: %s", shape_names[i], (int)k, s.what[k]);
        arena_release(&s.arena);
    }
}

static void test_hang_cancelled(void **unused)
{
    (void)unused;
    for (size_t i = 0; i < shapes_n; i++) {
        struct arena a CLEANUP(arena_release) = ARENA_INIT;
        static struct seen s;
        struct plan p =
            plan_of(&s, find("test.hang"), args_of(&a, "test.hang", "{\"every\":1}"), 8, shapes[i]);
        pthread_t thread;

        if (p.shape.processes == 0)
            continue;
        assert_int_equal(pthread_create(&thread, NULL, cancel_when_begun, &s), 0);
        struct err e = ERR_INIT;
        bool ok = exec_run(&p, &s.report, &e);
        assert_int_equal(pthread_join(thread, NULL), 0);
        assert_true(ok);
        check_run(&p, &s, shape_names[i]);
        assert_int_equal(s.report.cancelled, 8);
        arena_release(&s.arena);
    }
}

static void test_plan_deadline_hang(void **unused)
{
    (void)unused;
    for (size_t i = 0; i < shapes_n; i++) {
        struct arena a CLEANUP(arena_release) = ARENA_INIT;
        static struct seen s;
        struct plan p =
            plan_of(&s, find("test.hang"), args_of(&a, "test.hang", "{\"every\":1}"), 8, shapes[i]);

        if (p.shape.processes == 0)
            continue;
        p.deadline = clock_after_ms(100);
        run(&p, &s, shape_names[i]);
        for (int64_t k = 0; k < s.count; k++)
            assert_int_equal(s.code[k], ERR_TASK_TIMEOUT);
        arena_release(&s.arena);
    }
}

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define ADDRESS_SPACE_IS_OURS 0 /* sanitizers reserve terabytes of it */
#else
#define ADDRESS_SPACE_IS_OURS 1
#endif

/* A leak ends at the child's limit and not at the machine's. */
static void test_leak(void **unused)
{
    (void)unused;
    for (size_t i = 0; i < shapes_n && ADDRESS_SPACE_IS_OURS; i++) {
        struct arena a CLEANUP(arena_release) = ARENA_INIT;
        static struct seen s;
        struct plan p =
            plan_of(&s, find("test.leak"), args_of(&a, "test.leak", "{\"bytes\":67108864}"), 24, shapes[i]);

        if (p.shape.processes == 0)
            continue;
        p.shape.processes = p.shape.threads = p.shape.width = 1;
        p.child_memory = 512 * (int64_t)MIB;
        run(&p, &s, shape_names[i]);
        assert_true(s.report.children_lost > 0);
        assert_true(s.report.ok > s.report.failed);
        for (int64_t k = 0; k < s.count; k++)
            assert_true(s.code[k] == ERR_NONE || s.code[k] == ERR_ITEM_CRASHED);
        arena_release(&s.arena);
    }
}

/* What a dead child held in the worker goes with it. How many are kept warm is left to chance (one that grew
 * is not), so that none is when descriptors are counted. */
static void test_no_descriptors_left(void **unused)
{
    (void)unused;
    children_release();
    int before = count_descriptors();
    test_crash_once(NULL);
    test_hang(NULL);
    children_release();
    assert_int_equal(count_descriptors(), before);
}

static int tests(void)
{
    const struct CMUnitTest list[] = {
        cmocka_unit_test(test_crash),
        cmocka_unit_test(test_crash_once),
        cmocka_unit_test(test_hang),
        cmocka_unit_test(test_hang_cancelled),
        cmocka_unit_test(test_plan_deadline_hang),
        cmocka_unit_test(test_leak),
        cmocka_unit_test(test_no_descriptors_left),
    };

    return cmocka_run_group_tests(list, NULL, NULL);
}

int main(void)
{
    return run_suite(tests);
}
