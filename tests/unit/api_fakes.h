/*
 * api_fakes.h: a queue, a store and a front for tests of the api, that the test drives by hand. Included by one file: it
 * defines the functions that src/queue/ and src/store/ would.
 */
#ifndef LATHE_TEST_API_FAKES_H
#define LATHE_TEST_API_FAKES_H

#include "../lib/test.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#include "api/api.h"
#include "api/router.h"
#include "core/clock.h"
#include "core/json.h"
#include "core/limits.h"
#include "handlers/registry.h"

/* ---- the fakes ---- */

static struct {
    /* what the test tells them to do */
    bool refuse_put, refuse_wait, fail_put, store_down, no_children;
    struct task task; /* what queue_get finds */
    struct task children[2];
    const char *pieces[8]; /* what store_results_more gives, a piece a call; NULL at the end */
    int64_t next_after;
    /* what they saw */
    void (*put_done)(void *arg, struct uuid id, bool existing, const struct err *e);
    void (*many_done)(void *arg, const struct put_result *results, size_t n, const struct err *e);
    const struct submission *const *many;
    size_t many_n;
    void *put_arg;
    struct queue_wait *wait;
    bool unwaited;
    int piece;
    pthread_t children_asked_on;
    _Atomic int asked_for_children;
    struct submission *streamed;
    char text[64];
    size_t streamed_n;
    int dropped;
} fake;

static struct uuid id_of_put;

bool queue_put(struct queue *q, struct arena *a, const struct submission *s,
               void (*done)(void *arg, struct uuid id, bool existing, const struct err *e), void *arg,
               struct err *e)
{
    (void)q, (void)a, (void)s;
    if (fake.refuse_put)
        return err_set(e, ERR_BUSY, "full");
    fake.put_done = done;
    fake.put_arg = arg;
    return true;
}

bool queue_put_many(struct queue *q, struct arena *a, const struct submission *const *list, size_t n,
                    void (*done)(void *arg, const struct put_result *results, size_t n, const struct err *e),
                    void *arg, struct err *e)
{
    (void)q, (void)a;
    if (fake.refuse_put)
        return err_set(e, ERR_BUSY, "full");
    fake.many_done = done;
    fake.many = list;
    fake.many_n = n;
    fake.put_arg = arg;
    return true;
}

/* Items in pieces: what came is kept as it is. */
bool queue_stream_new(struct queue *q, struct arena *a, struct submission *s, struct queue_stream **ret,
                      struct err *e)
{
    (void)q, (void)a;
    if (fake.refuse_put)
        return err_set(e, ERR_BUSY, "full");
    fake.streamed = s;
    fake.streamed_n = 0;
    *ret = (struct queue_stream *)&fake;
    return true;
}

bool queue_stream_feed(struct queue_stream *st, struct span piece, struct err *e)
{
    (void)st;
    if (memchr(piece.ptr, '!', piece.len))
        return err_set(e, ERR_BAD_JSON, "line 7, column 1: no");
    assert_true(fake.streamed_n + piece.len <= sizeof fake.text);
    memcpy(fake.text + fake.streamed_n, piece.ptr, piece.len);
    fake.streamed_n += piece.len;
    return true;
}

bool queue_stream_end(struct queue_stream *st,
                      void (*done)(void *arg, struct uuid id, bool existing, const struct err *e), void *arg,
                      struct err *e)
{
    (void)st;
    if (fake.fail_put)
        return err_set(e, ERR_STORE, "gone");
    fake.streamed->items = fake.streamed->uploaded = fake.streamed->unit_size = 5;
    done(arg, id_of_put, false, NULL);
    return true;
}

void queue_stream_drop(struct queue_stream *st)
{
    (void)st;
    fake.dropped++;
}

bool queue_wait(struct queue *q, struct queue_wait *w, struct err *e)
{
    (void)q;
    if (fake.refuse_wait)
        return err_set(e, ERR_BUSY, "too many wait");
    fake.wait = w;
    return true;
}

