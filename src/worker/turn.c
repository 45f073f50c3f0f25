/* Finishing and claiming: one round trip for both, whatever has gathered; and giving back. */
#include "core/fault.h"
#include "core/limits.h"
#include "core/log.h"
#include "core/mem.h"
#include "core/metrics.h"
#include "worker/loop.h"

#define TURN_BYTES (16u * MIB)       /* results that one turn carries; a larger unit goes alone */
#define PREFETCH_NS (20 * NS_PER_MS) /* claimed ahead: so much work per slot */
#define SLOW_NS (250 * NS_PER_MS)    /* a turn that may have been planned for other tables */
#define LOOK_SOON_NS (20 * NS_PER_MS)
#define RETRY_FIRST_MS 100
#define RETRY_LAST_MS 2000

/* ---- the ends of runs ---- */

static void add_finish(struct worker *w, struct run *r, const struct finish *f)
{
    r->hold = HOLD_ENDING;
    w->finishes[w->finishes_n] = *f;
    w->finishes[w->finishes_n].shown = r->shown;
    w->finished[w->finishes_n++] = r;
    w->finishes_bytes += f->results.len + f->log.len;
}

/* That of the slots is another one: a long unit counts little there, and at once here, where it decides how many are kept from others. */
static void learn_pace(struct worker *w, const struct run *r)
{
    w->last_end = clock_now();
    double ns = (double)(r->ended - atomic_load(&r->started));
    w->mean_unit_ns = w->mean_unit_ns > 0 ? w->mean_unit_ns * 0.9 + ns * 0.1 : ns;
}

/* A slot is free, and the end of a unit may let in another that waited for its place. Of one that stands alone nobody waits
 * for the end but its caller: if the last claim left nothing, what has come since has been told, but for what somebody
 * else had locked then, and a claim just for that should not stand in the caller's way. */
static void look_after(struct worker *w, const struct run *r)
{
    int64_t soon = w->last_end + LOOK_SOON_NS;
    w->look = w->look || !r->unit->alone;
    if (soon < w->next_poll)
        w->next_poll = soon;
}

static bool room_for_more(const struct worker *w)
{
    return w->finishes_n < LIMIT_CLAIM && w->finishes_bytes < TURN_BYTES;
}

static struct run *next_landed(struct worker *w)
{
    if (w->landing == NULL)
        w->landing = slots_take_done(w->slots);
    struct run *r = w->landing;
    if (r != NULL)
        w->landing = r->queued;
    return r;
}

void turn_gather(struct worker *w)
{
    struct run *r;
    while (room_for_more(w) && (r = next_landed(w)) != NULL) {
        learn_pace(w, r);
        look_after(w, r);
        bool unhelped = r->unhelped;
        if (r->hold == HOLD_OURS && unhelped)
            board_return_unhelped(w, r);
        else if (r->hold == HOLD_OURS)
            add_finish(w, r, &r->finish);
        board_landed(w, r);
        if (unhelped)
            worker_recycle(w, "the process that forks children has died");
    }
}

bool turn_abandon(struct worker *w, struct run *r, enum task_state state, const struct err *e)
{
    struct finish f;
    if (r->hold == HOLD_OURS && !room_for_more(w))
        return false;
    r->abandoned = true;
    if (r->hold == HOLD_OURS) {
        run_end_without(r, state, e, &f);
        add_finish(w, r, &f);
    }
    return true;
}

/* ---- the turn ---- */

/* Units that could be claimed: one a slot, and ahead of them what takes a slot PREFETCH_NS at the pace of late. While no
 * unit ends there is no pace. A few more than enough are not worth a claim. */
