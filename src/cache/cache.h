/*
 * cache.h: Redis, which makes Lathe quick to watch and is never the only copy of anything. The only floor with hiredis.
 *
 * Every call waits at most cache.timeout. After three failures in a row the breaker opens: for a second (then longer, with
 * jitter) calls fail at once with ERR_CACHE and cost nothing. Any thread; connections come from a small pool. A NULL
 * cache (setting cache.url empty) behaves like a broken one. Callers treat a failure as "not known", never as an error.
 */
#ifndef LATHE_CACHE_CACHE_H
#define LATHE_CACHE_CACHE_H

#include "core/arena.h"
#include "core/conf.h"
#include "core/err.h"
#include "core/span.h"
#include "core/uuid.h"

struct cache;

bool cache_open(const struct conf *c, struct cache **ret,
                struct err *e) LATHE_CHECK; /* does not connect yet */
void cache_close(struct cache *c);
bool cache_ready(struct cache *c, struct err *e) LATHE_CHECK; /* PING */
bool cache_broken(struct cache *c);                           /* the breaker is open */

/* ---- messages: channels are prefix:name ---- */

struct cache_message {
    const char *channel; /* without the prefix */
    struct span text;
};

/* One round trip for all, in their order. */
bool cache_publish(struct cache *c, const struct cache_message *list, size_t n, struct err *e) LATHE_CHECK;

/*
 * The same in two halves, for a thread that must not wait. `begin` sends over a connection that is there and idle; false: there is
 * none, or the breaker is open, and nothing was done. After true somebody, on any thread, calls `end` once, which sends what the
 * socket did not take and reads the answers.
 *
 *     struct cache_sent sent;
 *     if (cache_publish_begin(c, list, n, &sent))
 *         ok = cache_publish_end(c, &sent, e);   // later, on a thread that may wait
 */
struct cache_sent {
    struct redisContext *redis;
    int64_t deadline;
    unsigned number;
    size_t replies;
};
bool cache_publish_begin(struct cache *c, const struct cache_message *list, size_t n, struct cache_sent *ret);
bool cache_publish_end(struct cache *c, struct cache_sent *sent, struct err *e) LATHE_CHECK;

/*
 * Listens on `channels` (NULL at the end) on a thread of its own, connecting again with back-off as long as it lives.
 * on_message runs on that thread. on_state(true) after each (re)subscription: messages before it were missed, so look at
 * the store; on_state(false) when the connection is lost.
 */
struct cache_listener;
struct cache_listener_calls {
    void (*on_message)(void *arg, struct span channel, struct span message); /* channel without the prefix */
    void (*on_state)(void *arg, bool connected);
    void *arg;
};
#define CACHE_CHANNELS 4 /* most channels of one listener */
bool cache_listen(struct cache *c, const char *const *channels, struct cache_listener_calls calls,
                  struct cache_listener **ret, struct err *e) LATHE_CHECK;
void cache_listener_free(struct cache_listener *l); /* returns within cache.timeout */

/* ---- views: how far a task is, for at most some seconds ---- */

#define CACHE_ALL_UNITS (-1)

struct cache_view {
    struct uuid task;
    int64_t seq;           /* of the unit that tells */
    int64_t done, failed;  /* items of this unit so far */
    int64_t partial_milli; /* progress of items in flight, thousandths */
};

/* All in one round trip; each lives 10 s after the last update of any unit of its task. */
bool cache_put_views(struct cache *c, const struct cache_view *views, size_t n, struct err *e) LATHE_CHECK;
/* Sum over the units of the task that tell of themselves; ret->seq is their number, 0: nothing is known. */
bool cache_get_view(struct cache *c, struct uuid task, struct cache_view *ret, struct err *e) LATHE_CHECK;
/* Forgets units: only task and seq are looked at; seq CACHE_ALL_UNITS is the whole task. One round trip. */
bool cache_drop_views(struct cache *c, const struct cache_view *views, size_t n, struct err *e) LATHE_CHECK;

#endif
