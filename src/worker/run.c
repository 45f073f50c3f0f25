#include "worker/run.h"

#include <math.h>

#include "core/limits.h"
#include "core/log.h"
#include "core/mem.h"
#include "core/metrics.h"
#include "model/strategy.h"
#include "worker/again.h"

#define FAMILIAR 32 /* runs: of what so many are known of, one more changes little */

struct run *run_new(struct unit *u, void *batch)
{
    struct run *r = mem_alloc(sizeof *r);
    r->unit = u;
    r->diary.unit = r->last_words.unit = u;
    r->batch = batch;
    atomic_init(&r->deadline, CLOCK_NEVER);
    return r;
}

void run_free(struct run *r)
{
    lines_release(&r->lines);
    lines_release(&r->without);
    diary_release(&r->diary);
    diary_release(&r->last_words);
    mem_free(r->terms);
    mem_free(r);
}

static const struct terms *terms_of(const struct run *r)
{
    static const struct terms none;
    return r->terms != NULL ? r->terms : &none;
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

/* What is known when a shape is chosen. */
struct grounds {
    struct host host;
    bool known; /* by earlier runs */
    struct profile profile;
    struct correction corrections[EVIDENCE_STRATEGIES];
};

struct choice {
    struct shape shape;
    const struct strategy *strategy; /* whose shape it is; NULL: a free one */
};

/* auto takes the fastest shape that evidence predicts; without any a loop per core, which is never far off. */
static struct choice choose(const struct unit *u, const struct ask *a, const struct grounds *g,
                            struct evidence *ev)
{
    const struct strategy *s = strategy_of(u);
    struct candidate best;
    if (u->has_shape)
        return (struct choice){u->shape, NULL};
    if (s->kind == STRATEGY_SHAPED)
        return (struct choice){strategy_shape(s, a), s};
    if (g->known && evidence_best(ev, u->digest, a, &g->host, &g->profile, g->corrections, &best))
        return (struct choice){best.shape, best.strategy};
    return (struct choice){strategy_shape(&strategy_hybrid, a), &strategy_hybrid};
}

/* What is expected of it, and by what it was chosen. */
static void foretell(struct finish *f, const struct choice *c, const struct grounds *g)
{
    struct correction used;
    const struct correction *own = c->strategy != NULL ? &g->corrections[strategy_index(c->strategy)] : NULL;
    f->used = span_of(c->strategy != NULL ? c->strategy->name : "");
    f->familiar = g->known && g->profile.runs >= FAMILIAR;
    if (!g->known)
        return;
    double wall = predict_corrected(&g->profile, &g->host, &c->shape, f->unit->count, own, &used).wall;
    f->bare_us = (int64_t)(wall / used.factor / 1e3);
    f->measured.predicted_us = (int64_t)(wall / 1e3);
}

static struct shape choose_shape(const struct unit *u, const struct handler *h, const struct run_env *env,
                                 struct finish *f)
{
    int64_t max_workers = conf_now(&env->conf->worker_max_workers);
    struct grounds g = {.host = evidence_host(env->evidence)};
    struct ask a = {.items = u->count,
                    .batch_size = u->batch_size,
                    .cores = g.host.cores,
                    .process_only = h->process_only};
    g.known = evidence_find(env->evidence, u, &g.profile, g.corrections);
    a.workers = u->workers < max_workers ? u->workers : max_workers;

    struct choice c = choose(u, &a, &g, env->evidence);
    if (u->attempt > 1 && c.shape.processes == 0) { /* it was on board when a worker died */
        c.shape = shape_in_child(c.shape);
        c.strategy = NULL;
    }
    if (h->process_only) /* also where the caller said the shape */
        c.shape = shape_in_child(c.shape);
    c.shape = shape_fit(c.shape, u->count, max_workers);
    foretell(f, &c, &g);
    return c.shape;
}

/* ---- its items ---- */

static void on_item(void *arg, const struct outcome *o)
{
    struct run *r = arg;
    struct err *first = &r->finish.err;
    bool kept = lines_add(&r->lines, o);
    if (!kept && first->code == ERR_NONE)
        err_set(first, ERR_ITEM_TOO_LARGE, "the results of the unit are larger than %u MiB",
                LIMIT_UNIT_RESULT / MIB);
    if (o->kind == OUTCOME_FAILED && (first->code == ERR_NONE || o->err->code == ERR_TASK_TIMEOUT))
        *first = *o->err;
    if (o->kind == OUTCOME_FAILED && err_retryable(o->err->code))
        r->mendable = true;
}

static void on_line(void *arg, int64_t index, struct span text)
{
    struct run *r = arg;
    diary_add(&r->diary, index, text);
}

/* ---- its end ---- */

static void end_failed(struct run *r, const struct err *e)
{
    r->finish.state = TASK_failed;
    r->finish.err = *e;
}

/* So far f->err is the first of an item; the time limit of the unit goes before any other. */
static void end_by_report(struct run *r, const struct exec_report *report)
{
    struct finish *f = &r->finish;
    const struct err first = f->err;
    f->err = (struct err)ERR_INIT;
    f->results = lines_in_order(&r->lines);
    f->items_done = report->ok + report->failed;
    f->items_failed = report->failed + r->lines.too_large;
    f->item_cpu_ns = report->item_cpu_ns;
    f->item_wait_ns = report->wait_ns;
    f->measured.wall_us = report->wall_ns / 1000;
    f->measured.cpu_us = report->cpu_ns / 1000;
    f->measured.wait_us = report->wait_ns / 1000;
    f->measured.peak_rss_kib = report->peak_rss_kib;
    f->measured.cached = report->cached;
    f->remembers = terms_of(r)->cache_ttl_s > 0;

    if (report->cancelled > 0 && atomic_load(&r->wanted)) {
        f->state = TASK_cancelled;
    } else if (report->snooze_ms > 0) {
        r->snooze_ms = report->snooze_ms;
        f->state = TASK_failed; /* that is what is stored when it may not go round any more */
        err_set(&f->err, ERR_SNOOZED, "the handler put it off again and again until its time was over");
    } else if (first.code == ERR_TASK_TIMEOUT) {
        end_failed(r, &first);
    } else if (r->unit->fail_fast && f->items_failed > 0) {
        err_set(&f->err, ERR_ITEMS_FAILED, "%s (on_item_error is fail: the rest was not run)", first.text);
        f->state = TASK_failed;
    } else {
        f->state = TASK_succeeded;
        if (f->items_failed > 0)
            f->err = first; /* kept only if the whole task fails */
    }
}

static void count(const struct run *r, const struct exec_report *report, const char *strategy)
{
    metric_add(M_items, "ok", (double)report->ok);
    metric_add(M_items, "failed", (double)report->failed);
    metric_add(M_items, "cancelled", (double)report->cancelled);
    metric_add(M_items_cached, NULL, (double)report->cached);
    metric_add(M_children_lost, NULL, (double)report->children_lost);
    metric_observe(M_task_seconds, strategy, (double)report->wall_ns / 1e9);
    int64_t predicted = r->finish.measured.predicted_us, wall = r->finish.measured.wall_us;
    if (predicted > 0 && wall > 0 && report->cached == 0)
        metric_observe(M_prediction_error, strategy, fabs((double)(predicted - wall)) / (double)wall);
}

static bool run_plan(struct run *r, const struct run_env *env, struct args *known, struct arena *a,
                     struct err *e)
{
    const struct unit *u = r->unit;
    const struct handler *h = handler_find(u->handler);
    if (h == NULL)
        return err_set(e, ERR_NO_HANDLER, "this worker has no handler " SPAN_FMT, SPAN_ARG(u->handler));
    const void *args = args_read(known, h, u->params, e);
    if (args == NULL)
        return false;
    if (u->digest == 0) /* of what was submitted from SQL nobody knows it before */
        r->unit->digest = args_digest(known);

    int64_t timeout = u->timeout_ms > 0 ? u->timeout_ms : conf_now(&env->conf->worker_task_timeout);
    struct plan p = {
        .task = u->task,
        .handler = h,
        .args = args,
        .inputs = split_inputs(a, u),
        .first = u->first,
        .count = u->count,
        .item_timeout_ms = u->item_timeout_ms,
        .deadline = clock_after_ms(timeout),
        .fail_fast = u->fail_fast,
        .item_retries = terms_of(r)->item_retries,
        .backoff = terms_of(r)->backoff,
        .tries = u->tries,
        .cache_ttl_ms = terms_of(r)->cache_ttl_s * 1000,
        .child_memory = conf_now(&env->conf->worker_child_memory),
        .cancel = &r->cancel,
        .progress = &r->progress,
        .done = on_item,
        .log = on_line,
        .arg = r,
    };
    p.shape = r->finish.shape = choose_shape(u, h, env, &r->finish);
    atomic_store(&r->deadline, p.deadline); /* run_end_without may read the shape from now on */
    lines_init(&r->lines, u->first, u->count);

    struct exec_report report = {0};
    bool ok = exec_run(&p, &report, e);
    r->unhelped = exec_broken() && (!ok || report.failed > 0);
    if (!ok)
        return false;
    end_by_report(r, &report);
    count(r, &report, strategy_of(u)->name);
    return true;
}

/* False: it is not to be run, because they cannot be read or its time is over. */
static bool read_terms(struct run *r, struct arena *a, struct err *e)
{
    char text[CLOCK_TEXT];
    if (r->unit->terms.len == 0)
        return true;
    r->terms = mem_alloc(sizeof *r->terms);
    if (!terms_read(a, r->unit->terms, r->terms, e))
        return false;
    if (r->terms->expires_us == 0 || clock_shared_us() < r->terms->expires_us)
        return true;
    clock_format(r->terms->expires_us, text);
    return err_set(e, ERR_EXPIRED, "it was not to be begun after %s, and no worker had come to it before",
                   text);
}

/* A line for each of its items, that it failed for this reason. */
static void fail_items(struct lines *l, const struct unit *u, enum outcome_kind kind, const struct err *e)
{
    lines_init(l, u->first, u->count);
    for (int64_t i = 0; i < u->count; i++)
        lines_add(l, &(struct outcome){.index = u->first + i, .kind = kind, .err = e});
}

/* Nothing of it ran. */
static void end_unrun(struct run *r, const struct err *e)
{
    lines_release(&r->lines);
    fail_items(&r->lines, r->unit, OUTCOME_FAILED, e);
    r->finish.results = lines_in_order(&r->lines);
    r->finish.items_done = r->finish.items_failed = r->unit->count;
    end_failed(r, e);
}

void run_unit(struct run *r, const struct run_env *env, struct args *args)
{
    struct arena a CLEANUP(arena_release) = ARENA_INIT;
    struct err e = ERR_INIT;
    evidence_begin(env->evidence);
    r->finish = (struct finish){.unit = r->unit, .started_us = atomic_load(&r->started) / 1000};
    if (!read_terms(r, &a, &e)) {
        end_failed(r, &e); /* nothing of it was run */
    } else if (!run_plan(r, env, args, &a, &e)) {
        end_unrun(r, &e);
        r->mendable = err_retryable(e.code);
    }
    r->finish.finished_us = clock_now() / 1000;
    if (again_failed(&r->finish))
        again_decide(&r->finish, terms_of(r), r->mendable, r->snooze_ms, clock_shared_us(), clock_chance());
    diary_end(&r->diary, terms_of(r)->retries, &r->finish);
    args_rest(args);
    evidence_over(env->evidence);
}

void run_end_without(struct run *r, enum task_state state, const struct err *e, struct finish *ret)
{
    const struct unit *u = r->unit;
    bool failed = state == TASK_failed;
    int64_t now = clock_now() / 1000, took = (clock_now() - atomic_load(&r->started)) / 1000;
    fail_items(&r->without, u, failed ? OUTCOME_FAILED : OUTCOME_CANCELLED, e);
    *ret = (struct finish){
        .unit = u,
        .state = state,
        .results = lines_in_order(&r->without),
        .items_done = failed ? u->count : 0,
        .items_failed = failed ? u->count : 0,
        .measured.wall_us = took,
        .started_us = now - took,
        .finished_us = now,
        .err = *e,
    };
    bool knows = atomic_load(&r->deadline) != CLOCK_NEVER; /* it got so far as to know its shape and terms */
    if (knows)
        ret->shape = r->finish.shape;
    if (knows && failed)
        again_decide(ret, terms_of(r), err_retryable(e->code), 0, clock_shared_us(), clock_chance());
    diary_end(&r->last_words, knows ? terms_of(r)->retries : 0, ret);
}