static int room(const struct worker *w)
{
    if (w->ending != ENDING_NOT)
        return 0;
    bool moving = clock_now() - w->last_end < WAIT_MOST_NS && w->mean_unit_ns > 0;
    double ahead = moving ? (double)w->info.slots * PREFETCH_NS / w->mean_unit_ns : 0;
    double most = (double)w->info.slots + (ahead > LIMIT_CLAIM ? LIMIT_CLAIM : ahead);
    double open = most - (double)w->running;
    bool fed = w->running >= (size_t)w->info.slots;
    return open < 0 || (fed && open < most / 4) ? 0 : open > LIMIT_CLAIM ? (int)LIMIT_CLAIM : (int)open;
}

int64_t turn_next(const struct worker *w)
{
    if (w->finishes_n > 0 || w->back > 0)
        return w->next_turn;
    if (room(w) == 0)
        return CLOCK_NEVER; /* the end of a unit rings */
    return w->look || w->next_poll < w->next_turn ? w->next_turn : w->next_poll;
}

static void settle(struct worker *w)
{
    for (size_t i = 0; i < w->finishes_n; i++) {
        const struct finish *f = &w->finishes[i];
        if (f->applied)
            metric_add(M_finished_units, f->again ? "again" : state_name(f->state), 1);
        else
            metric_add(M_units_stale, NULL, 1);
        if (f->measured.wall_us > 20000)
            evidence_forget(w->evidence, f->unit->digest);
        if (f->released)
            w->look = true;
        if (f->again)
            care_wake_by(w, f->again_ms + 1);
        board_let_go(w, w->finished[i]);
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

/* All that is to be given back, with or without counting an attempt. */
static bool release(struct worker *w, bool count, struct err *e)
{
    const struct unit **units CLEANUP(mem_free_at) = mem_array(w->back + 1, sizeof *units);
    size_t n = 0;
    for (struct run *r = w->runs; r != NULL; r = r->next)
        if (r->hold == HOLD_BACK && r->count == count)
            units[n++] = r->unit;
    if (n == 0)
        return true;
    if (!queue_release(w->queue_worker, units, n, count, e))
        return false;
    log_info("worker.released", "units=%zu attempt_counted=%s", n, count ? "yes" : "no");
    for (struct run *r = w->runs, *next; r != NULL; r = next) {
        next = r->next;
        if (r->hold == HOLD_BACK && r->count == count)
            board_let_go(w, r);
    }
    return true;
}

void turn_claimed(void *worker, struct claim *c)
{
    struct worker *w = worker;
    metric_add(M_claims, NULL, 1);
    metric_add(M_claimed_units, NULL, (double)c->count);
    w->look = c->count == (size_t)w->wanted || c->beside;
    w->next_poll = clock_after_ms(clock_jitter(conf_now(&w->conf->worker_poll)));
    if (c->again < w->next_poll)
        w->next_poll = c->again;
    if (c->count == 0) {
        arena_release(&c->arena);
        return;
    }
    if (!w->first_claim)
        log_info("worker.first_claim", "units=%zu", c->count);
    w->first_claim = true;
    board_claimed(w, c);
}

static bool timed_turn(struct worker *w, struct claim *ret, struct err *e)
{
    int64_t began = clock_now();
    bool ok = queue_turn(w->queue_worker, w->finishes, w->finishes_n, w->wanted, ret, e);
    if (clock_now() - began > SLOW_NS && w->ending == ENDING_NOT)
        care_measure_soon(w);
    return ok;
}

void turn(struct worker *w)
{
    struct err e = ERR_INIT;
    struct claim c = {.again = CLOCK_NEVER};
    w->wanted = w->look || clock_now() >= w->next_poll ? room(w) : 0;
    if (fault_hit("worker.turn") || !release(w, false, &e) || !release(w, true, &e) ||
        !timed_turn(w, &c, &e)) {
        back_off(w, &e);
        return;
    }
    if (w->store_failures > 0)
        log_info("worker.store_back", "failures=%d", w->store_failures);
    w->store_failures = 0;
    settle(w);
    if (w->wanted > 0 && !c.beside)
        turn_claimed(w, &c);
    turn_gather(w);
}
