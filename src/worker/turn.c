/* Finishing and claiming: one round trip for both, whatever has gathered. */
#include "core/fault.h"
#include "core/limits.h"
#include "core/log.h"
#include "core/mem.h"
#include "core/metrics.h"
#include "worker/loop.h"

#define TURN_BYTES (16u * MIB)       /* results that one turn carries; a larger unit goes alone */
#define PREFETCH_NS (20 * NS_PER_MS) /* claimed ahead: so much work per slot */
#define RETRY_FIRST_MS 100
#define RETRY_LAST_MS 2000

/* ---- the ends of runs ---- */

static void add_finish(struct worker *w, struct run *r)
{
    w->finishes[w->finishes_n] = r->finish;
    w->finished[w->finishes_n++] = r;
    w->finishes_bytes += r->finish.results.len;
}

static void unlink_run(struct worker *w, const struct run *r)
{
    struct run **at = &w->runs;
    while (*at != r)
        at = &(*at)->next;
    *at = r->next;
}

static void close_unit(struct worker *w, struct batch *b)
{
    if (--b->open > 0)
        return;
    struct batch **at = &w->batches;
    while (*at != b)
        at = &(*at)->next;
    *at = b->next;
    arena_release(&b->claim.arena);
    mem_free(b);
}

/* The run is over for us: its end is stored, was refused, or it was given back. */
static void forget_run(struct worker *w, struct run *r)
{
    struct batch *b = r->batch;
    unlink_run(w, r);
    run_free(r);
    close_unit(w, b);
}

static void learn_pace(struct worker *w, const struct run *r)
{
    double ns = (double)(clock_now() - atomic_load(&r->started));
    w->mean_unit_ns = w->mean_unit_ns > 0 ? w->mean_unit_ns * 0.9 + ns * 0.1 : ns;
}

static bool room_for_more(const struct worker *w)
{
    return w->finishes_n < LIMIT_CLAIM && w->finishes_bytes < TURN_BYTES;
}

void turn_gather(struct worker *w)
{
    struct run *r;
    while (room_for_more(w) && (r = slots_take_done(w->slots)) != NULL) {
        w->running--;
        learn_pace(w, r);
        struct batch *b = r->batch;
        bool given_up = cancel_raised(&r->cancel) && !atomic_load(&r->wanted);
        if (r->abandoned) {
            unlink_run(
                w, r); /* it came back after all; its memory goes with the process, which is being replaced */
            continue;
        }
        if (b->lost || given_up) {
            forget_run(w, r); /* taken over by another worker, or given back */
            continue;
        }
        w->unstored++;
        add_finish(w, r);
    }
}

void turn_report(struct worker *w, struct run *r, enum task_state state, const struct err *e)
{
    if (!room_for_more(w))
        return; /* the next look at it comes soon */
    struct finish f = {
        .unit = r->unit,
        .state = state,
        .items_done = atomic_load(&r->progress.done),
        .items_failed = atomic_load(&r->progress.failed),
        .started_us = clock_wall_us(),
        .finished_us = clock_wall_us(),
        .err = *e,
    };
    r->abandoned = true;
    w->finishes[w->finishes_n] = f;
    w->finished[w->finishes_n++] = NULL; /* its thread may still use the run: it is never freed */
}

/* ---- the turn ---- */

static int want(const struct worker *w)
{
    if (w->draining || !w->look)
        return 0;
    double ahead = w->mean_unit_ns > 0 ? (double)w->info.slots * PREFETCH_NS / w->mean_unit_ns : 0;
    double most = (double)w->info.slots + (ahead > LIMIT_CLAIM ? LIMIT_CLAIM : ahead);
    double open = most - (double)w->running;
    return open < 0 ? 0 : open > LIMIT_CLAIM ? (int)LIMIT_CLAIM : (int)open;
}

bool turn_due(const struct worker *w)
{
    return clock_now() >= w->next_turn && (w->finishes_n > 0 || want(w) > 0);
}

