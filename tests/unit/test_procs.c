/* exec/procs.h: shapes with processes, and what a handler can do to them. */
#include "exec_fixture.h"

#include <pthread.h>
#include <sys/wait.h>

#include "core/limits.h"
#include "exec/rss.h"

static struct shape processes(int64_t n, int64_t threads, int64_t width, int64_t grain)
{
    return (struct shape){.processes = n, .threads = threads, .width = width, .grain = grain};
}

static struct exec_report run(struct plan *p, struct notes *n)
{
    struct exec_report r = {0};
    struct err e = ERR_INIT;
    n->first = p->first;
    if (!exec_run(p, &r, &e))
        fail_msg("%s", e.text);
    check_contract(p, n, &r);
    return r;
}

static void t01_every_item_once(void **state)
{
    (void)state;
    const struct shape shapes[] = {processes(1, 1, 1, 1), processes(3, 1, 1, 17), processes(2, 2, 1, 1),
                                   processes(2, 1, 50, 5), processes(4, 2, 3, 1000)};
    for (size_t i = 0; i < COUNT_OF(shapes); i++) {
        fixture_clear(NULL);
        struct notes *n = notes_new();
        struct orders o = {.counts = counts};
        struct plan p = fixture_plan(n, &o, 5000, shapes[i]);
        p.first = 1000;
        struct exec_report r = run(&p, n);
        assert_int_equal(r.ok, 5000);
        assert_int_equal(r.children_lost, 0);
        check_dropped();
        mem_free(n);
    }
}

static void t02_inputs_and_large_results(void **state)
{
    (void)state;
    enum { COUNT = 40 };
    struct notes *n = notes_new();
    struct orders o = {.counts = counts};
    struct span inputs[COUNT];
    static char text[COUNT][400000]; /* "0000…0007": the value is the index */
    for (int i = 0; i < COUNT; i++) {
        memset(text[i], '0', sizeof text[i]);
        text[i][sizeof text[i] - 1] = (char)('0' + i % 10);
        text[i][sizeof text[i] - 2] = (char)('0' + i / 10);
        inputs[i] = (struct span){text[i], i % 2 ? sizeof text[i] : 0};
    }
    struct plan p = fixture_plan(n, &o, COUNT, processes(2, 1, 1, 3));
    p.inputs = inputs;
    assert_int_equal(run(&p, n).ok, COUNT);
    mem_free(n);
}

static void t03_waits_overlap(void **state)
{
    (void)state;
    const enum act acts[] = {NAP, ON_FD};
    for (size_t i = 0; i < COUNT_OF(acts); i++) {
        fixture_clear(NULL);
        struct notes *n = notes_new();
        struct orders o = {.act = acts[i], .ms = 5, .counts = counts};
        struct plan p = fixture_plan(n, &o, 200, processes(4, 1, 10, 1));
        struct exec_report r = run(&p, n);
        assert_int_equal(r.ok, 200);
        assert_true(r.wait_ns >= 200 * 4 * NS_PER_MS && r.wait_ns == n->wait && r.item_cpu_ns == n->cpu);
        check_dropped();
        mem_free(n);
    }
}

static void t04_failures_are_told(void **state)
{
    (void)state;
    const struct {
        enum act act;
        enum err_code code;
    } cases[] = {{FAIL, ERR_ITEM_FAILED}, {TWO_LINES, ERR_INTERNAL}, {HUGE_RESULT, ERR_ITEM_TOO_LARGE}};
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        fixture_clear(NULL);
        struct notes *n = notes_new();
        struct orders o = {.act = cases[i].act, .every = 5, .counts = counts};
        struct plan p = fixture_plan(n, &o, 20, processes(2, 1, 1, 2));
        assert_int_equal(run(&p, n).failed, 4);
        assert_int_equal(n->last.code, cases[i].code);
        mem_free(n);
    }
}

