/*
 * rows.h: reading a result in PostgreSQL's binary format. NULL reads as nil, 0, false or "". Spans are borrowed from the
 * result. A column's type must be the one that is named: the statements cast where it is not plain.
 */
#ifndef LATHE_STORE_ROWS_H
#define LATHE_STORE_ROWS_H

#include <assert.h>
#include <endian.h>
#include <libpq-fe.h>
#include <stdbool.h>
#include <stdint.h>

#include "core/span.h"
#include "core/uuid.h"
#include "store/params.h"

/* Columns are read in order: row_* takes the next one. */
struct row {
    const PGresult *result;
    int row, column;
};

static inline struct row row_at(const PGresult *r, int row)
{
    return (struct row){r, row, 0};
}

static inline struct span row_span(struct row *r) /* text, bytea, an enum */
{
    int c = r->column++;
    return (struct span){PQgetvalue(r->result, r->row, c), (size_t)PQgetlength(r->result, r->row, c)};
}

static inline bool row_null(const struct row *r) /* the next one; does not take it */
{
    return PQgetisnull(r->result, r->row, r->column);
}

static inline int64_t row_int(struct row *r) /* bigint, integer, smallint */
{
    struct span s = row_span(r);
    uint64_t wide;
    uint32_t middle;
    uint16_t small;
    if (s.len == sizeof wide) {
        memcpy(&wide, s.ptr, sizeof wide);
        return (int64_t)be64toh(wide);
    }
    if (s.len == sizeof middle) {
        memcpy(&middle, s.ptr, sizeof middle);
        return (int32_t)be32toh(middle);
    }
    if (s.len == 0)
        return 0; /* NULL */
    assert(s.len == sizeof small);
    memcpy(&small, s.ptr, sizeof small);
    return (int16_t)be16toh(small);
}

static inline double row_num(struct row *r) /* double precision */
{
    double v;
    int64_t bits = row_int(r);
    memcpy(&v, &bits, sizeof v);
    return v;
}

static inline bool row_bool(struct row *r)
{
    struct span s = row_span(r);
    return s.len == 1 && s.ptr[0] != 0;
}

static inline struct uuid row_uuid(struct row *r)
{
    struct span s = row_span(r);
    struct uuid id = {{0}};
    if (s.len == sizeof id.b)
        memcpy(id.b, s.ptr, sizeof id.b);
    return id;
}

/* timestamptz as µs since 1970; PostgreSQL counts from 2000. */
static inline int64_t row_time(struct row *r)
{
    bool null = row_null(r);
    int64_t us = row_int(r);
    return null ? 0 : us + PG_EPOCH_US;
}

/* uuid[] without NULLs: its number, and element i. */
static inline size_t row_uuids_count(struct span array)
{
    uint32_t n;
    if (array.len < 20)
        return 0;
    memcpy(&n, array.ptr + 12, sizeof n);
    return be32toh(n);
}

/* bigint[] likewise. */
static inline size_t row_ints_count(struct span array)
{
    return row_uuids_count(array);
}

static inline int64_t row_ints_at(struct span array, size_t i)
{
    uint64_t v;
    assert(array.len >= 20 + (i + 1) * 12);
    memcpy(&v, array.ptr + 20 + i * 12 + 4, sizeof v);
    return (int64_t)be64toh(v);
}

static inline struct uuid row_uuids_at(struct span array, size_t i)
{
    struct uuid id;
    assert(array.len >= 20 + (i + 1) * 20);
    memcpy(id.b, array.ptr + 20 + i * 20 + 4, sizeof id.b);
    return id;
}

#endif
