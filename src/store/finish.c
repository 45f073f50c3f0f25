/* finish.c: the ends of units: one call of lathe_finish (sql/002_functions.sql), or of its quick forms (sql/020, sql/026). */
#include <stdlib.h>
#include <string.h>

#include "core/utf8.h"
#include "store/inside.h"
#include "store/rows.h"

const struct stmt finish_stmt = {
    "finish",
    "SELECT applied, final, over_parent, parent_final, followed FROM lathe_finish($1::bigint, $2::uuid[], $3::uuid[], "
    "$4::bigint[], $5::text[], $6::bigint[], $7::bigint[], $8::bigint[], $9::bigint[], $10::bigint[], $11::bigint[], "
    "$12::bigint[], $13::bigint[], $14::bigint[], $15::bigint[], $16::bigint[], $17::bigint[], $18::bigint[], "
    "$19::text[], $20::text[], $21::bigint[], $22::bigint[], $23::bigint[], $24::bigint[], $25::bigint[], $26::bytea[])"};

const struct stmt finish_many_stmt = {
    "finish_many",
    "SELECT applied, followed FROM lathe_finish_many($1::bigint, $2::uuid[], $3::bigint[], $4::uuid[], $5::bytea, "
    "$6::bigint[], $7::bigint[], $8::bigint[], $9::bigint[], $10::bigint[], $11::bigint[], $12::bigint[], $13::bigint[], "
    "$14::bigint[], $15::bigint[], $16::bigint[], $17::bigint[], $18::bigint[], $19::bigint[], $20::bigint[], $21::bigint[], "
    "$22::text[], $23::text[], $24::uuid[])"};

const struct stmt finish_one_stmt = {
    "finish_one",
    "SELECT applied, followed FROM lathe_finish_one($1::bigint, $2::uuid, $3::uuid, $4::bytea, $5::bigint, $6::bigint, "
    "$7::bigint, $8::bigint, $9::bigint, $10::bigint, $11::bigint, $12::bigint, $13::bigint, $14::bigint, $15::bigint, "
    "$16::bigint, $17::bigint, $18::bigint, $19::text, $20::text)"};

#define ALONE_BYTES 512u          /* of a result in its task's row */
#define PART_BYTES (128u * 1024u) /* of a result, but for a line that is longer */

/* ---- parts ---- */

/* Cuts the first part off: whole lines, PART_BYTES or one line. */
static struct span next_part(struct span *rest)
{
    size_t len = rest->len;
    if (len > PART_BYTES) {
        const char *end = memrchr(rest->ptr, '\n', PART_BYTES);
        if (!end)
            end = memchr(rest->ptr, '\n', rest->len);
        len = end ? (size_t)(end - rest->ptr) + 1 : rest->len;
    }
    return span_take(rest, len);
}

/* Goes through the parts of all results: unit from 1, part from 0; there is always a part 0. */
struct part {
    size_t unit;
    int64_t part;
    struct span bytes, rest;
};

static bool part_next(struct part *p, struct finish *const *list, size_t n)
{
    if (p->unit > 0 && p->rest.len > 0) {
        p->part++;
    } else {
        if (p->unit == n)
            return false;
        p->part = 0;
        p->rest = list[p->unit++]->results;
    }
    p->bytes = next_part(&p->rest);
    return true;
}

/* The item of its first line: {"index":N of worker/lines.h; of an empty part the unit's first. */
static int64_t part_first(const struct part *p, struct finish *const *list)
{
    struct span s = p->bytes, number;
    span_cut(&s, ':');
    number = span_cut(&s, ',');
    int64_t first;
    return span_to_int(number, &first) ? first : list[p->unit - 1]->unit->first;
}

/* ---- the arrays ---- */

#define EACH(type, element)                   \
    do {                                      \
        params_array(p, type);                \
        for (size_t i = 0; i < n; i++) {      \
            const struct finish *f = list[i]; \
            element;                          \
        }                                     \
        params_end(p);                        \
    } while (0)

#define EACH_PART(type, element)                                 \
    do {                                                         \
        params_array(p, type);                                   \
        for (struct part part = {0}; part_next(&part, list, n);) \
            element;                                             \
        params_end(p);                                           \
    } while (0)

/* An error's text may have been cut inside a character. */
static struct span valid_prefix(struct span s)
{
    size_t len = 0, step;
    while ((step = utf8_length((struct span){s.ptr + len, s.len - len})) > 0)
        len += step;
    return (struct span){s.ptr, len};
}

static struct span error_words(const struct err *e, bool slug)
{
    return valid_prefix(span_of(slug ? err_slug(e->code) : e->text));
}

static void element_error(struct params *p, const struct err *e, bool slug)
{
    if (e->code == ERR_NONE)
        element_null(p);
    else
        element_span(p, error_words(e, slug));
}

