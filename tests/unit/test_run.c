/* worker/run.h: the shape of a unit, what is foretold of it, and how it ends; with an engine and evidence of our own. */
#include "unit/unit.h"

#include "core/clock.h"
#include "worker/run.h"

#define MS 1e6

/* ---- the engine and the evidence ---- */

static struct {
    bool known;
    struct profile profile;
    struct correction corrections[EVIDENCE_STRATEGIES];
    struct plan plan; /* the last one that was run */
    const struct outcome *outcomes;
    size_t outcomes_n;
    bool fails, broken; /* the run; the zygote */
} fake;

static int running;

void evidence_begin(struct evidence *ev)
{
    (void)ev;
    running++;
}

void evidence_over(struct evidence *ev)
{
    (void)ev;
    running--;
}

struct host evidence_host(struct evidence *ev)
{
    (void)ev;
    return (struct host){.cores = 2,
                         .thread_start = 0.03 * MS,
                         .process_start = 0.5 * MS,
                         .item_cost = 2000,
                         .process_item = 6000,
                         .timer_slack = 60000};
}

bool evidence_find(struct evidence *ev, const struct unit *u, struct profile *ret,
                   struct correction corrections[EVIDENCE_STRATEGIES])
{
    (void)ev, (void)u;
    *ret = fake.profile;
    memcpy(corrections, fake.corrections, sizeof fake.corrections);
    return fake.known;
}

bool evidence_best(struct evidence *ev, uint64_t digest, const struct ask *ask, const struct host *host,
                   const struct profile *profile, const struct correction *corrections, struct candidate *ret)
{
    struct candidate ranked[EVIDENCE_STRATEGIES];
    (void)ev, (void)digest;
    int n = recommend(profile, host, ask, corrections, ranked, EVIDENCE_STRATEGIES);
    *ret = ranked[0];
    return n > 0;
}

bool exec_run(const struct plan *p, struct exec_report *report, struct err *e)
{
    fake.plan = *p;
    if (fake.fails)
        return err_set(e, ERR_SYSTEM, "no child");
    for (size_t i = 0; i < fake.outcomes_n; i++) {
        const struct outcome *o = &fake.outcomes[i];
        p->done(p->arg, o);
        report->ok += o->kind == OUTCOME_OK;
        report->failed += o->kind == OUTCOME_FAILED;
        report->cancelled += o->kind == OUTCOME_CANCELLED;
        report->snooze_ms = o->snooze_ms > report->snooze_ms ? o->snooze_ms : report->snooze_ms;
    }
    return true;
}

bool exec_broken(void)
{
    return fake.broken;
}

/* ---- a unit ---- */

static struct conf conf;
static struct unit unit;
static struct run *r;

static int set_up(void **state)
{
    (void)state;
    memset(&fake, 0, sizeof fake);
    conf = (struct conf){.worker_max_workers = 64, .worker_task_timeout = 1000};
    unit = (struct unit){.handler = SPAN("echo"),
                         .strategy = SPAN("sequential"),
                         .inner = SPAN("auto"),
                         .count = 3,
                         .attempt = 1,
                         .batch_size = 100,
                         .workers = 4};
    r = run_new(&unit, NULL);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    run_free(r);
    return 0;
}

static const struct finish *run_it(void)
{
    const struct run_env env = {.conf = &conf};
    struct args args CLEANUP(args_release) = ARGS_INIT;
    run_unit(r, &env, &args);
    assert_int_equal(running, 0);
    return &r->finish;
}

static void know(double wait, double cpu)
{
    fake.known = true;
    fake.profile = (struct profile){.runs = 9, .items = 900, .wait = wait, .cpu = cpu};
}

static void correct(const struct strategy *s, double factor)
{
    for (int i = 0; strategies[i]; i++)
        if (strategies[i] == s)
            fake.corrections[i] = (struct correction){.runs = 5, .factor = factor};
}

static bool near(int64_t got, double want)
{
    return (double)got > want * 0.99 - 2 && (double)got < want * 1.01 + 2;
}

/* ---- what is foretold ---- */

static void t01_named(void **state)
{
    (void)state;
    know(0, 10 * MS);
    correct(&strategy_sequential, 3);
    const struct finish *f = run_it();
    assert_span(f->used, "sequential");
    assert_true(near(f->bare_us, 30006));
    assert_true(near(f->measured.predicted_us, 3 * 30006));
}

