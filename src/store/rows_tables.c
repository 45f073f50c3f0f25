/* rows_tables.c: what can be put into which table, and by which statements. Each has two: one for rows that are probably new,
 * which PostgreSQL does in two thirds of the time, and one that also says what is there already. Arrays are taken apart in the
 * SELECT list and not in FROM: there their rows would be gathered and read again, which is a fifth of such a statement. */
#include <stdlib.h>
#include <string.h>

#include "store/db.h"
#include "store/rows.h"
#include "store/rows_hub.h"

const struct rows_table rows_users = {
    .name = "users",
    .number = 0,
    .fresh =
        &(const struct stmt){
            "rows_users",
            "INSERT INTO users (task, item, email, name, age, meta) "
            "SELECT unnest($1::uuid[]), unnest($2::bigint[]), unnest($3::text[]), unnest($4::text[]), "
            "unnest($5::bigint[]), unnest($6::text[])::jsonb RETURNING id, true"},
    .again =
        &(const struct stmt){
            "rows_users_again",
            "SELECT id, own FROM lathe_put_users($1::uuid[], $2::bigint[], $3::text[], $4::text[], "
            "$5::bigint[], $6::text[])"},
    .columns = {PG_TEXT, PG_TEXT, PG_INT, PG_TEXT},
    .count = 4,
    .key = 0,
};

#define RECORDS                                                                                   \
    "INSERT INTO data_records (task, item, url, status, type, digest, body) "                     \
    "SELECT unnest($1::uuid[]), unnest($2::bigint[]), unnest($3::text[]), unnest($4::bigint[]), " \
    "unnest($5::text[]), unnest($6::text[]), unnest($7::bytea[]) "

const struct rows_table rows_records = {
    .name = "records",
    .number = 1,
    .fresh = &(const struct stmt){"rows_records", RECORDS "RETURNING id, true"},
    .again =
        &(const struct stmt){
            "rows_records_again",
            RECORDS "ON CONFLICT (task, item) DO UPDATE SET url = excluded.url, status = excluded.status, "
                    "type = excluded.type, digest = excluded.digest, body = excluded.body, "
                    "fetched_at = excluded.fetched_at RETURNING id, true"},
    .columns = {PG_TEXT, PG_INT, PG_TEXT, PG_TEXT, PG_BYTES},
    .count = 5,
    .key = -1,
};

/* A row that was sent twice is there twice: nobody can tell two calls from one. */
#define CALLS                                                                                          \
    "INSERT INTO outgoing (task, item, at, method, url, status, error, us) "                           \
    "SELECT unnest($1::uuid[]), unnest($2::bigint[]), unnest($3::timestamptz[]), unnest($4::text[]), " \
    "unnest($5::text[]), unnest($6::bigint[]), unnest($7::text[]), unnest($8::bigint[]) RETURNING 0::bigint, true"

const struct rows_table rows_calls = {
    .name = "outgoing",
    .number = 2,
    .fresh = &(const struct stmt){"rows_calls", CALLS},
    .again = &(const struct stmt){"rows_calls_again", CALLS},
    .columns = {PG_TIME, PG_TEXT, PG_TEXT, PG_INT, PG_TEXT, PG_INT},
    .count = 6,
    .key = -1,
    .lazy = true,
};

/* ---- questions ---- */

static int by_key(const void *one, const void *other)
{
    const struct row_put *a = *(struct row_put *const *)one, *b = *(struct row_put *const *)other;
    struct span x = a->values[a->table->key].text, y = b->values[b->table->key].text;
    int way = memcmp(x.ptr, y.ptr, x.len < y.len ? x.len : y.len);
    if (way == 0)
        way = (x.len > y.len) - (x.len < y.len);
    return way ? way : (a->index > b->index) - (a->index < b->index);
}

void rows_sort(const struct rows_table *t, struct row_put **rows, size_t n)
{
    if (t->key >= 0)
        qsort(rows, n, sizeof *rows, by_key);
}

static void put_value(struct params *p, enum pg_type type, const struct row_value *v)
{
    if (type == PG_INT && v->number < 0)
        element_null(p);
    else if (type == PG_INT)
        element_int(p, v->number);
    else if (type == PG_TIME)
        element_time(p, v->number);
    else if (v->text.ptr)
        element_span(p, v->text);
    else
        element_null(p);
}

void rows_params(struct params *p, const struct rows_table *t, struct row_put *const *rows, size_t n)
{
    params_clear(p);
    params_array(p, PG_UUID);
    for (size_t i = 0; i < n; i++)
        element_uuid(p, rows[i]->task);
    params_end(p);
    params_array(p, PG_INT);
    for (size_t i = 0; i < n; i++)
        element_int(p, rows[i]->index);
    params_end(p);
    for (int c = 0; c < t->count; c++) {
        params_array(p, t->columns[c]);
        for (size_t i = 0; i < n; i++)
            put_value(p, t->columns[c], &rows[i]->values[c]);
        params_end(p);
    }
}

/* ---- answers ---- */

bool rows_answers(const PGresult *r, struct row_put *const *rows, size_t n, struct err *e)
{
    if ((size_t)PQntuples(r) != n)
        return err_set(e, ERR_INTERNAL, "PostgreSQL answered %d of %zu rows", PQntuples(r), n);
    for (size_t i = 0; i < n; i++) {
        struct row row = row_at(r, (int)i);
        bool gone = row_null(&row); /* it was in the way, and was deleted before it was looked at */
        rows[i]->shown.id = row_int(&row);
        rows[i]->shown.created = row_bool(&row);
        if (gone)
            err_set(&rows[i]->shown.err, ERR_STORE, "the row that was in the way is gone: try again");
    }
    return true;
}
