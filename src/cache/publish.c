/* publish.c: messages to whoever listens. */
#include "cache/pool.h"

static void add(const struct cache *c, redisContext *r, const struct cache_message *list, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        char name[CACHE_KEY];
        cache_key(c, list[i].channel, name);
        conn_add(r, (struct span[]){SPAN("PUBLISH"), span_of(name), list[i].text}, 3);
    }
}

bool cache_publish(struct cache *c, const struct cache_message *list, size_t n, struct err *e)
{
    struct turn t;
    if (n == 0)
        return true;
    if (!cache_begin(c, &t, e))
        return false;
    add(c, t.redis, list, n);
    return cache_end(c, &t, conn_exchange(t.redis, n, t.deadline, NULL, NULL, e), e);
}

bool cache_publish_begin(struct cache *c, const struct cache_message *list, size_t n, struct cache_sent *ret)
{
    struct turn t;
    struct err e = ERR_INIT;
    bool done; /* what the socket did not take is for the other half */
    if (c == NULL || n == 0 || !cache_begin_idle(c, &t))
        return false;
    add(c, t.redis, list, n);
    if (!conn_flush(t.redis, &done, &e))
        return cache_end(c, &t, false, &e);
    *ret = (struct cache_sent){.redis = t.redis, .deadline = t.deadline, .number = t.number, .replies = n};
    return true;
}

bool cache_publish_end(struct cache *c, struct cache_sent *sent, struct err *e)
{
    struct turn t = {.redis = sent->redis, .deadline = sent->deadline, .number = sent->number};
    bool ok = conn_exchange(t.redis, sent->replies, t.deadline, NULL, NULL, e);
    sent->redis = NULL;
    return cache_end(c, &t, ok, e);
}