/* Nobody believes that a strategy takes a hundred times what the formula says: the profile is wrong. */
static void t02_beyond_belief(void **state)
{
    (void)state;
    know(0, 10 * MS);
    correct(&strategy_sequential, 100);
    const struct finish *f = run_it();
    assert_int_equal(f->measured.predicted_us, f->bare_us);
}

/* A free shape is nobody's, whatever strategy was named beside it. */
static void t03_free_shape(void **state)
{
    (void)state;
    know(0, 10 * MS);
    correct(&strategy_sequential, 3);
    unit.has_shape = true;
    unit.shape = (struct shape){0, 1, 1, 1};
    const struct finish *f = run_it();
    assert_int_equal(f->used.len, 0);
    assert_true(f->bare_us > 0);
    assert_int_equal(f->measured.predicted_us, f->bare_us);
}

/* auto is corrected as, and teaches, the strategy whose shape it took. */
static void t04_auto(void **state)
{
    (void)state;
    know(0, 0.001 * MS);
    unit.count = 1;
    unit.strategy = SPAN("auto");
    correct(&strategy_auto, 5);
    correct(&strategy_sequential, 0.5);
    const struct finish *f = run_it();
    assert_span(f->used, "sequential");
    assert_true(f->measured.predicted_us <= f->bare_us);
}

static void t05_auto_without_evidence(void **state)
{
    (void)state;
    unit.count = 100;
    unit.strategy = SPAN("auto");
    const struct finish *f = run_it();
    assert_span(f->used, "hybrid");
    assert_int_equal(f->measured.predicted_us, 0);
    assert_int_equal(f->shape.threads, 2);
}

/* It was on board when a worker died: in a child, and that is no strategy's own shape. */
static void t06_second_attempt(void **state)
{
    (void)state;
    know(0, 10 * MS);
    correct(&strategy_sequential, 3);
    unit.attempt = 2;
    const struct finish *f = run_it();
    assert_int_equal(fake.plan.shape.processes, 1);
    assert_int_equal(f->used.len, 0);
    assert_int_equal(f->measured.predicted_us, f->bare_us);
}

/* ---- how it ends ---- */

/* The time limit is why the task failed, also when an item had failed before. */
static void t10_time_limit_after_a_failure(void **state)
{
    (void)state;
    const struct err bad = {.code = ERR_ITEM_FAILED, .text = "bad"},
                     late = {.code = ERR_TASK_TIMEOUT, .text = "late"};
    const struct outcome list[] = {{.index = 0, .kind = OUTCOME_FAILED, .err = &bad},
                                   {.index = 1, .kind = OUTCOME_FAILED, .err = &late},
                                   {.index = 2, .kind = OUTCOME_FAILED, .err = &late}};
    fake.outcomes = list;
    fake.outcomes_n = COUNT_OF(list);
    const struct finish *f = run_it();
    assert_int_equal(f->state, TASK_failed);
    assert_int_equal(f->err.code, ERR_TASK_TIMEOUT);
    assert_int_equal(f->items_failed, 3);
}

static void t11_failed_items_are_no_failure(void **state)
{
    (void)state;
    const struct err bad = {.code = ERR_ITEM_FAILED, .text = "bad"};
    const struct outcome list[] = {{.index = 0, .kind = OUTCOME_OK, .result = SPAN("1")},
                                   {.index = 1, .kind = OUTCOME_FAILED, .err = &bad},
                                   {.index = 2, .kind = OUTCOME_OK, .result = SPAN("3")}};
    fake.outcomes = list;
    fake.outcomes_n = COUNT_OF(list);
    const struct finish *f = run_it();
    assert_int_equal(f->state, TASK_succeeded);
    assert_int_equal(f->err.code, ERR_ITEM_FAILED);
    assert_int_equal(f->items_done, 3);
    assert_int_equal(f->items_failed, 1);
}

static void t12_not_run_at_all(void **state)
{
    (void)state;
    unit.first = 5;
    unit.count = 2;
    fake.fails = true;
    const struct finish *f = run_it();
    assert_int_equal(f->state, TASK_failed);
    assert_int_equal(f->items_done, 2);
    assert_int_equal(f->items_failed, 2);
    assert_span(
        f->results,
        "{\"index\":5,\"state\":\"failed\",\"error\":{\"type\":\"system\",\"detail\":\"no child\"}}\n"
        "{\"index\":6,\"state\":\"failed\",\"error\":{\"type\":\"system\",\"detail\":\"no child\"}}\n");
    assert_false(r->unhelped);
}

