/* exec/reactor.h through shapes of one thread: waits, failures, limits, stops. */
#include "exec_fixture.h"

static struct shape one_thread(int64_t width)
{
    return (struct shape){.threads = 1, .width = width, .grain = 3};
}

/* Runs it and checks what always holds. */
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

static void t01_no_items(void **state)
{
    (void)state;
    struct notes *n = notes_new();
    struct orders o = {.counts = counts};
    struct plan p = fixture_plan(n, &o, 0, one_thread(1));
    assert_int_equal(run(&p, n).ok, 0);
    mem_free(n);
}

static void t02_every_item_once(void **state)
{
    (void)state;
    struct notes *n = notes_new();
    struct orders o = {.counts = counts};
    struct plan p = fixture_plan(n, &o, 1000, one_thread(1));
    p.first = 500;
    assert_int_equal(run(&p, n).ok, 1000);
    assert_int_equal(counts->most_in_flight, 1);
    mem_free(n);
}

static void t03_inputs_reach_their_items(void **state)
{
    (void)state;
    struct notes *n = notes_new();
    struct orders o = {.counts = counts};
    struct span inputs[] = {SPAN("0"), SPAN("1"), SPAN("2"), SPAN("3"), SPAN("4")};
    struct plan p = fixture_plan(n, &o, COUNT_OF(inputs), one_thread(2));
    p.inputs = inputs;
    assert_int_equal(run(&p, n).ok, COUNT_OF(inputs));
    mem_free(n);
}

static void t04_waits_overlap_up_to_the_width(void **state)
{
    (void)state;
    const enum act acts[] = {NAP, NAP_TWICE, ON_FD};
    int64_t ms = 3;
    for (size_t i = 0; i < COUNT_OF(acts);) {
        fixture_clear(NULL);
        struct notes *n = notes_new();
        struct orders o = {.act = acts[i], .ms = ms, .counts = counts};
        struct plan p = fixture_plan(n, &o, 300, one_thread(100));
        struct exec_report r = run(&p, n);
        assert_int_equal(r.ok, 300);
        assert_true(counts->most_in_flight <= 100);
        /* each of them waited for what it asked for, and for that only */
        assert_true(r.wait_ns >= 300 * (ms - 1) * NS_PER_MS);
        assert_true(r.wait_ns == n->wait && r.item_cpu_ns == n->cpu);
        mem_free(n);
        bool all =
            counts->most_in_flight == 100; /* on a slow machine the first is over before the last was begun */
        i += all;
        ms *= all ? 1 : 4;
        assert_true(ms < 1000);
    }
}

static void t05_failures_are_told(void **state)
{
    (void)state;
    const struct {
        enum act act;
        enum err_code code;
    } cases[] = {{FAIL, ERR_ITEM_FAILED},           {MUTE_FAIL, ERR_ITEM_FAILED}, {TWO_LINES, ERR_INTERNAL},
                 {HUGE_RESULT, ERR_ITEM_TOO_LARGE}, {LOST, ERR_INTERNAL},         {BAD_FD, ERR_INTERNAL}};
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        fixture_clear(NULL);
        struct notes *n = notes_new();
        struct orders o = {.act = cases[i].act, .every = 4, .counts = counts};
        struct plan p = fixture_plan(n, &o, 10, one_thread(4));
        struct exec_report r = run(&p, n);
        assert_int_equal(r.failed, 3);
        assert_int_equal(n->last.code, cases[i].code);
        assert_true(n->last.text[0] != '\0');
        mem_free(n);
    }
}

static void t06_after_cancel_nothing_starts(void **state)
{
    (void)state;
    const enum act acts[] = {OK, NAP, ON_FD};
    for (size_t i = 0; i < COUNT_OF(acts); i++) {
        fixture_clear(NULL);
        counts->cancel_at = 20;
        struct notes *n = notes_new();
        struct orders o = {.act = acts[i], .ms = 200, .counts = counts};
        struct plan p = fixture_plan(n, &o, 1000, one_thread(32));
        struct exec_report r = run(&p, n);
        assert_int_equal(counts->steps_after_cancel, 0);
        assert_int_equal(counts->begun, 21);
        assert_int_equal(r.ok, acts[i] == OK ? 20 : 0);
        assert_int_equal(n->code[20], ERR_CANCELLED);
        assert_int_equal(n->code[999], ERR_CANCELLED);
        mem_free(n);
    }
}

