/* model/retry.h: the bounds of every wait. */
#include "../lib/test.h"

#include "core/limits.h"
#include "model/retry.h"

static struct backoff usual(void)
{
    struct backoff b;
    fields_defaults(&backoff_fields, &b);
    return b;
}

static void t01_defaults(void **unused)
{
    (void)unused;
    struct backoff b = usual();
    assert_int_equal(b.base_ms, 1000);
    assert_true(b.factor == 2 && b.jitter == 0.5);
    assert_int_equal(b.max_ms, 3600000);
}

static void t02_grows_and_is_capped(void **unused)
{
    (void)unused;
    struct backoff b = usual();
    assert_int_equal(backoff_ms(&b, 1, 0), 1000);
    assert_int_equal(backoff_ms(&b, 2, 0), 2000);
    assert_int_equal(backoff_ms(&b, 3, 0), 4000);
    assert_int_equal(backoff_ms(&b, 12, 0), 2048000);
    assert_int_equal(backoff_ms(&b, 13, 0), 3600000);
    assert_int_equal(backoff_ms(&b, LIMIT_RETRIES, 0), 3600000);
}

/* Whatever chance says, the wait is between (1 - jitter) of it and all of it. */
static void t03_jitter(void **unused)
{
    (void)unused;
    for (int jitter = 0; jitter <= 10; jitter++)
        for (int failures = 1; failures < 20; failures++)
            for (double chance = 0; chance < 1; chance += 0.09) {
                struct backoff b = usual();
                int64_t whole = backoff_ms(&b, failures, 0);
                b.jitter = jitter / 10.0;
                int64_t ms = backoff_ms(&b, failures, chance);
                assert_true(ms <= whole && (double)ms >= (double)whole * (1 - b.jitter) - 1);
            }
    struct backoff b = usual();
    assert_int_equal(backoff_ms(&b, 1, 0.5), 750);
}

static void t04_edges(void **unused)
{
    (void)unused;
    struct backoff never = {.base_ms = 0, .factor = 100, .max_ms = LIMIT_TIMEOUT_MS, .jitter = 1};
    struct backoff steep = {.base_ms = LIMIT_TIMEOUT_MS, .factor = 100, .max_ms = LIMIT_TIMEOUT_MS};
    struct backoff flat = {.base_ms = 7, .factor = 1, .max_ms = 100};
    struct backoff small = {.base_ms = 500, .factor = 2, .max_ms = 20};
    assert_int_equal(backoff_ms(&never, LIMIT_RETRIES, 0.99), 0);
    assert_int_equal(backoff_ms(&steep, LIMIT_RETRIES, 0), LIMIT_TIMEOUT_MS);
    assert_int_equal(backoff_ms(&flat, LIMIT_RETRIES, 0), 7);
    assert_int_equal(backoff_ms(&small, 1, 0), 20);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(t01_defaults),
                                       cmocka_unit_test(t02_grows_and_is_capped),
                                       cmocka_unit_test(t03_jitter), cmocka_unit_test(t04_edges)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
