#include "worker/worker.h"

#include <poll.h>
#include <sched.h>
#include <unistd.h>

#include "core/limits.h"
#include "core/log.h"
#include "core/mem.h"
#include "core/net.h"
#include "core/sig.h"
#include "worker/loop.h"

#define LEAVE_GRACE_MS 1000 /* for units that were told to stop, before the process ends under them */

/* ---- start ---- */

static int64_t usable_cores(const struct conf *c)
{
    if (c->worker_cores > 0)
        return c->worker_cores;
    cpu_set_t set;
    return sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : 1;
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
    return slots_new((int)w->conf->worker_slots, &w->env, w->slot_bell, &w->slots, e) &&
           queue_worker_new(w->queue, &w->info, w->queue_bell, &w->queue_worker, e);
}

/* Only when no thread runs units any more. */
static void stop(struct worker *w)
{
    slots_free(w->slots);
    queue_worker_free(w->queue_worker);
    evidence_free(w->evidence);
    net_close_at(&w->queue_bell);
    net_close_at(&w->slot_bell);
    mem_free(w->finishes);
    mem_free(w->finished);
    arena_release(&w->arena);
}

/* ---- drain ---- */

static void drain(struct worker *w, const char *why)
{
    if (w->draining)
        return;
    w->draining = true;
    w->drain_until = clock_after_ms(w->conf->worker_drain);
    log_info("worker.draining", "why=%s running=%zu deadline_ms=%lld", why, w->running,
             (long long)w->conf->worker_drain);
    turn_give_back(w, false);
}

void worker_recycle(struct worker *w, const char *why)
{
    if (!w->recycle)
        log_warn("worker.recycle", "why=%s meaning=it finishes what it has and is started anew", why);
    w->recycle = true;
    drain(w, why);
}

static void leave(struct worker *w)
{
    if (w->leaving)
        return;
    w->leaving = true;
    w->drain_until = clock_after_ms(LEAVE_GRACE_MS);
    turn_give_back(w, true);
}

static void reload(struct worker *w)
{
    struct err e = ERR_INIT;
    struct buf ignored CLEANUP(buf_release) = BUF_INIT(LIMIT_LOG_LINE);
    if (!conf_reload(w->conf, &ignored, &e))
        log_warn_err("worker.reload", &e, "meaning=the old settings stay");
    else
        log_info("worker.reload", "need_restart=" SPAN_FMT, SPAN_ARG(buf_view(&ignored)));
}

static void on_signal(struct worker *w)
{
    enum sig_verb verb;
    while ((verb = sig_read(w->signals)) != SIG_NOTHING) {
        if (verb == SIG_STOP && w->draining)
            leave(w);
        else if (verb == SIG_STOP)
            drain(w, "signal");
        else if (verb == SIG_RELOAD)
            reload(w);
    }
}

/* Runs that do not come back, and are not waited for. */
static size_t stuck(const struct worker *w)
{
    size_t n = 0;
    for (const struct run *r = w->runs; r != NULL; r = r->next)
        n += r->abandoned;
    return n;
}

static bool over(struct worker *w)
{
    if (!w->draining)
        return false;
    if (w->running == stuck(w) && w->finishes_n == 0)
        return true;
    if (clock_now() < w->drain_until)
        return false;
    if (w->leaving)
        return true;
    leave(w);
    return false;
}

/* ---- the loop ---- */

static int64_t next_wake(const struct worker *w)
{
    int64_t next = care_next(w);
    if (!w->draining && w->next_poll < next)
        next = w->next_poll;
    if ((w->finishes_n > 0 || w->look) && w->next_turn < next && w->next_turn > clock_now())
        next = w->next_turn;
    if (w->draining && w->drain_until < next)
        next = w->drain_until;
    return next;
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
        care_look_for_cancels(w);
    }
    if (p[2].revents) {
        net_bell_clear(w->slot_bell);
        w->look = true; /* a slot is free, and the finish goes to the store anyway */
    }
    if (clock_now() >= w->next_poll)
        w->look = true;
}

static void loop(struct worker *w)
{
    while (!over(w)) {
        turn_gather(w);
        while (turn_due(w)) {
            turn(w);
            turn_gather(w);
        }
        care(w);
        wait_for_news(w);
    }
}

enum worker_end worker_run(struct conf *c, struct queue *q, int signals, struct err *e)
{
    struct worker w = {
        .conf = c, .queue = q, .signals = signals, .queue_bell = -1, .slot_bell = -1, .arena = ARENA_INIT};
    if (!start(&w, e)) {
        stop(&w);
        return WORKER_FAILED;
    }
    log_info("worker.started", "name=" SPAN_FMT " slots=%lld cores=%lld queues=%s", SPAN_ARG(w.info.name),
             (long long)w.info.slots, (long long)w.info.cores, c->worker_queues);
    loop(&w);
    log_info("worker.stopped", "running=%zu", w.running);
    if (w.running > 0)
        return w.recycle ? WORKER_RECYCLE : WORKER_LEFT;
    stop(&w);
    return w.recycle ? WORKER_RECYCLE : WORKER_STOPPED;
}
