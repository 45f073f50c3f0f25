#include "exec/reactor.h"

#include <assert.h>
#include <string.h>

#include "core/limits.h"
#include "exec/meter.h"
#include "exec/ports.h"

#define FDS_EVERY NS_PER_MS /* how long busy steps may keep a readable descriptor waiting */

/* From one short run to the next a thread does not sleep. */
static _Thread_local struct meter meter;

struct reactor {
    const struct work *work;
    const struct sink *sink;
    struct lane *lane;
    struct tally tally;
    struct slots slots;
    struct waiting waiting;
    int64_t in_flight;
    int64_t from, to; /* places taken and not yet begun */
    int64_t now;      /* as of the last look at the clock */
    bool stopping;
    struct ports_open ports;
};

static int64_t after(int64_t now, int64_t span)
{
    return span < CLOCK_NEVER - now ? now + span : CLOCK_NEVER;
}

/* ---- the end of an item */

static void report(struct reactor *r, struct slot *s, enum outcome_kind kind, struct span result,
                   const struct err *e)
{
    struct outcome o = {.index = s->item.index,
                        .kind = kind,
                        .result = result,
                        .err = e,
                        .cpu_ns = s->cpu,
                        .wait_ns = s->wait,
                        .tries = s->tries,
                        .cached = s->cached,
                        .snooze_ms = e && e->code == ERR_SNOOZED ? s->item.snooze_ms : 0};
    r->tally.ok += kind == OUTCOME_OK;
    r->tally.failed += kind == OUTCOME_FAILED;
    r->tally.cancelled += kind == OUTCOME_CANCELLED;
    r->tally.item_cpu += s->cpu;
    r->tally.wait += s->wait;
    r->sink->finished(r->sink->arg, s->position, &o);
}

static void set_partial(struct reactor *r, struct slot *s, int64_t milli)
{
    if (milli == s->partial)
        return;
    _Atomic int64_t *sum = r->work->partial ? r->work->partial : &r->lane->partial_milli;
    atomic_fetch_add_explicit(sum, milli - s->partial, memory_order_relaxed);
    s->partial = milli;
}

/* Handler code runs from here on, and should be out by `until`. */
static void enter(struct reactor *r, const struct slot *s, int64_t until)
{
    atomic_store_explicit(&r->lane->until, until, memory_order_relaxed);
    atomic_store_explicit(&r->lane->tries, s->tries, memory_order_relaxed);
    atomic_store_explicit(&r->lane->item, s->position + 1, memory_order_release);
}

static void leave(struct reactor *r)
{
    atomic_store_explicit(&r->lane->item, 0, memory_order_release);
}

/* ok: its result is one. */
static void drop(struct reactor *r, struct slot *s, bool ok)
{
    const struct handler *h = r->work->handler;
    memo_end(&r->work->memo, &s->memo, &s->item, ok);
    if (h->drop && s->stepped) {
        enter(r, s, after(r->now, r->work->item_timeout));
        h->drop(&s->item);
        leave(r);
    }
    set_partial(r, s, 0);
}

/* The item is not stepped any more: reports it, once, and gives its slot back. */
static void finish(struct reactor *r, struct slot *s, enum outcome_kind kind, const struct err *e)
{
    drop(r, s, kind == OUTCOME_OK);
    struct span result = {NULL, 0};
    if (kind == OUTCOME_OK)
        result = s->item.out.len ? buf_view(&s->item.out) : SPAN("null");
    report(r, s, kind, result, e);
    slots_put(&r->slots, s);
    r->in_flight--;
}

