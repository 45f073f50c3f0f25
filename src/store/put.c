/* put.c: the statements of the group commit. Sent again after a lost connection they add nothing: a task that is there
 * already brings no units and no inputs. Units are made from the task's row.
 *
 * Most tasks of a batch are alike but for their id, params and meta: what they share is sent once (put_alike), and costs
 * PostgreSQL half as much as a row of thirty arrays does. The others go by put_stmt. */
#include "core/mem.h"
#include "store/inside.h"

static const struct stmt put_stmt = {
    "put",
    "WITH new AS MATERIALIZED ("
    "INSERT INTO tasks (id, parent, inputs_of, digest, item_timeout_ms, timeout_ms, state, ord, items_total, units_total, "
    "unit_size, batch_size, workers, priority, container, fail_fast, handler, strategy, inner_strategy, queue, "
    "shape_asked, params, tags, meta, unit_kib, run_at, terms, uploaded) "
    "SELECT r.id, r.parent, r.inputs_of, r.digest, r.item_timeout_ms, r.timeout_ms, r.state::task_state, r.ord, "
    "r.items_total, r.units_total, r.unit_size, r.batch_size, r.workers, r.priority, r.container, r.fail_fast, r.handler, "
    "r.strategy, r.inner_strategy, r.queue, "
    "CASE WHEN r.threads > 0 THEN ARRAY[r.processes, r.threads, r.width, r.grain]::integer[] END, "
    "r.params, r.tags, r.meta, r.unit_kib, r.run_at, r.terms::jsonb, r.uploaded "
    "FROM unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::bigint[], $5::bigint[], $6::bigint[], $7::text[], $8::bigint[], "
    "$9::bigint[], $10::bigint[], $11::bigint[], $12::bigint[], $13::bigint[], $14::bigint[], $15::bool[], $16::bool[], "
    "$17::text[], $18::text[], $19::text[], $20::text[], $21::bigint[], $22::bigint[], $23::bigint[], $24::bigint[], "
    "$25::text[], $26::text[], $27::text[], $28::bigint[], $29::timestamptz[], $30::text[], $36::bool[]) "
    "AS r(id, parent, inputs_of, digest, item_timeout_ms, timeout_ms, state, ord, items_total, units_total, unit_size, "
    "batch_size, workers, priority, container, fail_fast, handler, strategy, inner_strategy, queue, processes, threads, "
    "width, grain, params, tags, meta, unit_kib, run_at, terms, uploaded) "
    "ON CONFLICT (id) DO NOTHING RETURNING id, state, queue, priority, items_total, units_total, unit_size, unit_kib, "
    "run_at IS NULL AND terms IS NULL AS plain"
    "), units AS ("
    "INSERT INTO work (task, rank, seq, first, count, kib, attempt, queue) "
    "SELECT n.id, lathe_rank(now(), n.priority), s, s * n.unit_size, least(n.unit_size, n.items_total - s * n.unit_size), "
    "n.unit_kib, 1, n.queue "
    "FROM new n, generate_series(0, n.units_total - 1) s WHERE n.state = 'queued' AND n.plain"
    "), chunks AS ("
    "INSERT INTO inputs (task, seq, first, count, bytes) "
    "SELECT i.task, i.seq, i.first, i.count, i.bytes "
    "FROM unnest($31::uuid[], $32::bigint[], $33::bigint[], $34::bigint[], $35::bytea[]) AS i(task, seq, first, count, bytes) "
    "WHERE (i.task IN (SELECT n.id FROM new n)) IS TRUE"
    ") SELECT count(*) FROM new"};

