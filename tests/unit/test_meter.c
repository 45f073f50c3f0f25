/* exec/meter.h: time that a thread sleeps is never its CPU time, nor is CPU time lost, over one series of steps and the next. */
#include "unit.h"

#include <time.h>

#include "exec/meter.h"

#define SLEEP_NS (30 * NS_PER_MS)
#define WORK_NS (5 * NS_PER_MS)

static void sleep_for(int64_t ns)
{
    struct timespec t = {.tv_nsec = ns};
    while (nanosleep(&t, &t) != 0)
        continue;
}

static void work_for(int64_t ns)
{
    int64_t end = clock_thread_cpu() + ns;
    while (clock_thread_cpu() < end)
        continue;
}

/* A series of one step; what it is said to have used, and in all. */
static int64_t series(struct meter *m, void (*step)(int64_t), int64_t ns, int64_t *ret_all)
{
    int64_t cpu, used, began = meter_begin(m, &cpu), now = meter_start(m);
    step(ns);
    meter_stop(m, now, &used);
    *ret_all = meter_since(began, cpu);
    return used;
}

static void t01_work_counts(void **state)
{
    (void)state;
    struct meter m = {0};
    int64_t all, before = clock_thread_cpu();
    for (int i = 0; i < 3; i++) {
        assert_true(series(&m, work_for, WORK_NS, &all) >= WORK_NS * 9 / 10);
        assert_true(all >= WORK_NS * 9 / 10);
        assert_true(all <= clock_thread_cpu() - before);
    }
}

static void t02_sleep_does_not(void **state)
{
    (void)state;
    struct meter m = {0};
    int64_t all, before = clock_thread_cpu();
    for (int i = 0; i < 3; i++) {
        int64_t used = series(&m, sleep_for, SLEEP_NS, &all);
        assert_true(used < SLEEP_NS && all < SLEEP_NS);
        assert_true(used <= clock_thread_cpu() - before + METER_SHORT);
    }
}

/* Between two series it sleeps, or works for somebody else: neither is the second one's. */
static void t03_what_lies_between(void **state)
{
    (void)state;
    struct meter m = {0};
    int64_t all;
    series(&m, work_for, WORK_NS, &all);
    sleep_for(SLEEP_NS);
    assert_true(series(&m, sleep_for, SLEEP_NS, &all) < WORK_NS);
    series(&m, work_for, WORK_NS, &all);
    sleep_for(SLEEP_NS);
    int64_t cpu = clock_thread_cpu(), used = series(&m, work_for, WORK_NS, &all);
    assert_true(used >= WORK_NS * 9 / 10); /* although the clocks went apart before */
    assert_true(used <= clock_thread_cpu() - cpu);
    work_for(2 * WORK_NS);
    assert_true(series(&m, sleep_for, SLEEP_NS, &all) < WORK_NS && all < WORK_NS);
}

/* Many short series without a pause are what they took, and need no look at the CPU clock but now and then. */
static void t04_short_ones(void **state)
{
    (void)state;
    struct meter m = {0};
    int64_t sum = 0, began = clock_thread_cpu();
    for (int i = 0; i < 1000; i++) {
        struct meter before = m;
        int64_t cpu, used, from = meter_begin(&m, &cpu);
        bool trusted = from - before.seen <= METER_SHORT && from - before.wall <= METER_DRIFT;
        assert_true(m.wall == (trusted ? before.wall : from));
        meter_stop(&m, meter_start(&m), &used);
        sum += meter_since(from, cpu);
    }
    assert_true(sum <= clock_thread_cpu() - began + 10 * METER_DRIFT);
}

/* Who lost its core just before is thought to have used it; what it used afterwards is not less than nothing. */
static void t05_never_less_than_nothing(void **state)
{
    (void)state;
    assert_true(meter_since(clock_now() - NS_PER_S, clock_thread_cpu() + NS_PER_S) == 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(t01_work_counts),
        cmocka_unit_test(t02_sleep_does_not),
        cmocka_unit_test(t03_what_lies_between),
        cmocka_unit_test(t04_short_ones),
        cmocka_unit_test(t05_never_less_than_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
