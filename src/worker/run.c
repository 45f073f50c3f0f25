#include "worker/run.h"

#include <math.h>

#include "core/limits.h"
#include "core/log.h"
#include "core/mem.h"
#include "core/metrics.h"
#include "model/strategy.h"

struct run *run_new(const struct unit *u, void *batch)
{
    struct run *r = mem_alloc(sizeof *r);
    r->unit = u;
    r->batch = batch;
    atomic_init(&r->deadline, CLOCK_NEVER);
    return r;
}

void run_free(struct run *r)
{
    if (r->lines.places != NULL)
        lines_release(&r->lines);
    mem_free(r);
}

/* ---- the plan ---- */

/* The lines of the unit's inputs, one an item. A stored unit always has as many lines as items. */
static struct span *split_inputs(struct arena *a, const struct unit *u)
{
    if (u->inputs.len == 0)
        return NULL;
    struct span *list = arena_array(a, (size_t)u->count, sizeof *list);
    struct span rest = u->inputs;
    for (int64_t i = 0; i < u->count; i++)
        list[i] = span_cut(&rest, '\n');
    return list;
}

static const struct strategy *strategy_of(const struct unit *u)
{
    const struct strategy *s = strategy_find(u->strategy);
    if (s != NULL && s->kind == STRATEGY_QUEUED)
        s = strategy_find(u->inner);
    return s != NULL ? s : &strategy_auto;
}

static int strategy_index(const struct strategy *s)
{
    int i = 0;
    while (strategies[i] != NULL && strategies[i] != s)
        i++;
    return i;
}

/* With evidence the fastest shape; without, a loop per core, which is never far off. */
static struct shape auto_shape(const struct ask *a, const struct host *h, const struct profile *p, bool known,
                               const struct correction *corrections)
{
    struct candidate ranked[EVIDENCE_STRATEGIES];
    if (known && recommend(p, h, a, corrections, ranked, EVIDENCE_STRATEGIES) > 0)
        return ranked[0].shape;
    return strategy_hybrid.shape(a);
}

/* Also tells the finish what it was chosen by, and what is expected of it. */
static struct shape choose_shape(const struct unit *u, const struct run_env *env, struct finish *f)
{
    int64_t max_workers = conf_now(&env->conf->worker_max_workers);
    struct host h = evidence_host(env->evidence);
    struct profile p = {0};
    struct correction corrections[EVIDENCE_STRATEGIES] = {0};
    bool known = evidence_find(env->evidence, u, &p, corrections);
    const struct strategy *s = strategy_of(u);
    struct ask a = {.items = u->count, .batch_size = u->batch_size, .workers = u->workers, .cores = h.cores};
    struct shape shape;

    if (a.workers > max_workers)
        a.workers = max_workers;
    if (u->has_shape)
        shape = u->shape;
    else if (s->kind == STRATEGY_SHAPED)
        shape = s->shape(&a);
    else
        shape = auto_shape(&a, &h, &p, known, corrections);
    if (u->attempt > 1 && shape.processes == 0)
        shape.processes = 1; /* it was on board when a worker died */
    shape = shape_fit(shape, u->count, max_workers);

    if (!u->has_shape)
        f->used = span_of(s->name);
    if (known) {
        struct prediction made = predict(&p, &h, &shape, u->count);
        const struct correction *c = &corrections[strategy_index(s)];
        f->bare_us = (int64_t)(made.wall / 1e3);
        f->measured.predicted_us = (int64_t)(made.wall * (c->runs > 0 ? c->factor : 1.0) / 1e3);
    }
    return shape;
}

static bool read_args(struct arena *a, const struct unit *u, const struct handler *h, void **ret,
                      struct err *e)
{
    const struct json *params = NULL;
    void *args = arena_alloc(a, h->params.size > 0 ? h->params.size : 1);
    if (u->params.len > 0 && !json_read(a, u->params, &params, e))
        return false;
    if (!fields_read(&h->params, params, "/params", args, e))
        return false;
    *ret = args;
    return true;
}

/* ---- its items ---- */

static void on_item(void *arg, const struct outcome *o)
{
    struct run *r = arg;
    bool kept = lines_add(&r->lines, o);
    if (!kept && r->first_failure.code == ERR_NONE)
        err_set(&r->first_failure, ERR_ITEM_TOO_LARGE, "the results of the unit are larger than %u MiB",
                LIMIT_UNIT_RESULT / MIB);
    if (o->kind == OUTCOME_FAILED && r->first_failure.code == ERR_NONE)
        r->first_failure = *o->err;
}