static void start_claim(struct worker *w, struct claim *c)
{
    struct batch *b = mem_alloc(sizeof *b);
    b->claim = *c;
    b->open = c->count;
    b->next = w->batches;
    w->batches = b;
    for (size_t i = 0; i < c->count; i++) {
        struct run *r = run_new(&b->claim.units[i], b);
        r->next = w->runs;
        w->runs = r;
        w->running++;
        slots_push(w->slots, r);
    }
    if (!w->first_claim)
        log_info("worker.first_claim", "units=%zu", c->count);
    w->first_claim = true;
}

static void settle(struct worker *w)
{
    for (size_t i = 0; i < w->finishes_n; i++) {
        const struct finish *f = &w->finishes[i];
        if (f->applied)
            metric_add(M_finished_units, state_name(f->state), 1);
        else
            metric_add(M_units_stale, NULL, 1);
        if (f->measured.wall_us > 20000)
            evidence_forget(w->evidence, f->unit->digest);
        if (f->released)
            w->look = true;
        if (w->finished[i] != NULL) {
            w->unstored--;
            forget_run(w, w->finished[i]);
        }
    }
    w->finishes_n = w->finishes_bytes = 0;
}

static void back_off(struct worker *w, const struct err *e)
{
    int64_t ms = RETRY_FIRST_MS << (w->store_failures < 5 ? w->store_failures : 5);
    ms = ms > RETRY_LAST_MS ? RETRY_LAST_MS : ms;
    if (w->store_failures++ == 0)
        log_warn_err("worker.store_lost", e,
                     "unstored=%zu meaning=units go on; their ends are kept and tried again", w->finishes_n);
    w->next_turn = clock_after_ms(clock_jitter(ms));
}

void turn(struct worker *w)
{
    struct err e = ERR_INIT;
    struct claim c = {0};
    int n = want(w);

    if (fault_hit("worker.turn") || !queue_turn(w->queue_worker, w->finishes, w->finishes_n, n, &c, &e)) {
        back_off(w, &e);
        return;
    }
    if (w->store_failures > 0)
        log_info("worker.store_back", "failures=%d", w->store_failures);
    w->store_failures = 0;
    settle(w);
    if (n == 0)
        return;
    metric_add(M_claims, NULL, 1);
    metric_add(M_claimed_units, NULL, (double)c.count);
    w->look = c.count == (size_t)n;
    w->next_poll = clock_after_ms(clock_jitter(w->conf->worker_poll));
    if (c.count > 0)
        start_claim(w, &c);
    else
        arena_release(&c.arena);
}

/* ---- giving back ---- */

/* Runs that are not done, and whose lease we still have. A running one is told to stop; what comes of it is not stored. */
static size_t unfinished(struct worker *w, const struct unit **units)
{
    size_t n = 0;
    for (struct run *r = w->runs; r != NULL; r = r->next) {
        const struct batch *b = r->batch;
        if (r->abandoned || b->lost || atomic_load(&r->state) == RUN_DONE)
            continue;
        atomic_store(&r->wanted, false);
        cancel_raise(&r->cancel);
        units[n++] = r->unit;
    }
    return n;
}

static void release(struct worker *w, const struct unit *const *units, size_t n)
{
    struct err e = ERR_INIT;
    if (n > 0 && !queue_release(w->queue_worker, units, n, &e))
        log_warn_err("worker.release", &e, "units=%zu meaning=they run elsewhere when their lease ends", n);
    else if (n > 0)
        log_info("worker.released", "units=%zu", n);
}

void turn_give_back(struct worker *w, bool running_too)
{
    const struct unit **units CLEANUP(mem_free_at) = mem_array(w->running + 1, sizeof *units);
    struct run *back = NULL, *r;
    size_t n = 0;

    while ((r = slots_take_back(w->slots)) != NULL) {
        units[n++] = r->unit;
        r->queued = back;
        back = r;
        w->running--;
    }
    release(w, units, n);
    while ((r = back) != NULL) {
        back = r->queued;
        forget_run(w, r);
    }
    if (running_too)
        release(w, units, unfinished(w, units));
}