/* It has failed before: its next try begins after a while, and until then it keeps its place. */
static void put_off(struct reactor *r, struct slot *s)
{
    struct err e;
    int64_t ms = backoff_ms(&r->work->backoff, s->tries, clock_chance());
    ms = ms < LIMIT_ITEM_BACKOFF_MS ? ms : LIMIT_ITEM_BACKOFF_MS;
    s->again = true;
    s->asked = r->now;
    s->item.deadline = r->work->deadline;
    item_wait_until(&s->item, after(r->now, ms * NS_PER_MS));
    if (!waiting_add(&r->waiting, s, s->item.deadline, &e))
        finish(r, s, OUTCOME_FAILED, &e);
}

static bool may_try_again(const struct reactor *r, const struct slot *s, enum err_code code)
{
    return s->tries < r->work->item_retries && err_retryable(code) && code != ERR_TASK_TIMEOUT &&
           !cancel_raised(r->work->cancel) && r->now < r->work->deadline;
}

static void fail_with(struct reactor *r, struct slot *s, const struct err *e)
{
    if (!may_try_again(r, s, e->code)) {
        finish(r, s, OUTCOME_FAILED, e);
        return;
    }
    drop(r, s, false);
    slots_clear(&r->slots, s);
    s->tries++;
    put_off(r, s);
}

static void fail(struct reactor *r, struct slot *s, enum err_code code, const char *text)
{
    struct err e;
    err_set(&e, code, "%s", text);
    fail_with(r, s, &e);
}

/* Its time or that of the whole run is over. */
static void expire(struct reactor *r, struct slot *s)
{
    if (r->now >= r->work->deadline)
        fail(r, s, ERR_TASK_TIMEOUT, "the task's time was over before the item was done");
    else
        fail(r, s, ERR_ITEM_TIMEOUT, "the item took longer than item_timeout_ms");
}

static void cancel(struct reactor *r, struct slot *s)
{
    struct err e;
    err_set(&e, ERR_CANCELLED, "cancelled while it ran");
    finish(r, s, OUTCOME_CANCELLED, &e);
}

static void done(struct reactor *r, struct slot *s)
{
    const struct buf *out = &s->item.out;
    if (out->failed)
        fail(r, s, ERR_ITEM_TOO_LARGE, "the item's result is larger than the limit of one result");
    else if (out->len && memchr(out->ptr, '\n', out->len))
        fail(r, s, ERR_INTERNAL, "the handler wrote a result of more than one line");
    else
        finish(r, s, OUTCOME_OK, NULL);
}

static void failed(struct reactor *r, struct slot *s)
{
    if (s->item.err.code == ERR_NONE)
        err_set(&s->item.err, ERR_ITEM_FAILED, "the handler failed the item without saying why");
    fail_with(r, s, &s->item.err);
}

/* Ends the run: whoever hears of it stops the others. */
static void snooze(struct reactor *r, struct slot *s)
{
    struct err e;
    int64_t ms = s->item.snooze_ms, least = LIMIT_SNOOZE_LEAST_MS;
    s->item.snooze_ms = ms < least ? least : ms > LIMIT_SNOOZE_MS ? LIMIT_SNOOZE_MS : ms;
    err_set(&e, ERR_SNOOZED, "the handler put it off for %lld ms", (long long)s->item.snooze_ms);
    finish(r, s, OUTCOME_FAILED, &e);
}

static void park(struct reactor *r, struct slot *s)
{
    double p = s->item.progress;
    struct err e;
    set_partial(r, s, p > 0 ? (int64_t)((p < 1 ? p : 1) * 1000) : 0);
    s->asked = r->now;
    if (s->item.wait.turn)
        s->item.deadline = r->work->deadline;
    if (!waiting_add(&r->waiting, s, s->item.deadline, &e))
        fail_with(r, s, &e);
}

/* ---- stepping */

static bool must_stop(struct reactor *r)
{
    if (!r->stopping)
        r->stopping = cancel_raised(r->work->cancel) || r->waiting.rung || r->now >= r->work->deadline;
    return r->stopping;
}

