/* exec/crew.h: several threads over one cursor. */
#include "exec_fixture.h"

#include <dirent.h>

static struct exec_report run(struct plan *p, struct notes *n)
{
    struct exec_report r = {0};
    struct err e = ERR_INIT;
    n->first = p->first;
    assert_true(exec_run(p, &r, &e));
    check_contract(p, n, &r);
    check_dropped();
    return r;
}

static int threads_now(void)
{
    int n = 0;
    DIR *d = opendir("/proc/self/task");
    for (struct dirent *entry; (entry = readdir(d));)
        n += entry->d_name[0] != '.';
    closedir(d);
    return n;
}

static void t01_every_item_once(void **state)
{
    (void)state;
    const struct shape shapes[] = {
        {.threads = 2, .width = 1, .grain = 1},   {.threads = 8, .width = 1, .grain = 1},
        {.threads = 3, .width = 50, .grain = 7},  {.threads = 16, .width = 2, .grain = 1000},
        {.threads = 200, .width = 1, .grain = 1},
    };
    for (size_t i = 0; i < COUNT_OF(shapes); i++) {
        fixture_clear(NULL);
        struct notes *n = notes_new();
        struct orders o = {.counts = counts};
        struct plan p = fixture_plan(n, &o, MOST, shapes[i]);
        assert_int_equal(run(&p, n).ok, MOST);
        mem_free(n);
    }
}

static void t02_waits_on_every_thread(void **state)
{
    (void)state;
    struct notes *n = notes_new();
    /* long enough that all threads are there before the first nap ends */
    struct orders o = {.act = NAP, .ms = SANITIZED ? 1000 : 200, .counts = counts};
    struct plan p = fixture_plan(n, &o, 100, (struct shape){.threads = 25, .width = 2, .grain = 1});
    assert_int_equal(run(&p, n).ok, 100);
    assert_int_equal(counts->most_in_flight, 50);
    mem_free(n);
}

static void t03_cancel_reaches_all_threads(void **state)
{
    (void)state;
    const enum act acts[] = {NAP, ON_FD, HANG_POLITE};
    for (size_t i = 0; i < COUNT_OF(acts); i++) {
        fixture_clear(NULL);
        counts->cancel_at = 4; /* the first of some thread: items that hang let no other begin behind them */
        struct notes *n = notes_new();
        struct orders o = {.act = acts[i], .ms = 900, .counts = counts};
        struct plan p = fixture_plan(n, &o, 5000, (struct shape){.threads = 6, .width = 2, .grain = 4});
        struct exec_report r = run(&p, n);
        assert_int_equal(r.ok, 0);
        assert_int_equal(r.cancelled, 5000);
        mem_free(n);
    }
}

static void t04_deadline_reaches_all_threads(void **state)
{
    (void)state;
    struct notes *n = notes_new();
    struct orders o = {.act = HANG_POLITE, .counts = counts};
    struct plan p = fixture_plan(n, &o, 100, (struct shape){.threads = 6, .width = 2, .grain = 4});
    p.deadline = clock_after_ms(10);
    assert_int_equal(run(&p, n).failed, 100);
    assert_int_equal(n->code[99], ERR_TASK_TIMEOUT);
    mem_free(n);
}

static void t05_fail_fast_stops_the_others(void **state)
{
    (void)state;
    struct notes *n = notes_new();
    struct orders o = {.act = FAIL_SLOWLY, .ms = 5, .every = 1, .counts = counts};
    struct plan p = fixture_plan(n, &o, 1000, (struct shape){.threads = 4, .width = 1, .grain = 1});
    p.fail_fast = true;
    struct exec_report r = run(&p, n);
    assert_in_range(r.failed, 1, 4);
    assert_int_equal(r.cancelled, 1000 - r.failed);
    mem_free(n);
}

static void t06_nothing_is_left(void **state)
{
    (void)state;
    int before = open_descriptors();
    for (int i = 0; i < 50; i++) {
        fixture_clear(NULL);
        struct notes *n = notes_new();
        struct orders o = {.act = ON_FD, .ms = 1, .counts = counts};
        struct plan p = fixture_plan(n, &o, 20, (struct shape){.threads = 5, .width = 2, .grain = 1});
        run(&p, n);
        mem_free(n);
    }
    assert_int_equal(open_descriptors(), before);
    assert_in_range(threads_now(), 1, SANITIZED ? 2 : 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(t01_every_item_once, fixture_clear),
        cmocka_unit_test_setup(t02_waits_on_every_thread, fixture_clear),
        cmocka_unit_test_setup(t03_cancel_reaches_all_threads, fixture_clear),
        cmocka_unit_test_setup(t04_deadline_reaches_all_threads, fixture_clear),
        cmocka_unit_test_setup(t05_fail_fast_stops_the_others, fixture_clear),
        cmocka_unit_test_setup(t06_nothing_is_left, fixture_clear),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
