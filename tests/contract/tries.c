/*
 * The contract of exec_run where items are tried again, are put off, or have something to say. Over every strategy with a
 * shape and random free shapes; what takes a process down in children only.
 */
#include "runs.h"

#define ITEMS 24

static struct plan again(struct seen *s, struct arena *a, const char *handler, const char *params,
                         size_t shape, int64_t item_retries)
{
    struct plan p = plan_of(s, find(handler), args_of(a, handler, params), ITEMS, shapes[shape]);
    p.item_retries = item_retries;
    p.backoff = (struct backoff){.base_ms = 1, .factor = 2, .max_ms = 5, .jitter = 0.5};
    return p;
}

static bool picked(const struct seen *s, int64_t k, int64_t every)
{
    return (s->first + k + 1) % every == 0;
}

/* Those that fail twice are done at the third try, and nobody else is tried twice. */
static void test_mended(void **unused)
{
    (void)unused;
    for (size_t i = 0; i < shapes_n; i++) {
        struct arena a CLEANUP(arena_release) = ARENA_INIT;
        static struct seen s;
        struct plan p = again(&s, &a, "test.fail", "{\"every\":3,\"times\":2}", i, 3);
        run(&p, &s, shape_names[i]);
        assert_int_equal(s.report.ok, ITEMS);
        for (int64_t k = 0; k < ITEMS; k++) {
            int64_t tries = picked(&s, k, 3) ? 2 : 0;
            assert_int_equal(s.tries[k], tries);
            assert_int_equal(atomic_load(&probed->begins[(s.first + k) % PROBE_ITEMS]), 1 + tries);
        }
        arena_release(&s.arena);
    }
}

static void test_never_mended(void **unused)
{
    (void)unused;
    for (size_t i = 0; i < shapes_n; i++) {
        struct arena a CLEANUP(arena_release) = ARENA_INIT;
        static struct seen s;
        struct plan p = again(&s, &a, "test.fail", "{\"every\":3}", i, 2);
        run(&p, &s, shape_names[i]);
        for (int64_t k = 0; k < ITEMS; k++) {
            assert_int_equal(s.code[k], picked(&s, k, 3) ? ERR_ITEM_FAILED : ERR_NONE);
            assert_int_equal(s.tries[k], picked(&s, k, 3) ? 2 : 0);
        }
        arena_release(&s.arena);
    }
}

/* The unit's failures before count for the handler, and not for the limit. */
static void test_tried_before(void **unused)
{
    (void)unused;
    for (size_t i = 0; i < shapes_n; i++) {
        struct arena a CLEANUP(arena_release) = ARENA_INIT;
        static struct seen s;
        struct plan p = again(&s, &a, "test.fail", "{\"every\":3,\"times\":5}", i, 1);
        p.tries = 4;
        run(&p, &s, shape_names[i]);
        assert_int_equal(s.report.ok, ITEMS);
        assert_int_equal(s.tries[1], 1);
        arena_release(&s.arena);
    }
}

/* What is too large is too large the next time too. */
static void test_not_worth_it(void **unused)
{
    (void)unused;
    for (size_t i = 0; i < shapes_n; i++) {
        struct arena a CLEANUP(arena_release) = ARENA_INIT;
        static struct seen s;
        struct plan p = again(&s, &a, "test.huge", "{\"careless\":true}", i, 3);
        p.count = s.count = 2;
        p.shape = shape_fit(p.shape, 2, LIMIT_WORKERS);
        run(&p, &s, shape_names[i]);
        assert_int_equal(s.code[0], ERR_ITEM_TOO_LARGE);
        assert_int_equal(s.tries[0], 0);
        arena_release(&s.arena);
    }
}

/* By its own reactor where it looks at its limit, by SIGKILL where it does not. */
static void test_time_limit(void **unused)
{
    (void)unused;
    for (size_t i = 0; i < 2 * shapes_n; i++) {
        struct arena a CLEANUP(arena_release) = ARENA_INIT;
        static struct seen s;
        bool polite = i < shapes_n;
        const char *params = arena_printf(&a, "{\"at\":1005,\"polite\":%s}", polite ? "true" : "false");
        struct plan p = again(&s, &a, "test.hang", params, i % shapes_n, 2);
        p.item_timeout_ms = 20;
        if (!polite && p.shape.processes == 0)
            continue;
        run(&p, &s, shape_names[i % shapes_n]);
        assert_int_equal(s.code[5], ERR_ITEM_TIMEOUT);
        assert_int_equal(s.tries[5], 2);
        assert_int_equal(atomic_load(&probed->begins[1005 % PROBE_ITEMS]), 3);
        arena_release(&s.arena);
    }
}

