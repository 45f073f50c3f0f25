/* store/claim_from.h: where claims begin when those from the beginning have become dear. */
#include "../lib/test.h"

#include "core/clock.h"
#include "store/claim_from.h"

#define MS NS_PER_MS
#define NOW (1000 * NS_PER_S)

static int64_t from(const struct claim_from *f, int64_t now)
{
    return claim_from(f, now).rank_us;
}

/* Of ranks alone: a claim from the beginning, or from behind `place`. */
static void took(struct claim_from *f, int64_t place, int64_t ns, size_t got, int want, int64_t rank,
                 int64_t now)
{
    claim_took(f, place == 0, ns, got, want, &(struct claim_place){.rank_us = rank}, now);
}

/* As often as it takes to believe it. */
static void dear(struct claim_from *f, size_t got, int64_t rank, int64_t now)
{
    for (int i = 0; i < 3; i++) {
        assert_int_equal(from(f, now), 0);
        took(f, 0, 100 * MS, got, 50, rank, now);
    }
}

static void t01_cheap_ones_begin_at_the_beginning(void **state)
{
    struct claim_from f = {0};
    (void)state;
    assert_int_equal(from(&f, NOW), 0);
    took(&f, 0, 15 * MS, 1, 8, 77, NOW);
    assert_int_equal(from(&f, NOW), 0);
    assert_true(claim_again(&f, true) == CLOCK_NEVER);
    for (int i = 0; i < 9; i++) {
        took(&f, 0, 40 * MS, 500, 500, 78, NOW); /* many take their time */
        assert_int_equal(from(&f, NOW + 50 * MS), 0);
    }
    for (int i = 0; i < 9; i++) {
        took(&f, 0, (i % 3 ? 100 : 1) * MS, 1, 8, 79, NOW); /* not always */
        assert_int_equal(from(&f, NOW), 0);
    }
}

static void t02_dear_ones_are_seldom(void **state)
{
    struct claim_from f = {0};
    (void)state;
    dear(&f, 50, 77, NOW);
    assert_int_equal(from(&f, NOW + 1899 * MS), 77);
    took(&f, 77, MS, 50, 50, 80, NOW + MS);
    assert_int_equal(from(&f, NOW + 2 * MS), 80);
    assert_true(claim_again(&f, false) == CLOCK_NEVER); /* there is enough to do */
    assert_int_equal(from(&f, NOW + 1900 * MS), 0);
    took(&f, 0, MS, 50, 50, 60, NOW + 1901 * MS); /* cheap again */
    assert_int_equal(from(&f, NOW + 1902 * MS), 0);
}

static void t03_half_when_there_is_too_little(void **state)
{
    struct claim_from f = {0};
    (void)state;
    dear(&f, 50, 77, NOW);
    took(&f, 77, MS, 0, 50, 0, NOW + 10 * MS);
    assert_int_equal(from(&f, NOW + 99 * MS), 77); /* the rank stays */
    assert_true(claim_again(&f, false) == NOW + 100 * MS);
    assert_int_equal(from(&f, NOW + 100 * MS), 0);
    took(&f, 0, 100 * MS, 0, 50, 0, NOW + 200 * MS);
    assert_true(claim_again(&f, true) == CLOCK_NEVER); /* it has seen all there is */
    assert_int_equal(from(&f, NOW + 250 * MS), 77);
    assert_int_equal(from(&f, NOW + 300 * MS), 0);
}

/* Without a rank there is nowhere else to begin. */
static void t04_nothing_claimed_yet(void **state)
{
    struct claim_from f = {0};
    (void)state;
    dear(&f, 0, 0, NOW);
    assert_int_equal(from(&f, NOW + MS), 0);
}

/* One that its time ended was dear, or nothing would be claimed any more. One that failed at once says nothing. */
static void t05_claims_that_do_not_end(void **state)
{
    struct claim_from f = {0};
    (void)state;
    took(&f, 0, MS, 50, 50, 77, NOW);
    for (int i = 0; i < 9; i++)
        claim_failed(&f, true, MS, NOW);
    assert_int_equal(from(&f, NOW), 0);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(from(&f, NOW), 0);
        claim_failed(&f, true, 10000 * MS, NOW);
    }
    assert_int_equal(from(&f, NOW + MS), 77);
    assert_int_equal(from(&f, NOW + 59999 * MS), 77);
    assert_int_equal(from(&f, NOW + 60000 * MS), 0); /* and not after 190 s */
    claim_failed(&f, true, 10000 * MS, NOW + 70000 * MS);
    assert_int_equal(from(&f, NOW + 70001 * MS), 77);
}

/* Large inputs, say. */
static void t06_dear_wherever_they_begin(void **state)
{
    struct claim_from f = {0};
    (void)state;
    dear(&f, 8, 77, NOW);
    assert_int_equal(from(&f, NOW + MS), 77);
    took(&f, 77, 49 * MS, 8, 8, 78, NOW);
    assert_int_equal(from(&f, NOW + MS), 78);
    took(&f, 78, 51 * MS, 8, 8, 79, NOW);
    dear(&f, 8, 80, NOW); /* as often as it took to believe it */
    claim_failed(&f, false, 10000 * MS, NOW);
    assert_int_equal(from(&f, NOW), 0);
}