bool queue_unwait(struct queue *q, struct queue_wait *w)
{
    (void)q;
    bool ours = fake.wait == w;
    if (ours)
        fake.wait = NULL;
    fake.unwaited = ours;
    return ours;
}

bool queue_get(struct queue *q, struct arena *a, struct uuid id, struct task *ret, struct err *e)
{
    (void)q, (void)a;
    if (fake.store_down)
        return err_set(e, ERR_STORE, "down");
    if (!uuid_eq(id, fake.task.id))
        return err_set(e, ERR_NO_TASK, "none");
    *ret = fake.task;
    return true;
}

bool queue_cancel(struct queue *q, struct arena *a, struct uuid id, struct task *ret, struct err *e)
{
    return queue_get(q, a, id, ret, e);
}

bool queue_retry(struct queue *q, struct uuid id, bool failed_only, struct err *e)
{
    struct task t;
    struct arena a = ARENA_INIT;
    (void)failed_only;
    return queue_get(q, &a, id, &t, e);
}

bool queue_retry_all(struct queue *q, struct arena *a, const struct task_filter *f, bool failed_only,
                     struct retried *ret, struct err *e)
{
    (void)q, (void)a, (void)f, (void)failed_only;
    *ret = (struct retried){.count = 0};
    return !fake.store_down || err_set(e, ERR_STORE, "down");
}

bool queue_pause(struct queue *q, struct span name, bool paused, struct span reason, struct err *e)
{
    (void)q, (void)name, (void)paused, (void)reason;
    return err_set(e, ERR_STORE, "down");
}

void queue_look(struct queue *q, struct span name)
{
    (void)q, (void)name;
}

bool store_queues(struct store *s, struct arena *a, struct queue_info **ret, size_t *ret_n, struct err *e)
{
    (void)s, (void)a, (void)ret, (void)ret_n;
    return err_set(e, ERR_STORE, "down");
}

bool store_queue(struct store *s, struct arena *a, struct span name, struct queue_info *ret, struct err *e)
{
    (void)s, (void)a, (void)name, (void)ret;
    return err_set(e, ERR_STORE, "down");
}

bool store_limit_queue(struct store *s, struct span name, const struct limit *l, struct err *e)
{
    (void)s, (void)name, (void)l;
    return err_set(e, ERR_STORE, "down");
}

struct store *queue_store(struct queue *q)
{
    return (struct store *)q;
}

struct cache *queue_cache(struct queue *q)
{
    (void)q;
    return NULL;
}

bool cache_ready(struct cache *c, struct err *e)
{
    (void)c;
    return err_set(e, ERR_CACHE, "none");
}

bool store_ready(struct store *s, struct err *e)
{
    (void)s;
    return !fake.store_down || err_set(e, ERR_STORE, "down");
}

bool store_get(struct store *s, struct arena *a, struct uuid id, struct task *ret, struct err *e)
{
    return queue_get((struct queue *)s, a, id, ret, e);
}

bool store_children(struct store *s, struct arena *a, struct uuid parent, struct task **ret, size_t *ret_n,
                    struct err *e)
{
    (void)s, (void)a, (void)parent;
    if (fake.store_down || fake.no_children)
        return err_set(e, ERR_STORE, "down");
    fake.children_asked_on = pthread_self();
    atomic_fetch_add(&fake.asked_for_children, 1);
    *ret = fake.children;
    *ret_n = 2;
    return true;
}

bool store_list(struct store *s, struct arena *a, const struct task_filter *f, struct task **ret,
                size_t *ret_n, struct uuid *ret_next, struct err *e)
{
    (void)s, (void)e;
    size_t n = (size_t)f->limit;
    *ret_next = (struct uuid){{0}};
    *ret = arena_array(a, n, sizeof **ret);
    for (size_t i = 0; i < n; i++)
        (*ret)[i] = (struct task){.id = uuid_v7(), .meta = fake.task.meta};
    *ret_n = n;
    return true;
}