static void t07_item_timeout(void **state)
{
    (void)state;
    const enum act acts[] = {NAP, ON_FD, HANG_POLITE};
    for (size_t i = 0; i < COUNT_OF(acts); i++) {
        fixture_clear(NULL);
        struct notes *n = notes_new();
        struct orders o = {.act = acts[i], .ms = 900, .counts = counts};
        struct plan p = fixture_plan(n, &o, 5, one_thread(5));
        p.item_timeout_ms = 5;
        struct exec_report r = run(&p, n);
        assert_int_equal(r.failed, 5);
        assert_int_equal(n->last.code, ERR_ITEM_TIMEOUT);
        mem_free(n);
    }
}

static void t08_the_whole_plan_has_a_deadline(void **state)
{
    (void)state;
    const enum act acts[] = {NAP, ON_FD, HANG_POLITE};
    for (size_t i = 0; i < COUNT_OF(acts); i++) {
        fixture_clear(NULL);
        struct notes *n = notes_new();
        struct orders o = {.act = acts[i], .ms = 900, .counts = counts};
        struct plan p = fixture_plan(n, &o, 100, one_thread(4));
        p.deadline = clock_after_ms(10);
        struct exec_report r = run(&p, n);
        assert_int_equal(r.failed, 100);
        assert_int_equal(n->code[0], ERR_TASK_TIMEOUT);
        assert_int_equal(n->code[99], ERR_TASK_TIMEOUT);
        assert_true(counts->begun <= 4);
        mem_free(n);
    }
}

static void t09_fail_fast_cancels_the_rest(void **state)
{
    (void)state;
    struct notes *n = notes_new();
    struct orders o = {.act = FAIL, .every = 7, .counts = counts};
    struct plan p = fixture_plan(n, &o, 100, one_thread(1));
    p.first = 1;
    p.fail_fast = true;
    struct exec_report r = run(&p, n);
    assert_int_equal(r.ok, 6);
    assert_int_equal(r.failed, 1);
    assert_int_equal(r.cancelled, 93);
    assert_false(cancel_raised(&counts->cancel)); /* the caller's own flag is the caller's */
    mem_free(n);
}

static void watch_progress(void *arg, const struct outcome *o)
{
    struct exec_progress *progress = *(struct exec_progress **)arg;
    (void)o;
    assert_in_range(progress->done, 1, 20);
}

static enum step half_way(struct item *it)
{
    struct doing *d = it->state;
    struct exec_progress *const *progress = it->args;
    if (d->until) {
        assert_true((*progress)->partial_milli >= 500);
        return STEP_DONE;
    }
    it->progress = 0.5;
    return item_wait_until(it, d->until = clock_after_ms(1));
}

static void t10_progress_while_it_runs(void **state)
{
    (void)state;
    struct exec_progress progress = {0}, *at = &progress;
    struct handler h = {
        .name = "half", .params = {NULL, 0, sizeof at}, .state_size = sizeof(struct doing), .step = half_way};
    struct plan p = {.handler = &h,
                     .args = &at,
                     .count = 20,
                     .shape = one_thread(4),
                     .deadline = CLOCK_NEVER,
                     .progress = &progress,
                     .done = watch_progress,
                     .arg = &at};
    struct exec_report r;
    struct err e;
    assert_true(exec_run(&p, &r, &e));
    assert_int_equal(progress.done, 20);
    assert_int_equal(progress.failed, 0);
    assert_int_equal(progress.partial_milli, 0);
}

