/* records.c: reading users, records and the log of outgoing calls, a page at a time by their keys. */
#include "store/records.h"

#include "store/inside.h"
#include "store/rows.h"

static const struct stmt users_stmt = {
    "users",
    "SELECT id, coalesce(age, -1)::bigint, email, name, meta::text, task, item, created_at FROM users "
    "WHERE id < $1::bigint ORDER BY id DESC LIMIT $2::bigint"};

static const struct stmt users_named_stmt = {
    "users_named",
    "SELECT id, coalesce(age, -1)::bigint, email, name, meta::text, task, item, created_at FROM users "
    "WHERE email = $3::text AND id < $1::bigint LIMIT $2::bigint"};

static const struct stmt records_stmt = {
    "records",
    "SELECT id, task, item, status, octet_length(body), fetched_at, url, type, digest FROM data_records "
    "WHERE task = $1::uuid AND item > $2::bigint ORDER BY task, item LIMIT $3::bigint"};

static const struct stmt calls_stmt = {
    "calls",
    "SELECT at, us, item, status, method, url, error FROM outgoing "
    "WHERE task = $1::uuid AND (at, item) > ($2::timestamptz, $3::bigint) ORDER BY task, at, item LIMIT $4::bigint"};

bool store_users(struct store *s, struct arena *a, struct span email, int64_t before, int limit,
                 struct user_info **ret, size_t *ret_n, struct err *e)
{
    PGresult *r CLEANUP(db_result_clear) = NULL;
    struct params p CLEANUP(params_release_at) = PARAMS_INIT;
    params_int(&p, before > 0 ? before : INT64_MAX);
    params_int(&p, limit);
    if (email.len > 0)
        params_text(&p, email);
    if (!store_read(s, email.len > 0 ? &users_named_stmt : &users_stmt, &p, &r, e))
        return false;
    *ret_n = (size_t)PQntuples(r);
    *ret = arena_array(a, *ret_n, sizeof **ret);
    for (size_t i = 0; i < *ret_n; i++) {
        struct row row = row_at(r, (int)i);
        struct user_info *u = &(*ret)[i];
        u->id = row_int(&row);
        u->age = row_int(&row);
        u->email = arena_copy(a, row_span(&row));
        u->name = arena_copy(a, row_span(&row));
        u->meta = arena_copy(a, row_span(&row));
        u->task = row_uuid(&row);
        u->item = row_int(&row);
        u->created_us = row_time(&row);
    }
    return true;
}

bool store_records(struct store *s, struct arena *a, struct uuid task, int64_t after, int limit,
                   struct record_info **ret, size_t *ret_n, struct err *e)
{
    PGresult *r CLEANUP(db_result_clear) = NULL;
    struct params p CLEANUP(params_release_at) = PARAMS_INIT;
    params_uuid(&p, task);
    params_int(&p, after);
    params_int(&p, limit);
    if (!store_read(s, &records_stmt, &p, &r, e))
        return false;
    *ret_n = (size_t)PQntuples(r);
    *ret = arena_array(a, *ret_n, sizeof **ret);
    for (size_t i = 0; i < *ret_n; i++) {
        struct row row = row_at(r, (int)i);
        struct record_info *d = &(*ret)[i];
        d->id = row_int(&row);
        d->task = row_uuid(&row);
        d->item = row_int(&row);
        d->status = row_int(&row);
        d->bytes = row_int(&row);
        d->fetched_us = row_time(&row);
        d->url = arena_copy(a, row_span(&row));
        d->type = arena_copy(a, row_span(&row));
        d->digest = arena_copy(a, row_span(&row));
    }
    return true;
}

bool store_calls(struct store *s, struct arena *a, struct uuid task, int64_t at_us, int64_t item, int limit,
                 struct call_info **ret, size_t *ret_n, struct err *e)
{
    PGresult *r CLEANUP(db_result_clear) = NULL;
    struct params p CLEANUP(params_release_at) = PARAMS_INIT;
    params_uuid(&p, task);
    params_time(&p, at_us > 0 ? at_us : 1);
    params_int(&p, item);
    params_int(&p, limit);
    if (!store_read(s, &calls_stmt, &p, &r, e))
        return false;
    *ret_n = (size_t)PQntuples(r);
    *ret = arena_array(a, *ret_n, sizeof **ret);
    for (size_t i = 0; i < *ret_n; i++) {
        struct row row = row_at(r, (int)i);
        struct call_info *c = &(*ret)[i];
        c->at_us = row_time(&row);
        c->us = row_int(&row);
        c->item = row_int(&row);
        c->status = row_int(&row);
        c->method = arena_copy(a, row_span(&row));
        c->url = arena_copy(a, row_span(&row));
        c->error = arena_copy(a, row_span(&row));
    }
    return true;
}
