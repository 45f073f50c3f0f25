#include <pthread.h>

#include "core/limits.h"
#include "core/log.h"
#include "core/mem.h"
#include "core/net.h"
#include "queue/inside.h"

#define MOST_CANCELS 1024u /* ids not yet looked at; what is more, the next beat tells */

struct queue_worker {
    struct queue *queue;
    struct store_worker *store;
    struct cache_listener *listener; /* NULL: there is no cache */
    char *queues;                    /* "a,b" or "*" */
    int bell;
    pthread_mutex_t lock; /* of what follows */
    struct uuid cancels[MOST_CANCELS];
    size_t cancels_count;
    int64_t later_us; /* the first time that units wait for, as far as is told; 0: none */
};

static bool serves(const struct queue_worker *w, struct span queue)
{
    struct span list = span_of(w->queues);
    while (list.len > 0) {
        struct span name = span_trim(span_cut(&list, ','));
        if (span_is(name, "*") || span_eq(name, queue))
            return true;
    }
    return false;
}

/* ---- messages; on the listener's thread ---- */

static void add_cancel(void *arg, struct uuid id)
{
    struct queue_worker *w = arg;
    if (w->cancels_count < MOST_CANCELS)
        w->cancels[w->cancels_count++] = id;
}

static void any_cancel(void *arg)
{
    (void)arg; /* which, the next beat tells */
}

/* Under load there are many of these, and all but the first are later than what is known. */
static void add_later(struct queue_worker *w, int64_t us)
{
    pthread_mutex_lock(&w->lock);
    bool news = w->later_us == 0 || us < w->later_us || w->later_us < clock_shared_us();
    if (news)
        w->later_us = us;
    pthread_mutex_unlock(&w->lock);
    if (news)
        net_ring(w->bell);
}

static void on_message(void *arg, struct span channel, struct span message)
{
    struct queue_worker *w = arg;
    if (span_is(channel, CHANNEL_WORK)) {
        int64_t later = notify_read_later(message);
        if (later > 0)
            add_later(w, later);
        else if (span_is(message, "*") || serves(w, message))
            net_ring(w->bell);
        return;
    }
    pthread_mutex_lock(&w->lock);
    notify_read_ids(message, add_cancel, any_cancel, w);
    pthread_mutex_unlock(&w->lock);
    net_ring(w->bell);
}

static void on_state(void *arg, bool connected)
{
    struct queue_worker *w = arg;
    if (connected)
        net_ring(w->bell); /* what was said before was not heard */
}

int64_t queue_later(struct queue_worker *w)
{
    pthread_mutex_lock(&w->lock);
    int64_t us = w->later_us, left = us - clock_shared_us();
    if (us != 0 && left <= 0)
        w->later_us = 0;
    pthread_mutex_unlock(&w->lock);
    return us == 0 ? -1 : left <= 0 ? 0 : left / 1000;
}

size_t queue_cancels(struct queue_worker *w, struct uuid *out, size_t room)
{
    pthread_mutex_lock(&w->lock);
    size_t n = w->cancels_count < room ? w->cancels_count : room;
    w->cancels_count -= n;
    memcpy(out, w->cancels + w->cancels_count, n * sizeof *out);
    pthread_mutex_unlock(&w->lock);
    return n;
}

/* ---- life ---- */

/* ---- what a turn has to tell ---- */

/* Somebody told Redis how far the unit was: we, or, as far as one can see, a worker that had it before. */
static bool was_shown(const struct finish *f)
{
    return f->shown || f->unit->attempt > 1 || f->unit->tries > 0;
}

/* A unit that ends before anybody told of it, as most do, is not forgotten in Redis either: that would be a command a task. */
static void tell_ended(struct queue *q, const struct finish *f)
{
    for (size_t i = 0; i < COUNT_OF(f->ended); i++) {
        if (uuid_is_nil(f->ended[i]))
            continue;
        notify_done(q->notify, &f->ended[i], 1);
        if (!f->unit->single || was_shown(f))
            notify_drop(q->notify, f->ended[i], CACHE_ALL_UNITS);
    }
}

void worker_tell_work(struct queue_worker *w, struct span queue)
{
    notify_work(w->queue->notify, queue);
    if (span_is(queue, "*") || serves(w, queue))
        net_ring(w->bell); /* with Redis gone there is still us */
}

struct store_worker *worker_store(struct queue_worker *w)
{
    return w->store;
}

/* Within store_turn, as soon as the finish is stored: whoever waits for it need not wait for our next claim too. */
static void tell_finish(void *arg, const struct finish *f)
{
    struct queue_worker *w = arg;
    if (!f->applied)
        return;
    tell_ended(w->queue, f);
    if (!f->final && was_shown(f)) /* the store counts its items now */
        notify_drop(w->queue->notify, f->unit->task, f->unit->seq);
    if (f->released)
        worker_tell_work(w, f->followed ? SPAN("*") : f->unit->queue);
}