/* Two items wait for one descriptor, a third rings it. */
static enum step on_bell(struct item *it)
{
    const int *bell = it->args;
    uint64_t one = 1;
    if (it->index == 2)
        return write(*bell, &one, sizeof one) == sizeof one ? STEP_DONE : STEP_FAIL;
    struct pollfd ready = {.fd = *bell, .events = POLLIN};
    return poll(&ready, 1, 0) == 1 ? STEP_DONE : item_wait_fd(it, *bell, POLLIN, CLOCK_NEVER);
}

static void count_ok(void *arg, const struct outcome *o)
{
    *(int *)arg += o->kind == OUTCOME_OK && span_is(o->result, "null");
}

static void t11_two_items_wait_for_one_descriptor(void **state)
{
    (void)state;
    int ok = 0, bell = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    struct handler h = {.name = "bell", .params = {NULL, 0, sizeof bell}, .step = on_bell};
    struct plan p = {.handler = &h,
                     .args = &bell,
                     .count = 3,
                     .shape = one_thread(3),
                     .deadline = CLOCK_NEVER,
                     .done = count_ok,
                     .arg = &ok};
    struct err e;
    assert_true(exec_run(&p, NULL, &e));
    assert_int_equal(ok, 3);
    close(bell);
}

/* A wait whose time is past already is an early step and no more. */
static enum step impatient(struct item *it)
{
    struct doing *d = it->state;
    return ++d->until < 50 ? item_wait_until(it, 1) : STEP_DONE;
}

static void t12_waits_that_are_over_already(void **state)
{
    (void)state;
    int ok = 0;
    struct handler h = {.name = "impatient", .state_size = sizeof(struct doing), .step = impatient};
    struct plan p = {.handler = &h,
                     .count = 200,
                     .shape = one_thread(7),
                     .deadline = CLOCK_NEVER,
                     .done = count_ok,
                     .arg = &ok};
    struct exec_report r;
    struct err e;
    assert_true(exec_run(&p, &r, &e));
    assert_int_equal(ok, 200);
    assert_int_equal(r.wait_ns, 0);
}

static void t13_many_in_flight_are_small(void **state)
{
    (void)state;
    struct notes *n = notes_new();
    /* long enough that all are begun before the first ends */
    struct orders o = {.act = NAP, .ms = SANITIZED ? 5000 : 1000, .counts = counts};
    struct plan p = fixture_plan(n, &o, MOST, one_thread(MOST));
    struct exec_report small, many;
    struct plan few = fixture_plan(n, &(struct orders){.counts = counts}, 1, one_thread(1));
    struct err e;
    assert_true(exec_run(&few, &small, &e));
    fixture_clear(NULL);
    memset(n, 0, sizeof *n);
    many = run(&p, n);
    assert_int_equal(counts->most_in_flight, MOST);
    if (!SANITIZED)
        assert_in_range(many.peak_rss_kib - small.peak_rss_kib, MOST * 300 / 1024, 40 * 1024);
    mem_free(n);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(t01_no_items, fixture_clear),
        cmocka_unit_test_setup(t02_every_item_once, fixture_clear),
        cmocka_unit_test_setup(t03_inputs_reach_their_items, fixture_clear),
        cmocka_unit_test_setup(t04_waits_overlap_up_to_the_width, fixture_clear),
        cmocka_unit_test_setup(t05_failures_are_told, fixture_clear),
        cmocka_unit_test_setup(t06_after_cancel_nothing_starts, fixture_clear),
        cmocka_unit_test_setup(t07_item_timeout, fixture_clear),
        cmocka_unit_test_setup(t08_the_whole_plan_has_a_deadline, fixture_clear),
        cmocka_unit_test_setup(t09_fail_fast_cancels_the_rest, fixture_clear),
        cmocka_unit_test_setup(t10_progress_while_it_runs, fixture_clear),
        cmocka_unit_test_setup(t11_two_items_wait_for_one_descriptor, fixture_clear),
        cmocka_unit_test_setup(t12_waits_that_are_over_already, fixture_clear),
        cmocka_unit_test_setup(t13_many_in_flight_are_small, fixture_clear),
    };
    int before = open_descriptors();
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    return failed || open_descriptors() != before;
}
