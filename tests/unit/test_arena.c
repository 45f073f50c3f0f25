/* core/arena.h */
#include "unit/unit.h"

#include <stdalign.h>

#include "core/arena.h"

static void t01_zeroed_aligned_apart(void **state)
{
    (void)state;
    struct arena a CLEANUP(arena_release) = ARENA_INIT;
    unsigned char *all[300];
    for (size_t i = 0; i < COUNT_OF(all); i++) {
        size_t size = i * 37 % 5000;
        all[i] = arena_alloc(&a, size);
        assert_int_equal((uintptr_t)all[i] % alignof(max_align_t), 0);
        for (size_t j = 0; j < size; j++)
            assert_int_equal(all[i][j], 0);
        memset(all[i], (int)(i % 251 + 1), size);
    }
    for (size_t i = 0; i < COUNT_OF(all); i++) /* nobody wrote into a neighbour */
        for (size_t j = 0; j < i * 37 % 5000; j++)
            assert_int_equal(all[i][j], i % 251 + 1);
    memset(arena_alloc(&a, 3000000), 7, 3000000);
    assert_true(a.used >= 3000000);
}

static void t02_texts(void **state)
{
    (void)state;
    struct arena a CLEANUP(arena_release) = ARENA_INIT;
    assert_string_equal(arena_text(&a, SPAN("abc")), "abc");
    assert_string_equal(arena_text(&a, (struct span){NULL, 0}), "");
    assert_span(arena_copy(&a, SPAN("xyz")), "xyz");
    assert_string_equal(arena_printf(&a, "%s-%d", "a", 7), "a-7");
    char *big = arena_printf(&a, "%*d", 20000, 1);
    assert_int_equal(strlen(big), 20000);
    assert_int_equal(*(int *)arena_array(&a, 10, sizeof(int)), 0);
}

static char order[16];

static void note(void *arg)
{
    size_t n = strlen(order);
    order[n] = *(char *)arg;
    order[n + 1] = '\0';
}

static struct arena *inner;

static void defer_one_more(void *arg)
{
    note(arg);
    arena_defer(inner, note, arena_text(inner, SPAN("z")));
}

static void t03_cleanups_run_last_first(void **state)
{
    (void)state;
    struct arena a = ARENA_INIT;
    inner = &a;
    order[0] = '\0';
    arena_defer(&a, note, arena_text(&a, SPAN("1")));
    arena_defer(&a, note, arena_text(&a, SPAN("2")));
    arena_defer(&a, defer_one_more, arena_text(&a, SPAN("3")));
    arena_release(&a);
    assert_string_equal(order, "3z21");
    arena_release(&a); /* nothing is left to run or free */
    assert_string_equal(order, "3z21");
    assert_int_equal(a.used, 0);
    assert_string_equal(arena_text(&a, SPAN("again")), "again");
    arena_release(&a);
}

static void ask_too_much(void *arg)
{
    struct arena a CLEANUP(arena_release) = ARENA_INIT;
    arena_array(&a, SIZE_MAX / 4, *(size_t *)arg);
}

static void t04_overflow_ends_the_process(void **state)
{
    (void)state;
    char said[4096];
    for (size_t size = 4; size <= 8; size += 4) {
        int status = in_child(ask_too_much, &size, said, sizeof said);
        assert_true(WIFSIGNALED(status));
        assert_holds(said, "out of memory");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(t01_zeroed_aligned_apart),
        cmocka_unit_test(t02_texts),
        cmocka_unit_test(t03_cleanups_run_last_first),
        cmocka_unit_test(t04_overflow_ends_the_process),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
