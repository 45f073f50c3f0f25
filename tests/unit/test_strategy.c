/* The registry of strategies, and the shape of each against the table of the design. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "model/strategy.h"

static void test_names_and_aliases(void **unused)
{
    static const char *const known[][2] = {
        {"sequential", "sequential"},
        {"threading", "threading"},
        {"threaded", "threading"},
        {"threads", "threading"},
        {"multiprocessing", "multiprocessing"},
        {"multiprocess", "multiprocessing"},
        {"processes", "multiprocessing"},
        {"async-batch", "async-batch"},
        {"async", "async-batch"},
        {"concurrent-futures", "concurrent-futures"},
        {"futures", "concurrent-futures"},
        {"hybrid", "hybrid"},
        {"background", "background"},
        {"auto", "auto"},
    };
    static const char *const unknown[] = {"",       " ",           "thread", "threaded threads",
                                          "Hybrid", "async_batch", "auto "};

    (void)unused;
    for (size_t i = 0; i < COUNT_OF(known); i++) {
        const struct strategy *s = strategy_find(span_of(known[i][0]));

        assert_non_null(s);
        assert_string_equal(s->name, known[i][1]);
    }
    for (size_t i = 0; i < COUNT_OF(unknown); i++)
        assert_null(strategy_find(span_of(unknown[i])));
}

/* No name or alias leads to two of them, and each can be found and explained. */
static void test_registry(void **unused)
{
    (void)unused;
    for (int i = 0; strategies[i]; i++) {
        const struct strategy *s = strategies[i];
        struct span aliases = span_of(s->aliases);

        assert_ptr_equal(strategy_find(span_of(s->name)), s);
        while (aliases.len > 0)
            assert_ptr_equal(strategy_find(span_cut(&aliases, ' ')), s);
        assert_true(s->summary && *s->summary && s->fits && *s->fits);
        assert_int_equal(s->kind == STRATEGY_SHAPED, s->shape != NULL);
    }
}

static void expect(const char *name, struct ask a, struct shape want)
{
    struct shape got = strategy_find(span_of(name))->shape(&a);

    if (memcmp(&got, &want, sizeof got) != 0)
        fail_msg("%s: %d x %d x %d by %d", name, (int)got.processes, (int)got.threads, (int)got.width,
                 (int)got.grain);
}

static void test_shapes(void **unused)
{
    const struct ask a = {.items = 1000, .batch_size = 101, .workers = 5, .cores = 2};

    (void)unused;
    expect("sequential", a, (struct shape){0, 1, 1, 1});
    expect("threading", a, (struct shape){0, 5, 1, 1});
    expect("multiprocessing", a, (struct shape){5, 1, 1, 50});
    expect("async-batch", a, (struct shape){0, 1, 101, 1});
    expect("concurrent-futures", a, (struct shape){5, 1, 1, 1});
    expect("hybrid", a, (struct shape){0, 2, 51, 1});
}

/* Any ask gives a shape that shape_fit only ever makes smaller. */
static void test_shapes_can_run(void **unused)
{
    static const int64_t n[] = {1, 2, 3, 100, 1000000};

    (void)unused;
    for (int i = 0; i < 5 * 5 * 5 * 5; i++)
        for (int k = 0; strategies[k]; k++) {
            const struct ask a = {n[i % 5], n[i / 5 % 5], n[i / 25 % 5], n[i / 125], false};

            if (strategies[k]->kind != STRATEGY_SHAPED)
                continue;

            struct shape s = strategies[k]->shape(&a);

            assert_true(s.processes >= 0 && s.threads >= 1 && s.width >= 1 && s.grain >= 1);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names_and_aliases),
        cmocka_unit_test(test_registry),
        cmocka_unit_test(test_shapes),
        cmocka_unit_test(test_shapes_can_run),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
