#include "worker/worker.h"

#include <poll.h>
#include <unistd.h>

#include "core/cores.h"
#include "core/limits.h"
#include "core/log.h"
#include "core/mem.h"
#include "core/net.h"
#include "core/parent.h"
#include "core/reload.h"
#include "core/sig.h"
#include "worker/loop.h"

#define CALL_LAST_MS 500    /* for a call to the store when there is no time left */
#define LEAVE_GRACE_MS 1000 /* for units that were told to stop, before the process ends under them */

/* ---- start ---- */

static int64_t usable_cores(const struct conf *c)
{
    return c->worker_cores > 0 ? c->worker_cores : cores_usable();
}

static void describe(struct worker *w)
{
    char host[256] = "localhost";
    gethostname(host, sizeof host - 1);
    const char *name = w->conf->worker_name;
    w->info = (struct worker_info){
        .id = uuid_v7(),
        .name = span_of(name[0] != '\0' ? name : arena_printf(&w->arena, "%s-%d", host, (int)getpid())),
        .host = arena_copy(&w->arena, span_of(host)),
        .queues = span_of(w->conf->worker_queues),
        .pid = getpid(),
        .slots = w->conf->worker_slots,
        .cores = usable_cores(w->conf),
        .started_us = clock_wall_us(),
    };
}

static bool start(struct worker *w, struct err *e)
{
    describe(w);
    w->finishes = mem_array(LIMIT_CLAIM, sizeof *w->finishes);
    w->finished = mem_array(LIMIT_CLAIM, sizeof *w->finished);
    if (!net_bell(&w->queue_bell, e) || !net_bell(&w->slot_bell, e))
        return false;
    w->evidence = evidence_new(queue_store(w->queue), w->info.cores);
    w->info.costs = evidence_host(w->evidence);
    w->env = (struct run_env){.conf = w->conf, .evidence = w->evidence};
    w->look = true;
    w->cared = true; /* the first pass claims: a lease holds whether or not its worker is listed */
    care_begin(w);
    if (!slots_new((int)w->conf->worker_slots, &w->env, w->slot_bell, &w->slots, e) ||
        !queue_worker_new(w->queue, &w->info, w->queue_bell, &w->queue_worker, e))
        return false;
    queue_hand(w->queue_worker, turn_claimed, w);
    return true;
}

/* Only when no thread runs units any more. */
static void stop(struct worker *w)
{
    slots_free(w->slots);
    board_forget(w);
    queue_worker_free(w->queue_worker);
    evidence_free(w->evidence);
    net_close_at(&w->queue_bell);
    net_close_at(&w->slot_bell);
    mem_free(w->finishes);
    mem_free(w->finished);
    arena_release(&w->arena);
    mem_free(w);
}

/* ---- drain ---- */

/* Claims nothing any more; what nobody has begun goes back, what runs has until the deadline. */
static void drain(struct worker *w, enum ending ending, const char *why)
{
    bool first = w->ending == ENDING_NOT;
    if (ending <= w->ending)
        return;
    w->ending = ending;
    if (first) {
        w->drain_until = clock_after_ms(conf_now(&w->conf->worker_drain));
        for (int i = CARE_OTHERS; i < CARE_IDLE; i++)
            w->due[i] = CLOCK_NEVER;
        board_return_queued(w, CLOCK_NEVER);
    }
    log_info("worker.draining", "why=%s running=%zu deadline_ms=%d", why, w->running,
             clock_poll_ms(w->drain_until));
}

void worker_recycle(struct worker *w, const char *why)
{
    if (w->ending == ENDING_NOT) {
        log_warn("worker.recycle", "why=%s meaning=it finishes what it has and is started anew", why);
        parent_ask_successor();
    }
    drain(w, ENDING_RECYCLE, why);
}

static void leave(struct worker *w)
{
    if (w->leaving)
        return;
    w->leaving = true;
    w->drain_until = clock_after_ms(LEAVE_GRACE_MS);
    w->next_turn = 0; /* once more, even if the store was away just now */
    w->due[CARE_BEAT] = CLOCK_NEVER;
    board_return_running(w);
}

