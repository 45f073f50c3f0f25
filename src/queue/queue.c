#include "queue/queue.h"

#include <assert.h>

#include "core/mem.h"
#include "queue/inside.h"

static bool start(struct queue *q, enum queue_side side, struct err *e)
{
    static const char *const roles[] = {
        [QUEUE_API] = "api", [QUEUE_WORKER] = "worker", [QUEUE_CLIENT] = "client"};
    if (!store_open(q->conf, roles[side], &q->store, e))
        return false;
    if (side == QUEUE_WORKER)
        store_begin(q->store);
    if (!cache_open(q->conf, &q->cache, e) || !notify_new(q->cache, &q->notify, e))
        return false;
    if (side != QUEUE_API)
        return true;
    return waits_new(q->conf, q->store, q->cache, &q->waits, e) &&
           store_writer_new(q->store, &q->writer, e) && store_writer_new(q->store, &q->bulk, e);
}

bool queue_open(const struct conf *c, enum queue_side side, struct queue **ret, struct err *e)
{
    struct queue *q = mem_alloc(sizeof *q);
    q->conf = c;
    if (!start(q, side, e)) {
        queue_close(q);
        return false;
    }
    *ret = q;
    return true;
}

/* The writers first: what they end with may still be waited for and told. */
void queue_close(struct queue *q)
{
    if (q == NULL)
        return;
    store_writer_stop(q->writer);
    store_writer_stop(q->bulk);
    store_writer_free(q->writer);
    store_writer_free(q->bulk);
    waits_free(q->waits);
    notify_free(q->notify);
    cache_close(q->cache);
    if (q->store != NULL)
        store_close(q->store);
    mem_free(q);
}

struct store *queue_store(struct queue *q)
{
    return q->store;
}

struct cache *queue_cache(struct queue *q)
{
    return q->cache;
}

bool queue_prompt(struct queue *q)
{
    return q->waits != NULL && waits_prompt(q->waits);
}

/* ---- looking ---- */

/* The store counts the items of finished units; those that run tell of themselves to Redis. A unit that has just ended
 * may for a moment be in neither or in both: hence the limits. */
static void overlay(struct task *t, const struct cache_view *v)
{
    int64_t left = t->items_total - t->items_done;
    int64_t done = v->done < left ? v->done : left;
    int64_t failed = v->failed < done ? v->failed : done;
    t->items_done += done;
    t->items_failed += failed;
    if (t->items_total > 0) {
        double in_flight = (double)v->partial_milli / 1000.0;
        double progress = ((double)t->items_done + in_flight) / (double)t->items_total;
        t->progress = progress < 1.0 ? progress : 1.0;
    }
}

bool queue_get(struct queue *q, struct arena *a, struct uuid id, struct task *ret, struct err *e)
{
    struct task t;
    struct cache_view view;
    if (!store_get(q->store, a, id, &t, e))
        return false;
    if (!state_final(t.state) && cache_get_view(q->cache, id, &view, NULL) && view.seq > 0)
        overlay(&t, &view);
    *ret = t;
    return true;
}

/* ---- waiting ---- */

bool queue_wait(struct queue *q, struct queue_wait *w, struct err *e)
{
    assert(q->waits != NULL);
    return waits_add(q->waits, w, e);
}

bool queue_unwait(struct queue *q, struct queue_wait *w)
{
    assert(q->waits != NULL);
    return waits_remove(q->waits, w);
}

/* ---- cancelling ---- */

static void tell_of_cancel(struct queue *q, const struct task *t)
{
    if (state_final(t->state))
        notify_done(q->notify, &t->id, 1);
    else
        notify_cancel(q->notify, &t->id, 1);
}

/* Workers know of a parent only by its children, and somebody may wait for one of those. */
static void tell_of_children(struct queue *q, struct uuid parent)
{
    struct arena a CLEANUP(arena_release) = ARENA_INIT;
    struct task *children;
    size_t n;
    if (!store_children(q->store, &a, parent, &children, &n, NULL))
        return; /* the next beats of their workers will tell */
    for (size_t i = 0; i < n; i++)
        tell_of_cancel(q, &children[i]);
}

bool queue_cancel(struct queue *q, struct arena *a, struct uuid id, struct task *ret, struct err *e)
{
    struct task t;
    struct ended ended;
    if (!store_cancel(q->store, a, id, &t, &ended, e))
        return false;
    tell_of_cancel(q, &t);
    notify_done(q->notify, ended.ids, ended.count); /* a child's end can be its parent's */
    if (ended.released)
        notify_work(q->notify, t.queue);
    if (span_is(t.strategy, QUEUE_COMPARE))
        tell_of_children(q, id);
    *ret = t;
    return true;
}

/* ---- pausing ---- */

void queue_look(struct queue *q, struct span name)
{
    notify_work(q->notify, name);
}

bool queue_pause(struct queue *q, struct span name, bool paused, struct span reason, struct err *e)
{
    if (!store_pause_queue(q->store, name, paused, reason, e))
        return false;
    if (!paused)
        queue_look(q, name);
    return true;
}
