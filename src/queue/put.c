/*
 * From a submission to task rows: what becomes a unit, where inputs are kept, what a parent and its children look like.
 */
#include <assert.h>
#include <stdio.h>

#include "core/limits.h"
#include "core/metrics.h"
#include "queue/inside.h"

/* What is put in one commit; in the caller's arena. */
struct put {
    struct queue *queue;
    struct arena *arena;
    struct uuid id; /* that the first task is to have, and those after it by their place; nil: new ones */
    struct new_tasks tasks;
    struct new_task *list; /* `tasks.count` of them so far */
    size_t room;
    size_t needs; /* that they have together */
    struct put_result *results;
    size_t results_n;
    const char **labels; /* of the metric, a submission each */
    void (*done)(void *arg, struct uuid id, bool existing, const struct err *e);
    void (*many)(void *arg, const struct put_result *results, size_t n, const struct err *e);
    void *arg;
    bool seen; /* and workers were told */
};

/* One submission of them on its way to rows. */
struct part {
    struct put *put;
    struct arena *arena;
    const struct submission *submission;
    struct span tags, meta, terms;
    size_t needs;
};

/* ---- inputs ---- */

/* The lines cut into one chunk a unit; they share the bytes. */
static const struct span *cut_lines(struct part *p, int64_t units, int64_t unit_size)
{
    struct span rest = p->submission->lines;
    if (rest.len == 0)
        return NULL;
    struct span *chunks = arena_array(p->arena, (size_t)units, sizeof *chunks);
    for (int64_t k = 0; k < units; k++)
        chunks[k] = span_lines(&rest, unit_size);
    return chunks;
}

/* ---- rows ---- */

/* Items of a unit: all of them, or batch_size where a task is cut into units, but never more than LIMIT_UNITS units. */
static int64_t unit_size_of(const struct strategy *strategy, const struct submission *s)
{
    if (strategy == NULL || strategy->kind != STRATEGY_QUEUED)
        return s->items;
    if (s->uploaded > 0)
        return s->unit_size;
    int64_t least = (s->items + LIMIT_UNITS - 1) / LIMIT_UNITS;
    int64_t size = s->batch_size > least ? s->batch_size : least;
    return size < s->items ? size : s->items;
}

/* `strategy` NULL: the parent of a comparison. */
static struct new_task new_task(struct part *p, const struct strategy *strategy)
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
        .needs = p->needs,
        .fail_fast = s->on_item_error == 1,
        .units = units,
    };
}

static struct new_task *add_task(struct part *p, const struct strategy *strategy)
{
    struct put *all = p->put;
    size_t place = all->tasks.count++;
    struct new_task *t = &all->list[place];
    assert(place < all->room);
    *t = new_task(p, strategy);
    all->needs += p->needs;
    if (!uuid_is_nil(all->id)) {
        t->id = all->id;
        t->id.b[14] ^= (uint8_t)(place >> 8);
        t->id.b[15] ^= (uint8_t)place;
    }
    return t;
}

static struct new_task *make_one(struct part *p, struct uuid id)
{
    struct new_task *t = add_task(p, p->submission->strategy);
    if (!uuid_is_nil(id))
        t->id = id;
    t->inputs_of = t->id;
    t->inputs = cut_lines(p, t->units, t->unit_size);
    t->uploaded = p->submission->uploaded;
    t->uploaded_unit = p->submission->uploaded_unit;
    return t;
}

static size_t compared(const struct submission *s)
{
    size_t n = 0;
    while (s->compared[n] != NULL)
        n++;
    return n;
}

/* The inputs are stored once, with the parent, for all children that run them as one unit; a child that is cut into units
 * has its own, cut likewise. The first child can be claimed at once, each other one when the one before it has ended. */
static struct new_task *make_family(struct part *p)
{
    size_t n = compared(p->submission);
    struct new_task *parent = add_task(p, NULL);
    parent->container = true;
    parent->inputs_of = parent->id;
    parent->inputs = cut_lines(p, parent->units, parent->unit_size);
    parent->items_total *= (int64_t)n;
    for (size_t i = 0; i < n; i++) {
        struct new_task *t = add_task(p, p->submission->compared[i]);
        t->parent = parent->id;
        t->order = (int)i;
        t->waits = i > 0;
        t->inputs_of = t->units == 1 ? parent->id : t->id;
        t->inputs = t->units == 1 ? NULL : cut_lines(p, t->units, t->unit_size);
    }
    return parent;
}

static struct span json_text(struct arena *a, const struct json *v)
{
    if (v == NULL)
        return SPAN("");
    struct buf text CLEANUP(buf_release) = BUF_INIT(LIMIT_BODY); /* submission_read has looked at the size */
    json_emit(&text, v);
    return arena_copy(a, buf_view(&text));
}