static void on_signal(struct worker *w)
{
    enum sig_verb verb;
    while ((verb = sig_read(w->signals)) != SIG_NOTHING) {
        if (verb == SIG_STOP && w->ending == ENDING_STOP)
            leave(w);
        else if (verb == SIG_STOP)
            drain(w, ENDING_STOP, "signal");
        else if (verb == SIG_RELOAD)
            reload(w->conf);
    }
}

/* Runs that somebody waits for. */
static size_t awaited(const struct worker *w)
{
    size_t n = w->running;
    for (const struct run *r = w->runs; r != NULL; r = r->next)
        n -= r->aboard && r->abandoned;
    return n;
}

static bool over(struct worker *w)
{
    if (w->ending == ENDING_NOT)
        return false;
    if (w->finishes_n == 0 && w->back == 0 && awaited(w) == 0)
        return true;
    if (clock_now() < w->drain_until)
        return false;
    if (w->leaving)
        return true;
    leave(w);
    return false;
}

/* ---- the loop ---- */

/* A stop must not take much longer than its deadline, whatever the store does. */
static int64_t call_ms(const struct worker *w)
{
    int64_t left = (w->drain_until - clock_now()) / NS_PER_MS;
    if (w->ending == ENDING_NOT)
        return 0;
    return left > CALL_LAST_MS ? left : CALL_LAST_MS;
}

static int64_t next_wake(const struct worker *w)
{
    int64_t care = care_next(w), turn = turn_next(w), next = care < turn ? care : turn;
    return w->ending != ENDING_NOT && w->drain_until < next ? w->drain_until : next;
}

static void wait_for_news(struct worker *w)
{
    struct pollfd p[] = {
        {.fd = w->signals, .events = POLLIN},
        {.fd = w->queue_bell, .events = POLLIN},
        {.fd = w->slot_bell, .events = POLLIN},
    };
    poll(p, COUNT_OF(p), clock_poll_ms(next_wake(w)));
    if (p[0].revents)
        on_signal(w);
    if (p[1].revents) {
        net_bell_clear(w->queue_bell);
        w->look = true;
        care_look_for_messages(w);
    }
    if (p[2].revents)
        net_bell_clear(w->slot_bell);
}

/* What is due goes before a turn, but not twice: however many schedules there are to fire, units go on. */
static void step(struct worker *w)
{
    w->cared = !(w->cared && clock_now() >= turn_next(w)) && care(w);
    if (!w->cared && clock_now() >= turn_next(w))
        turn(w);
}

static void loop(struct worker *w)
{
    for (;;) {
        queue_bound(w->queue_worker, call_ms(w), w->signals);
        turn_gather(w);
        step(w);
        if (over(w))
            return;
        wait_for_news(w);
    }
}

enum worker_end worker_run(struct conf *c, struct queue *q, int signals, struct err *e)
{
    struct worker *w =
        mem_alloc(sizeof *w); /* for good if it is left: threads that do not come back use it */
    *w = (struct worker){
        .conf = c, .queue = q, .signals = signals, .queue_bell = -1, .slot_bell = -1, .arena = ARENA_INIT};
    if (!start(w, e)) {
        stop(w);
        return WORKER_FAILED;
    }
    log_info("worker.started", "name=" SPAN_FMT " slots=%lld cores=%lld queues=%s", SPAN_ARG(w->info.name),
             (long long)w->info.slots, (long long)w->info.cores, c->worker_queues);
    loop(w);
    log_info("worker.stopped", "running=%zu", w->running);
    bool recycle = w->ending == ENDING_RECYCLE, left = w->running > 0;
    if (left)
        evidence_end(w->evidence); /* the one thread that can be ended */
    else
        stop(w);
    return recycle ? WORKER_RECYCLE : left ? WORKER_LEFT : WORKER_STOPPED;
}