/* ---- its end ---- */

static void end_failed(struct run *r, const struct err *e)
{
    r->finish.state = TASK_failed;
    r->finish.err = *e;
}

static void end_by_report(struct run *r, const struct exec_report *report)
{
    struct finish *f = &r->finish;
    f->results = lines_in_order(&r->lines);
    f->items_done = report->ok + report->failed;
    f->items_failed = report->failed + r->lines.too_large;
    f->item_cpu_ns = report->item_cpu_ns;
    f->item_wait_ns = report->wait_ns;
    f->measured.wall_us = report->wall_ns / 1000;
    f->measured.cpu_us = report->cpu_ns / 1000;
    f->measured.wait_us = report->wait_ns / 1000;
    f->measured.peak_rss_kib = report->peak_rss_kib;

    bool late = clock_now() >= atomic_load(&r->deadline);
    if (report->cancelled > 0 && atomic_load(&r->wanted)) {
        f->state = TASK_cancelled;
    } else if (late && r->first_failure.code == ERR_TASK_TIMEOUT) {
        end_failed(r, &r->first_failure);
    } else if (r->unit->fail_fast && f->items_failed > 0) {
        err_set(&f->err, ERR_ITEMS_FAILED, "%s (on_item_error is fail: the rest was not run)",
                r->first_failure.text);
        f->state = TASK_failed;
    } else {
        f->state = TASK_succeeded;
        if (f->items_failed > 0)
            f->err = r->first_failure; /* kept only if the whole task fails */
    }
}

static void count(const struct run *r, const struct exec_report *report, const char *strategy)
{
    metric_add(M_items, "ok", (double)report->ok);
    metric_add(M_items, "failed", (double)report->failed);
    metric_add(M_items, "cancelled", (double)report->cancelled);
    metric_add(M_children_lost, NULL, (double)report->children_lost);
    metric_observe(M_task_seconds, strategy, (double)report->wall_ns / 1e9);
    int64_t predicted = r->finish.measured.predicted_us, wall = r->finish.measured.wall_us;
    if (predicted > 0 && wall > 0)
        metric_observe(M_prediction_error, strategy, fabs((double)(predicted - wall)) / (double)wall);
}

static bool run_plan(struct run *r, const struct run_env *env, struct arena *a, struct err *e)
{
    const struct unit *u = r->unit;
    const struct handler *h = handler_find(u->handler);
    void *args;
    if (h == NULL)
        return err_set(e, ERR_NO_HANDLER, "this worker has no handler " SPAN_FMT, SPAN_ARG(u->handler));
    if (!read_args(a, u, h, &args, e))
        return false;

    int64_t timeout = u->timeout_ms > 0 ? u->timeout_ms : conf_now(&env->conf->worker_task_timeout);
    struct plan p = {
        .handler = h,
        .args = args,
        .inputs = split_inputs(a, u),
        .first = u->first,
        .count = u->count,
        .item_timeout_ms = u->item_timeout_ms,
        .deadline = clock_after_ms(timeout),
        .fail_fast = u->fail_fast,
        .child_memory = conf_now(&env->conf->worker_child_memory),
        .cancel = &r->cancel,
        .progress = &r->progress,
        .done = on_item,
        .arg = r,
    };
    p.shape = r->finish.shape = choose_shape(u, env, &r->finish);
    atomic_store(&r->deadline, p.deadline);
    lines_init(&r->lines, u->first, u->count);

    struct exec_report report = {0};
    if (!exec_run(&p, &report, e))
        return false;
    end_by_report(r, &report);
    count(r, &report, strategy_of(u)->name);
    return true;
}

void run_unit(struct run *r, const struct run_env *env)
{
    struct arena a CLEANUP(arena_release) = ARENA_INIT;
    struct err e = ERR_INIT;
    r->finish = (struct finish){.unit = r->unit, .started_us = clock_wall_us()};
    if (!run_plan(r, env, &a, &e)) {
        end_failed(r, &e);
        r->finish.items_done = r->finish.items_failed = r->unit->count;
    }
    r->finish.finished_us = clock_wall_us();
}
