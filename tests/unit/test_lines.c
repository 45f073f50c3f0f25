/* worker/lines.h: results come in any order and are given back in item order, bounded. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "core/limits.h"
#include "core/mem.h"
#include "worker/lines.h"

static bool add_ok(struct lines *l, int64_t index, struct span result)
{
    struct outcome o = {.index = index, .kind = OUTCOME_OK, .result = result};
    return lines_add(l, &o);
}

static void assert_text(struct span got, const char *want)
{
    assert_int_equal(got.len, strlen(want));
    assert_memory_equal(got.ptr, want, got.len);
}

static void in_order_is_kept(void **state)
{
    (void)state;
    struct lines l;
    lines_init(&l, 0, 2);
    assert_true(add_ok(&l, 0, SPAN("7")));
    assert_true(add_ok(&l, 1, SPAN("\"x\"")));
    assert_text(lines_in_order(&l), "{\"index\":0,\"state\":\"succeeded\",\"result\":7}\n"
                                    "{\"index\":1,\"state\":\"succeeded\",\"result\":\"x\"}\n");
    lines_release(&l);
}

static void any_order_is_sorted(void **state)
{
    (void)state;
    struct lines l;
    struct err e = ERR_INIT;
    lines_init(&l, 10, 3);
    err_set(&e, ERR_ITEM_FAILED, "no \"luck\"");
    struct outcome failed = {.index = 10, .kind = OUTCOME_FAILED, .err = &e};
    struct outcome cancelled = {.index = 12, .kind = OUTCOME_CANCELLED};
    assert_true(lines_add(&l, &cancelled));
    assert_true(lines_add(&l, &failed));
    assert_true(add_ok(&l, 11, (struct span){NULL, 0}));
    assert_text(
        lines_in_order(&l),
        "{\"index\":10,\"state\":\"failed\",\"error\":{\"type\":\"item-failed\",\"detail\":\"no \\\"luck\\\"\"}}\n"
        "{\"index\":11,\"state\":\"succeeded\",\"result\":null}\n"
        "{\"index\":12,\"state\":\"cancelled\"}\n");
    lines_release(&l);
}

static void items_that_never_came_leave_no_line(void **state)
{
    (void)state;
    struct lines l;
    lines_init(&l, 0, 3);
    assert_text(lines_in_order(&l), "");
    assert_true(add_ok(&l, 2, SPAN("1")));
    assert_text(lines_in_order(&l), "{\"index\":2,\"state\":\"succeeded\",\"result\":1}\n");
    lines_release(&l);
}

/* The largest results, as many as it takes: the bound holds and every item still has its line. */
static void past_the_limit_every_item_has_a_line(void **state)
{
    (void)state;
    enum { COUNT = LIMIT_UNIT_RESULT / LIMIT_ITEM_RESULT + 5 };
    struct lines l;
    char *big = mem_alloc(LIMIT_ITEM_RESULT);
    memset(big, '1', LIMIT_ITEM_RESULT);
    lines_init(&l, 0, COUNT);
    int refused = 0;
    for (int64_t i = COUNT - 1; i >= 0; i--)
        refused += !add_ok(&l, i, (struct span){big, LIMIT_ITEM_RESULT});
    assert_true(refused >= 5);
    assert_int_equal(refused, l.too_large);
    struct span all = lines_in_order(&l), rest = all;
    assert_true(all.len < LIMIT_UNIT_RESULT + COUNT * 256);
    int64_t lines = 0;
    while (rest.len > 0) {
        struct span line = span_cut(&rest, '\n');
        assert_true(span_starts(line, "{\"index\":"));
        lines++;
    }
    assert_int_equal(lines, COUNT);
    lines_release(&l);
    mem_free(big);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(in_order_is_kept),
        cmocka_unit_test(any_order_is_sorted),
        cmocka_unit_test(items_that_never_came_leave_no_line),
        cmocka_unit_test(past_the_limit_every_item_has_a_line),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
