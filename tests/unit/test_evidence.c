/* worker/evidence.h: the store is asked seldom, for a short time only, and left alone when it does not answer. */
#include "unit/unit.h"

#include <poll.h>

#include "core/clock.h"
#include "exec/exec.h"
#include "worker/evidence.h"

static struct {
    bool away;
    int asked, calibrated;
    int64_t deadline;
} fake;

bool store_profile(struct store *s, struct span handler, uint64_t digest, int64_t deadline,
                   struct profile *ret, struct correction *corrections, int room, struct err *e)
{
    (void)s, (void)handler, (void)room;
    fake.asked++;
    fake.deadline = deadline;
    if (fake.away)
        return err_set(e, ERR_STORE, "away");
    *ret = (struct profile){.runs = (int64_t)digest};
    corrections[0].factor = 2;
    return true;
}

bool exec_calibrate(struct host *h, struct err *e)
{
    (void)e;
    fake.calibrated++;
    h->item_cost = 42;
    return true;
}

static struct evidence *ev;

static int set_up(void **state)
{
    (void)state;
    memset(&fake, 0, sizeof fake);
    ev = evidence_new(NULL, 3);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    evidence_free(ev);
    return 0;
}

static bool find(uint64_t digest, struct profile *ret)
{
    struct correction corrections[EVIDENCE_STRATEGIES];
    const struct unit u = {.handler = SPAN("echo"), .digest = digest};
    return evidence_find(ev, &u, ret, corrections);
}

static void t01_remembered(void **state)
{
    (void)state;
    struct profile p;
    assert_true(find(7, &p));
    assert_int_equal(p.runs, 7);
    assert_true(fake.deadline <= clock_after_ms(2000)); /* a unit waits for it */
    assert_true(find(7, &p));
    assert_int_equal(fake.asked, 1);
    assert_true(find(8, &p));
    assert_int_equal(fake.asked, 2);
    evidence_forget(ev, 7);
    assert_true(find(7, &p));
    assert_int_equal(fake.asked, 3);
}

/* A handler of which nothing is known is not asked for again and again either. */
static void t02_nothing_is_known(void **state)
{
    (void)state;
    struct profile p;
    assert_false(find(0, &p));
    assert_false(find(0, &p));
    assert_int_equal(fake.asked, 1);
}

/* The next units do not each wait for a store that did not answer the first. */
static void t03_away(void **state)
{
    (void)state;
    struct profile p;
    fake.away = true;
    for (uint64_t digest = 1; digest < 100; digest++)
        assert_false(find(digest, &p));
    assert_int_equal(fake.asked, 1);
}

/* What is remembered is good while the store is away. */
static void t04_away_and_remembered(void **state)
{
    (void)state;
    struct profile p;
    assert_true(find(7, &p));
    fake.away = true;
    assert_false(find(8, &p));
    assert_true(find(7, &p));
    assert_int_equal(fake.asked, 2);
}

static void await_measured(void)
{
    int64_t deadline = clock_after_ms(60000);
    while (evidence_host(ev).item_cost != 42) {
        assert_true(clock_now() < deadline);
        poll(NULL, 0, 1);
    }
}

static void t05_measured_when_the_start_is_over(void **state)
{
    (void)state;
    assert_true(evidence_host(ev).item_cost > 42); /* a guess */
    await_measured();
    assert_int_equal(evidence_host(ev).cores, 3);
}

/* A worker that is stopped at once does not wait for it. The quickest of some, because a busy machine may be slow at any. */
static void t06_an_end_before_it(void **state)
{
    int64_t least = CLOCK_NEVER;
    for (int i = 0; i < 20 && least >= 400 * NS_PER_MS; i++) {
        tear_down(state);
        set_up(state);
        int64_t begin = clock_now();
        evidence_end(ev);
        int64_t took = clock_now() - begin;
        if (took < 400 * NS_PER_MS)
            assert_int_equal(fake.calibrated, 0);
        least = took < least ? took : least;
    }
    assert_true(least < 400 * NS_PER_MS);
}

/* Units that run would be measured along. */
static void t07_measured_when_nothing_runs(void **state)
{
    (void)state;
    evidence_begin(ev);
    evidence_begin(ev);
    poll(NULL, 0, 1500); /* three times what it waits for the start to be over */
    evidence_over(ev);
    assert_true(evidence_host(ev).item_cost > 42);
    evidence_over(ev);
    await_measured();
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

/* The best shape by what is remembered, and remembered with it: for the same question, and until the evidence is another. */
static void t08_the_best(void **state)
{
    struct profile waits = {.runs = 9, .items = 90, .cpu = 1e3, .wait = 1e9};
    struct profile works = {.runs = 9, .items = 90, .cpu = 1e9};
    struct correction corrections[EVIDENCE_STRATEGIES];
    struct ask ask = {.items = 90, .batch_size = 90, .workers = 16, .cores = 2}, other = ask;
    struct host host = evidence_host(ev);
    struct candidate first, again, asked, later;
    struct profile p;
    (void)state;
    for (size_t i = 0; i < COUNT_OF(corrections); i++)
        corrections[i] = (struct correction){.factor = 1};
    assert_true(find(7, &p));
    assert_true(evidence_best(ev, 7, &ask, &host, &waits, corrections, &first));
    assert_true(first.shape.width > 1 || first.shape.threads > 2);
    assert_true(evidence_best(ev, 7, &ask, &host, &works, corrections, &again)); /* not looked at */
    assert_true(first.prediction.wall == again.prediction.wall && first.shape.width == again.shape.width);
    other.items = 1;
    assert_true(evidence_best(ev, 7, &other, &host, &works, corrections, &asked));
    assert_true(asked.prediction.wall < again.prediction.wall);
    evidence_forget(ev, 7);
    assert_true(find(7, &p));
    assert_true(evidence_best(ev, 7, &ask, &host, &works, corrections, &later));
    assert_true(later.prediction.wall != first.prediction.wall);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(t01_remembered),
        TEST(t02_nothing_is_known),
        TEST(t03_away),
        TEST(t04_away_and_remembered),
        TEST(t05_measured_when_the_start_is_over),
        TEST(t06_an_end_before_it),
        TEST(t07_measured_when_nothing_runs),
        TEST(t08_the_best),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
