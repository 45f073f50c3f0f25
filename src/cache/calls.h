/*
 * calls.h: commands to Redis that somebody waits for, and lists of them: those that were sent, in the order of the answers, and
 * those that are held until there is room for them.
 */
#ifndef LATHE_CACHE_CALLS_H
#define LATHE_CACHE_CALLS_H

#include <hiredis/hiredis.h>

#include "model/redis.h"

/* Words of a command, kept in one piece of memory: mem_free. */
struct words {
    size_t n;
    struct span words[REDIS_WORDS];
    char text[];
};

struct call {
    struct redis_call shown;
    void (*over)(void *arg); /* NULL: dropped; nobody waits for the answer any more */
    void *arg;
    redisReply *reply;  /* the texts are in it */
    struct words *kept; /* while it is held */
    struct call *next;
};

struct calls {
    struct call *first, *last;
};

struct words *words_keep(const struct span *words, size_t n);

void calls_add(struct calls *to, struct call *k);
struct call *calls_take(struct calls *from); /* the first; there must be one */

/* Puts the reply, which is the call's now, where who waits for it looks. */
void call_answer(struct call *k, redisReply *r);
void call_free(struct call *k);

#endif