/* Rows that a submission and its callbacks become. */
static size_t count_rows(const struct submission *s)
{
    size_t n = s->strategy != NULL ? 1 : 1 + compared(s);
    for (size_t i = 0; i < s->callbacks_n; i++)
        n += count_rows(&s->callbacks[i]);
    return n;
}

static struct new_task *make_rows(struct put *all, const struct submission *s, struct uuid follows);

static void make_callbacks(struct put *all, const struct submission *s, struct uuid follows)
{
    for (size_t i = 0; i < s->callbacks_n; i++)
        make_rows(all, &s->callbacks[i], follows);
}

/* `follows`: the task whose callback it is; nil: of none. */
static struct new_task *make_rows(struct put *all, const struct submission *s, struct uuid follows)
{
    struct part *p = arena_alloc(all->arena, sizeof *p);
    struct terms terms = s->terms;
    struct need need = {.id = follows};
    *p = (struct part){.put = all, .arena = all->arena, .submission = s};
    if (!uuid_is_nil(follows)) {
        terms.follow.needs = &need;
        terms.follow.needs_n = 1;
        terms.follow.callback_of = follows;
    }
    p->tags = json_text(all->arena, s->tags);
    p->meta = json_text(all->arena, s->meta);
    p->terms = terms_write(all->arena, &terms);
    p->needs = terms.follow.needs_n;
    struct new_task *t = s->strategy != NULL ? make_one(p, s->id) : make_family(p);
    t->waits = terms.follow.needs_n > 0;
    make_callbacks(all, s, t->id);
    return t;
}

static const char *label_of(const struct submission *s)
{
    return s->strategy == NULL ? QUEUE_COMPARE : s->has_shape ? "shape" : s->strategy->name;
}

/* ---- after the commit; on the writer's thread ---- */

static const struct err *refusal(const struct put *p, const struct put_verdict *v)
{
    struct err *e = arena_alloc(p->arena, sizeof *e);
    char pointer[sizeof e->pointer];
    if (v->held) {
        err_at(e, ERR_BUSY, "/unique/key",
               "who has this key has not committed, or was not accepted: try again");
        return e;
    }
    if (v->crowd != PUT_ROOM) {
        err_at(e, ERR_BUSY, "/limit/key",
               v->crowd == PUT_GREEDY
                   ? "of the keys that nobody uses yet one request may bring %u: send this one by itself"
                   : "%u keys of limits are in use, and there may be no more: try again later",
               v->crowd == PUT_GREEDY ? LIMIT_FRESH_GATES : LIMIT_GATES);
        return e;
    }
    snprintf(pointer, sizeof pointer, "/depends_on/%d", v->bad_need - 1);
    err_at(e, ERR_BAD_FIELD, pointer, "there is no such task, or it was not accepted");
    return e;
}

static void judge(const struct put *p, struct put_result *r)
{
    const struct put_verdict *v = &p->tasks.verdicts[r->row];
    if (v->held || v->crowd != PUT_ROOM || v->bad_need > 0)
        r->refused = refusal(p, v);
    r->existing = !uuid_is_nil(v->existing);
    if (!r->existing)
        return;
    r->id = v->existing;
    r->state = v->state;
}

/* Of every queue once. What the caller gets may go with the call of its function, so they are kept elsewhere. */
struct told {
    char names[8][LIMIT_NAME + 1];
    size_t count;     /* more than there is room for: all */
    int64_t later_us; /* the first time that a task waits for; 0: none */
};

static void tell_of(struct told *t, struct span queue)
{
    for (size_t i = 0; i < t->count && i < COUNT_OF(t->names); i++)
        if (span_is(queue, t->names[i]))
            return;
    if (t->count < COUNT_OF(t->names))
        snprintf(t->names[t->count], sizeof t->names[0], SPAN_FMT, SPAN_ARG(queue));
    t->count++;
}

static void tell_of_time(struct told *t, int64_t us)
{
    if (t->later_us == 0 || us < t->later_us)
        t->later_us = us;
}

static void tell(struct queue *q, const struct told *t)
{
    if (t->later_us > 0)
        notify_later(q->notify, t->later_us);
    if (t->count > COUNT_OF(t->names))
        notify_work(q->notify, SPAN("*"));
    for (size_t i = 0; i < t->count && t->count <= COUNT_OF(t->names); i++)
        notify_work(q->notify, span_of(t->names[i]));
}

/* Workers can have it, while the disk still writes it. */
static void on_seen(void *arg)
{
    struct put *p = arg;
    for (size_t i = 0; i < p->tasks.count; i++)
        notify_work(p->queue->notify, p->list[i].queue);
    p->seen = true;
}