#define ALIKE_TASKS                                                                                                      \
    "INSERT INTO tasks (id, digest, params, meta, item_timeout_ms, timeout_ms, state, ord, items_total, units_total, "   \
    "unit_size, batch_size, workers, priority, container, fail_fast, handler, strategy, inner_strategy, queue, "         \
    "shape_asked, tags, unit_kib) "                                                                                      \
    "SELECT r.id, r.digest, r.params, coalesce(r.meta, ''), $5::bigint, $6::bigint, 'queued', 0, $7::bigint, "           \
    "$8::bigint, $9::bigint, $10::bigint, $11::bigint, $12::bigint, false, $13::bool, $14::text, $15::text, $16::text, " \
    "$17::text, "                                                                                                        \
    "CASE WHEN $19::bigint > 0 THEN ARRAY[$18::bigint, $19, $20::bigint, $21::bigint]::integer[] END, $22::text, "       \
    "$23::bigint "                                                                                                       \
    "FROM unnest($1::uuid[], $2::bigint[], $3::text[], $4::text[]) AS r(id, digest, params, meta)"

#define ALIKE_UNITS                                                                                  \
    "INSERT INTO work (task, rank, seq, first, count, kib, attempt, queue) "                         \
    "SELECT n.id, lathe_rank(now(), $12::smallint), s, s * $9, least($9, $7 - s * $9), $23, 1, $17 " \
    "FROM "

#define ALIKE_SEQS ", generate_series(0, $8 - 1) s"

/* Sent for the first time: nothing of them can be there already, and not to look saves a fifth. */
static const struct stmt fresh_stmt = {"put_fresh", "WITH new AS (" ALIKE_TASKS ") " ALIKE_UNITS
                                                    "unnest($1::uuid[]) AS n(id)" ALIKE_SEQS};

static const struct stmt alike_stmt = {"put_alike",
                                       "WITH new AS MATERIALIZED (" ALIKE_TASKS
                                       " ON CONFLICT (id) DO NOTHING RETURNING id), units AS (" ALIKE_UNITS
                                       "new n" ALIKE_SEQS ") SELECT count(*) FROM new"};

static const struct new_task *find(const struct new_tasks *list, struct uuid id)
{
    for (size_t i = 0; i < list->count; i++)
        if (uuid_eq(list->list[i].id, id))
            return &list->list[i];
    return NULL;
}

/* Whose inputs it reads, when that is in the list. */
static const struct new_task *owner_of(const struct new_tasks *list, const struct new_task *t)
{
    return uuid_eq(t->inputs_of, t->id) ? t : find(list, t->inputs_of);
}

/* nil when its items are only counted, so that a claim need not look. */
static struct uuid inputs_of(const struct new_tasks *list, const struct new_task *t)
{
    const struct new_task *owner = owner_of(list, t);
    return owner && !owner->inputs && owner->uploaded == 0 ? (struct uuid){{0}} : t->inputs_of;
}

static int64_t units_total(const struct new_tasks *list, const struct new_task *t)
{
    int64_t children = 0;
    if (!t->container)
        return t->units;
    for (size_t i = 0; i < list->count; i++)
        children += uuid_eq(list->list[i].parent, t->id);
    return children;
}

static size_t inputs_bytes(const struct new_task *t)
{
    size_t bytes = 0;
    for (int64_t c = 0; t->inputs && c < t->units; c++)
        bytes += t->inputs[c].len;
    return bytes;
}

/* Of the unit that has most. Who reads the inputs of another is one unit, and has them all. */
static size_t unit_inputs(const struct new_task *owner, const struct new_task *t)
{
    size_t most = (size_t)owner->uploaded_unit;
    if (owner != t)
        return inputs_bytes(owner);
    for (int64_t c = 0; t->inputs && c < t->units; c++)
        most = t->inputs[c].len > most ? t->inputs[c].len : most;
    return most;
}

/* What a claim of one unit brings along at most, so that a claim can be bounded by it: the units of a task may be very unlike
 * each other, and the first ones the largest of all. */
static int64_t unit_kib(const struct new_tasks *list, const struct new_task *t)
{
    const struct new_task *owner = owner_of(list, t);
    return (int64_t)(((owner ? unit_inputs(owner, t) : 0) + t->params.len) / KIB);
}

static struct span state_of(const struct new_task *t)
{
    return t->container ? SPAN("running") : t->waits ? SPAN("scheduled") : SPAN("queued");
}