/* A crash convicts only who crashes alone, so that each conviction is a try. */
static void test_crash(void **unused)
{
    (void)unused;
    for (size_t i = 0; i < shapes_n; i++) {
        struct arena a CLEANUP(arena_release) = ARENA_INIT;
        static struct seen s;
        struct plan p = again(&s, &a, "test.crash", "{\"at\":1007,\"how\":\"kill\"}", i, 2);
        if (p.shape.processes == 0)
            continue;
        run(&p, &s, shape_names[i]);
        assert_int_equal(s.report.ok, ITEMS - 1);
        assert_int_equal(s.code[7], ERR_ITEM_CRASHED);
        assert_int_equal(s.tries[7], 2);
        arena_release(&s.arena);
    }
}

/* Neither a cancel nor the deadline waits for the next try. The waits are of the longest; the first try is the only one, and whose
 * try fails when the end has come has failed. */
static void test_cut_short(void **unused)
{
    (void)unused;
    for (size_t i = 0; i < 2 * shapes_n; i++) {
        struct arena a CLEANUP(arena_release) = ARENA_INIT;
        static struct seen s;
        bool cancelled = i < shapes_n;
        struct plan p = again(&s, &a, "test.fail", "{\"every\":1}", i % shapes_n, 100);
        pthread_t thread;
        p.backoff.base_ms = p.backoff.max_ms = 3600000;
        p.backoff.jitter = 0;
        if (cancelled) {
            assert_int_equal(pthread_create(&thread, NULL, cancel_when_begun, &s), 0);
            base_threads++;
        } else {
            p.deadline = clock_after_ms(50);
        }
        struct err e = ERR_INIT;
        assert_true(exec_run(&p, &s.report, &e));
        if (cancelled) {
            assert_int_equal(pthread_join(thread, NULL), 0);
            base_threads--;
        }
        check_run(&p, &s, shape_names[i % shapes_n]);
        int64_t cut = 0;
        for (int64_t k = 0; k < ITEMS; k++) {
            if (s.code[k] != ERR_ITEM_FAILED)
                assert_int_equal(s.code[k], cancelled ? ERR_CANCELLED : ERR_TASK_TIMEOUT);
            cut += s.code[k] != ERR_ITEM_FAILED;
            assert_true(atomic_load(&probed->begins[(s.first + k) % PROBE_ITEMS]) <= 1);
        }
        assert_true(cut > 0);
        arena_release(&s.arena);
    }
}

/* One that is put off ends the run, and the longest is what the report says. */
static void test_put_off(void **unused)
{
    (void)unused;
    for (size_t i = 0; i < shapes_n; i++) {
        struct arena a CLEANUP(arena_release) = ARENA_INIT;
        static struct seen s;
        struct plan p = again(&s, &a, "test.snooze", "{\"at\":1000,\"ms\":1234}", i, 3);
        run(&p, &s, shape_names[i]);
        assert_int_equal(s.report.snooze_ms, 1234);
        assert_int_equal(s.code[0], ERR_SNOOZED);
        assert_int_equal(s.tries[0], 0);
        for (int64_t k = 1; k < ITEMS; k++)
            assert_true(s.code[k] == ERR_NONE || s.code[k] == ERR_CANCELLED);
        arena_release(&s.arena);
    }
}

/* Whatever items have to say is heard, wherever they run. */
static void test_lines(void **unused)
{
    (void)unused;
    for (size_t i = 0; i < shapes_n; i++) {
        struct arena a CLEANUP(arena_release) = ARENA_INIT;
        static struct seen s;
        struct plan p = again(&s, &a, "word", "{\"step_ms\":0}", i, 0);
        run(&p, &s, shape_names[i]);
        assert_int_equal(s.report.ok, ITEMS);
        for (int64_t k = 0; k < ITEMS; k++)
            assert_int_equal(s.lines[k], 10);
        arena_release(&s.arena);
        p = again(&s, &a, "word", "{\"step_ms\":0}", i, 0);
        p.log = NULL;
        run(&p, &s, shape_names[i]);
        assert_int_equal(s.report.ok, ITEMS);
        arena_release(&s.arena);
    }
}

static int tests(void)
{
    const struct CMUnitTest list[] = {
        cmocka_unit_test(test_mended),       cmocka_unit_test(test_never_mended),
        cmocka_unit_test(test_tried_before), cmocka_unit_test(test_not_worth_it),
        cmocka_unit_test(test_time_limit),   cmocka_unit_test(test_crash),
        cmocka_unit_test(test_cut_short),    cmocka_unit_test(test_put_off),
        cmocka_unit_test(test_lines),
    };

    return cmocka_run_group_tests(list, NULL, NULL);
}

int main(void)
{
    return run_suite(tests);
}
