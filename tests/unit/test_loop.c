/* The passes of a worker's loop: what is due, and turns with units. Both are the test's own here. */
#include "../lib/test.h"

#include "worker/worker.c" /* a pass is a static of it */

static struct {
    bool due;        /* something always is, such as schedules of which there are too many */
    int64_t turn_at; /* turn_next */
    char passes[32]; /* "c": what was due, "t": a turn, "-": neither */
    size_t passes_n;
} seen;

static void note(char pass)
{
    assert_true(seen.passes_n < sizeof seen.passes - 1);
    seen.passes[seen.passes_n++] = pass;
}

bool care(struct worker *w)
{
    (void)w;
    if (seen.due)
        note('c');
    return seen.due;
}

int64_t care_next(const struct worker *w)
{
    (void)w;
    return CLOCK_NEVER;
}

void care_look_for_messages(struct worker *w)
{
    (void)w;
}

void care_begin(struct worker *w)
{
    (void)w;
}

void turn_gather(struct worker *w)
{
    (void)w;
}

int64_t turn_next(const struct worker *w)
{
    (void)w;
    return seen.turn_at;
}

void turn(struct worker *w)
{
    (void)w;
    note('t');
}

void turn_claimed(void *worker, struct claim *c)
{
    (void)worker, (void)c;
}

bool turn_abandon(struct worker *w, struct run *r, enum task_state state, const struct err *e)
{
    (void)w, (void)r, (void)state, (void)e;
    return false;
}

static const char *passes(bool due, int64_t turn_at, int n)
{
    struct worker w = {.cared = false};
    memset(&seen, 0, sizeof seen);
    seen.due = due;
    seen.turn_at = turn_at;
    while (n-- > 0) {
        size_t before = seen.passes_n;
        step(&w);
        if (seen.passes_n == before)
            note('-');
        assert_true(seen.passes_n ==
                    before + 1); /* one call to the store at most, so that a signal is seen soon */
    }
    return seen.passes;
}

/* However much is due, units have every other pass; and what is due has the others, however many units there are. */
static void t01_in_turns(void **state)
{
    (void)state;
    assert_string_equal(passes(true, 0, 8), "ctctctct");
}

/* Neither waits for the other when that has nothing to do. */
static void t02_alone(void **state)
{
    (void)state;
    assert_string_equal(passes(true, CLOCK_NEVER, 4), "cccc");
    assert_string_equal(passes(false, 0, 4), "tttt");
    assert_string_equal(passes(false, CLOCK_NEVER, 4), "----");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(t01_in_turns), cmocka_unit_test(t02_alone)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