/* Whatever the shape: those that crash fail, all others are ok, although they were near. */
static void t05_crashes_cost_their_own_items(void **state)
{
    (void)state;
    const struct shape shapes[] = {processes(1, 1, 1, 20), processes(3, 1, 1, 1), processes(2, 3, 1, 2),
                                   processes(2, 1, 8, 1)};
    for (size_t i = 0; i < COUNT_OF(shapes); i++) {
        fixture_clear(NULL);
        struct notes *n = notes_new();
        struct orders o = {.act = CRASH, .every = 10, .counts = counts};
        struct plan p = fixture_plan(n, &o, 50, shapes[i]);
        struct exec_report r = run(&p, n);
        assert_int_equal(r.failed, 5);
        assert_int_equal(r.ok, 45);
        assert_int_equal(n->code[10], ERR_ITEM_CRASHED);
        assert_non_null(strstr(n->last.text, "signal 11 (SIGSEGV)"));
        assert_int_equal(counts->runs[10], 2);
        assert_true(r.children_lost >= 5 && r.children_lost <= 10);
        mem_free(n);
    }
}

static void t06_crashing_once_is_forgiven(void **state)
{
    (void)state;
    struct notes *n = notes_new();
    struct orders o = {.act = CRASH, .every = 10, .crash_once = true, .counts = counts};
    struct plan p = fixture_plan(n, &o, 50, processes(2, 1, 1, 5));
    struct exec_report r = run(&p, n);
    assert_int_equal(r.ok, 50);
    assert_int_equal(r.children_lost, 5);
    mem_free(n);
}

static void t07_other_ways_to_die(void **state)
{
    (void)state;
    struct notes *n = notes_new();
    struct orders o = {.act = EXIT3, .every = 3, .counts = counts};
    struct plan p = fixture_plan(n, &o, 4, processes(2, 1, 1, 1));
    assert_int_equal(run(&p, n).failed, 2);
    assert_non_null(strstr(n->last.text, "exit 3"));
    fixture_clear(NULL);
    memset(n, 0, sizeof *n);
    o.act = LEAK;
    p.child_memory = 64 * MIB;
    assert_int_equal(run(&p, n).failed, 2);
    assert_int_equal(n->last.code, ERR_ITEM_CRASHED);
    if (!SANITIZED)
        assert_non_null(strstr(n->last.text, "memory limit of 64 MiB"));
    mem_free(n);
}

/* Steps that do not look at anything end too, and cost nobody else. */
static void t08_item_timeout_kills(void **state)
{
    (void)state;
    const struct shape shapes[] = {processes(2, 1, 1, 4), processes(1, 2, 2, 1)};
    for (size_t i = 0; i < COUNT_OF(shapes); i++) {
        fixture_clear(NULL);
        struct notes *n = notes_new();
        struct orders o = {.act = HANG, .every = 6, .counts = counts};
        struct plan p = fixture_plan(n, &o, 12, shapes[i]);
        p.item_timeout_ms = SANITIZED ? 400 : 100;
        struct exec_report r = run(&p, n);
        assert_int_equal(r.failed, 2);
        assert_int_equal(r.ok, 10);
        assert_int_equal(n->code[0], ERR_ITEM_TIMEOUT);
        assert_int_equal(n->code[6], ERR_ITEM_TIMEOUT);
        mem_free(n);
    }
}

static void t09_waiting_items_time_out_without_a_death(void **state)
{
    (void)state;
    struct notes *n = notes_new();
    struct orders o = {.act = NAP, .ms = 9000, .counts = counts};
    struct plan p = fixture_plan(n, &o, 6, processes(2, 1, 3, 1));
    p.item_timeout_ms = 5;
    struct exec_report r = run(&p, n);
    assert_int_equal(r.failed, 6);
    assert_int_equal(r.children_lost, 0);
    assert_int_equal(n->last.code, ERR_ITEM_TIMEOUT);
    check_dropped();
    mem_free(n);
}