bool store_results_more(struct store *s, struct store_results *r, struct buf *out, bool *ret_end,
                        struct err *e)
{
    (void)s;
    if (fake.store_down)
        return err_set(e, ERR_STORE, "down");
    if (fake.pieces[fake.piece])
        buf_puts(out, fake.pieces[fake.piece++]);
    *ret_end = fake.pieces[fake.piece] == NULL;
    r->next = fake.next_after;
    return true;
}

bool store_workers(struct store *s, struct arena *a, struct worker_info **ret, size_t *ret_n, struct err *e)
{
    (void)s, (void)a, (void)e;
    *ret = NULL;
    *ret_n = 0;
    return true;
}

bool store_profile(struct store *s, struct span handler, uint64_t digest, int64_t deadline,
                   struct profile *ret, struct correction *corrections, int room, struct err *e)
{
    (void)s, (void)handler, (void)digest, (void)deadline, (void)corrections, (void)room;
    *ret = (struct profile){0};
    return !fake.store_down || err_set(e, ERR_STORE, "down");
}

bool store_host(struct store *s, struct host *ret, struct err *e)
{
    (void)s, (void)e;
    *ret = (struct host){0};
    return true;
}

bool store_stats(struct store *s, struct store_stats *ret, struct err *e)
{
    (void)s;
    *ret = (struct store_stats){.queued = 3};
    return !fake.store_down || err_set(e, ERR_STORE, "down");
}

/* ---- a front that keeps what was sent ---- */

struct sent {
    struct call call;
    pthread_mutex_t lock;
    pthread_cond_t news;
    int times;
    pthread_t by;
};

static void on_send(struct call *c)
{
    struct sent *s = c->front;
    pthread_mutex_lock(&s->lock);
    s->times++;
    s->by = pthread_self();
    pthread_cond_signal(&s->news);
    pthread_mutex_unlock(&s->lock);
}

static struct sent *call_new(enum method m, const char *path, const char *query, const char *body)
{
    struct sent *s = calloc(1, sizeof *s);
    pthread_mutex_init(&s->lock, NULL);
    pthread_cond_init(&s->news, NULL);
    s->call.req = (struct request){.method = m,
                                   .path = span_of(path),
                                   .query = span_of(query),
                                   .body = span_of(body),
                                   .content_type = SPAN("application/json"),
                                   .request_id = SPAN("r1")};
    buf_init(&s->call.res.body, LIMIT_RESPONSE);
    buf_init(&s->call.res.headers, 16 * KIB);
    s->call.started = clock_now();
    s->call.send = on_send;
    s->call.front = s;
    return s;
}

static void await_answer(struct sent *s)
{
    pthread_mutex_lock(&s->lock);
    while (s->times == 0)
        pthread_cond_wait(&s->news, &s->lock);
    pthread_mutex_unlock(&s->lock);
    assert_int_equal(s->times, 1);
}

static void call_free(struct sent *s)
{
    assert_int_equal(s->times, 1);
    buf_release(&s->call.res.body);
    buf_release(&s->call.res.headers);
    arena_release(&s->call.arena);
    free(s);
}

static bool has_header(struct sent *s, const char *line)
{
    char *text = arena_text(&s->call.arena, buf_view(&s->call.res.headers));
    return strstr(text, line) != NULL;
}

static const struct json *document(struct sent *s)
{
    const struct json *doc;
    struct err e = ERR_INIT;
    if (!json_read(&s->call.arena, buf_view(&s->call.res.body), &doc, &e))
        fail_msg("no JSON: %s in " SPAN_FMT, e.text, SPAN_ARG(buf_view(&s->call.res.body)));
    return doc;
}

static const char *text_of(struct sent *s, const char *key)
{
    return arena_text(&s->call.arena, json_as_text(json_member(document(s), key)));
}

#endif
