/*
 * pool.h: struct cache itself, for the files of this folder: a few connections, the breaker before them, one lock.
 *
 *     struct turn t;
 *     if (!cache_begin(c, &t, e)) return false;             // the breaker is open, or there is no connection
 *     conn_add(t.redis, …);
 *     return cache_end(c, &t, conn_exchange(t.redis, 1, t.deadline, …, e), e);
 */
#ifndef LATHE_CACHE_POOL_H
#define LATHE_CACHE_POOL_H

#include <pthread.h>

#include "cache/cache.h"
#include "cache/conn.h"
#include "core/breaker.h"

#define POOL_CONNECTIONS 16

struct cache {
    const struct conf *conf;
    pthread_mutex_t lock;
    pthread_cond_t given; /* a connection came back */
    struct breaker breaker;
    redisContext *idle[POOL_CONNECTIONS]; /* last in, first out: the rest may go cold */
    size_t idle_n;
    size_t open_n; /* idle and in use */
};

struct turn {
    redisContext *redis;
    int64_t deadline;
    unsigned number; /* the breaker's */
};

#define CACHE_KEY \
    128 /* longest key or channel name, with NUL: the prefix has at most 32 bytes, the rest is ours */
void cache_key(const struct cache *c, const char *rest, char key[CACHE_KEY]); /* "prefix:rest" */

int64_t cache_deadline(const struct cache *c); /* of a call that begins now */

bool cache_begin(struct cache *c, struct turn *ret, struct err *e) LATHE_CHECK;
/* The same without waiting for anything: only over a connection that is idle and alive. */
bool cache_begin_idle(struct cache *c, struct turn *ret) LATHE_CHECK;
/* Returns ok. A connection that failed is closed, and *e goes to the log when the breaker opens. */
bool cache_end(struct cache *c, struct turn *t, bool ok, const struct err *e);

#endif
