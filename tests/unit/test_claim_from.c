/* store/claim_from.h: where claims begin when those from the beginning have become dear. */
#include "../lib/test.h"

#include "core/clock.h"
#include "store/claim_from.h"

#define MS NS_PER_MS
#define NOW (1000 * NS_PER_S)

/* As often as it takes to believe it. */
static void dear(struct claim_from *f, size_t got, int64_t rank, int64_t now)
{
    for (int i = 0; i < 3; i++) {
        assert_int_equal(claim_from(f, now), 0);
        claim_took(f, 0, 100 * MS, got, 50, rank, now);
    }
}

static void t01_cheap_ones_begin_at_the_beginning(void **state)
{
    struct claim_from f = {0};
    (void)state;
    assert_int_equal(claim_from(&f, NOW), 0);
    claim_took(&f, 0, 15 * MS, 1, 8, 77, NOW);
    assert_int_equal(claim_from(&f, NOW), 0);
    assert_true(claim_again(&f, 0) == CLOCK_NEVER);
    for (int i = 0; i < 9; i++) {
        claim_took(&f, 0, 40 * MS, 500, 500, 78, NOW); /* many take their time */
        assert_int_equal(claim_from(&f, NOW), 0);
    }
    for (int i = 0; i < 9; i++) {
        claim_took(&f, 0, (i % 3 ? 100 : 1) * MS, 1, 8, 79, NOW); /* not always */
        assert_int_equal(claim_from(&f, NOW), 0);
    }
}

static void t02_dear_ones_are_seldom(void **state)
{
    struct claim_from f = {0};
    (void)state;
    dear(&f, 50, 77, NOW);
    assert_int_equal(claim_from(&f, NOW + 1899 * MS), 77);
    claim_took(&f, 77, MS, 50, 50, 80, NOW + MS);
    assert_int_equal(claim_from(&f, NOW + 2 * MS), 80);
    assert_true(claim_again(&f, 77) == CLOCK_NEVER); /* there is enough to do */
    assert_int_equal(claim_from(&f, NOW + 1900 * MS), 0);
    claim_took(&f, 0, MS, 50, 50, 60, NOW + 1901 * MS); /* cheap again */
    assert_int_equal(claim_from(&f, NOW + 1902 * MS), 0);
}

static void t03_half_when_there_is_too_little(void **state)
{
    struct claim_from f = {0};
    (void)state;
    dear(&f, 50, 77, NOW);
    claim_took(&f, 77, MS, 0, 50, 0, NOW + 10 * MS);
    assert_int_equal(claim_from(&f, NOW + 99 * MS), 77); /* the rank stays */
    assert_true(claim_again(&f, 77) == NOW + 100 * MS);
    assert_int_equal(claim_from(&f, NOW + 100 * MS), 0);
    claim_took(&f, 0, 100 * MS, 0, 50, 0, NOW + 200 * MS);
    assert_true(claim_again(&f, 0) == CLOCK_NEVER); /* it has seen all there is */
    assert_int_equal(claim_from(&f, NOW + 250 * MS), 77);
    assert_int_equal(claim_from(&f, NOW + 300 * MS), 0);
}

/* Without a rank there is nowhere else to begin. */
static void t04_nothing_claimed_yet(void **state)
{
    struct claim_from f = {0};
    (void)state;
    dear(&f, 0, 0, NOW);
    assert_int_equal(claim_from(&f, NOW + MS), 0);
}

/* One that its time ended was dear, or nothing would be claimed any more. One that failed at once says nothing. */
static void t05_claims_that_do_not_end(void **state)
{
    struct claim_from f = {0};
    (void)state;
    claim_took(&f, 0, MS, 50, 50, 77, NOW);
    for (int i = 0; i < 9; i++)
        claim_failed(&f, 0, MS, NOW);
    assert_int_equal(claim_from(&f, NOW), 0);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(claim_from(&f, NOW), 0);
        claim_failed(&f, 0, 10000 * MS, NOW);
    }
    assert_int_equal(claim_from(&f, NOW + MS), 77);
    assert_int_equal(claim_from(&f, NOW + 59999 * MS), 77);
    assert_int_equal(claim_from(&f, NOW + 60000 * MS), 0); /* and not after 190 s */
    claim_failed(&f, 0, 10000 * MS, NOW + 70000 * MS);
    assert_int_equal(claim_from(&f, NOW + 70001 * MS), 77);
}

/* Large inputs, say. */
static void t06_dear_wherever_they_begin(void **state)
{
    struct claim_from f = {0};
    (void)state;
    dear(&f, 8, 77, NOW);
    assert_int_equal(claim_from(&f, NOW + MS), 77);
    claim_took(&f, 77, 49 * MS, 8, 8, 78, NOW);
    assert_int_equal(claim_from(&f, NOW + MS), 78);
    claim_took(&f, 78, 51 * MS, 8, 8, 79, NOW);
    dear(&f, 8, 80, NOW); /* as often as it took to believe it */
    claim_failed(&f, 80, 10000 * MS, NOW);
    assert_int_equal(claim_from(&f, NOW), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(t01_cheap_ones_begin_at_the_beginning),
        cmocka_unit_test(t02_dear_ones_are_seldom),
        cmocka_unit_test(t03_half_when_there_is_too_little),
        cmocka_unit_test(t04_nothing_claimed_yet),
        cmocka_unit_test(t05_claims_that_do_not_end),
        cmocka_unit_test(t06_dear_wherever_they_begin),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