/* ---- rows and kinds ---- */

static void add_row(struct put_rows *to, struct put_row *row)
{
    row->next = NULL;
    *to->end = row;
    to->end = &row->next;
    to->count++;
}

/* Just put to work, with items that are only counted. */
static bool is_simple(const struct new_task *t)
{
    return uuid_is_nil(t->parent) && !t->container && !t->waits && !t->inputs && t->uploaded == 0 &&
           t->run_at_us == 0 && t->terms.len == 0 && uuid_eq(t->inputs_of, t->id);
}

static bool same_numbers(const struct new_task *a, const struct new_task *b)
{
    return a->items_total == b->items_total && a->units == b->units && a->unit_size == b->unit_size &&
           a->batch_size == b->batch_size && a->workers == b->workers && a->priority == b->priority &&
           a->item_timeout_ms == b->item_timeout_ms && a->timeout_ms == b->timeout_ms &&
           a->fail_fast == b->fail_fast && a->params.len / KIB == b->params.len / KIB;
}

static bool same_shape(const struct new_task *a, const struct new_task *b)
{
    return a->has_shape == b->has_shape &&
           (!a->has_shape ||
            (a->shape.processes == b->shape.processes && a->shape.threads == b->shape.threads &&
             a->shape.width == b->shape.width && a->shape.grain == b->shape.grain));
}

static bool same_texts(const struct new_task *a, const struct new_task *b)
{
    return span_eq(a->handler, b->handler) && span_eq(a->strategy, b->strategy) &&
           span_eq(a->inner, b->inner) && span_eq(a->queue, b->queue) && span_eq(a->tags, b->tags);
}

/* Both are simple. */
static bool are_alike(const struct new_task *a, const struct new_task *b)
{
    return same_numbers(a, b) && same_texts(a, b) && same_shape(a, b);
}

/* Among its kind; among the rest when it is not simple, or when there are too many kinds. */
static struct put_rows *place_of(struct put_batch *b, const struct new_task *t)
{
    if (!is_simple(t))
        return &b->rest;
    for (size_t k = 0; k < PUT_KINDS; k++)
        if (b->kinds[k].count == 0 || are_alike(b->kinds[k].first->task, t))
            return &b->kinds[k];
    return &b->rest;
}

static void clear_rows(struct put_rows *r)
{
    *r = (struct put_rows){.first = NULL};
    r->end = &r->first;
}

/* A statement for a row or two costs more than the row among the rest, unless they are all. */
static void fold_small_kinds(struct put_batch *b, size_t all)
{
    for (size_t k = 0; k < PUT_KINDS; k++) {
        struct put_rows *kind = &b->kinds[k];
        if (kind->count >= PUT_KIND_LEAST || kind->count == all)
            continue;
        for (struct put_row *r = kind->first, *next; r; r = next) {
            next = r->next;
            add_row(&b->rest, r);
        }
        clear_rows(kind);
    }
}

static void sort_rows(struct put_batch *b, struct new_tasks *const *lists, size_t n)
{
    size_t all = 0;
    for (size_t i = 0; i < n; i++)
        all += lists[i]->count;
    if (all > b->room) {
        b->rows = mem_grow(b->rows, all, sizeof *b->rows);
        b->room = all;
    }
    clear_rows(&b->rest);
    for (size_t k = 0; k < PUT_KINDS; k++)
        clear_rows(&b->kinds[k]);
    struct put_row *row = b->rows;
    for (size_t i = 0; i < n; i++) {
        for (const struct new_task *t = lists[i]->list, *end = t + lists[i]->count; t < end; t++, row++) {
            *row = (struct put_row){.list = lists[i], .task = t, .sender = (int64_t)i};
            add_row(place_of(b, t), row);
        }
    }
    fold_small_kinds(b, all);
}

/* ---- parameters ---- */