/* What was claimed lies in front of a large backlog until it is vacuumed. */
static void t07_behind_the_last_of_a_large_claim(void **state)
{
    struct claim_from f = {0};
    struct claim_place last = {.rank_us = 77, .task = {{1, 2, 3}}, .seq = 4};
    (void)state;
    claim_took(&f, true, MS, 64, 64, &last, NOW);
    struct claim_place next = claim_from(&f, NOW + 49 * MS);
    assert_int_equal(next.rank_us, 77);
    assert_true(uuid_eq(next.task, last.task));
    assert_int_equal(next.seq, 4);
    assert_int_equal(from(&f, NOW + 50 * MS), 0); /* now and then from the beginning */
    took(&f, 77, MS, 64, 64, 78, NOW + 10 * MS);
    assert_int_equal(from(&f, NOW + 49 * MS), 78);
    assert_true(claim_again(&f, false) == CLOCK_NEVER);
    assert_int_equal(from(&f, NOW + 50 * MS), 0); /* since the last that did, not since the last */
    took(&f, 77, MS, 63, 64, 79, NOW + 20 * MS);
    assert_int_equal(from(&f, NOW + 20 * MS), 0); /* there may be others */
    assert_true(claim_again(&f, false) <= NOW + 20 * MS);
    took(&f, 0, MS, 63, 63, 80, NOW + 21 * MS);
    assert_int_equal(from(&f, NOW + 22 * MS), 0); /* few: whoever comes with a lower rank goes first */
}

/* Those in between say nothing of how dear the ones from the beginning are. */
static void t08_dear_ones_among_large_ones(void **state)
{
    struct claim_from f = {0};
    (void)state;
    for (int i = 0; i < 3; i++) {
        took(&f, 0, 100 * MS, 100, 100, 77, NOW);
        took(&f, 77, MS, 100, 100, 78, NOW);
    }
    assert_int_equal(from(&f, NOW + 1899 * MS), 78);
    assert_int_equal(from(&f, NOW + 1900 * MS), 0);
}

/* Dead rows that a transaction keeps: each claim from the beginning goes past them, and none that begins behind a place. */
static void t09_a_twentieth_of_the_time_goes_past_what_lies_in_front(void **state)
{
    struct claim_from f = {0};
    (void)state;
    took(&f, 0, 15 * MS, 500, 500, 77, NOW); /* nobody knows yet what they take elsewhere */
    assert_int_equal(from(&f, NOW + 50 * MS), 0);
    took(&f, 77, 5 * MS, 500, 500, 78, NOW);
    took(&f, 0, 15 * MS, 500, 500, 79, NOW);
    assert_int_equal(from(&f, NOW + 49 * MS), 79);
    assert_int_equal(from(&f, NOW + 50 * MS), 0); /* once may be chance */
    took(&f, 0, 16 * MS, 500, 500, 80, NOW);
    assert_int_equal(from(&f, NOW + 199 * MS), 80);
    assert_int_equal(from(&f, NOW + 200 * MS), 0);
    took(&f, 0, 5 * MS, 500, 500, 81, NOW); /* it was vacuumed */
    assert_int_equal(from(&f, NOW + 49 * MS), 81);
    assert_int_equal(from(&f, NOW + 50 * MS), 0);
    took(&f, 81, MS, 10, 500, 84, NOW); /* there is too little to do */
    assert_int_equal(from(&f, NOW), 0);
}

static void t10_once_in_a_second_at_least(void **state)
{
    struct claim_from f = {0};
    (void)state;
    took(&f, 0, MS, 500, 500, 77, NOW);
    took(&f, 77, MS, 500, 500, 78, NOW);
    took(&f, 0, 200 * MS, 500, 500, 79, NOW);
    took(&f, 0, 200 * MS, 500, 500, 80, NOW); /* not a habit yet */
    assert_int_equal(from(&f, NOW + 999 * MS), 80);
    assert_int_equal(from(&f, NOW + 1000 * MS), 0);
}

/* Then what lies in front was not the reason, and all begin at the beginning as often as at first. */
static void t11_dear_elsewhere_too(void **state)
{
    struct claim_from f = {0};
    (void)state;
    took(&f, 0, MS, 500, 500, 77, NOW);
    took(&f, 77, MS, 500, 500, 78, NOW);
    for (int i = 0; i < 3; i++)
        took(&f, 0, 100 * MS, 500, 500, 79, NOW);
    assert_int_equal(from(&f, NOW + 1899 * MS), 79);
    took(&f, 79, 90 * MS, 500, 500, 80, NOW);
    assert_int_equal(from(&f, NOW + 50 * MS), 0);
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
        cmocka_unit_test(t07_behind_the_last_of_a_large_claim),
        cmocka_unit_test(t08_dear_ones_among_large_ones),
        cmocka_unit_test(t09_a_twentieth_of_the_time_goes_past_what_lies_in_front),
        cmocka_unit_test(t10_once_in_a_second_at_least),
        cmocka_unit_test(t11_dear_elsewhere_too),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