static void t10_cancel(void **state)
{
    (void)state;
    const enum act acts[] = {OK, NAP, ON_FD, HANG_POLITE, HANG};
    for (size_t i = 0; i < COUNT_OF(acts); i++) {
        fixture_clear(NULL);
        counts->cancel_at = 4;
        struct notes *n = notes_new();
        struct orders o = {.act = acts[i], .ms = 9000, .counts = counts};
        struct plan p = fixture_plan(n, &o, 5000, processes(3, 1, 1, 4));
        struct exec_report r = run(&p, n);
        assert_int_equal(r.ok + r.cancelled, 5000);
        /* A child that saw the cancel before its first item has nothing that hangs. */
        assert_int_equal(r.children_lost, acts[i] == HANG ? counts->begun : 0);
        if (acts[i] != OK)
            assert_int_equal(r.cancelled, 5000);
        mem_free(n);
    }
}

static void t11_deadline(void **state)
{
    (void)state;
    const enum act acts[] = {NAP, HANG_POLITE, HANG};
    for (size_t i = 0; i < COUNT_OF(acts); i++) {
        fixture_clear(NULL);
        struct notes *n = notes_new();
        struct orders o = {.act = acts[i], .ms = 9000, .counts = counts};
        struct plan p = fixture_plan(n, &o, 100, processes(2, 1, 1, 4));
        p.deadline = clock_after_ms(20);
        struct exec_report r = run(&p, n);
        assert_int_equal(r.failed, 100);
        assert_int_equal(n->code[0], ERR_TASK_TIMEOUT);
        assert_int_equal(n->code[99], ERR_TASK_TIMEOUT);
        mem_free(n);
    }
}

static void t12_fail_fast(void **state)
{
    (void)state;
    struct notes *n = notes_new();
    struct orders o = {.act = FAIL_SLOWLY, .ms = 5, .every = 1, .counts = counts};
    struct plan p = fixture_plan(n, &o, 1000, processes(3, 1, 1, 1));
    p.fail_fast = true;
    struct exec_report r = run(&p, n);
    assert_in_range(r.failed, 1, 30);
    assert_int_equal(r.cancelled, 1000 - r.failed);
    mem_free(n);
}

static void *run_one(void *arg)
{
    struct notes *n = notes_new();
    struct orders o = {.act = *(enum act *)arg, .ms = 2, .every = 10, .counts = counts};
    struct plan p = fixture_plan(n, &o, 60, processes(2, 1, 2, 3));
    struct exec_report r = {0};
    struct err e;
    bool good = exec_run(&p, &r, &e) && n->reports == 60 && n->overlaps == 0;
    for (int i = 0; i < 60; i++)
        good = good && n->seen[i] == 1;
    good = good && r.failed == (o.act == CRASH || o.act == FAIL ? 6 : 0);
    mem_free(n);
    return good ? arg : NULL;
}

static void t13_several_runs_at_once(void **state)
{
    (void)state;
    enum act acts[] = {NAP, CRASH, OK, FAIL, CRASH, NAP};
    pthread_t threads[COUNT_OF(acts)];
    for (size_t i = 0; i < COUNT_OF(acts); i++)
        assert_int_equal(pthread_create(&threads[i], NULL, run_one, &acts[i]), 0);
    for (size_t i = 0; i < COUNT_OF(acts); i++) {
        void *good;
        pthread_join(threads[i], &good);
        assert_non_null(good);
    }
}

static void t14_progress_is_seen(void **state)
{
    (void)state;
    struct notes *n = notes_new();
    struct exec_progress progress = {0};
    struct orders o = {.act = FAIL, .every = 4, .counts = counts};
    struct plan p = fixture_plan(n, &o, 20, processes(2, 1, 1, 1));
    p.progress = &progress;
    run(&p, n);
    assert_int_equal(progress.done, 20);
    assert_int_equal(progress.failed, 5);
    assert_int_equal(progress.partial_milli, 0);
    mem_free(n);
}

static void *release_when_half_done(void *arg)
{
    const struct exec_progress *progress = arg;
    while (progress->partial_milli < 2 * 500)
        poll(NULL, 0, 1);
    counts->go = 1;
    return NULL;
}