/* A column of some rows: the array, an element for each task `t`, its end. */
#define EACH(type, element)                                           \
    do {                                                              \
        params_array(p, type);                                        \
        for (const struct put_row *r = rows->first; r; r = r->next) { \
            const struct new_task *t = r->task;                       \
            element;                                                  \
        }                                                             \
        params_end(p);                                                \
    } while (0)

/* The same for the inputs of some rows, chunk `c`. */
#define EACH_CHUNK(type, element) \
    EACH(                         \
        type, for (int64_t c = 0; t->inputs && c < t->units; c++) { element; })

static int64_t chunk_count(const struct new_task *t, int64_t c)
{
    int64_t left = t->items_total - c * t->unit_size;
    return left < t->unit_size && !t->container ? left : t->unit_size;
}

static void put_inputs(struct params *p, const struct put_rows *rows)
{
    EACH_CHUNK(PG_UUID, element_uuid(p, t->id));
    EACH_CHUNK(PG_INT, element_int(p, c));
    EACH_CHUNK(PG_INT, element_int(p, c * t->unit_size));
    EACH_CHUNK(PG_INT, element_int(p, chunk_count(t, c)));
    EACH_CHUNK(PG_BYTES, element_span(p, t->inputs[c]));
}

static void rest_params(struct params *p, const struct put_rows *rows)
{
    params_clear(p);
    EACH(PG_UUID, element_uuid(p, t->id));
    EACH(PG_UUID, element_uuid(p, t->parent));
    EACH(PG_UUID, element_uuid(p, inputs_of(r->list, t)));
    EACH(PG_INT, element_int(p, (int64_t)t->digest));
    EACH(PG_INT, element_int(p, t->item_timeout_ms));
    EACH(PG_INT, element_int(p, t->timeout_ms));
    EACH(PG_TEXT, element_span(p, state_of(t)));
    EACH(PG_INT, element_int(p, t->order));
    EACH(PG_INT, element_int(p, t->items_total));
    EACH(PG_INT, element_int(p, units_total(r->list, t)));
    EACH(PG_INT, element_int(p, t->unit_size));
    EACH(PG_INT, element_int(p, t->batch_size));
    EACH(PG_INT, element_int(p, t->workers));
    EACH(PG_INT, element_int(p, t->priority));
    EACH(PG_BOOL, element_bool(p, t->container));
    EACH(PG_BOOL, element_bool(p, t->fail_fast));
    EACH(PG_TEXT, element_span(p, t->handler));
    EACH(PG_TEXT, element_span(p, t->strategy));
    EACH(PG_TEXT, element_span(p, t->inner));
    EACH(PG_TEXT, element_span(p, t->queue));
    EACH(PG_INT, element_int(p, t->has_shape ? t->shape.processes : 0));
    EACH(PG_INT, element_int(p, t->has_shape ? t->shape.threads : 0));
    EACH(PG_INT, element_int(p, t->has_shape ? t->shape.width : 0));
    EACH(PG_INT, element_int(p, t->has_shape ? t->shape.grain : 0));
    EACH(PG_TEXT, element_span(p, t->params));
    EACH(PG_TEXT, element_span(p, t->tags));
    EACH(PG_TEXT, element_span(p, t->meta));
    EACH(PG_INT, element_int(p, unit_kib(r->list, t)));
    EACH(PG_TIME, element_time(p, t->run_at_us));
    EACH(PG_TEXT, element_text(p, t->terms));
    put_inputs(p, rows);
    EACH(PG_BOOL, element_bool(p, t->uploaded > 0));
}

static bool have_meta(const struct put_rows *rows)
{
    for (const struct put_row *r = rows->first; r; r = r->next)
        if (r->task->meta.len > 0)
            return true;
    return false;
}

