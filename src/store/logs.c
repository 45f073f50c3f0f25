/* logs.c: what runs of units had to say: stored with their ends, read a few rows at a time. */
#include "core/limits.h"
#include "store/inside.h"
#include "store/rows.h"

/* Sent again after a lost answer it adds nothing: a lease finishes a unit once. */
const struct stmt logs_stmt = {
    "logs",
    "INSERT INTO logs (task, at, seq, lease, bytes) SELECT * FROM unnest($1::uuid[], $2::timestamptz[], "
    "$3::bigint[], $4::uuid[], $5::bytea[]) ON CONFLICT DO NOTHING"};

/* As many rows as are $5 bytes, the first in any case; more: there are others behind them. */
static const struct stmt log_stmt = {
    "log",
    "SELECT at, seq::bigint, lease, bytes, before + octet_length(bytes) < total OR n = $6::bigint AS more FROM ("
    "SELECT x.*, sum(octet_length(bytes)) OVER (ORDER BY at, seq, lease) - octet_length(bytes) AS before, "
    "sum(octet_length(bytes)) OVER () AS total, count(*) OVER () AS n FROM ("
    "SELECT * FROM logs l WHERE l.task = $1::uuid AND (l.at, l.seq, l.lease) > ($2::timestamptz, $3::bigint, $4::uuid) "
    "ORDER BY l.at, l.seq, l.lease LIMIT $6::bigint) x) y "
    "WHERE before + octet_length(bytes) <= $5::bigint ORDER BY at, seq, lease"};

#define ROWS_AT_ONCE 256

#define EACH(type, element)                   \
    do {                                      \
        params_array(p, type);                \
        for (size_t i = 0; i < n; i++) {      \
            const struct finish *f = list[i]; \
            if (f->log.len > 0)               \
                element;                      \
        }                                     \
        params_end(p);                        \
    } while (0)

bool logs_params(struct params *p, struct finish *const *list, size_t n)
{
    bool any = false;
    for (size_t i = 0; i < n; i++)
        any = any || list[i]->log.len > 0;
    if (!any)
        return false;
    params_clear(p);
    EACH(PG_UUID, element_uuid(p, f->unit->task));
    EACH(PG_TIME, element_time(p, f->logged_us));
    EACH(PG_INT, element_int(p, f->unit->seq));
    EACH(PG_UUID, element_uuid(p, f->unit->lease));
    EACH(PG_BYTES, element_span(p, f->log));
    return true;
}

bool store_log_more(struct store *s, struct store_log *l, struct buf *out, bool *ret_end, struct err *e)
{
    PGresult *result CLEANUP(db_result_clear) = NULL;
    struct params p CLEANUP(params_release_at) = PARAMS_INIT;
    struct uuid lease = l->lease;
    if (uuid_is_nil(lease))
        lease.b[15] = 1; /* nil would be NULL */
    params_uuid(&p, l->id);
    params_time(&p, l->at_us > 0 ? l->at_us : 1);
    params_int(&p, l->seq);
    params_uuid(&p, lease);
    params_int(&p, (int64_t)(out->max - out->len));
    params_int(&p, ROWS_AT_ONCE);
    if (!store_read(s, &log_stmt, &p, &result, e))
        return false;
    *ret_end = true;
    for (int i = 0; i < PQntuples(result); i++) {
        struct row row = row_at(result, i);
        l->at_us = row_time(&row);
        l->seq = row_int(&row);
        l->lease = row_uuid(&row);
        buf_span(out, row_span(&row));
        *ret_end = !row_bool(&row);
    }
    return true;
}
