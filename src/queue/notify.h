/*
 * notify.h: tells other processes, by Redis, what happened here: work is there, tasks ended, tasks are to stop, how far
 * units are. Whoever has the first message after a pause sends it himself, if a connection is idle, without waiting for anything;
 * all the rest is its own thread's, so that the group-commit writer, a claim loop or a call never waits for Redis.
 * What is told while a round trip is under way gathers, each thing once, and goes with the next: under load there is one
 * message for many. All of it is bounded; what does not fit is told as "look at everything" or not at all, since the
 * store is the truth and is asked anyway. With Redis down it is thrown away.
 *
 * Any thread. A NULL notify (there is no cache) does nothing.
 */
#ifndef LATHE_QUEUE_NOTIFY_H
#define LATHE_QUEUE_NOTIFY_H

#include "cache/cache.h"

struct notify;

bool notify_new(struct cache *c, struct notify **ret, struct err *e) LATHE_CHECK; /* c NULL: *ret is NULL */
void notify_free(struct notify *n); /* tells what has gathered, once, and ends */

void notify_work(struct notify *n, struct span queue); /* "*": any queue */
void notify_later(struct notify *n,
                  int64_t wall_us); /* units wait for this time: only the earliest is told */
void notify_done(struct notify *n, const struct uuid *tasks, size_t count);
void notify_cancel(struct notify *n, const struct uuid *tasks, size_t count);
void notify_views(struct notify *n, const struct cache_view *views,
                  size_t count);                                   /* in place of those not told yet */
void notify_drop(struct notify *n, struct uuid task, int64_t seq); /* as cache_drop_views */

/* Reading a message of work: the time that notify_later told, 0 when it names a queue. */
int64_t notify_read_later(struct span message);

/* Reading a message of ids: calls each for every id, all for "*". What is neither is left out. */
void notify_read_ids(struct span message, void (*each)(void *arg, struct uuid id), void (*all)(void *arg),
                     void *arg);

#endif
