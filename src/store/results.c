/* results.c: the results of a task as a stream: a few parts at a time, cut to what the caller has room for. */
#include "core/limits.h"
#include "store/inside.h"
#include "store/rows.h"

/* Parts from the cursor on, as many as make about a piece, never more than $6 rows. The first part of a unit that is of use
 * is the last one that begins at or before the wanted item. */
static const struct stmt results_stmt = {
    "results",
    "WITH t AS MATERIALIZED (SELECT id, lathe_final(state) AS final, unit_size::bigint, result, "
    "greatest($2::bigint, $4::bigint / greatest(unit_size, 1))::integer AS seq FROM tasks WHERE id = $1::uuid), "
    "f AS MATERIALIZED (SELECT greatest(CASE WHEN t.seq = $2 THEN $3::bigint ELSE 0 END, (SELECT max(r.part) FROM results r "
    "WHERE r.task = t.id AND r.seq = t.seq AND r.first <= $4))::integer AS part FROM t) "
    "SELECT t.final, t.seq, f.part, r.seq, r.part, r.bytes FROM t CROSS JOIN f LEFT JOIN LATERAL ("
    "SELECT x.*, sum(octet_length(x.bytes)) OVER (ORDER BY x.seq, x.part) - octet_length(x.bytes) AS before "
    "FROM ((SELECT y.seq, y.part, y.bytes FROM results y WHERE y.task = t.id AND (y.seq, y.part) >= (t.seq, f.part) "
    "ORDER BY y.seq, y.part LIMIT $6::bigint) UNION ALL "
    "SELECT 0, 0, t.result WHERE t.result IS NOT NULL AND t.seq = 0 AND f.part = 0) x"
    ") r ON r.before < $5::bigint ORDER BY r.seq, r.part"};

#define PARTS_AT_ONCE 256

/* The item of a line, of which at least the beginning is there. Every line of ours begins {"index":N. */
static int64_t line_index(struct span line)
{
    int64_t n = 0;
    struct span head = SPAN("{\"index\":");
    if (line.len < head.len || memcmp(line.ptr, head.ptr, head.len) != 0)
        return -1;
    for (size_t i = head.len; i < line.len && line.ptr[i] >= '0' && line.ptr[i] <= '9'; i++)
        n = n * 10 + (line.ptr[i] - '0');
    return n;
}

static size_t room(const struct buf *out)
{
    return out->max - out->len;
}

/* Copies from one part; false when the piece is full or enough was given. */
static bool copy_part(struct store_results *r, struct span part, struct buf *out)
{
    while ((size_t)r->at < part.len) {
        struct span rest = {part.ptr + r->at, part.len - (size_t)r->at};
        const char *end = memchr(rest.ptr, '\n', rest.len);
        size_t len = end ? (size_t)(end - rest.ptr) + 1 : rest.len;
        const char *before = r->at > 0 ? memrchr(part.ptr, '\n', (size_t)r->at) : NULL;
        const char *start = before ? before + 1 : part.ptr;
        int64_t index = line_index((struct span){start, part.len - (size_t)(start - part.ptr)});
        if (index >= r->next) {
            size_t take = len < room(out) ? len : room(out);
            if (r->limit == 0 || take == 0)
                return false;
            buf_put(out, rest.ptr, take);
            r->at += (int64_t)take;
            if (take < len)
                return false;
            r->next = index + 1;
            r->limit--;
        } else {
            r->at += (int64_t)len;
        }
    }
    return true;
}

/* The rows that follow each other without a gap. Returns whether it came through all of them. */
static bool copy_rows(struct store_results *r, const PGresult *result, struct buf *out, bool *ret_gap)
{
    for (int i = 0; i < PQntuples(result); i++) {
        struct row row = row_at(result, i);
        bool final = row_bool(&row);
        int64_t from_seq = row_int(&row), from_part = row_int(&row);
        if (i == 0 && (from_seq != r->seq || from_part != r->part)) {
            r->seq = from_seq;
            r->part = from_part;
            r->at = 0;
        }
        if (row_null(&row))
            return true; /* no part at all */
        int64_t seq = row_int(&row), part = row_int(&row);
        bool follows = (seq == r->seq && part == r->part) || (seq == r->seq + 1 && part == 0 && r->part > 0);
        if (!follows && !final) {
            *ret_gap = true;
            return false;
        }
        if (!(seq == r->seq && part == r->part))
            r->at = 0;
        r->seq = seq;
        r->part = part;
        if (!copy_part(r, row_span(&row), out))
            return false;
        r->part++;
        r->at = 0;
    }
    return true;
}

static size_t parts_bytes(const PGresult *result)
{
    size_t bytes = 0;
    for (int i = 0; i < PQntuples(result); i++)
        bytes += (size_t)PQgetlength(result, i, 5);
    return bytes;
}

bool store_results_more(struct store *s, struct store_results *r, struct buf *out, bool *ret_end,
                        struct err *e)
{
    PGresult *result CLEANUP(db_result_clear) = NULL;
    struct params p CLEANUP(params_release_at) = PARAMS_INIT;
    bool gap = false;
    params_uuid(&p, r->id);
    params_int(&p, r->seq);
    params_int(&p, r->part);
    params_int(&p, r->next);
    params_int(&p, (int64_t)room(out));
    params_int(&p, PARTS_AT_ONCE);
    if (!store_read(s, &results_stmt, &p, &result, e))
        return false;
    if (PQntuples(result) == 0)
        return err_set(e, ERR_NO_TASK, "there is no such task");
    bool all = parts_bytes(result) < room(out) &&
               PQntuples(result) < PARTS_AT_ONCE; /* nothing was left for a next call */
    bool through = copy_rows(r, result, out, &gap);
    *ret_end = gap || r->limit == 0 || (through && all);
    return true;
}
