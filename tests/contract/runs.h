/*
 * runs.h: one run under exec_run and all that has to hold after it, whatever happened in it; and the shapes that the
 * suites run over: every strategy of the registry that has one, and random ones (SEED=… in the environment plays the same
 * again).
 */
#ifndef LATHE_TEST_RUNS_H
#define LATHE_TEST_RUNS_H

#include "probe.h"

#include <pthread.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/limits.h"
#include "core/sig.h"

#define FREE_SHAPES 8

static struct shape shapes[64];
static const char *shape_names[64];
static size_t shapes_n;
static int base_threads;

/* ---- one run and what was seen of it */

struct seen {
    struct arena arena;
    int64_t first, count, total;
    const char *what[PROBE_ITEMS]; /* outcome_text, or "cancelled <slug>" */
    int64_t reports[PROBE_ITEMS];
    enum err_code code[PROBE_ITEMS];
    int64_t tries[PROBE_ITEMS];
    int64_t lines[PROBE_ITEMS]; /* of the log */
    atomic_bool inside;
    bool overlapped, stranger;
    struct cancel cancel;
    int64_t cancel_after; /* raise the flag at this many reports; -1: never */
    struct exec_progress progress;
    struct exec_report report;
};

static inline void on_item(void *arg, const struct outcome *o)
{
    struct seen *s = arg;
    int64_t at = o->index - s->first;

    if (atomic_exchange(&s->inside, true))
        s->overlapped = true;
    if (at < 0 || at >= s->count) {
        s->stranger = true;
    } else {
        s->reports[at]++;
        s->tries[at] = o->tries;
        s->code[at] = o->kind == OUTCOME_OK ? ERR_NONE : o->err->code;
        s->what[at] = o->kind == OUTCOME_CANCELLED
                          ? arena_printf(&s->arena, "cancelled %s", err_slug(o->err->code))
                          : outcome_text(&s->arena, o->kind == OUTCOME_OK, o->result, o->err);
    }
    s->total++;
    if (s->total == s->cancel_after)
        cancel_raise(&s->cancel);
    atomic_store(&s->inside, false);
}

static inline void on_line(void *arg, int64_t index, struct span text)
{
    struct seen *s = arg;

    if (atomic_exchange(&s->inside, true))
        s->overlapped = true;
    if (index < s->first || index >= s->first + s->count || text.len == 0)
        s->stranger = true;
    else
        s->lines[index - s->first]++;
    atomic_store(&s->inside, false);
}

static inline struct plan plan_of(struct seen *s, const struct handler *h, const void *args, int64_t count,
                                  struct shape shape)
{
    memset(s, 0, sizeof *s);
    s->first = 1000; /* items of a unit do not begin at 0 */
    s->count = count;
    s->cancel_after = -1;
    reset_probe();
    return (struct plan){.handler = probe_of(h),
                         .args = args,
                         .first = s->first,
                         .count = count,
                         .shape = shape_fit(shape, count, LIMIT_WORKERS),
                         .deadline = CLOCK_NEVER,
                         .cancel = &s->cancel,
                         .progress = &s->progress,
                         .done = on_item,
                         .log = on_line,
                         .arg = s};
}

static inline size_t count_that(const struct seen *s, const char *begins)
{
    size_t n = 0;

    for (int64_t i = 0; i < s->count; i++)
        n += strncmp(s->what[i], begins, strlen(begins)) == 0;
    return n;
}

/* A thread that was joined may be seen in /proc a moment longer. */
static inline int threads_left(void)
{
    int64_t give_up = clock_after_ms(10000);
    int n = count_threads();

    for (; n > base_threads && clock_now() < give_up; n = count_threads())
        poll(NULL, 0, 1);
    return n - base_threads;
}

/* What holds after every run, whatever happened in it. */
static inline void check_run(const struct plan *p, const struct seen *s, const char *shape_name)
{
    const char *name = p->handler->name;

    for (int64_t i = 0; i < p->count; i++)
        if (s->reports[i] != 1)
            fail_msg("%s, %s: item %d was reported %d times", shape_name, name, (int)i, (int)s->reports[i]);
    if (s->stranger || s->overlapped)
        fail_msg("%s, %s: done %s", shape_name, name,
                 s->stranger ? "had a stranger's index" : "overlapped itself");
    assert_int_equal(s->report.ok, count_that(s, "ok "));
    assert_int_equal(s->report.failed, count_that(s, "failed "));
    assert_int_equal(s->report.cancelled, count_that(s, "cancelled "));
    assert_int_equal(atomic_load(&s->progress.failed), s->report.failed);
    assert_int_equal(atomic_load(&s->progress.done), s->report.ok + s->report.failed);
    assert_int_equal(atomic_load(&s->progress.partial_milli), 0);
    if (threads_left() != 0)
        fail_msg("%s, %s: threads are left over", shape_name, name);
    if (s->report.children_lost > 0)
        return; /* who is killed drops nothing */
    if (atomic_load(&probed->most) > shape_in_flight(&p->shape))
        fail_msg("%s, %s: %d in flight of %d", shape_name, name, (int)atomic_load(&probed->most),
                 (int)shape_in_flight(&p->shape));
    assert_int_equal(atomic_load(&probed->flying), 0);
    assert_int_equal(atomic_load(&probed->begun), atomic_load(&probed->dropped));
    for (int64_t i = 0; i < p->count; i++)
        assert_in_range(atomic_load(&probed->begins[(s->first + i) % PROBE_ITEMS]), 0, 1 + p->item_retries);
}