/* Before its first step: is there a result already? False: there is, or it waits to know. */
static bool must_run(struct reactor *r, struct slot *s)
{
    enum memo_said said = memo_step(&r->work->memo, &s->memo, &s->item);
    if (said == MEMO_WAIT) {
        s->item.wait.turn = true; /* another's work, or Redis's, is not in its time */
        park(r, s);
        return false;
    }
    s->wait = 0; /* that was not the item's doing */
    s->cached = said == MEMO_HIT;
    if (s->cached)
        done(r, s);
    return !s->cached;
}

/* One step, begun at r->now, and what follows from it. */
static void step(struct reactor *r, struct slot *s)
{
    int64_t cpu;
    if (r->work->memo.ttl_ms > 0 && !s->stepped && !must_run(r, s))
        return;
    s->stepped = true;
    enter(r, s, s->item.deadline);
    enum step verdict = r->work->handler->step(&s->item);
    leave(r);
    r->now = meter_stop(&meter, r->now, &cpu);
    s->cpu += cpu;
    /* A handler that was told to stop may return anything. */
    if (cancel_raised(r->work->cancel))
        cancel(r, s);
    else if (r->now >= s->item.deadline)
        expire(r, s);
    else if (verdict == STEP_WAIT)
        park(r, s);
    else if (verdict == STEP_DONE)
        done(r, s);
    else if (verdict == STEP_SNOOZE)
        snooze(r, s);
    else
        failed(r, s);
}

static void start_clock(struct reactor *r, struct slot *s)
{
    const struct work *w = r->work;
    int64_t end = after(r->now, w->item_timeout);
    s->item.deadline = end < w->deadline ? end : w->deadline;
}

/* A try, the first or a later one. */
static void start(struct reactor *r, struct slot *s)
{
    const struct work *w = r->work;
    if (r->tally.first_step == CLOCK_NEVER)
        r->tally.first_step = r->now;
    s->again = false;
    s->item.tries = w->tries_before + s->tries;
    start_clock(r, s);
    step(r, s);
}

static void log_line(const struct item *it, struct span text)
{
    const struct slot *s = (const void *)((const char *)it - offsetof(struct slot, item));
    const struct sink *sink = s->reactor->sink;
    sink->log(sink->arg, s->position, text);
}

static void begin(struct reactor *r, int64_t place)
{
    const struct work *w = r->work;
    struct slot *s = slots_get(&r->slots);
    s->reactor = r;
    s->position = work_position(w, place);
    s->item.handler = w->handler;
    s->item.task = w->task;
    s->item.index = w->first + s->position;
    s->item.input = work_input(w, s->position);
    s->item.args = w->args;
    s->item.cancel = w->cancel;
    s->item.ports = &r->ports.ports;
    s->item.log = r->sink->log ? log_line : NULL;
    r->in_flight++;
    r->now = meter_start(&meter);
    if (w->tries_so_far)
        s->tries = w->tries_so_far[s->position];
    if (s->tries > 0)
        put_off(r, s);
    else
        start(r, s);
}

/* What it waited for, or its time limit, has come. `came`: when. */
static void wake(struct reactor *r, struct slot *s, int64_t came)
{
    if (came > s->asked && !s->again)
        s->wait += came - s->asked;
    r->now = meter_start(&meter);
    if (s->item.wait.turn && !s->again && r->now < s->item.deadline)
        start_clock(r, s);
    if (r->now >= s->item.deadline)
        expire(r, s);
    else if (s->again)
        start(r, s);
    else
        step(r, s);
}

/* ---- the loop */

static bool descriptors_due(const struct reactor *r)
{
    return r->waiting.watched > 0 && r->now - r->waiting.looked > FDS_EVERY;
}

static bool take(struct reactor *r)
{
    return r->from < r->to || work_take(r->work, &r->from, &r->to);
}

static bool start_one(struct reactor *r)
{
    if (must_stop(r) || r->in_flight >= r->work->width || !take(r))
        return false;
    begin(r, r->from++);
    return true;
}

