#include "store/db.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>

#include "core/clock.h"
#include "store/sqlstate.h"

#define HURRY_MS 1000

/* ---- waiting ---- */

static bool hear(struct db *db)
{
    bool ok = PQconsumeInput(db->conn);
    db->heard_at = clock_now();
    return ok;
}

static bool is_under_way(const struct db *db)
{
    return db && db->conn && PQstatus(db->conn) == CONNECTION_OK;
}

/* What is wrong with it, they find who take its answers. */
static void serve_beside(struct db *db, struct pollfd *p)
{
    if (p->revents && !hear(db))
        p->fd = -1;
    p->events = (short)(POLLIN | (PQflush(db->conn) > 0 ? POLLOUT : 0));
}

bool db_wait_for(struct db *db, int fd, short events, int64_t deadline, short *ret_got, struct err *e)
{
    struct pollfd p[] = {{.fd = fd, .events = events}, {.fd = db->hurry, .events = POLLIN}, {.fd = -1}};
    if (is_under_way(db->beside))
        p[2] = (struct pollfd){.fd = PQsocket(db->beside->conn)};
    for (;;) {
        if (p[2].fd >= 0)
            serve_beside(db->beside, &p[2]);
        int n = poll(p, COUNT_OF(p), clock_poll_ms(deadline));
        if (n > 0 && p[0].revents) {
            *ret_got = p[0].revents;
            return true;
        }
        if (n > 0 && p[1].revents) {
            int64_t soon = clock_after_ms(HURRY_MS);
            deadline = soon < deadline ? soon : deadline;
            p[1].fd = -1;
            continue;
        }
        if (n == 0 || (n > 0 && clock_now() >= deadline))
            return err_set(e, ERR_STORE, "PostgreSQL did not answer in time");
        if (n < 0 && errno != EINTR)
            return err_errno(e, "poll");
    }
}

bool db_wait(struct db *db, short events, int64_t deadline, short *ret_got, struct err *e)
{
    return db_wait_for(db, PQsocket(db->conn), events, deadline, ret_got, e);
}

/* Sends what is unsent and reads what is there: both, or two full buffers would wait for each other. */
static bool turn_io(struct db *db, int64_t deadline, struct err *e)
{
    PGconn *c = db->conn;
    short got;
    int unsent = PQflush(c);
    if (unsent < 0)
        return err_set(e, ERR_STORE, "the connection to PostgreSQL was lost");
    if (!db_wait(db, (short)(POLLIN | (unsent ? POLLOUT : 0)), deadline, &got, e))
        return false;
    if ((got & (POLLIN | POLLHUP | POLLERR)) && !hear(db))
        return err_set(e, ERR_STORE, "the connection to PostgreSQL was lost");
    return true;
}

static bool next_result(struct db *db, int64_t deadline, PGresult **ret, struct err *e)
{
    if (PQflush(db->conn) < 0)
        return err_set(e, ERR_STORE, "the connection to PostgreSQL was lost");
    while (PQisBusy(db->conn))
        if (!turn_io(db, deadline, e))
            return false;
    *ret = PQgetResult(db->conn);
    return true;
}

/* ---- running ---- */

static bool is_prepared(const struct db *db, const struct stmt *s)
{
    for (size_t i = 0; i < db->prepared_n; i++)
        if (db->prepared[i] == s)
            return true;
    return false;
}

static bool lost(struct err *e)
{
    return err_set(e, ERR_STORE, "the connection to PostgreSQL was lost");
}

static bool send_step(struct db *db, const struct step *s, struct err *e)
{
    const char *values[PARAMS_MOST];
    int formats[PARAMS_MOST];
    int n = s->params ? s->params->count : 0;
    for (int i = 0; i < n; i++) {
        values[i] = s->params->len[i] < 0 ? NULL : s->params->bytes.ptr + s->params->at[i];
        formats[i] = 1;
        if (s->params->len[i] == 0)
            values[i] = "";
    }
    const int *lengths = n ? s->params->len : NULL;
    if (s->stmt->name ? !PQsendQueryPrepared(db->conn, s->stmt->name, n, values, lengths, formats, 1)
                      : !PQsendQueryParams(db->conn, s->stmt->sql, n, NULL, values, lengths, formats, 1))
        return lost(e);
    return !s->sync || PQpipelineSync(db->conn) || lost(e);
}

/* One command's answer. A result that says the session is over counts as a lost connection. */
static bool take_answer(struct db *db, int64_t deadline, PGresult **ret, struct err *ret_err, struct err *e)
{
    PGresult *r, *kept = NULL;
    for (;;) {
        if (!next_result(db, deadline, &r, e)) {
            PQclear(kept);
            return false;
        }
        if (!r)
            break;
        PQclear(kept);
        kept = r;
    }
    if (!kept)
        return lost(e);
    ExecStatusType status = PQresultStatus(kept);
    if (status == PGRES_TUPLES_OK || status == PGRES_COMMAND_OK) {
        *ret = kept;
        return true;
    }
    bool over = status != PGRES_PIPELINE_ABORTED && sqlstate_err(kept, ret_err);
    if (status == PGRES_PIPELINE_ABORTED)
        err_set(ret_err, ERR_INTERNAL, "an earlier statement of the transaction failed");
    PQclear(kept);
    if (over && e)
        *e = *ret_err;
    return !over;
}