static inline void run(struct plan *p, struct seen *s, const char *shape_name)
{
    struct err e = ERR_INIT;

    if (!exec_run(p, &s->report, &e))
        fail_msg("%s, %s: %s", shape_name, p->handler->name, e.text);
    check_run(p, s, shape_name);
}

static inline const struct handler *find(const char *name)
{
    const struct handler *h = handler_find(span_of(name));

    assert_non_null(h);
    return h;
}

static inline void *args_of(struct arena *a, const char *name, const char *json)
{
    struct err e = ERR_INIT;
    void *args = run_args(a, find(name), json, &e);

    if (!args)
        fail_msg("%s %s: %s", name, json, e.text);
    return args;
}

static inline void *cancel_when_begun(void *arg)
{
    struct seen *s = arg;
    int64_t give_up = clock_after_ms(60000);

    while (atomic_load(&probed->begun) == 0 && clock_now() < give_up)
        poll(NULL, 0, 1);
    cancel_raise(&s->cancel);
    return NULL;
}

static inline uint32_t next_random(uint32_t *x)
{
    *x = *x * 1664525u + 1013904223u;
    return *x >> 8;
}

static inline void add_shape(const char *name, struct shape s)
{
    assert_true(shapes_n < COUNT_OF(shapes));
    shape_names[shapes_n] = name;
    shapes[shapes_n++] = s;
}

static inline void make_shapes(void)
{
    static char names[FREE_SHAPES][64];
    const struct ask ask = {.items = 26, .batch_size = 12, .workers = 3, .cores = 2};
    const char *text = getenv("SEED");
    uint32_t seed = text ? (uint32_t)strtoul(text, NULL, 10) : (uint32_t)clock_wall_us();

    printf("# SEED=%u\n", seed);
    for (size_t i = 0; strategies[i]; i++)
        if (strategies[i]->kind == STRATEGY_SHAPED)
            add_shape(strategies[i]->name, strategies[i]->shape(&ask));
    for (size_t i = 0; i < FREE_SHAPES; i++) {
        struct shape s = {i % 2 ? 1 + next_random(&seed) % 3 : 0, 1 + next_random(&seed) % 3,
                          1 + next_random(&seed) % 9, 1 + next_random(&seed) % 7};

        snprintf(names[i], sizeof names[i], "%dx%dx%d by %d", (int)s.processes, (int)s.threads, (int)s.width,
                 (int)s.grain);
        add_shape(names[i], s);
    }
}

/* Everybody who was forked is gone: orphans come to us. */
static inline bool children_left(void)
{
    pid_t pid;

    do
        pid = waitpid(-1, NULL, WNOHANG | __WALL);
    while (pid > 0);
    return pid == 0;
}

static inline void *do_nothing(void *arg)
{
    return arg;
}

/* A sanitizer starts a thread of its own with the first of ours. */
static inline void count_base_threads(void)
{
    pthread_t thread;

    assert_int_equal(pthread_create(&thread, NULL, do_nothing, NULL), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
    for (int64_t until = clock_after_ms(100); clock_now() < until && count_threads() > 1;)
        poll(NULL, 0, 1);
    base_threads = count_threads();
}

/* main() of a suite. */
static inline int run_suite(int (*tests)(void))
{
    struct err e = ERR_INIT;
    int failed;

    sig_block();
    begin_probing();
    make_shapes();
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    if (!exec_start(&e)) {
        printf("Bail out! %s\n", e.text);
        return 1;
    }
    count_base_threads();
    failed = tests();
    exec_stop();
    for (int64_t until = clock_after_ms(10000);
         clock_now() < until && children_left();) /* orphans end by themselves */
        poll(NULL, 0, 1);
    if (children_left()) {
        printf("# children are left over\n");
        return 1;
    }
    return failed;
}

#endif
