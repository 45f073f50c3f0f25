/* POST /api/v1/tasks/{strategy} and what it shares with /compare: put, wait, answer. */
#include "api/inside.h"
#include "api/prefer.h"

#define PIECE (64u * KIB) /* of a body, at a time */

struct putting {
    struct parked parked;
    const struct submission *submission;
    int64_t wait_ms;
};

void answer_put(struct parked *p, bool store_ok)
{
    struct call *c = p->call;
    struct json_out o = json_out(&c->res.body);
    bool whole = document_write(p->api, c, &p->task, store_ok, &o, NULL);
    if (whole && state_final(p->task.state))
        c->res.status = 200;
    else
        accepted(c, p->task.id);
    call_send(c);
}

static bool always(const struct task *t)
{
    (void)t;
    return true;
}

/* The work is there already: whoever asks for it gets the task that does it. */
static void answer_existing(struct parked *p, bool store_ok)
{
    struct call *c = p->call;
    struct err e = ERR_INIT;
    char id[UUID_TEXT];
    struct json_out o = json_out(&c->res.body);
    if (!store_ok)
        err_set(&e, ERR_STOPPING, "the service is stopping");
    if (!store_ok || !queue_get(p->api->queue, &c->arena, p->task.id, &p->task, &e) ||
        (!document_write(p->api, c, &p->task, true, &o, &e) && e.code != ERR_NONE)) {
        answer_problem(c, &e);
        return;
    }
    uuid_format(p->task.id, id);
    call_header(c, "Location", "/api/v1/tasks/%s", id);
    call_header(c, "Lathe-Existing", "true");
    c->res.status = 200;
    call_send(c);
}

/* On the writer's thread: the commit is done, or it is known that it will not be. From here on the work is accepted, and
 * whatever happens the caller is told so. */
static void on_put(void *arg, struct uuid id, bool existing, const struct err *e)
{
    struct putting *w = arg;
    if (e) {
        answer_problem(w->parked.call, e);
        return;
    }
    w->parked.task.id = id;
    if (existing) {
        w->parked.answer = answer_existing;
        w->parked.asks_store = always;
    }
    w->parked.task.created_us = uuid_wall_ms(id) * 1000;
    park(&w->parked, w->wait_ms);
}

struct prefer preferred(struct call *c, int64_t most_ms)
{
    char applied[PREFER_TEXT];
    struct prefer prefer = prefer_read(c->req.prefer);
    if (prefer.wait_s > most_ms / 1000)
        prefer.wait_s = most_ms / 1000;
    prefer.has_wait = prefer.has_wait && most_ms > 0;
    prefer_applied(&prefer, applied);
    call_header(c, "Vary", "Prefer");
    if (applied[0])
        call_header(c, "Preference-Applied", "%s", applied);
    return prefer;
}

static struct putting *putting_new(struct api *a, struct call *c, const struct submission *s, int64_t most_ms,
                                   void (*done)(struct parked *p, bool store_ok))
{
    struct prefer prefer = preferred(c, most_ms);
    struct putting *w = arena_alloc(&c->arena, sizeof *w);
    w->submission = s;
    w->wait_ms = prefer_wait_ms(&prefer, most_ms);
    w->parked = (struct parked){.api = a, .call = c, .answer = done};
    return w;
}

void put_and_wait(struct api *a, struct call *c, const struct submission *s, int64_t most_ms,
                  bool (*asks_store)(const struct task *t), void (*done)(struct parked *p, bool store_ok),
                  void *arg)
{
    struct err e = ERR_INIT;
    struct putting *w = putting_new(a, c, s, most_ms, done);
    w->parked.task = document_new(&c->arena, s);
    w->parked.arg = arg;
    if (w->wait_ms > 0) /* else it is the writer's thread that answers, which must not wait for the store */
        w->parked.asks_store = asks_store;
    if (!queue_put(a->queue, &c->arena, s, on_put, w, &e))
        answer_problem(c, &e);
}

/* ---- items that come in pieces */

static bool feed_all(struct call *c, struct queue_stream *st, struct err *e)
{
    const struct pieces *body = &c->req.pieces;
    char *piece = arena_alloc(&c->arena, PIECE);
    for (size_t n;;) {
        if (!body->read(body->arg, piece, PIECE, &n, e))
            return false;
        if (n == 0)
            return true;
        if (!queue_stream_feed(st, (struct span){piece, n}, e))
            return false;
    }
}

/* Now it is known how many items it has. */
static void on_uploaded(void *arg, struct uuid id, bool existing, const struct err *e)
{
    struct putting *w = arg;
    w->parked.task = document_new(&w->parked.call->arena, w->submission);
    on_put(w, id, existing, e);
}

/* On the upload's own thread, which may wait. */
static void put_pieces(struct api *a, struct call *c, struct submission *s, int64_t most_ms)
{
    struct err e = ERR_INIT;
    struct queue_stream *st;
    struct putting *w = putting_new(a, c, s, most_ms, answer_put);
    if (!queue_stream_new(a->queue, &c->arena, s, &st, &e)) {
        answer_problem(c, &e);
    } else if (!feed_all(c, st, &e)) {
        queue_stream_drop(st);
        answer_problem(c, &e);
    } else if (!queue_stream_end(st, on_uploaded, w, &e)) {
        answer_problem(c, &e);
    }
}

static bool strategy_of(struct span name, const struct strategy **ret, struct err *e)
{
    struct uuid id;
    if ((*ret = strategy_find(name)))
        return true;
    if (uuid_parse(name, &id))
        return err_set(e, ERR_METHOD, "POST is not a method of a task; it has GET, HEAD, DELETE, OPTIONS");
    struct buf known CLEANUP(buf_release) = BUF_INIT(512);
    for (int i = 0; strategies[i]; i++)
        buf_printf(&known, "%s%s", i ? ", " : "", strategies[i]->name);
    return err_set(e, ERR_NO_STRATEGY, "there is no strategy of this name; there are " SPAN_FMT,
                   SPAN_ARG(buf_view(&known)));
}

void submit_task(struct api *a, struct call *c, struct span parameter)
{
    const struct strategy *strategy;
    struct submission *s = arena_alloc(&c->arena, sizeof *s);
    struct query q;
    struct err e = ERR_INIT;
    if (!strategy_of(parameter, &strategy, &e) || !query_read(c, &q, &e) ||
        !submission_of(a, c, strategy, &q, s, &e)) {
        if (e.code == ERR_METHOD)
            call_header(c, "Allow", "GET, HEAD, DELETE, OPTIONS");
        answer_problem(c, &e);
        return;
    }
    int64_t most_ms = strategy->kind == STRATEGY_QUEUED ? 0 : conf_now(&a->conf->api_wait);
    if (c->req.pieces.read)
        put_pieces(a, c, s, most_ms);
    else
        put_and_wait(a, c, s, most_ms, NULL, answer_put, NULL);
}