static bool take_sync(struct db *db, int64_t deadline, struct err *ret_err, struct err *e)
{
    for (;;) {
        PGresult *r CLEANUP(db_result_clear) = NULL;
        if (!next_result(db, deadline, &r, e))
            return false;
        if (r && PQresultStatus(r) == PGRES_PIPELINE_SYNC)
            return true;
        if (PQstatus(db->conn) != CONNECTION_OK)
            return lost(e);
        if (r && sqlstate_err(r, ret_err)) { /* the commit itself failed */
            if (e)
                *e = *ret_err;
            return false;
        }
    }
}

static void refuse(struct step *steps, size_t n, const struct stmt *stmt, const struct err *why)
{
    for (size_t i = 0; i < n; i++)
        if (steps[i].stmt == stmt)
            steps[i].err = *why;
}

/* Prepares what the steps need and is not prepared yet: a round trip of its own, so that a refusal leaves the connection
 * as it was, with a sync for each, so that it is no other's. */
static bool prepare(struct db *db, struct step *steps, size_t n, int64_t deadline, struct err *e)
{
    const struct stmt *asked[DB_STATEMENTS];
    size_t asked_n = 0;
    for (size_t i = 0; i < n; i++) {
        const struct stmt *s = steps[i].stmt;
        if (!s->name || is_prepared(db, s))
            continue;
        assert(db->prepared_n < DB_STATEMENTS);
        if (!PQsendPrepare(db->conn, s->name, s->sql, 0, NULL) || !PQpipelineSync(db->conn))
            return lost(e);
        db->prepared[db->prepared_n++] = asked[asked_n++] = s;
    }
    db->prepared_n -= asked_n;
    for (size_t i = 0; i < asked_n; i++) {
        PGresult *r CLEANUP(db_result_clear) = NULL;
        struct err refused = ERR_INIT;
        if (!take_answer(db, deadline, &r, &refused, e) || !take_sync(db, deadline, &refused, e))
            return false;
        if (r)
            db->prepared[db->prepared_n++] = asked[i];
        else
            refuse(steps, n, asked[i], &refused);
    }
    return true;
}

/* The first error of a transaction is the error of all its steps. */
static void spread_error(struct step *first, struct step *last)
{
    struct step *culprit = first;
    while (culprit <= last && culprit->err.code == ERR_NONE)
        culprit++;
    if (culprit > last)
        return;
    for (struct step *s = first; s <= last; s++)
        s->err = culprit->err;
}

/* But for the transactions of which a statement could not be prepared. */
static bool send_steps(struct db *db, struct step *steps, size_t n, struct err *e)
{
    struct step *first = steps;
    for (struct step *s = steps; s < steps + n; s++) {
        if (!s->sync)
            continue;
        spread_error(first, s);
        for (; first <= s; first++)
            if (first->err.code == ERR_NONE && !send_step(db, first, e))
                return false;
    }
    return true;
}

static bool take_steps(struct db *db, struct step *steps, size_t n, int64_t deadline, struct err *e)
{
    struct step *first = steps;
    for (struct step *s = steps; s < steps + n; s++) {
        bool sent = s->err.code == ERR_NONE;
        if (sent && !take_answer(db, deadline, &s->result, &s->err, e))
            return false;
        if (!s->sync)
            continue;
        if (sent && !take_sync(db, deadline, &s->err, e))
            return false;
        spread_error(first, s);
        for (; first <= s; first++)
            first->synced = true;
        s->over_at = db->heard_at;
        if (s->over)
            s->over(s->arg);
    }
    return true;
}

static bool send(struct db *db, struct step *steps, size_t n, int64_t deadline, struct err *e)
{
    if (!prepare(db, steps, n, deadline, e) || !send_steps(db, steps, n, e))
        return false;
    if (PQflush(db->conn) < 0)
        return lost(e);
    db->sent_at = db->heard_at = clock_now();
    if (db->meanwhile)
        db->meanwhile(db->meanwhile_arg);
    return true;
}

static bool begin(struct db *db, struct step *steps, size_t n, int64_t deadline, struct err *e)
{
    assert(n > 0 && steps[n - 1].sync);
    db->sent_at = 0;
    for (size_t i = 0; i < n; i++) {
        steps[i].result = NULL;
        steps[i].err = (struct err)ERR_INIT;
        steps[i].synced = false;
        if (steps[i].params && steps[i].params->bytes.failed)
            return err_set(e, ERR_DATA, "the rows are larger than one statement may be");
    }
    bool open = db_open(db, deadline, e);
    db->sent_at = 0; /* but for what opening it took */
    return open;
}

