/*
 * From a submission to task rows: what becomes a unit, where inputs are kept, what a parent and its children look like.
 */
#include <assert.h>

#include "core/limits.h"
#include "core/metrics.h"
#include "queue/inside.h"

/* json_emit may write a little more than was read ("1e5", say); what is read is bounded by LIMIT_BODY. */
#define INPUTS_MOST (4 * LIMIT_BODY)

/* Everything of one submission on its way to the writer; in the caller's arena. */
struct put {
    struct queue *queue;
    struct arena *arena;
    const struct submission *submission;
    struct uuid id; /* that the task is to have; nil: a new one */
    struct new_tasks tasks;
    struct new_task *list;
    struct buf lines; /* inputs as NDJSON, "" when items are only counted */
    size_t *ends;     /* of each item's line */
    struct span tags, meta, terms;
    const char *label; /* of the metric */
    void (*done)(void *arg, struct uuid id, const struct err *e);
    void *arg;
};

/* ---- inputs ---- */

static void release_lines(void *lines)
{
    buf_release(lines);
}

static bool write_lines(struct put *p, struct err *e)
{
    const struct json *items = p->submission->items_json;
    if (items == NULL)
        return true;
    size_t n = json_len(items);
    buf_init(&p->lines, INPUTS_MOST);
    arena_defer(p->arena, release_lines, &p->lines);
    p->ends = arena_array(p->arena, n, sizeof *p->ends);
    for (size_t i = 0; i < n; i++) {
        json_emit(&p->lines, json_at(items, i));
        buf_char(&p->lines, '\n');
        p->ends[i] = p->lines.len;
    }
    return !p->lines.failed ||
           err_at(e, ERR_TOO_LARGE, "/items", "the items together have more than %u bytes", INPUTS_MOST);
}

/* The lines cut into one chunk a unit; they share the bytes. */
static const struct span *cut_lines(struct put *p, int64_t units, int64_t unit_size)
{
    if (p->ends == NULL)
        return NULL;
    struct span *chunks = arena_array(p->arena, (size_t)units, sizeof *chunks);
    int64_t items = p->submission->items;
    for (int64_t k = 0; k < units; k++) {
        int64_t first = k * unit_size, end = first + unit_size < items ? first + unit_size : items;
        size_t from = first > 0 ? p->ends[first - 1] : 0;
        chunks[k] = (struct span){p->lines.ptr + from, p->ends[end - 1] - from};
    }
    return chunks;
}

/* ---- rows ---- */

/* Items of a unit: all of them, or batch_size where a task is cut into units, but never more than LIMIT_UNITS units. */
static int64_t unit_size_of(const struct strategy *strategy, const struct submission *s)
{
    if (strategy == NULL || strategy->kind != STRATEGY_QUEUED)
        return s->items;
    int64_t least = (s->items + LIMIT_UNITS - 1) / LIMIT_UNITS;
    int64_t size = s->batch_size > least ? s->batch_size : least;
    return size < s->items ? size : s->items;
}

/* `strategy` NULL: the parent of a comparison. */
static struct new_task new_task(struct put *p, const struct strategy *strategy)
{
    const struct submission *s = p->submission;
    bool queued = strategy != NULL && strategy->kind == STRATEGY_QUEUED;
    int64_t unit_size = unit_size_of(strategy, s);
    int64_t units = (s->items + unit_size - 1) / unit_size;
    return (struct new_task){
        .id = uuid_v7(),
        .handler = span_of(s->handler->name),
        .strategy = span_of(strategy != NULL ? strategy->name : QUEUE_COMPARE),
        .inner = span_of(queued && s->inner != NULL ? s->inner->name : ""),
        .queue = span_of(s->queue),
        .params = s->params,
        .tags = p->tags,
        .meta = p->meta,
        .digest = s->digest,
        .has_shape = s->has_shape,
        .shape = s->shape,
        .priority = (int)s->priority,
        .items_total = s->items,
        .batch_size = queued && unit_size > s->batch_size ? unit_size : s->batch_size,
        .workers = s->workers,
        .unit_size = unit_size,
        .item_timeout_ms = s->item_timeout_ms,
        .timeout_ms = s->timeout_ms,
        .run_at_us = s->terms.run_at_us,
        .terms = p->terms,
        .fail_fast = s->on_item_error == 1,
        .units = units,
    };
}

