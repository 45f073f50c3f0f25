/* The task document: model/ writes it; the parent of a comparison has the table in it. */
#include "api/comparison.h"
#include "api/inside.h"

bool document_asks(const struct task *t)
{
    return span_is(t->strategy, QUEUE_COMPARE);
}

static bool put_comparison(struct api *a, struct call *c, struct uuid parent, bool store_ok,
                           struct json_out *o, struct err *e)
{
    struct task *children;
    size_t n;
    json_key(o, "comparison");
    if (!store_ok || !store_children(a->store, &c->arena, parent, &children, &n, e)) {
        json_put_null(o);
        return false;
    }
    struct comparison table = comparison_of(&c->arena, children, n);
    comparison_write(&table, o);
    return true;
}

bool document_write(struct api *a, struct call *c, const struct task *t, bool store_ok, struct json_out *o,
                    struct err *e)
{
    json_open(o, '{');
    task_members(t, o);
    bool whole = !document_asks(t) || put_comparison(a, c, t->id, store_ok, o, e);
    json_close(o, '}');
    return whole;
}

static struct span json_text(struct arena *a, const struct json *v)
{
    struct buf b CLEANUP(buf_release) = BUF_INIT(LIMIT_BODY);
    if (v)
        json_emit(&b, v);
    return arena_copy(a, buf_view(&b));
}

static size_t compared(const struct submission *s)
{
    size_t n = 0;
    while (s->compared[n])
        n++;
    return n;
}

struct task document_new(struct arena *a, const struct submission *s)
{
    bool queued = s->strategy && s->strategy->kind == STRATEGY_QUEUED;
    int64_t least = s->uploaded > 0 ? s->unit_size
                                    : (s->items + LIMIT_UNITS - 1) / LIMIT_UNITS; /* as queue_put cuts it */
    int64_t unit_size = queued && s->batch_size < least ? least : s->batch_size;
    return (struct task){
        .state = !s->strategy                                            ? TASK_running
                 : s->terms.run_at_us > 0 || s->terms.follow.needs_n > 0 ? TASK_scheduled
                                                                         : TASK_queued,
        .handler = span_of(s->handler->name),
        .strategy = span_of(s->strategy ? s->strategy->name : QUEUE_COMPARE),
        .inner = span_of(queued && s->inner ? s->inner->name : ""),
        .queue = span_of(s->queue),
        .params = s->params,
        .tags = json_text(a, s->tags),
        .meta = json_text(a, s->meta),
        .shape = s->has_shape ? s->shape : (struct shape){0},
        .priority = (int)s->priority,
        .run_at_us = s->terms.run_at_us,
        .terms = terms_write(a, &s->terms),
        .attempt = 1,
        .items_total = s->strategy ? s->items : s->items * (int64_t)compared(s),
        .batch_size = unit_size,
        .workers = s->workers,
        .units_total = queued ? (s->items + unit_size - 1) / unit_size : 1,
        .item_timeout_ms = s->item_timeout_ms,
        .timeout_ms = s->timeout_ms,
        .fail_fast = s->on_item_error == 1,
    };
}
