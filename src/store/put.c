/* put.c: the one statement of the group commit. Sent again after a lost connection it adds nothing: a task that is there
 * already brings no units and no inputs. Units are made from the task's row. */
#include "store/inside.h"

const struct stmt put_stmt = {
    "put",
    "WITH new AS MATERIALIZED ("
    "INSERT INTO tasks (id, parent, inputs_of, digest, item_timeout_ms, timeout_ms, state, ord, items_total, units_total, "
    "unit_size, batch_size, workers, priority, container, fail_fast, handler, strategy, inner_strategy, queue, "
    "shape_asked, params, tags, meta, unit_kib, run_at, terms) "
    "SELECT r.id, r.parent, r.inputs_of, r.digest, r.item_timeout_ms, r.timeout_ms, r.state::task_state, r.ord, "
    "r.items_total, r.units_total, r.unit_size, r.batch_size, r.workers, r.priority, r.container, r.fail_fast, r.handler, "
    "r.strategy, r.inner_strategy, r.queue, "
    "CASE WHEN r.threads > 0 THEN ARRAY[r.processes, r.threads, r.width, r.grain]::integer[] END, "
    "r.params, r.tags, r.meta, r.unit_kib, r.run_at, r.terms::jsonb "
    "FROM unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::bigint[], $5::bigint[], $6::bigint[], $7::text[], $8::bigint[], "
    "$9::bigint[], $10::bigint[], $11::bigint[], $12::bigint[], $13::bigint[], $14::bigint[], $15::bool[], $16::bool[], "
    "$17::text[], $18::text[], $19::text[], $20::text[], $21::bigint[], $22::bigint[], $23::bigint[], $24::bigint[], "
    "$25::text[], $26::text[], $27::text[], $28::bigint[], $29::timestamptz[], $30::text[]) "
    "AS r(id, parent, inputs_of, digest, item_timeout_ms, timeout_ms, state, ord, items_total, units_total, unit_size, "
    "batch_size, workers, priority, container, fail_fast, handler, strategy, inner_strategy, queue, processes, threads, "
    "width, grain, params, tags, meta, unit_kib, run_at, terms) "
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
    return owner && !owner->inputs ? (struct uuid){{0}} : t->inputs_of;
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

/* About what a claim of one unit brings along, so that a claim can be bounded by it. */
static int64_t unit_kib(const struct new_tasks *list, const struct new_task *t)
{
    const struct new_task *owner = owner_of(list, t);
    size_t inputs = owner ? inputs_bytes(owner) : 0;
    return (int64_t)((inputs / (size_t)(t->units > 0 ? t->units : 1) + t->params.len) / KIB);
}

static struct span state_of(const struct new_task *t)
{
    return t->container ? SPAN("running") : t->waits ? SPAN("scheduled") : SPAN("queued");
}

/* A column of all rows: the array, an element for each task `t`, its end. */
#define EACH(type, element)                                                                             \
    do {                                                                                                \
        params_array(p, type);                                                                          \
        for (size_t i = 0; i < n; i++) {                                                                \
            for (const struct new_task *t = lists[i]->list, *end = t + lists[i]->count; t < end; t++) { \
                element;                                                                                \
            }                                                                                           \
        }                                                                                               \
        params_end(p);                                                                                  \
    } while (0)

/* The same for the inputs of all rows, chunk `c`. */
#define EACH_CHUNK(type, element) \
    EACH(                         \
        type, for (int64_t c = 0; t->inputs && c < t->units; c++) { element; })

static int64_t chunk_count(const struct new_task *t, int64_t c)
{
    int64_t left = t->items_total - c * t->unit_size;
    return left < t->unit_size && !t->container ? left : t->unit_size;
}

static void put_inputs(struct params *p, struct new_tasks *const *lists, size_t n)
{
    EACH_CHUNK(PG_UUID, element_uuid(p, t->id));
    EACH_CHUNK(PG_INT, element_int(p, c));
    EACH_CHUNK(PG_INT, element_int(p, c * t->unit_size));
    EACH_CHUNK(PG_INT, element_int(p, chunk_count(t, c)));
    EACH_CHUNK(PG_BYTES, element_span(p, t->inputs[c]));
}

void put_params(struct params *p, struct new_tasks *const *lists, size_t n)
{
    params_clear(p);
    EACH(PG_UUID, element_uuid(p, t->id));
    EACH(PG_UUID, element_uuid(p, t->parent));
    EACH(PG_UUID, element_uuid(p, inputs_of(lists[i], t)));
    EACH(PG_INT, element_int(p, (int64_t)t->digest));
    EACH(PG_INT, element_int(p, t->item_timeout_ms));
    EACH(PG_INT, element_int(p, t->timeout_ms));
    EACH(PG_TEXT, element_span(p, state_of(t)));
    EACH(PG_INT, element_int(p, t->order));
    EACH(PG_INT, element_int(p, t->items_total));
    EACH(PG_INT, element_int(p, units_total(lists[i], t)));
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
    EACH(PG_INT, element_int(p, unit_kib(lists[i], t)));
    EACH(PG_TIME, element_time(p, t->run_at_us));
    EACH(PG_TEXT, element_text(p, t->terms));
    put_inputs(p, lists, n);
}

/* Of those tasks that are not just put to work: their ids. False: there are none. */
const struct stmt place_stmt = {"place", "SELECT lathe_place($1::uuid[])"};

bool place_params(struct params *p, struct new_tasks *const *lists, size_t n)
{
    bool any = false;
    params_clear(p);
    params_array(p, PG_UUID);
    for (size_t i = 0; i < n; i++) {
        for (const struct new_task *t = lists[i]->list, *end = t + lists[i]->count; t < end; t++) {
            if (t->run_at_us == 0 && t->terms.len == 0)
                continue;
            element_uuid(p, t->id);
            any = true;
        }
    }
    params_end(p);
    return any;
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
