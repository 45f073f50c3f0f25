/* finish.c: the ends of units as one call of lathe_finish (sql/002_functions.sql). */
#include "core/utf8.h"
#include "store/inside.h"
#include "store/rows.h"

const struct stmt finish_stmt = {
    "finish",
    "SELECT applied, final, over_parent, parent_final, followed FROM lathe_finish($1::bigint, $2::uuid[], $3::uuid[], "
    "$4::bigint[], $5::text[], $6::bigint[], $7::bigint[], $8::bigint[], $9::bigint[], $10::bigint[], $11::bigint[], "
    "$12::bigint[], $13::bigint[], $14::bigint[], $15::bigint[], $16::bigint[], $17::bigint[], $18::bigint[], "
    "$19::text[], $20::text[], $21::bigint[], $22::bigint[], $23::bigint[], $24::bigint[], $25::bigint[], $26::bytea[])"};

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

static void element_error(struct params *p, const struct err *e, bool slug)
{
    if (e->code == ERR_NONE) {
        element_null(p);
        return;
    }
    element_span(p, valid_prefix(span_of(slug ? err_slug(e->code) : e->text)));
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

/* ---- the answer ---- */

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