bool queue_worker_new(struct queue *q, struct worker_info *info, int bell, struct queue_worker **ret,
                      struct err *e)
{
    static const char *const channels[] = {CHANNEL_WORK, CHANNEL_CANCEL, NULL};
    struct queue_worker *w = mem_alloc(sizeof *w);
    w->queue = q;
    w->bell = bell;
    w->queues = mem_array(info->queues.len + 1, 1);
    memcpy(w->queues, info->queues.ptr, info->queues.len);
    pthread_mutex_init(&w->lock, NULL);
    struct cache_listener_calls calls = {.on_message = on_message, .on_state = on_state, .arg = w};
    if (!store_worker_new(q->store, info, &w->store, e) ||
        (q->cache != NULL && !cache_listen(q->cache, channels, calls, &w->listener, e))) {
        queue_worker_free(w);
        return false;
    }
    store_worker_tell(w->store, tell_finish, w);
    *ret = w;
    return true;
}

void queue_worker_free(struct queue_worker *w)
{
    if (w == NULL)
        return;
    cache_listener_free(w->listener);
    if (w->store != NULL)
        store_worker_free(w->store);
    pthread_mutex_destroy(&w->lock);
    mem_free(w->queues);
    mem_free(w);
}

void queue_hand(struct queue_worker *w, void (*claimed)(void *arg, struct claim *c), void *arg)
{
    store_worker_hand(w->store, claimed, arg);
}

void queue_bound(struct queue_worker *w, int64_t most_ms, int hurry)
{
    store_worker_bound(w->store, most_ms, hurry);
}

/* ---- turns ---- */

bool queue_turn(struct queue_worker *w, struct finish *finishes, size_t n, int want, struct claim *ret,
                struct err *e)
{
    return store_turn(w->store, finishes, n, want, ret, e);
}

bool queue_beat(struct queue_worker *w, struct arena *a, const struct worker_info *info,
                const struct uuid *leases, size_t n, bool *lost, struct uuid **ret_cancelled,
                size_t *ret_cancelled_n, struct err *e)
{
    return store_beat(w->store, a, info, leases, n, lost, ret_cancelled, ret_cancelled_n, e);
}

void queue_tell(struct queue_worker *w, const struct cache_view *views, size_t n)
{
    notify_views(w->queue->notify, views, n);
}

bool queue_release(struct queue_worker *w, const struct unit *const *units, size_t n, bool count,
                   struct err *e)
{
    struct arena a CLEANUP(arena_release) = ARENA_INIT;
    struct ended ended;
    if (!store_release(w->store, &a, units, n, count, &ended, e))
        return false;
    notify_done(w->queue->notify, ended.ids, ended.count);
    for (size_t i = 0; i < n; i++) {
        notify_work(w->queue->notify, units[i]->queue);
        notify_drop(w->queue->notify, units[i]->task, units[i]->seq);
    }
    return true;
}

bool queue_reap(struct queue_worker *w, struct arena *a, struct reaped *ret, struct err *e)
{
    if (!store_reap(w->store, a, ret, e))
        return false;
    notify_done(w->queue->notify, ret->ended.ids, ret->ended.count);
    if (ret->requeued > 0 || ret->ended.released) {
        notify_work(w->queue->notify, SPAN("*")); /* of which queues is not known here */
        net_ring(w->bell);
    }
    return true;
}

bool queue_forget(struct queue_worker *w, int64_t *ret_deleted, bool *ret_more, struct err *e)
{
    return store_forget(w->store, LIMIT_FORGET, ret_deleted, ret_more, e);
}

bool queue_wake(struct queue_worker *w, int64_t *ret_next_ms, int64_t *ret_fire_ms, struct err *e)
{
    int64_t woken;
    if (!store_wake(w->store, LIMIT_WAKE, &woken, ret_next_ms, ret_fire_ms, e))
        return false;
    if (woken > 0) {
        notify_work(w->queue->notify, SPAN("*")); /* of which queues is not known here */
        net_ring(w->bell);
    }
    return true;
}

bool queue_warm(struct queue_worker *w, struct err *e)
{
    return store_warm(w->store, e);
}

bool queue_measure(struct queue_worker *w, struct err *e)
{
    return store_measure(w->store, e);
}

void queue_look_at_horizon(struct queue_worker *w)
{
    char what[128];
    int64_t count = 0;
    double age_s = 0;
    struct err e = ERR_INIT;
    if (!store_horizon(w->store, &count, &age_s, what, sizeof what, &e) || count == 0)
        return;
    log_warn("store.horizon", "age_s=%.0f others=%d meaning=no dead row is removed as long as there is %s",
             age_s, (int)count - 1, what);
}