void finish_params(struct params *p, struct finish *const *list, size_t n)
{
    params_clear(p);
    params_int(p, clock_now() / 1000);
    EACH(PG_UUID, element_uuid(p, f->unit->lease));
    EACH(PG_UUID, element_uuid(p, f->unit->task));
    EACH(PG_INT, element_int(p, f->unit->seq));
    EACH(PG_TEXT, element_span(p, span_of(state_name(f->state))));
    EACH(PG_INT, element_int(p, f->items_done));
    EACH(PG_INT, element_int(p, f->items_failed));
    EACH(PG_INT, element_int(p, f->shape.processes));
    EACH(PG_INT, element_int(p, f->shape.threads));
    EACH(PG_INT, element_int(p, f->shape.width));
    EACH(PG_INT, element_int(p, f->shape.grain));
    EACH(PG_INT, element_int(p, f->measured.wall_us));
    EACH(PG_INT, element_int(p, f->measured.cpu_us));
    EACH(PG_INT, element_int(p, f->measured.wait_us));
    EACH(PG_INT, element_int(p, f->measured.peak_rss_kib));
    EACH(PG_INT, element_int(p, f->measured.predicted_us));
    EACH(PG_INT, element_int(p, f->started_us));
    EACH(PG_INT, element_int(p, f->finished_us));
    EACH(PG_TEXT, element_error(p, &f->err, true));
    EACH(PG_TEXT, element_error(p, &f->err, false));
    EACH(PG_INT, f->again ? element_int(p, f->again_ms) : element_null(p));
    EACH(PG_INT, element_int(p, f->counts));
    EACH_PART(PG_INT, element_int(p, (int64_t)part.unit));
    EACH_PART(PG_INT, element_int(p, part.part));
    EACH_PART(PG_INT, element_int(p, part_first(&part, list)));
    EACH_PART(PG_BYTES, element_span(p, part.bytes));
}

/* ---- a task's only unit ---- */

static bool quick(const struct finish *f)
{
    return f->unit->alone && !f->again && f->results.len <= ALONE_BYTES;
}

/* A column that is mostly zeros: nothing is sent if it is all. */
#define EACH_SOME(value)                         \
    do {                                         \
        bool some = false;                       \
        for (size_t i = 0; i < n; i++) {         \
            const struct finish *f = list[i];    \
            some = some || (value) != 0;         \
        }                                        \
        params_array(p, PG_INT);                 \
        for (size_t i = 0; some && i < n; i++) { \
            const struct finish *f = list[i];    \
            element_int(p, (value));             \
        }                                        \
        params_end(p);                           \
    } while (0)

static int64_t how(const struct finish *f)
{
    return f->state == TASK_failed ? 1 : f->state == TASK_cancelled ? 2 : 0;
}

static void errors_if_any(struct params *p, struct finish *const *list, size_t n, bool slug)
{
    bool some = false;
    for (size_t i = 0; i < n; i++)
        some = some || list[i]->err.code != ERR_NONE;
    n = some ? n : 0;
    EACH(PG_TEXT, element_error(p, &f->err, slug));
}

/* Of two runs of one task the one under the later lease first: only that can be stored, so it always goes the same way. */
static int by_task(const void *a, const void *b)
{
    const struct finish *const *x = a, *const *y = b;
    int task = memcmp((*x)->unit->task.b, (*y)->unit->task.b, sizeof(struct uuid));
    return task != 0 ? task : memcmp((*y)->unit->lease.b, (*x)->unit->lease.b, sizeof(struct uuid));
}

static void swap(struct finish **a, struct finish **b)
{
    struct finish *was = *a;
    *a = *b;
    *b = was;
}

size_t finish_sort(struct finish *const *list, size_t n, struct finish **ret)
{
    size_t many = 0, once = 0;
    for (size_t i = 0; i < n; i++)
        if (quick(list[i]))
            ret[many++] = list[i];
    for (size_t i = 0, rest = many; i < n; i++)
        if (!quick(list[i]))
            ret[rest++] = list[i]; /* in their order: the first reason is the task's */
    qsort(ret, many, sizeof *ret, by_task);
    for (size_t i = 0; i < many; i++)
        if (once == 0 || !uuid_eq(ret[once - 1]->unit->task, ret[i]->unit->task))
            swap(&ret[once++], &ret[i]);
    return once;
}

static void all_results(struct params *p, struct finish *const *list, size_t n)
{
    struct buf text CLEANUP(buf_release) = BUF_INIT(n * ALONE_BYTES);
    for (size_t i = 0; i < n; i++)
        buf_span(&text, list[i]->results);
    assert(!text.failed);
    params_text(p, buf_view(&text)); /* bytes are sent as text is */
    int64_t from = 1;
    EACH(PG_INT, element_int(p, from); from += (int64_t)f->results.len);
    EACH(PG_INT, element_int(p, (int64_t)f->results.len));
}

