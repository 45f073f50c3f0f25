/*
 * sql_rows.h: what a foreign statement answers, as JSON and as errors. Pure: results go in, text comes out.
 */
#ifndef LATHE_STORE_SQL_ROWS_H
#define LATHE_STORE_SQL_ROWS_H

#include <libpq-fe.h>

#include "core/json.h"

/* Can its rows be objects? ERR_REJECTED: two columns have one name. */
bool sql_columns_check(const PGresult *r, struct err *e) LATHE_CHECK;

/* A row in text format as an object: booleans, integers and floats as such, json and jsonb as they are, all else as text, also
 * what JSON has no number for (NaN) and a numeric, whose digits no float can hold. */
void sql_row_write(struct json_out *o, const PGresult *r, int row);

/* What a failed statement comes to. */
enum sql_fate {
    SQL_REFUSED, /* e says why, retryable or not */
    SQL_STOPPED, /* it was cancelled, or its time was over */
    SQL_STALE,   /* what was prepared does not fit any more: prepare it again */
    SQL_LOST,    /* and the connection with it */
};
enum sql_fate sql_fate_of(const PGresult *r, struct err *e);

#endif
