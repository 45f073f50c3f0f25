/* store/gate.h: how long PostgreSQL is left alone after it could not be reached, and that not everybody comes back at once. */
#include "../lib/test.h"

#include "core/clock.h"
#include "store/gate.h"

static const struct err why = {.code = ERR_STORE, .text = "it is not there"};

/* What it waits after so many failures in a row, ms: no less than `least`, and no more than `most`, since the clock goes on meanwhile. */
struct wait {
    int64_t least, most;
};

static struct wait wait_after(int failures)
{
    struct db_gate g;
    db_gate_init(&g);
    for (int i = 1; i < failures; i++)
        db_gate_shut(&g, &why, "nothing");
    int64_t before = clock_now();
    db_gate_shut(&g, &why, "nothing");
    int64_t opens = db_gate_opens(&g), after = clock_now();
    db_gate_release(&g);
    return (struct wait){(opens - after) / NS_PER_MS, (opens - before) / NS_PER_MS};
}

static void t01_longer_each_time(void **state)
{
    static const int64_t most[] = {50, 100, 200, 400, 800, 1600, 2000, 2000};
    (void)state;
    for (int i = 0; i < (int)COUNT_OF(most); i++) {
        struct wait w = wait_after(i + 1);
        if (w.most < most[i] / 2 || w.least > most[i])
            fail_msg("failure %d: %lld to %lld ms", i + 1, (long long)w.least, (long long)w.most);
    }
}

/* Fifty that lost it together: they come one after the other, in all parts of the second half of two seconds. */
static void t02_not_all_at_once(void **state)
{
    enum { MANY = 50, PARTS = 10 };
    bool seen[PARTS] = {false};
    int parts = 0;
    (void)state;
    for (int i = 0; i < MANY; i++) {
        int64_t ms = wait_after(8).most - 1000;
        if (ms >= 0 && ms < 1000)
            seen[ms * PARTS / 1000] = true;
    }
    for (int i = 0; i < PARTS; i++)
        parts += seen[i];
    assert_true(parts >= 5); /* fewer come once in ten million runs */
}

static void t03_closed_says_why_and_opens(void **state)
{
    struct db_gate g;
    struct err e = ERR_INIT;
    (void)state;
    db_gate_init(&g);
    assert_true(db_gate_pass(&g, &e));
    for (int i = 0; i < 8; i++)
        db_gate_shut(&g, &why, "nothing");
    assert_false(db_gate_pass(&g, &e));
    assert_string_equal(e.text, "it is not there");
    db_gate_opened(&g);
    assert_true(db_gate_pass(&g, &e));
    db_gate_shut(&g, &why, "nothing"); /* the first again */
    assert_true(db_gate_opens(&g) - clock_now() <= 50 * NS_PER_MS);
    db_gate_release(&g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(t01_longer_each_time),
        cmocka_unit_test(t02_not_all_at_once),
        cmocka_unit_test(t03_closed_says_why_and_opens),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