static void t15_partial_progress_crosses_processes(void **state)
{
    (void)state;
    struct notes *n = notes_new();
    struct exec_progress progress = {0};
    struct orders o = {.act = PROGRESS, .every = 1, .counts = counts};
    struct plan p = fixture_plan(n, &o, 2, processes(2, 1, 1, 1));
    pthread_t thread;
    p.progress = &progress;
    pthread_create(&thread, NULL, release_when_half_done, &progress);
    struct exec_report r;
    struct err e;
    assert_true(exec_run(&p, &r, &e)); /* does not end before the thread has seen both at 0.5 */
    pthread_join(thread, NULL);
    assert_int_equal(r.ok, 2);
    mem_free(n);
}

static void t16_calibration_measures_something(void **state)
{
    (void)state;
    struct host h = {.cores = 7};
    struct err e;
    assert_true(exec_calibrate(&h, &e));
    assert_int_equal(h.cores, 7);
    struct host bounded =
        h; /* a difference of two runs, and where the machine is busy with others that comes to nothing now and then */
    host_bound(&bounded);
    assert_true(bounded.thread_start == h.thread_start && bounded.process_start == h.process_start &&
                bounded.item_cost == h.item_cost && bounded.process_item == h.process_item &&
                bounded.timer_slack == h.timer_slack);
}

/* What a dead one had is not known: the kernel tells the peak of its whole life, pages of the worker included. */
static void t17_memory_of_the_dead_is_left_out(void **state)
{
    (void)state;
    struct notes *n = notes_new();
    struct orders o = {.act = CRASH, .every = 1, .counts = counts};
    struct plan p = fixture_plan(n, &o, 1, processes(1, 1, 1, 1));
    struct exec_report r = run(&p, n);
    assert_int_equal(r.failed, 1);
    assert_true(r.peak_rss_kib <= rss_peak_kib()); /* the worker's alone: every child died */
    fixture_clear(NULL);
    memset(n, 0, sizeof *n);
    o.act = OK;
    assert_int_equal(run(&p, n).ok, 1);
    mem_free(n);
}

static void t18_without_a_zygote_nothing_starts(void **state)
{
    (void)state;
    exec_stop();
    struct notes *n = notes_new();
    struct orders o = {.counts = counts};
    struct plan p = fixture_plan(n, &o, 10, processes(2, 1, 1, 1));
    struct exec_report r;
    struct err e = ERR_INIT;
    assert_false(exec_run(&p, &r, &e));
    assert_int_equal(e.code, ERR_SYSTEM);
    assert_int_equal(n->reports, 0);
    assert_int_equal(waitpid(-1, NULL, WNOHANG), -1); /* and nobody is left */
    mem_free(n);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(t01_every_item_once, fixture_clear),
        cmocka_unit_test_setup(t02_inputs_and_large_results, fixture_clear),
        cmocka_unit_test_setup(t03_waits_overlap, fixture_clear),
        cmocka_unit_test_setup(t04_failures_are_told, fixture_clear),
        cmocka_unit_test_setup(t05_crashes_cost_their_own_items, fixture_clear),
        cmocka_unit_test_setup(t06_crashing_once_is_forgiven, fixture_clear),
        cmocka_unit_test_setup(t07_other_ways_to_die, fixture_clear),
        cmocka_unit_test_setup(t08_item_timeout_kills, fixture_clear),
        cmocka_unit_test_setup(t09_waiting_items_time_out_without_a_death, fixture_clear),
        cmocka_unit_test_setup(t10_cancel, fixture_clear),
        cmocka_unit_test_setup(t11_deadline, fixture_clear),
        cmocka_unit_test_setup(t12_fail_fast, fixture_clear),
        cmocka_unit_test_setup(t13_several_runs_at_once, fixture_clear),
        cmocka_unit_test_setup(t14_progress_is_seen, fixture_clear),
        cmocka_unit_test_setup(t15_partial_progress_crosses_processes, fixture_clear),
        cmocka_unit_test_setup(t16_calibration_measures_something, fixture_clear),
        cmocka_unit_test_setup(t17_memory_of_the_dead_is_left_out, fixture_clear),
        cmocka_unit_test_setup(t18_without_a_zygote_nothing_starts, fixture_clear),
    };
    struct err e;
    int before = open_descriptors();
    fixture_clear(NULL); /* shared with children, so it has to be there before them */
    if (!exec_start(&e))
        return 1;
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    return failed || open_descriptors() != before;
}