static void alike_params(struct params *p, const struct put_rows *rows)
{
    const struct new_task *all = rows->first->task;
    struct shape shape = all->has_shape ? all->shape : (struct shape){0};
    params_clear(p);
    EACH(PG_UUID, element_uuid(p, t->id));
    EACH(PG_INT, element_int(p, (int64_t)t->digest));
    EACH(PG_TEXT, element_span(p, t->params));
    if (have_meta(rows))
        EACH(PG_TEXT, element_text(p, t->meta));
    else
        params_null(p);
    params_int(p, all->item_timeout_ms);
    params_int(p, all->timeout_ms);
    params_int(p, all->items_total);
    params_int(p, all->units);
    params_int(p, all->unit_size);
    params_int(p, all->batch_size);
    params_int(p, all->workers);
    params_int(p, all->priority);
    params_bool(p, all->fail_fast);
    params_text(p, all->handler);
    params_text(p, all->strategy);
    params_text(p, all->inner);
    params_text(p, all->queue);
    params_int(p, shape.processes);
    params_int(p, shape.threads);
    params_int(p, shape.width);
    params_int(p, shape.grain);
    params_text(p, all->tags);
    params_int(p, (int64_t)(all->params.len / KIB));
}

/* Of those tasks that are not just put to work: their ids, and whose list each is in. */
static const struct stmt place_stmt = {
    "place", "SELECT task, existing, state, bad FROM lathe_place($1::uuid[], $2::bigint[])"};

static bool is_placed(const struct new_task *t)
{
    return t->run_at_us != 0 || t->terms.len > 0;
}

bool put_placed(const struct new_tasks *list)
{
    bool placed = false;
    for (size_t i = 0; i < list->count && !placed; i++)
        placed = is_placed(&list->list[i]);
    return placed;
}

static bool place_params(struct params *p, const struct put_rows *rows)
{
    bool any = false;
    for (const struct put_row *r = rows->first; r && !any; r = r->next)
        any = is_placed(r->task);
    if (!any)
        return false;
    params_clear(p);
    EACH(PG_UUID, if (is_placed(t)) element_uuid(p, t->id));
    EACH(PG_INT, if (is_placed(t)) element_int(p, r->sender));
    return true;
}

size_t put_steps(struct put_batch *b, struct new_tasks *const *lists, size_t n, struct step *steps)
{
    size_t count = 0;
    sort_rows(b, lists, n);
    for (size_t k = 0; k < PUT_KINDS; k++) {
        if (b->kinds[k].count == 0)
            continue;
        alike_params(&b->params[k], &b->kinds[k]);
        steps[count++] = (struct step){.stmt = b->fresh ? &fresh_stmt : &alike_stmt, .params = &b->params[k]};
    }
    if (b->rest.count > 0) {
        rest_params(&b->params[PUT_KINDS], &b->rest);
        steps[count++] = (struct step){.stmt = &put_stmt, .params = &b->params[PUT_KINDS]};
    }
    if (place_params(&b->params[PUT_KINDS + 1], &b->rest))
        steps[count++] = (struct step){.stmt = &place_stmt, .params = &b->params[PUT_KINDS + 1]};
    steps[count - 1].sync = true;
    return count;
}

void put_answers(const struct step *steps, size_t steps_n, struct new_tasks *const *lists, size_t n)
{
    if (steps[steps_n - 1].stmt == &place_stmt)
        place_answers(steps[steps_n - 1].result, lists, n);
}

void put_batch_init(struct put_batch *b)
{
    *b = (struct put_batch){.rows = NULL};
    for (size_t i = 0; i < COUNT_OF(b->params); i++)
        b->params[i] = (struct params)PARAMS_INIT;
}

void put_batch_release(struct put_batch *b)
{
    for (size_t i = 0; i < COUNT_OF(b->params); i++)
        params_release(&b->params[i]);
    mem_free(b->rows);
}

size_t put_weight(const struct new_tasks *list)
{
    size_t weight = list->count;
    for (size_t i = 0; i < list->count; i++)
        weight += list->list[i].needs;
    return weight;
}

size_t put_bytes(const struct new_tasks *list)
{
    size_t bytes = 0;
    for (size_t i = 0; i < list->count; i++) {
        const struct new_task *t = &list->list[i];
        bytes += t->params.len + t->tags.len + t->meta.len + t->terms.len + inputs_bytes(t);
    }
    return bytes;
}
