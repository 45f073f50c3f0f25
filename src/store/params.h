/*
 * params.h: the parameters of a statement, in PostgreSQL's binary format: no quoting, any byte. Numbers are sent as
 * bigint, whatever the column: the statement casts. An array is written element by element between params_array and
 * params_end. Write freely; the buffer's failed flag says at the end whether it all fit (db.c looks).
 *
 *     struct params p = PARAMS_INIT;
 *     params_uuid(&p, id);
 *     params_array(&p, PG_INT);
 *     for (…) element_int(&p, n);
 *     params_end(&p);
 */
#ifndef LATHE_STORE_PARAMS_H
#define LATHE_STORE_PARAMS_H

#include <stdbool.h>
#include <stdint.h>

#include "core/buf.h"
#include "core/limits.h"
#include "core/uuid.h"

#define PARAMS_MOST 40

#define PG_EPOCH_US INT64_C(946684800000000) /* PostgreSQL counts from 2000 */

/* Type oids of pg_type.dat, which never change. */
enum pg_type {
    PG_BOOL = 16,
    PG_BYTES = 17,
    PG_INT = 20,
    PG_TEXT = 25,
    PG_NUM = 701,
    PG_TIME = 1184,
    PG_UUID = 2950
};

struct params {
    struct buf bytes;
    int count;
    size_t at[PARAMS_MOST]; /* where each begins */
    int len[PARAMS_MOST];   /* -1: NULL */
    size_t array;           /* where the open array begins */
    int elements;           /* of the open array; -1: none is open */
    enum pg_type type;      /* of its elements */
};

#define PARAMS_INIT                                        \
    {                                                      \
        .bytes = BUF_INIT(LIMIT_STATEMENT), .elements = -1 \
    }

void params_release(struct params *p);
void params_clear(struct params *p); /* empty, memory kept */

void params_uuid(struct params *p, struct uuid v); /* nil: NULL */
void params_int(struct params *p, int64_t v);
void params_num(struct params *p, double v);
void params_bool(struct params *p, bool v);
void params_text(struct params *p, struct span v);
void params_time(struct params *p, int64_t us); /* since 1970; 0: NULL */
void params_null(struct params *p);

void params_array(struct params *p, enum pg_type type);
void element_uuid(struct params *p, struct uuid v); /* nil: NULL */
void element_int(struct params *p, int64_t v);
void element_num(struct params *p, double v);
void element_bool(struct params *p, bool v);
void element_span(struct params *p, struct span v); /* PG_TEXT, PG_BYTES */
void element_text(struct params *p, struct span v); /* the same; "" is NULL */
void element_time(struct params *p, int64_t us);    /* since 1970; 0: NULL */
void element_null(struct params *p);
void params_end(struct params *p);

#endif