static void on_written(void *arg, const struct err *e)
{
    struct put *p = arg;
    struct queue *q = p->queue;
    struct told told = {.count = 0};
    for (size_t i = 0; e == NULL && i < p->results_n; i++) {
        judge(p, &p->results[i]);
        if (p->results[i].refused == NULL && !p->results[i].existing)
            metric_add(M_submitted, p->labels[i], 1);
    }
    bool tell_all = e == NULL && (!p->seen || p->tasks.resent);
    for (size_t i = 0; tell_all && i < p->tasks.count; i++)
        if (p->list[i].run_at_us > 0)
            tell_of_time(&told, p->list[i].run_at_us);
        else
            tell_of(&told, p->list[i].queue);
    if (p->many != NULL)
        p->many(p->arg, p->results, p->results_n, e);
    else
        p->done(p->arg, p->results->id, p->results->existing, e != NULL ? e : p->results->refused);
    tell(q, &told);
}

/* The rows of results_n submissions. */
static bool fill(struct put *p, const struct submission *const *list, struct err *e)
{
    for (size_t i = 0; i < p->results_n; i++)
        p->room += count_rows(list[i]);
    if (p->room > LIMIT_BATCH + 1)
        return err_set(e, ERR_TOO_LARGE, "with their callbacks these are %zu tasks; %u are the most", p->room,
                       LIMIT_BATCH);
    p->list = arena_array(p->arena, p->room, sizeof *p->list);
    p->results = arena_array(p->arena, p->results_n, sizeof *p->results);
    p->labels = arena_array(p->arena, p->results_n, sizeof *p->labels);
    for (size_t i = 0; i < p->results_n; i++) {
        const struct new_task *t = make_rows(p, list[i], (struct uuid){{0}});
        p->labels[i] = label_of(list[i]);
        p->results[i] = (struct put_result){
            .id = t->id,
            .state = t->waits || t->run_at_us > 0 ? TASK_scheduled : TASK_queued,
            .row = (size_t)(t - p->list),
        };
    }
    if (p->needs > LIMIT_BATCH_NEEDS)
        return err_set(e, ERR_TOO_LARGE, "together these tasks depend on %zu; %u are the most: send several",
                       p->needs, LIMIT_BATCH_NEEDS);
    p->tasks.list = p->list;
    p->tasks.verdicts = arena_array(p->arena, p->room, sizeof *p->tasks.verdicts);
    p->tasks.done = on_written;
    p->tasks.seen = on_seen;
    p->tasks.arg = p;
    return true;
}

static bool put(struct put *p, const struct submission *const *list, struct err *e)
{
    struct queue *q = p->queue;
    if (!fill(p, list, e))
        return false;
    return store_put(p->room + p->needs > LIMIT_WRITE_BATCH ? q->bulk : q->writer, &p->tasks, e);
}

bool put_rows(struct arena *a, const struct submission *s, struct uuid id, struct new_tasks **ret,
              const char **ret_label, struct err *e)
{
    struct put *p = arena_alloc(a, sizeof *p);
    *p = (struct put){.arena = a, .id = id, .results_n = 1};
    assert(s->strategy != NULL);
    if (!fill(p, &s, e))
        return false;
    *ret = &p->tasks;
    *ret_label = p->labels[0];
    return true;
}

bool queue_put(struct queue *q, struct arena *a, const struct submission *s,
               void (*done)(void *arg, struct uuid id, bool existing, const struct err *e), void *arg,
               struct err *e)
{
    struct put *p = arena_alloc(a, sizeof *p);
    *p = (struct put){.queue = q, .arena = a, .done = done, .arg = arg, .results_n = 1};
    return put(p, &s, e);
}

bool queue_put_many(struct queue *q, struct arena *a, const struct submission *const *list, size_t n,
                    void (*done)(void *arg, const struct put_result *results, size_t n, const struct err *e),
                    void *arg, struct err *e)
{
    struct put *p = arena_alloc(a, sizeof *p);
    assert(n > 0);
    *p = (struct put){.queue = q, .arena = a, .many = done, .arg = arg, .results_n = n};
    return put(p, list, e);
}

bool put_upload(struct queue *q, struct arena *a, const struct submission *s, struct store_upload *u,
                struct put **ret, struct err *e)
{
    struct put *p = arena_alloc(a, sizeof *p);
    *p = (struct put){.queue = q, .arena = a, .results_n = 1};
    *ret = p;
    return fill(p, &s, e) && store_upload_end(u, &p->tasks, e);
}

void put_uploaded(struct put *p, void (*done)(void *arg, struct uuid id, bool existing, const struct err *e),
                  void *arg)
{
    p->done = done;
    p->arg = arg;
    on_written(p, NULL);
}