/* A connection on which something went wrong is of no use any more. */
static bool keep(struct db *db, bool ok)
{
    if (!ok)
        db_close(db);
    return ok;
}

bool db_ready(struct db *db, struct step *steps, size_t n, int64_t deadline, struct err *e)
{
    return begin(db, steps, n, deadline, e) && keep(db, prepare(db, steps, n, deadline, e));
}

bool db_send(struct db *db, struct step *steps, size_t n, int64_t deadline, struct err *e)
{
    return begin(db, steps, n, deadline, e) && keep(db, send(db, steps, n, deadline, e));
}

bool db_take(struct db *db, struct step *steps, size_t n, int64_t deadline, struct err *e)
{
    return keep(db, take_steps(db, steps, n, deadline, e));
}

bool db_answers(const struct db *db, const struct db *beside, int64_t deadline)
{
    struct pollfd p[] = {{.fd = PQsocket(db->conn), .events = POLLIN},
                         {.fd = db->hurry, .events = POLLIN},
                         {.fd = PQsocket(beside->conn), .events = POLLIN}};
    while (PQflush(db->conn) == 0 && PQflush(beside->conn) == 0) {
        int n = poll(p, COUNT_OF(p), clock_poll_ms(deadline));
        if (n >= 0 || errno != EINTR)
            return n <= 0 || p[0].revents || p[1].revents;
    }
    return true; /* what does not go out all at once is large: the one who waits for it sends it, too */
}

bool db_run(struct db *db, struct step *steps, size_t n, int64_t deadline, struct err *e)
{
    return db_send(db, steps, n, deadline, e) && db_take(db, steps, n, deadline, e);
}

bool db_one(struct db *db, const struct stmt *stmt, const struct params *params, int64_t deadline,
            PGresult **ret, struct err *e)
{
    struct step s = {.stmt = stmt, .params = params, .sync = true};
    bool ok = db_run(db, &s, 1, deadline, e);
    if (ok && s.err.code != ERR_NONE) {
        ok = false;
        if (e)
            *e = s.err;
    }
    if (!ok) {
        db_steps_clear(&s, 1);
        return false;
    }
    *ret = s.result;
    return true;
}

bool db_script(struct db *db, const char *sql, int64_t deadline, struct err *e)
{
    struct err refused = ERR_INIT;
    if (!db_open(db, deadline, e))
        return false;
    PGresult *r = NULL;
    bool ok = PQexitPipelineMode(db->conn) && PQsendQuery(db->conn, sql);
    while (ok && (ok = next_result(db, deadline, &r, e)) && r) {
        ExecStatusType status = PQresultStatus(r);
        if (status != PGRES_TUPLES_OK && status != PGRES_COMMAND_OK && status != PGRES_EMPTY_QUERY)
            sqlstate_err(r, &refused);
        PQclear(r);
    }
    ok = ok && PQenterPipelineMode(db->conn);
    if (!ok) {
        db_close(db);
        return err_set(e, ERR_STORE, "the connection to PostgreSQL was lost");
    }
    if (refused.code != ERR_NONE && e)
        *e = refused;
    return refused.code == ERR_NONE;
}

bool db_script_start(struct db *db, const char *sql, int64_t deadline, struct err *e)
{
    short ready;
    if (!db_open(db, deadline, e))
        return false;
    bool ok = PQexitPipelineMode(db->conn) && PQsendQuery(db->conn, sql);
    int unsent = 0;
    while (ok && (unsent = PQflush(db->conn)) > 0)
        ok = db_wait(db, POLLOUT, deadline, &ready, e);
    if (ok && unsent == 0)
        return true;
    db_close(db);
    return lost(e);
}

bool db_script_over(struct db *db, int64_t deadline, PGresult **ret, struct err *e)
{
    PGresult *r = NULL;
    struct err refused = ERR_INIT;
    while (!r && db->conn && PQconsumeInput(db->conn)) {
        if (!PQisBusy(db->conn)) {
            if (!(r = PQgetResult(db->conn)))
                break;
        } else if (clock_now() >= deadline || !turn_io(db, deadline, NULL)) {
            return false;
        }
    }
    ExecStatusType status = PQresultStatus(r);
    bool done = status == PGRES_TUPLES_OK || status == PGRES_COMMAND_OK;
    if (r && !done && !sqlstate_err(r, &refused) && e)
        *e = refused;
    if (done && ret)
        *ret = r;
    else
        PQclear(r);
    db_close(db);
    return true;
}

void db_steps_clear(struct step *steps, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        PQclear(steps[i].result);
        steps[i].result = NULL;
    }
}

void db_result_clear(PGresult **r)
{
    PQclear(*r);
    *r = NULL;
}