static void make_one(struct put *p)
{
    struct new_task *t = p->list = arena_alloc(p->arena, sizeof *t);
    *t = new_task(p, p->submission->strategy);
    if (!uuid_is_nil(p->id))
        t->id = p->id;
    t->inputs_of = t->id;
    t->inputs = cut_lines(p, t->units, t->unit_size);
    p->tasks.count = 1;
}

/* The inputs are stored once, with the parent, for all children that run them as one unit; a child that is cut into units
 * has its own, cut likewise. The first child can be claimed at once, each other one when the one before it has ended. */
static void make_family(struct put *p)
{
    const struct strategy *const *compared = p->submission->compared;
    size_t n = 0;
    while (compared[n] != NULL)
        n++;
    p->list = arena_array(p->arena, n + 1, sizeof *p->list);
    struct new_task *parent = &p->list[0];
    *parent = new_task(p, NULL);
    parent->container = true;
    parent->inputs_of = parent->id;
    parent->inputs = cut_lines(p, parent->units, parent->unit_size);
    parent->items_total *= (int64_t)n;
    for (size_t i = 0; i < n; i++) {
        struct new_task *t = &p->list[1 + i];
        *t = new_task(p, compared[i]);
        t->parent = parent->id;
        t->order = (int)i;
        t->waits = i > 0;
        t->inputs_of = t->units == 1 ? parent->id : t->id;
        t->inputs = t->units == 1 ? NULL : cut_lines(p, t->units, t->unit_size);
    }
    p->tasks.count = n + 1;
}

static struct span json_text(struct arena *a, const struct json *v)
{
    if (v == NULL)
        return SPAN("");
    struct buf text CLEANUP(buf_release) = BUF_INIT(LIMIT_BODY); /* submission_read has looked at the size */
    json_emit(&text, v);
    return arena_copy(a, buf_view(&text));
}

/* ---- after the commit; on the writer's thread ---- */

static void on_written(void *arg, const struct err *e)
{
    struct put *p = arg;
    struct queue *q = p->queue;
    char queue[LIMIT_NAME + 1];
    memcpy(queue, p->submission->queue,
           sizeof queue); /* the arena, and all in it, may go with the call of done */
    if (e == NULL)
        metric_add(M_submitted, p->label, 1);
    p->done(p->arg, p->list[0].id, e);
    if (e == NULL)
        notify_work(q->notify, span_of(queue));
}

static const char *label_of(const struct submission *s)
{
    return s->strategy == NULL ? QUEUE_COMPARE : s->has_shape ? "shape" : s->strategy->name;
}

static bool make_rows(struct put *p, struct err *e)
{
    const struct submission *s = p->submission;
    if (!write_lines(p, e))
        return false;
    p->tags = json_text(p->arena, s->tags);
    p->meta = json_text(p->arena, s->meta);
    p->terms = terms_write(p->arena, &s->terms);
    if (s->strategy != NULL)
        make_one(p);
    else
        make_family(p);
    p->label = label_of(s);
    p->tasks.list = p->list;
    return true;
}

bool put_rows(struct arena *a, const struct submission *s, struct uuid id, struct new_tasks **ret,
              const char **ret_label, struct err *e)
{
    struct put *p = arena_alloc(a, sizeof *p);
    *p = (struct put){.arena = a, .submission = s, .id = id};
    assert(s->strategy != NULL);
    if (!make_rows(p, e))
        return false;
    *ret = &p->tasks;
    *ret_label = p->label;
    return true;
}

bool queue_put(struct queue *q, struct arena *a, const struct submission *s,
               void (*done)(void *arg, struct uuid id, const struct err *e), void *arg, struct err *e)
{
    struct put *p = arena_alloc(a, sizeof *p);
    *p = (struct put){.queue = q, .arena = a, .submission = s, .done = done, .arg = arg};
    if (!make_rows(p, e))
        return false;
    p->tasks.done = on_written;
    p->tasks.arg = p;
    return store_put(q->writer, &p->tasks, e);
}