static void t13_without_a_zygote(void **state)
{
    (void)state;
    static const struct err e = {.code = ERR_ITEM_CRASHED, .text = "killed"};
    static const struct outcome good = {.index = 0, .kind = OUTCOME_OK, .result = SPAN("1")};
    static const struct outcome bad = {.index = 0, .kind = OUTCOME_FAILED, .err = &e};
    unit.count = 1;
    fake.broken = true;
    fake.outcomes_n = 1;
    fake.outcomes = &bad;
    run_it();
    assert_true(r->unhelped);
    run_free(r);
    r = run_new(&unit, NULL);
    fake.outcomes = &good; /* it did without */
    run_it();
    assert_false(r->unhelped);
    run_free(r);
    r = run_new(&unit, NULL);
    fake.fails = true;
    run_it();
    assert_true(r->unhelped);
}

/* ---- once more ---- */

static const struct err mishap = {.code = ERR_ITEM_FAILED, .text = "bad"};
static const struct err for_good = {.code = ERR_ITEM_TOO_LARGE, .text = "too much"};

static const struct finish *with(const struct outcome *list, size_t n, const char *terms)
{
    fake.outcomes = list;
    fake.outcomes_n = n;
    unit.count = (int64_t)n;
    unit.terms = span_of(terms);
    return run_it();
}

#define TERMS "{\"retries\":2,\"backoff\":{\"base_ms\":100,\"factor\":3,\"jitter\":0}}"

static void t30_all_failed(void **state)
{
    (void)state;
    const struct outcome list[] = {{.index = 0, .kind = OUTCOME_FAILED, .err = &mishap},
                                   {.index = 1, .kind = OUTCOME_FAILED, .err = &mishap}};
    const struct finish *f = with(list, 2, TERMS);
    assert_true(f->again && f->counts);
    assert_int_equal(f->again_ms, 100);
    assert_int_equal(f->items_failed, 2); /* whole, for a task that does not go on */
    assert_int_equal(f->err.code, ERR_ITEM_FAILED);
}

static void t31_the_next_wait_is_longer(void **state)
{
    (void)state;
    const struct outcome list[] = {{.index = 0, .kind = OUTCOME_FAILED, .err = &mishap}};
    unit.tries = 1;
    assert_int_equal(with(list, 1, TERMS)->again_ms, 300);
}

static void t32_no_tries_left(void **state)
{
    (void)state;
    const struct outcome list[] = {{.index = 0, .kind = OUTCOME_FAILED, .err = &mishap}};
    unit.tries = 2;
    const struct finish *f = with(list, 1, TERMS);
    assert_false(f->again);
    assert_int_equal(f->items_failed, 1);
}

/* It would be a success with failed items. */
static void t33_one_failed(void **state)
{
    (void)state;
    const struct outcome list[] = {{.index = 0, .kind = OUTCOME_FAILED, .err = &mishap},
                                   {.index = 1, .kind = OUTCOME_OK, .result = SPAN("1")}};
    assert_false(with(list, 2, TERMS)->again);
}

static void t34_one_failed_is_the_end(void **state)
{
    (void)state;
    const struct outcome list[] = {{.index = 0, .kind = OUTCOME_FAILED, .err = &mishap},
                                   {.index = 1, .kind = OUTCOME_CANCELLED, .err = &mishap}};
    unit.fail_fast = true;
    assert_true(with(list, 2, TERMS)->again);
}

static void t35_what_nothing_mends(void **state)
{
    (void)state;
    const struct outcome list[] = {{.index = 0, .kind = OUTCOME_FAILED, .err = &for_good}};
    assert_false(with(list, 1, TERMS)->again);
}

static void t36_no_handler(void **state)
{
    (void)state;
    unit.handler = SPAN("nobody's");
    const struct finish *f = with(NULL, 0, TERMS);
    assert_false(f->again);
    assert_int_equal(f->err.code, ERR_NO_HANDLER);
}

static void t37_cancelled_never(void **state)
{
    (void)state;
    const struct outcome list[] = {{.index = 0, .kind = OUTCOME_FAILED, .err = &mishap},
                                   {.index = 1, .kind = OUTCOME_CANCELLED, .err = &mishap}};
    atomic_store(&r->wanted, true);
    const struct finish *f = with(list, 2, TERMS);
    assert_int_equal(f->state, TASK_cancelled);
    assert_false(f->again);
}

