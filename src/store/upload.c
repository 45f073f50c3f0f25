/*
 * upload.c: inputs that come in pieces, one transaction for all of them and the task's rows.
 *
 * The alternative was a commit a piece, with a record of uploads and somebody who clears away what was broken off. A
 * transaction needs neither, and PostgreSQL sees to it that there is all of the task or nothing. Its price: while it is
 * open vacuum keeps what died since it began, also in `work`. So its length is bounded (LIMIT_UPLOAD_S, store.timeout a
 * step), and so is how many there are at once (api.uploads).
 */
#include <poll.h>

#include "core/mem.h"
#include "core/metrics.h"
#include "store/inside.h"
#include "store/rows.h"

#define LOOK_MS 100 /* between looks whether a commit whose answer was lost was made */

struct store_upload {
    struct store *store;
    struct db db;
    struct uuid task;
    bool
        open; /* our transaction is; never again once it is not: on a new connection nothing would belong together */
    struct params params;
    struct put_batch put;
    char xact[24]; /* its number, when it is about to be committed */
};

static const struct stmt begin_stmt = {"upload_begin", "BEGIN"};

/* PostgreSQL ends what stands still, also when this process is frozen or its machine is gone: with pieces still to come, and
 * sooner when rows are locked that others want. */
static const struct stmt patient_stmt = {
    "upload_patient", "SELECT set_config('idle_in_transaction_session_timeout', $1, true)"};
static const struct stmt last_stmt = {
    "upload_last",
    "SELECT pg_current_xact_id()::text, set_config('idle_in_transaction_session_timeout', '5s', true)"};
static const struct stmt status_stmt = {"upload_status",
                                        "SELECT coalesce(pg_xact_status($1::text::xid8), '')"};
static const struct stmt commit_stmt = {"upload_commit", "COMMIT"};

/* seq is the first item, so that the chunk of an item is found whatever the chunks hold: claim.c. */
static const struct stmt add_stmt = {
    "upload_add",
    "INSERT INTO inputs (task, seq, first, count, bytes) SELECT $1::uuid, c.first, c.first, c.count, c.bytes "
    "FROM unnest($2::bigint[], $3::bigint[], $4::bytea[]) AS c(first, count, bytes)"};

/* The first failure is the last call of the transaction. */
static bool run(struct store_upload *u, struct step *steps, size_t n, struct err *e)
{
    struct err why = ERR_INIT;
    bool ok = u->open && PQstatus(u->db.conn) == CONNECTION_OK;
    u->open = false;
    if (!ok)
        err_set(&why, ERR_STORE, "the connection to PostgreSQL was lost");
    ok = ok && db_run(&u->db, steps, n, store_deadline(u->store), &why);
    for (size_t i = 0; ok && i < n; i++) {
        if (steps[i].err.code != ERR_NONE) {
            why = steps[i].err;
            ok = false;
        }
    }
    u->open = ok;
    if (ok)
        return true;
    metric_add(M_store_errors, NULL, 1);
    if (e)
        *e = why;
    return false;
}

bool store_upload_new(struct store *s, struct uuid task, struct store_upload **ret, struct err *e)
{
    struct store_upload *u = mem_alloc(sizeof *u);
    char patience[24];
    struct step begin[] = {{.stmt = &begin_stmt},
                           {.stmt = &patient_stmt, .params = &u->params, .sync = true}};
    u->store = s;
    u->task = task;
    u->params = (struct params)PARAMS_INIT;
    snprintf(patience, sizeof patience, "%ds", LIMIT_UPLOAD_S);
    params_text(&u->params, span_of(patience));
    put_batch_init(&u->put);
    store_db_init(s, &u->db, true);
    u->open = db_open(&u->db, store_deadline(s), e);
    bool ok = u->open && run(u, begin, COUNT_OF(begin), e);
    db_steps_clear(begin, COUNT_OF(begin));
    if (!ok) {
        store_upload_free(u);
        return false;
    }
    *ret = u;
    return true;
}

void store_upload_free(struct store_upload *u)
{
    if (!u)
        return;
    db_close(&u->db); /* which ends the transaction, if it is open still */
    params_release(&u->params);
    put_batch_release(&u->put);
    mem_free(u);
}

bool store_upload_add(struct store_upload *u, const struct input_chunk *list, size_t n, struct err *e)
{
    struct params *p = &u->params;
    struct step add = {.stmt = &add_stmt, .params = p, .sync = true};
    params_clear(p);
    params_uuid(p, u->task);
    params_array(p, PG_INT);
    for (size_t i = 0; i < n; i++)
        element_int(p, list[i].first);
    params_end(p);
    params_array(p, PG_INT);
    for (size_t i = 0; i < n; i++)
        element_int(p, list[i].count);
    params_end(p);
    params_array(p, PG_BYTES);
    for (size_t i = 0; i < n; i++)
        element_span(p, list[i].bytes);
    params_end(p);
    bool ok = run(u, &add, 1, e);
    db_steps_clear(&add, 1);
    return ok;
}

static bool put_rows_of(struct store_upload *u, struct new_tasks *t, struct err *e)
{
    struct step steps[1 + PUT_STEPS] = {{.stmt = &last_stmt}};
    struct new_tasks *lists[] = {t};
    u->put.fresh = true;
    size_t n = put_steps(&u->put, lists, 1, steps + 1);
    bool ok = run(u, steps, 1 + n, e);
    if (ok) {
        struct row row = row_at(steps[0].result, 0);
        struct span xact = row_span(&row);
        snprintf(u->xact, sizeof u->xact, SPAN_FMT, SPAN_ARG(xact));
        put_answers(steps + 1, n, lists, 1);
    }
    db_steps_clear(steps, 1 + n);
    return ok;
}

static bool is_refused(const struct put_verdict *v)
{
    return v->held || v->bad_need > 0 || !uuid_is_nil(v->existing);
}

/* The answer to the commit was lost: was it made? The server may be at it still. What cannot be asked in time stays unknown. */
static bool was_committed(struct store_upload *u)
{
    int64_t deadline = store_deadline(u->store);
    params_clear(&u->params);
    params_text(&u->params, span_of(u->xact));
    for (; clock_now() < deadline; poll(NULL, 0, LOOK_MS)) {
        PGresult *r CLEANUP(db_result_clear) = NULL;
        struct err e = ERR_INIT;
        if (!store_read(u->store, &status_stmt, &u->params, &r, &e))
            continue;
        struct row row = row_at(r, 0);
        struct span status = row_span(&row);
        if (!span_is(status, "in progress"))
            return span_is(status, "committed");
    }
    return false;
}

bool store_upload_end(struct store_upload *u, struct new_tasks *t, struct err *e)
{
    struct step commit = {.stmt = &commit_stmt, .sync = true};
    assert(t->verdicts && uuid_eq(t->list[0].id, u->task));
    if (!put_rows_of(u, t, e))
        return false;
    if (is_refused(&t->verdicts[0]))
        return true;
    bool ok = run(u, &commit, 1, e);
    u->open = false;
    db_steps_clear(&commit, 1);
    return ok || (!u->db.conn && was_committed(u));
}
