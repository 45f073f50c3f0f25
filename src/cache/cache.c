#include "cache/cache.h"

#include <assert.h>
#include <stdio.h>

#include "cache/pool.h"
#include "core/clock.h"
#include "core/cond.h"
#include "core/log.h"
#include "core/mem.h"
#include "core/metrics.h"

bool cache_open(const struct conf *c, struct cache **ret, struct err *e)
{
    (void)e; /* an address that leads nowhere is an outage like any other */
    if (c->cache_url[0] == '\0') {
        *ret = NULL;
        return true;
    }
    struct cache *cache = mem_alloc(sizeof *cache);
    cache->conf = c;
    cond_init(&cache->given);
    pthread_mutex_init(&cache->lock, NULL);
    metric_set(M_cache_breaker_open, "", 0);
    *ret = cache;
    return true;
}

void cache_close(struct cache *c)
{
    if (c == NULL)
        return;
    assert(c->idle_n == c->open_n);
    for (size_t i = 0; i < c->idle_n; i++)
        conn_close(c->idle[i]);
    pthread_cond_destroy(&c->given);
    pthread_mutex_destroy(&c->lock);
    mem_free(c);
}

void cache_key(const struct cache *c, const char *rest, char key[CACHE_KEY])
{
    int n = snprintf(key, CACHE_KEY, "%s:%s", c->conf->cache_prefix, rest);
    assert(n > 0 && n < CACHE_KEY);
}

int64_t cache_deadline(const struct cache *c)
{
    return clock_after_ms(conf_now(&c->conf->cache_timeout));
}

/* With the lock held: a place among the connections, and an idle one if there is. */
static bool take(struct cache *c, struct turn *t, struct err *e)
{
    bool late = false;
    for (;;) {
        if (breaker_refuses(&c->breaker, clock_now()))
            return err_set(e, ERR_CACHE, "Redis is left alone for a while after failures");
        if (c->idle_n > 0 || c->open_n < POOL_CONNECTIONS)
            break;
        if (late) /* says nothing about Redis: not a failure for the breaker */
            return err_set(e, ERR_CACHE, "all connections to Redis are in use");
        late = !cond_wait(&c->given, &c->lock, t->deadline);
    }
    bool entered = breaker_enter(&c->breaker, clock_now(), &t->number);
    assert(entered);
    if (c->idle_n > 0)
        t->redis = c->idle[--c->idle_n];
    else
        c->open_n++;
    return true;
}

bool cache_begin(struct cache *c, struct turn *ret, struct err *e)
{
    if (c == NULL)
        return err_set(e, ERR_CACHE, "there is no Redis (setting cache.url is empty)");
    struct turn t = {.deadline = cache_deadline(c)};
    pthread_mutex_lock(&c->lock);
    bool ok = take(c, &t, e);
    pthread_mutex_unlock(&c->lock);
    if (!ok)
        return false;
    if (t.redis != NULL && !conn_alive(t.redis)) { /* Redis was restarted: that is no failure */
        conn_close(t.redis);
        t.redis = NULL;
    }
    struct err why = ERR_INIT;
    if (t.redis == NULL && !conn_open(c->conf, t.deadline, &t.redis, &why)) {
        if (e != NULL)
            *e = why;
        return cache_end(c, &t, false, &why);
    }
    *ret = t;
    return true;
}

bool cache_begin_idle(struct cache *c, struct turn *ret)
{
    struct turn t = {.deadline = cache_deadline(c)};
    redisContext *dead = NULL;
    bool ok = false;
    pthread_mutex_lock(&c->lock);
    if (c->idle_n > 0 && !breaker_refuses(&c->breaker, clock_now())) {
        t.redis = c->idle[--c->idle_n];
        ok = conn_alive(t.redis) && breaker_enter(&c->breaker, clock_now(), &t.number);
        if (!ok) {
            dead = t.redis;
            c->open_n--;
        }
    }
    pthread_mutex_unlock(&c->lock);
    conn_close(dead);
    if (ok)
        *ret = t;
    return ok;
}

static void tell(enum breaker_move move, const struct err *e)
{
    if (move == BREAKER_OPENED) {
        metric_set(M_cache_breaker_open, "", 1);
        log_warn_err("cache.lost", e, "failures=%d", BREAKER_FAILURES);
    }
    if (move == BREAKER_CLOSED) {
        metric_set(M_cache_breaker_open, "", 0);
        log_info("cache.back", "breaker=closed");
    }
}

bool cache_end(struct cache *c, struct turn *t, bool ok, const struct err *e)
{
    pthread_mutex_lock(&c->lock);
    if (ok)
        c->idle[c->idle_n++] = t->redis;
    else
        c->open_n--;
    enum breaker_move move = breaker_leave(&c->breaker, t->number, ok, clock_now());
    pthread_cond_signal(&c->given);
    pthread_mutex_unlock(&c->lock);
    if (!ok) {
        conn_close(t->redis);
        metric_add(M_cache_errors, "", 1);
    }
    t->redis = NULL;
    tell(move, e);
    return ok;
}

bool cache_broken(struct cache *c)
{
    if (c == NULL)
        return true;
    pthread_mutex_lock(&c->lock);
    bool broken = breaker_refuses(&c->breaker, clock_now());
    pthread_mutex_unlock(&c->lock);
    return broken;
}

bool cache_ready(struct cache *c, struct err *e)
{
    struct turn t;
    if (!cache_begin(c, &t, e))
        return false;
    conn_add(t.redis, (struct span[]){SPAN("PING")}, 1);
    return cache_end(c, &t, conn_exchange(t.redis, 1, t.deadline, NULL, NULL, e), e);
}