static void t38_not_after_its_time(void **state)
{
    (void)state;
    char terms[200];
    const struct outcome list[] = {{.index = 0, .kind = OUTCOME_FAILED, .err = &mishap}};
    snprintf(
        terms, sizeof terms,
        "{\"retries\":2,\"expires_us\":%lld,\"backoff\":{\"base_ms\":7200000,\"max_ms\":7200000,\"jitter\":0}}",
        (long long)clock_shared_us() + 3600 * 1000000LL);
    const struct finish *f = with(list, 1, terms);
    assert_false(f->again);
    assert_int_equal(f->err.code, ERR_ITEM_FAILED);
}

static void t39_too_late_to_begin(void **state)
{
    (void)state;
    const struct finish *f = with(NULL, 0, "{\"retries\":2,\"expires_us\":1000000}");
    assert_int_equal(f->state, TASK_failed);
    assert_int_equal(f->err.code, ERR_EXPIRED);
    assert_false(f->again);
    assert_int_equal(f->items_done, 0);
    assert_null(fake.plan.handler); /* nothing was run */
}

static void t40_time_limit_without_it(void **state)
{
    (void)state;
    struct finish f;
    const struct err e = {.code = ERR_TASK_TIMEOUT, .text = "gone"};
    with(NULL, 0, TERMS);
    atomic_store(&r->started, clock_now());
    run_end_without(r, TASK_failed, &e, &f);
    assert_true(f.again && f.counts);
}

/* Put off is no failure and needs no try; it is whole, for a task that does not go on. */
static void t41_put_off(void **state)
{
    (void)state;
    const struct err later = {.code = ERR_SNOOZED, .text = "later"};
    const struct outcome list[] = {{.index = 0, .kind = OUTCOME_FAILED, .err = &later, .snooze_ms = 700},
                                   {.index = 1, .kind = OUTCOME_CANCELLED, .err = &later}};
    const struct finish *f = with(list, 2, "");
    assert_true(f->again && !f->counts);
    assert_int_equal(f->again_ms, 700);
    assert_int_equal(f->state, TASK_failed);
    assert_int_equal(f->err.code, ERR_SNOOZED);
}

/* ---- an end without it ---- */

static void t20_without_it(void **state)
{
    (void)state;
    struct finish f;
    const struct err e = {.code = ERR_TASK_TIMEOUT, .text = "gone"};
    unit.first = 5;
    unit.count = 2;
    run_it(); /* it got so far as to choose a shape */
    atomic_store(&r->started, clock_now() - 3 * NS_PER_S);
    run_end_without(r, TASK_failed, &e, &f);
    assert_int_equal(f.state, TASK_failed);
    assert_int_equal(f.items_done, 2);
    assert_int_equal(f.items_failed, 2);
    assert_int_equal(f.shape.threads, 1);
    assert_true(f.finished_us - f.started_us >= 3000000);
    assert_span(
        f.results,
        "{\"index\":5,\"state\":\"failed\",\"error\":{\"type\":\"task-timeout\",\"detail\":\"gone\"}}\n"
        "{\"index\":6,\"state\":\"failed\",\"error\":{\"type\":\"task-timeout\",\"detail\":\"gone\"}}\n");
}

static void t21_cancelled_without_it(void **state)
{
    (void)state;
    struct finish f;
    const struct err e = {.code = ERR_CANCELLED, .text = "gone"};
    unit.count = 1;
    atomic_store(&r->started, clock_now());
    run_end_without(r, TASK_cancelled, &e, &f);
    assert_int_equal(f.items_done, 0);
    assert_int_equal(f.shape.threads, 0); /* it had not chosen one */
    assert_span(f.results, "{\"index\":0,\"state\":\"cancelled\"}\n");
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(t01_named),
        TEST(t02_beyond_belief),
        TEST(t03_free_shape),
        TEST(t04_auto),
        TEST(t05_auto_without_evidence),
        TEST(t06_second_attempt),
        TEST(t10_time_limit_after_a_failure),
        TEST(t11_failed_items_are_no_failure),
        TEST(t12_not_run_at_all),
        TEST(t13_without_a_zygote),
        TEST(t30_all_failed),
        TEST(t31_the_next_wait_is_longer),
        TEST(t32_no_tries_left),
        TEST(t33_one_failed),
        TEST(t34_one_failed_is_the_end),
        TEST(t35_what_nothing_mends),
        TEST(t36_no_handler),
        TEST(t37_cancelled_never),
        TEST(t38_not_after_its_time),
        TEST(t39_too_late_to_begin),
        TEST(t40_time_limit_without_it),
        TEST(t41_put_off),
        TEST(t20_without_it),
        TEST(t21_cancelled_without_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
