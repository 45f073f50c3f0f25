#include <assert.h>
#include <stdio.h>

#include "cache/pool.h"
#include "cache/view_text.h"
#include "core/limits.h"

#define VIEW_LIFE_MS "10000"
#define PIPELINE 500 /* views in one pipeline: keeps what Redis and we must buffer small */

/* More than any task has: so that a sum over many units cannot overflow. */
#define VIEW_MOST ((int64_t)LIMIT_ITEMS * 1000)

size_t view_format(const struct cache_view *v, char text[VIEW_TEXT])
{
    int n = snprintf(text, VIEW_TEXT, "%lld %lld %lld", (long long)v->done, (long long)v->failed,
                     (long long)v->partial_milli);
    assert(n > 0 && n < VIEW_TEXT);
    return (size_t)n;
}

bool view_add(struct span text, struct cache_view *sum)
{
    int64_t value[3];
    for (size_t i = 0; i < COUNT_OF(value); i++) {
        struct span word = i + 1 < COUNT_OF(value) ? span_cut(&text, ' ') : text;
        if (!span_to_int(word, &value[i]) || value[i] < 0 || value[i] > VIEW_MOST)
            return false;
    }
    sum->done += value[0];
    sum->failed += value[1];
    sum->partial_milli += value[2];
    return true;
}

static struct span view_key(const struct cache *c, struct uuid task, char key[CACHE_KEY])
{
    char rest[5 + UUID_TEXT] = "view:";
    uuid_format(task, rest + 5);
    cache_key(c, rest, key);
    return span_of(key);
}

static struct span field_name(int64_t seq, char text[24])
{
    int n = snprintf(text, 24, "%lld", (long long)seq);
    return (struct span){text, (size_t)n};
}

/* The commands that put or drop one view; returns their number. */
typedef size_t (*add_view)(const struct cache *c, redisContext *r, const struct cache_view *v,
                           bool last_of_task);

static size_t add_put(const struct cache *c, redisContext *r, const struct cache_view *v, bool last_of_task)
{
    char key[CACHE_KEY], seq[24], text[VIEW_TEXT];
    struct span name = view_key(c, v->task, key);
    struct span value = {text, view_format(v, text)};
    conn_add(r, (struct span[]){SPAN("HSET"), name, field_name(v->seq, seq), value}, 4);
    if (!last_of_task)
        return 1;
    conn_add(r, (struct span[]){SPAN("PEXPIRE"), name, SPAN(VIEW_LIFE_MS)}, 3);
    return 2;
}

static size_t add_drop(const struct cache *c, redisContext *r, const struct cache_view *v, bool last_of_task)
{
    (void)last_of_task;
    char key[CACHE_KEY], seq[24];
    struct span name = view_key(c, v->task, key);
    if (v->seq == CACHE_ALL_UNITS)
        conn_add(r, (struct span[]){SPAN("DEL"), name}, 2);
    else
        conn_add(r, (struct span[]){SPAN("HDEL"), name, field_name(v->seq, seq)}, 3);
    return 1;
}

static bool change_views(struct cache *c, const struct cache_view *views, size_t n, add_view add,
                         struct err *e)
{
    struct turn t;
    if (n == 0)
        return true;
    if (!cache_begin(c, &t, e))
        return false;
    bool ok = true;
    for (size_t from = 0; ok && from < n; from += PIPELINE) {
        size_t to = n - from > PIPELINE ? from + PIPELINE : n, replies = 0;
        for (size_t i = from; i < to; i++)
            replies += add(c, t.redis, &views[i], i + 1 == to || !uuid_eq(views[i].task, views[i + 1].task));
        ok = conn_exchange(t.redis, replies, t.deadline, NULL, NULL, e);
    }
    return cache_end(c, &t, ok, e);
}

bool cache_put_views(struct cache *c, const struct cache_view *views, size_t n, struct err *e)
{
    return change_views(c, views, n, add_put, e);
}

bool cache_drop_views(struct cache *c, const struct cache_view *views, size_t n, struct err *e)
{
    return change_views(c, views, n, add_drop, e);
}

static void sum_units(void *arg, size_t index, const redisReply *reply)
{
    (void)index;
    struct cache_view *sum = arg;
    if (reply->type != REDIS_REPLY_ARRAY)
        return;
    for (size_t i = 0; i < reply->elements; i++) {
        const redisReply *field = reply->element[i];
        if (field->type == REDIS_REPLY_STRING && view_add((struct span){field->str, field->len}, sum))
            sum->seq++;
    }
}

bool cache_get_view(struct cache *c, struct uuid task, struct cache_view *ret, struct err *e)
{
    struct turn t;
    if (!cache_begin(c, &t, e))
        return false;
    char key[CACHE_KEY];
    struct cache_view sum = {.task = task};
    conn_add(t.redis, (struct span[]){SPAN("HVALS"), view_key(c, task, key)}, 2);
    bool ok = cache_end(c, &t, conn_exchange(t.redis, 1, t.deadline, sum_units, &sum, e), e);
    if (ok)
        *ret = sum;
    return ok;
}