/* Starts items until all slots are used; but no more than one while others wait for their turn. Returns false when it
 * could start none for want of work or of room. */
static bool start_some(struct reactor *r)
{
    bool any = false;
    while (start_one(r)) {
        any = true;
        if (waiting_next(&r->waiting) <= r->now || descriptors_due(r))
            break;
    }
    return any;
}

/* Those that were due when it began: steps that ask for more of the same cannot keep it here. Whatever ends is followed
 * by the next at once: thousands that are due together are spread by their own work, and stay so. */
static void run_due(struct reactor *r)
{
    int64_t horizon = r->now;
    struct slot *s;
    while (!must_stop(r) && !descriptors_due(r) && (s = waiting_due(&r->waiting, horizon))) {
        wake(r, s, s->timer.due);
        start_one(r);
    }
}

static void run_ready(struct reactor *r)
{
    struct slot *s;
    while (!must_stop(r) && (s = waiting_ready(&r->waiting))) {
        wake(r, s, r->waiting.looked);
        start_one(r);
    }
}

/* Sleeps until something is due, a descriptor is ready, the bell rings, or it is time to look at the cancel flag. What
 * items have handed to ports goes out first, and may end some of them. */
static void pause_for_work(struct reactor *r)
{
    ports_flush(&r->ports);
    if (r->waiting.ready)
        return;
    if (r->sink->pause)
        r->sink->pause(r->sink->arg);
    int64_t until = after(clock_now(), r->work->patience);
    if (until > r->work->deadline)
        until = r->work->deadline;
    if (until > waiting_next(&r->waiting))
        until = waiting_next(&r->waiting);
    waiting_sleep(&r->waiting, until);
    r->now = clock_now();
}

static void abandon(struct slot *s)
{
    struct reactor *r = s->reactor;
    waiting_remove(&r->waiting, s);
    if (!cancel_raised(r->work->cancel) && r->now >= r->work->deadline)
        expire(r, s);
    else
        cancel(r, s);
}

/* The run was stopped: what nobody has begun is reported too, by whoever gets at it. */
static void refuse_rest(struct reactor *r)
{
    bool late = !cancel_raised(r->work->cancel) && r->now >= r->work->deadline;
    struct err e;
    if (late)
        err_set(&e, ERR_TASK_TIMEOUT, "the task's time was over before the item was begun");
    else
        err_set(&e, ERR_CANCELLED, "cancelled before it was begun");
    while (take(r)) {
        struct slot never = {.position = work_position(r->work, r->from++)};
        never.item.index = r->work->first + never.position;
        report(r, &never, late ? OUTCOME_FAILED : OUTCOME_CANCELLED, (struct span){NULL, 0}, &e);
    }
}

void reactor_run(const struct work *w, const struct sink *sink, struct lane *lane, struct tally *ret)
{
    assert(w->width >= 1 && w->grain >= 1);
    struct reactor r = {.work = w, .sink = sink, .lane = lane, .tally = TALLY_INIT};
    slots_init(&r.slots, w->handler->state_size, w->width < w->count ? w->width : w->count);
    waiting_init(&r.waiting, w->bell);
    ports_init(&r.ports, &r.waiting);
    int64_t cpu, began = meter_begin(&meter, &cpu);
    r.now = began;
    while (!must_stop(&r)) {
        run_due(&r);
        run_ready(&r);
        bool started = start_some(&r);
        if (r.in_flight == 0 && !take(&r))
            break;
        if (descriptors_due(&r))
            waiting_look(&r.waiting);
        else if (!started)
            pause_for_work(&r);
    }
    slots_each(&r.slots, abandon);
    assert(r.in_flight == 0);
    if (r.stopping && sink->all)
        refuse_rest(&r);
    ports_release(&r.ports);
    waiting_release(&r.waiting);
    slots_release(&r.slots);
    r.tally.cpu = meter_since(began, cpu);
    *ret = r.tally;
}