void finish_many_params(struct params *p, struct finish *const *list, size_t n, size_t more)
{
    params_clear(p);
    params_int(p, clock_now() / 1000);
    EACH(PG_UUID, element_uuid(p, f->unit->lease));
    EACH(PG_INT, element_int(p, f->unit->place));
    EACH(PG_UUID, element_uuid(p, f->unit->task));
    all_results(p, list, n);
    EACH_SOME(how(f));
    EACH(PG_INT, element_int(p, f->items_done));
    EACH_SOME(f->items_failed);
    EACH_SOME(f->shape.processes);
    EACH(PG_INT, element_int(p, f->shape.threads));
    EACH(PG_INT, element_int(p, f->shape.width));
    EACH(PG_INT, element_int(p, f->shape.grain));
    EACH(PG_INT, element_int(p, f->measured.wall_us));
    EACH_SOME(f->measured.cpu_us);
    EACH_SOME(f->measured.wait_us);
    EACH_SOME(f->measured.peak_rss_kib);
    EACH_SOME(f->measured.predicted_us);
    EACH(PG_INT, element_int(p, f->started_us));
    EACH(PG_INT, element_int(p, f->finished_us));
    errors_if_any(p, list, n, true);
    errors_if_any(p, list, n, false);
    list += n;
    n = more;
    EACH(PG_UUID, element_uuid(p, f->unit->lease));
}

static void params_error(struct params *p, const struct err *e, bool slug)
{
    if (e->code == ERR_NONE)
        params_null(p);
    else
        params_text(p, error_words(e, slug));
}

void finish_one_params(struct params *p, const struct finish *f)
{
    params_clear(p);
    params_int(p, clock_now() / 1000);
    params_uuid(p, f->unit->lease);
    params_uuid(p, f->unit->task);
    params_text(p, f->results); /* bytes are sent as text is */
    params_int(p, how(f));
    params_int(p, f->items_done);
    params_int(p, f->items_failed);
    params_int(p, f->shape.processes);
    params_int(p, f->shape.threads);
    params_int(p, f->shape.width);
    params_int(p, f->shape.grain);
    params_int(p, f->measured.wall_us);
    params_int(p, f->measured.cpu_us);
    params_int(p, f->measured.wait_us);
    params_int(p, f->measured.peak_rss_kib);
    params_int(p, f->measured.predicted_us);
    params_int(p, f->started_us);
    params_int(p, f->finished_us);
    params_error(p, &f->err, true);
    params_error(p, &f->err, false);
}

/* ---- what was remembered ---- */

const struct stmt cached_stmt = {
    "cached", "SELECT lathe_cached($1::uuid[], $2::uuid[], $3::bigint[], $4::bigint[], $5::uuid[])"};

bool cached_params(struct params *p, struct finish *const *list, size_t n)
{
    bool some = false;
    for (size_t i = 0; i < n; i++)
        some = some || list[i]->remembers;
    if (!some)
        return false;
    params_clear(p);
    EACH(PG_UUID, element_uuid(p, f->unit->lease));
    EACH(PG_UUID, element_uuid(p, f->unit->task));
    EACH(PG_INT, element_int(p, f->unit->seq));
    EACH(PG_INT, f->remembers && !f->again ? element_int(p, f->measured.cached) : element_null(p));
    EACH(PG_UUID, if (f->again) element_uuid(p, f->unit->task));
    return true;
}

/* ---- the answers ---- */

static void answer(struct finish *f, bool applied)
{
    f->applied = f->final = applied;
    f->followed = f->released = false;
    f->ended[0] = applied ? f->unit->task : (struct uuid){{0}};
    f->ended[1] = (struct uuid){{0}};
}

void finish_many_answers(const PGresult *r, struct finish *const *list, size_t n)
{
    struct row row = row_at(r, 0);
    bool all = row_null(&row);
    struct span places = row_span(&row);
    for (size_t i = 0; i < n; i++)
        answer(list[i], all);
    for (size_t i = 0; !all && i < row_ints_count(places); i++)
        answer(list[row_ints_at(places, i) - 1], true);
    bool followed = row_bool(&row);
    size_t first = 0;
    while (first < n - 1 && !list[first]->applied)
        first++;
    list[first]->followed = list[first]->released = followed && list[first]->applied;
}

void finish_answers(const PGresult *r, struct finish *const *list, size_t n)
{
    assert((size_t)PQntuples(r) == n);
    for (size_t i = 0; i < n; i++) {
        struct row row = row_at(r, (int)i);
        struct finish *f = list[i];
        f->applied = row_bool(&row);
        bool task_final = row_bool(&row) && f->applied;
        struct uuid parent = row_uuid(&row);
        bool parent_final = row_bool(&row) && task_final;
        f->final = task_final;
        f->ended[0] = task_final ? f->unit->task : (struct uuid){{0}};
        f->ended[1] = parent_final ? parent : (struct uuid){{0}};
        f->followed = row_bool(&row) && task_final;
        f->released = f->followed || (task_final && !uuid_is_nil(parent) && !parent_final);
    }
}
