/*
 * redis.h: commands to a Redis for handlers and for the engine itself. What the items of a thread ask for goes out in one
 * write when the thread has nothing left to step, and the answers come back in the same order.
 *
 *     static enum step step(struct item *it)
 *     {
 *         struct look *l = it->state;
 *         if (!l->call && !(l->call = redis_start(it, &redis_port, (struct span[]){SPAN("GET"), key}, 2)))
 *             return STEP_FAIL;
 *         if (!l->call->done)
 *             return item_wait_call(it);
 *         if (l->call->err.code != ERR_NONE) …
 *         … l->call->type, l->call->text …
 *     }
 *     static void drop(struct item *it) { redis_drop(((struct look *)it->state)->call); }
 *
 * A Redis that is away costs nothing: after three failures in a row calls fail at once for a second (then longer, up to thirty), and one
 * of them tries again. A Redis that does not answer for cache.timeout is taken for dead with all that it was asked.
 */
#ifndef LATHE_MODEL_REDIS_H
#define LATHE_MODEL_REDIS_H

#include "model/port.h"

#define REDIS_WORDS 16 /* most words of one command */

enum redis_answer { REDIS_NOTHING, REDIS_BYTES, REDIS_NUMBER };

/* Made by the port. What it points to lives until redis_drop. */
struct redis_call {
    bool done;
    struct err err; /* CACHE: not reached, or lost before it answered. REJECTED: Redis refuses the command */
    enum redis_answer type;
    struct span text; /* REDIS_BYTES; also of a status */
    int64_t number;   /* REDIS_NUMBER */
};

extern const struct port_kind redis_port;     /* of handlers: setting redis.url */
extern const struct port_kind redis_own_port; /* where Lathe keeps its own keys: setting cache.url */

/* What Lathe's own keys begin with, without the colon. */
const char *redis_own_prefix(void);

/* The words may hold any byte and are copied. When the thread has LIMIT_REDIS_CALLS under way it is sent in its turn. NULL with
 * it->err set when it cannot even begin: CACHE. */
struct redis_call *redis_start(struct item *it, const struct port_kind *where, const struct span *words,
                               size_t n);

/* For another port, which works for items itself: `client` is item_client(it, where), good until that is closed. over(arg) is
 * called when it is over, maybe before this returns. NULL with *e set as above. */
struct redis_call *redis_start_for(void *client, const struct span *words, size_t n, void (*over)(void *arg),
                                   void *arg, struct err *e);

/* Forgets it: the command is carried out all the same, unless Redis is lost. NULL is fine. */
void redis_drop(struct redis_call *c);

/* A command of which nobody wants to know what became of it. */
static inline void redis_tell(struct item *it, const struct port_kind *where, const struct span *words,
                              size_t n)
{
    struct err before = it->err;
    redis_drop(redis_start(it, where, words, n));
    it->err = before;
}

#endif
