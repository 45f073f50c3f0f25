/*
 * One connection, asynchronously. Everything that is sent ends with a sync of its own: what fails takes nothing with it. Before
 * calls of another query, or of one that writes where the last did not, comes a chore, alone on the connection: the answer
 * tells what the query takes, and a refusal is that of one call.
 */
#include "store/sql_inside.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>

#include "core/limits.h"
#include "core/mem.h"
#include "store/sql_cancel.h"
#include "store/sql_rows.h"
#include "store/sqlstate.h"

#define OLDEST_SERVER 140000
#define GRACE_MS 1000            /* after the server should have ended a statement by itself */
#define AHEAD_NS (2 * NS_PER_MS) /* how much work is sent ahead */
#define READ_LEAST 8192          /* that libpq makes room for when it reads */
#define LOOK_MS "1000"           /* so often the server looks whether we are still there */
#define ECHOES_MOST 2 /* of cancels; as often a stranger's is taken for one, and what it hit is sent anew */
#define AGAIN_MOST 64 /* times that a call is sent: cancels that hit nothing are never forgotten */
#define QUICK_NS (50 * NS_PER_MS) /* what takes longer and is not wanted any more is cancelled */

void sql_list_put(struct sql_list *l, struct sql_one *c)
{
    c->prev = l->last;
    c->next = NULL;
    *(l->last ? &l->last->next : &l->first) = c;
    l->last = c;
    l->count++;
}

void sql_list_put_first(struct sql_list *l, struct sql_one *c)
{
    c->prev = NULL;
    c->next = l->first;
    *(l->first ? &l->first->prev : &l->last) = c;
    l->first = c;
    l->count++;
}

void sql_list_take(struct sql_list *l, struct sql_one *c)
{
    *(c->prev ? &c->prev->next : &l->first) = c->next;
    *(c->next ? &c->next->prev : &l->last) = c->prev;
    c->prev = c->next = NULL;
    l->count--;
}

/* ---- beginning and end */

static int64_t patience(const struct sql_conn *c)
{
    return clock_after_ms(c->pool->database->timeout_ms + GRACE_MS);
}

struct sql_conn *sql_conn_new(struct sql_pool *pool)
{
    struct sql_conn *c = mem_alloc(sizeof *c);
    c->pool = pool;
    c->watched = -1;
    c->until = patience(c);
    c->opening = sql_opening_new(pool, c->until);
    return c;
}

void sql_conn_free(struct sql_conn *c)
{
    if (c->pg && c->busy && PQstatus(c->pg) == CONNECTION_OK)
        sql_cancel_and_close(c->pg);
    else if (c->pg)
        PQfinish(c->pg);
    sql_opening_free(c->opening);
    mem_free(c->prepared);
    mem_free(c);
}

static bool lost(struct sql_conn *c, const char *why)
{
    if (c->err.code == ERR_NONE)
        err_set(&c->err, ERR_UNREACHABLE, "%s", why);
    return false;
}

bool sql_database_check(const struct sql_database *d, struct err *e)
{
    bool plain = !strchr(d->url, '=') && !strstr(d->url, "://"); /* the name of a database */
    char *why = NULL; /* quotes what it does not understand, a password too */
    PQconninfoOption *all = plain ? NULL : PQconninfoParse(d->url, &why);
    bool ok = plain || all;
    PQconninfoFree(all);
    PQfreemem(why);
    return ok ||
           err_set(e, ERR_CONFIG, "[database %s]: url cannot be read: it must be as libpq's are", d->name);
}

/* The reason is for the log: who submits tasks need not know where the database is. */
static bool unreachable(struct sql_conn *c, struct span reason)
{
    if (c->err.code == ERR_NONE) {
        err_set(&c->err, ERR_UNREACHABLE, "the database \"%s\" cannot be reached", c->pool->database->name);
        snprintf(c->detail, sizeof c->detail, SPAN_FMT, SPAN_ARG(reason));
    }
    return false;
}

static bool lost_by_libpq(struct sql_conn *c)
{
    struct span reason = sqlstate_reason(c->pg);
    const char *password = PQpass(c->pg);
    if (password && password[0] != '\0' && memmem(reason.ptr, reason.len, password, strlen(password)))
        reason = SPAN("the reason has the password in it");
    return unreachable(c, reason);
}

static bool lost_on_the_way(struct sql_conn *c)
{
    return lost(c, "the connection to the database was lost");
}

/* Twice: what a server says before it closes is one thing, that it has closed another. */
bool sql_conn_alive(struct sql_conn *c)
{
    return PQconsumeInput(c->pg) && !PQisBusy(c->pg) && PQconsumeInput(c->pg) &&
           PQstatus(c->pg) == CONNECTION_OK;
}

int sql_conn_fd(const struct sql_conn *c)
{
    return c->pg ? PQsocket(c->pg) : sql_opening_fd(c->opening);
}

unsigned sql_conn_wants(const struct sql_conn *c)
{
    if (c->state == SQL_CONNECTING)
        return c->events;
    return PQflush(c->pg) > 0 ? EPOLLIN | EPOLLOUT : EPOLLIN;
}

bool sql_conn_flush(struct sql_conn *c)
{
    return PQflush(c->pg) >= 0 || lost_on_the_way(c);
}

/* ---- chores */

static void begin_chore(struct sql_conn *c, const struct sql_query *q)
{
    c->state = SQL_CHORE;
    c->chore.query = q;
    c->chore.began = clock_now();
    c->chore.syncs = 0;
    c->chore.last = SQL_SETTING;
    c->chore.err = (struct err)ERR_INIT;
    c->until = patience(c);
}

static bool sync_chore(struct sql_conn *c)
{
    c->chore.syncs++;
    return PQpipelineSync(c->pg) || lost_on_the_way(c);
}

static bool send_setting(struct sql_conn *c, const char *name, const char *value)
{
    const char *values[] = {name, value};
    return (PQsendQueryParams(c->pg, "SELECT set_config($1, $2, false)", 2, NULL, values, NULL, NULL, 0) &&
            sync_chore(c)) ||
           lost_on_the_way(c);
}

/* The server ends what takes too long, and changes nothing unless the query says so. The last is a wish: it also ends soon what nobody
 * waits for. Of calls that were sent ahead a cancel reaches only the first, and the session would work off the others before it saw that
 * we have gone; but not every server can look. */
static bool send_hello(struct sql_conn *c)
{
    char timeout[24];
    snprintf(timeout, sizeof timeout, "%lld", (long long)c->pool->database->timeout_ms);
    if (PQserverVersion(c->pg) < OLDEST_SERVER)
        return lost(c, "PostgreSQL is too old: 14 or newer is needed");
    if (PQsetnonblocking(c->pg, 1) != 0 || !PQenterPipelineMode(c->pg))
        return lost_on_the_way(c);
    begin_chore(c, NULL);
    c->chore.last = SQL_WISH;
    return send_setting(c, "statement_timeout", timeout) &&
           send_setting(c, "default_transaction_read_only", "on") &&
           send_setting(c, "client_connection_check_interval", LOOK_MS);
}

static struct prepared *find_prepared(const struct sql_conn *c, const struct sql_query *q)
{
    for (size_t i = 0; i < c->prepared_n; i++)
        if (c->prepared[i].query == q)
            return &c->prepared[i];
    return NULL;
}

static void forget(struct sql_conn *c, const struct sql_query *q)
{
    struct prepared *p = find_prepared(c, q);
    if (p)
        *p = c->prepared[--c->prepared_n];
}

static void name_of(unsigned number, char name[24])
{
    snprintf(name, 24, "lathe_%u", number);
}

static struct prepared *add_prepared(struct sql_conn *c, const struct sql_query *q)
{
    c->prepared = mem_room(c->prepared, &c->prepared_room, c->prepared_n + 1, sizeof *c->prepared);
    struct prepared *p = &c->prepared[c->prepared_n++];
    *p = (struct prepared){.query = q, .number = ++c->numbers, .values = -1};
    return p;
}

bool sql_conn_fits(const struct sql_conn *c, const struct sql_query *q)
{
    return c->state == SQL_READY && c->write == q->write && find_prepared(c, q);
}

bool sql_conn_chore(struct sql_conn *c, const struct sql_query *q)
{
    char name[24];
    assert(c->state == SQL_READY && !c->calls.first);
    begin_chore(c, q);
    if (c->write != q->write && !send_setting(c, "default_transaction_read_only", q->write ? "off" : "on"))
        return false;
    c->write = q->write;
    if (find_prepared(c, q))
        return true;
    name_of(add_prepared(c, q)->number, name);
    c->chore.last = SQL_STATEMENT;
    return (PQsendPrepare(c->pg, name, q->sql, 0, NULL) && PQsendDescribePrepared(c->pg, name) &&
            sync_chore(c)) ||
           lost_on_the_way(c);
}

/* What is not done yet when it is over is done again, for the calls that it is for still wait. */
static bool end_chore(struct sql_conn *c)
{
    c->state = SQL_READY;
    c->until = CLOCK_NEVER;
    if (!c->chore.query)
        sql_pool_reached(c->pool);
    if (c->chore.err.code != ERR_NONE) {
        forget(c, c->chore.query);
        sql_chore_failed(c);
    }
    return true;
}

/* Was what was stopped so by a cancel of ours? PostgreSQL sends the signal of each twice, to the process and to its group; where the first
 * was heeded before the second came, that hits the next statement, or a later one. */
static bool struck(struct sql_conn *c)
{
    if (c->cancels > 0) {
        c->cancels--;
        c->echoes += c->echoes < ECHOES_MOST;
        return true;
    }
    if (c->echoes > 0) {
        c->echoes--;
        return true;
    }
    return false;
}

/* By its own time limit a statement is stopped later. */
static bool is_early(const struct sql_conn *c, int64_t began)
{
    return clock_now() - began < c->pool->database->timeout_ms * NS_PER_MS / 2;
}

/* A cancel that came too late for its call hit the chore. */
static bool undo_chore(struct sql_conn *c, enum sql_chore what)
{
    assert(what != SQL_WISH); /* before anything was cancelled */
    if (what == SQL_STATEMENT)
        forget(c, c->chore.query);
    else
        c->write = !c->write;
    return true;
}

static bool refuse_chore(struct sql_conn *c, const PGresult *r)
{
    struct err e = ERR_INIT;
    enum sql_chore what = c->chore.syncs > 1 ? SQL_SETTING : c->chore.last;
    enum sql_fate fate = sql_fate_of(r, &e);
    if (fate == SQL_STOPPED && struck(c) && is_early(c, c->chore.began))
        return undo_chore(c, what);
    bool over = fate == SQL_LOST || what == SQL_SETTING;
    if (what == SQL_WISH && !over)
        return true;
    if (c->chore.err.code == ERR_NONE)
        c->chore.err = e;
    if (over)
        c->err = e;
    if (over && what != SQL_STATEMENT && !err_retryable(e.code))
        c->err.code = ERR_UNREACHABLE;
    return !over;
}

static bool take_chore(struct sql_conn *c, const PGresult *r)
{
    struct prepared *p;
    switch ((int)PQresultStatus(r)) {
    case PGRES_PIPELINE_SYNC:
        return --c->chore.syncs > 0 || end_chore(c);
    case PGRES_COMMAND_OK: /* that it is prepared, and then its description, which knows more */
        p = find_prepared(c, c->chore.query);
        if (p && c->chore.err.code == ERR_NONE && sql_columns_check(r, &c->chore.err))
            p->values = PQnparams(r);
        return true;
    case PGRES_FATAL_ERROR:
        return refuse_chore(c, r);
    default: /* a setting's new value; what comes after a refusal */
        return true;
    }
}

/* ---- calls */

int64_t sql_conn_depth(const struct sql_conn *c)
{
    int64_t depth = c->pace > 0 ? AHEAD_NS / c->pace : 2;
    return depth < 2 ? 2 : depth < LIMIT_SQL_AHEAD ? depth : LIMIT_SQL_AHEAD;
}

/* The first of the calls is what the server does next. Rows come one at a time: nobody has to hold all of them. */
static void begin_first(struct sql_conn *c)
{
    struct sql_one *call = c->calls.first;
    c->until = CLOCK_NEVER;
    if (!call)
        return;
    c->began = clock_now();
    c->until = patience(c);
    c->unread = 0;
    PQsetSingleRowMode(c->pg);
    if (!call->item)
        c->until = c->began + QUICK_NS;
}

bool sql_conn_send(struct sql_conn *c, struct sql_one *call)
{
    char name[24];
    const struct prepared *p = find_prepared(c, call->query);
    assert(p);
    if (p->values != call->count) {
        err_set(&call->shown.err, ERR_BAD_FIELD, "the query \"%s\" takes %d parameters, not %d",
                call->query->name, p->values, call->count);
        sql_list_take(&call->lane->calls, call);
        sql_call_over(call);
        return true;
    }
    name_of(p->number, name);
    if (!PQsendQueryPrepared(c->pg, name, call->count, call->values, NULL, NULL, 0) || !PQpipelineSync(c->pg))
        return lost_on_the_way(c);
    sql_list_take(&call->lane->calls, call);
    sql_list_put(&c->calls, call);
    call->conn = c;
    call->cancelled = false;
    call->lane->sent++;
    c->served = true;
    if (c->calls.count == 1) {
        c->behind = false;
        begin_first(c);
    }
    return true;
}

void sql_conn_cancel(struct sql_conn *c)
{
    if (c->calls.first->cancelled)
        return;
    c->calls.first->cancelled = true;
    c->cancels++;
    sql_cancel(c->pg);
}

void sql_conn_abandon(struct sql_conn *c)
{
    if (clock_now() >= c->began + QUICK_NS)
        sql_conn_cancel(c);
    else
        c->until = c->began + QUICK_NS;
}

bool sql_conn_overdue(struct sql_conn *c)
{
    const struct sql_one *call = c->calls.first;
    if (call && !call->item && !call->cancelled) {
        sql_conn_cancel(c);
        c->until = patience(c);
        return false;
    }
    return true;
}

/* Nobody wants more of it. */
static void give_up(struct sql_conn *c, struct sql_one *call, enum err_code code, const char *text)
{
    if (call->shown.err.code != ERR_NONE)
        return;
    err_set(&call->shown.err, code, "%s", text);
    sql_conn_cancel(c);
}

static void take_rows(struct sql_conn *c, struct sql_one *call, const PGresult *r)
{
    char text[80];
    for (int i = 0; i < PQntuples(r) && call->item && call->shown.err.code == ERR_NONE; i++) {
        if (call->shown.count >= call->query->rows) {
            snprintf(text, sizeof text, "the query has more than %lld rows", (long long)call->query->rows);
            give_up(c, call, ERR_ITEM_TOO_LARGE, text);
            return;
        }
        sql_row_write(&call->json, r, i);
        call->shown.count++;
        if (call->out.failed)
            give_up(c, call, ERR_ITEM_TOO_LARGE, "the rows are larger than a result may be");
    }
}

/* False: the connection goes with it. */
static bool take_refusal(struct sql_conn *c, struct sql_one *call, const PGresult *r)
{
    struct err e = ERR_INIT;
    enum sql_fate fate = sql_fate_of(r, &e);
    /* A cancel that came for the one before hit this one: its transaction was rolled back. Each hit uses up a cancel that was asked for. */
    if (fate == SQL_STOPPED && struck(c) && is_early(c, c->began) && !call->cancelled &&
        call->again < AGAIN_MOST)
        call->resend = true;
    if (fate == SQL_STALE) {
        forget(c, call->query);
        call->resend = call->again == 0;
    }
    if (call->shown.err.code == ERR_NONE && !call->resend)
        call->shown.err = e;
    if (fate == SQL_LOST)
        c->err = e;
    return fate != SQL_LOST;
}

static void end_first(struct sql_conn *c)
{
    struct sql_one *call = c->calls.first;
    int64_t took = clock_now() - c->began;
    sql_list_take(&c->calls, call);
    call->conn = NULL;
    call->lane->sent--;
    if (c->behind)
        c->pace = c->pace ? (7 * c->pace + took) / 8 : took;
    c->behind = c->calls.first != NULL;
    begin_first(c);
    if (call->resend)
        sql_call_again(call);
    else
        sql_call_over(call);
}

static bool take_call(struct sql_conn *c, PGresult *r)
{
    struct sql_one *call = c->calls.first;
    switch ((int)PQresultStatus(r)) {
    case PGRES_PIPELINE_SYNC:
        end_first(c);
        return true;
    case PGRES_SINGLE_TUPLE:
    case PGRES_TUPLES_OK:
        take_rows(c, call, r);
        return true;
    case PGRES_COMMAND_OK:
        if (!span_to_int(span_of(PQcmdTuples(r)), &call->shown.count))
            call->shown.count = 0;
        return true;
    case PGRES_FATAL_ERROR:
        return take_refusal(c, call, r);
    case PGRES_PIPELINE_ABORTED:
        return true;
    case PGRES_EMPTY_QUERY:
        if (call->shown.err.code == ERR_NONE)
            err_set(&call->shown.err, ERR_REJECTED, "the query is empty");
        return true;
    default: /* COPY */
        err_set(&call->shown.err, ERR_REJECTED, "the query is none whose answer is rows");
        c->dropped = true;
        return lost_on_the_way(c);
    }
}

/* ---- turns */

bool sql_conn_skip(struct sql_conn *c)
{
    if (c->state != SQL_CONNECTING || !sql_opening_skip(c->opening))
        return false;
    PQfinish(c->pg);
    c->pg = NULL;
    return true;
}

static bool turn_connecting(struct sql_conn *c)
{
    struct err why = ERR_INIT;
    bool first = !c->pg;
    if (first && !sql_opening_turn(c->opening, &c->pg, &why))
        return unreachable(c, span_of(why.text));
    if (first)
        c->until = sql_opening_until(c->opening);
    if (!c->pg) {
        c->events = EPOLLIN;
        return true;
    }
    PostgresPollingStatusType want =
        first && PQstatus(c->pg) != CONNECTION_BAD ? PGRES_POLLING_WRITING : PQconnectPoll(c->pg);
    switch ((int)want) {
    case PGRES_POLLING_READING:
        c->events = EPOLLIN;
        return true;
    case PGRES_POLLING_WRITING:
        c->events = EPOLLOUT;
        return true;
    case PGRES_POLLING_OK:
        return send_hello(c);
    default:
        return sql_conn_skip(c) ? turn_connecting(c) : lost_by_libpq(c);
    }
}

static bool take_results(struct sql_conn *c)
{
    int nothing = 0;
    while ((c->state == SQL_CHORE || c->calls.first) && !PQisBusy(c->pg)) {
        PGresult *r = PQgetResult(c->pg);
        bool ok = true;
        if (r) {
            c->unread = nothing = 0;
            ok = c->state == SQL_CHORE ? take_chore(c, r) : take_call(c, r);
        } else if (++nothing > 1) {
            ok = lost_on_the_way(c);
        }
        PQclear(r);
        if (!ok)
            return false;
    }
    return true;
}

static int64_t bytes_here(const struct sql_conn *c)
{
    int here = 0;
    return ioctl(PQsocket(c->pg), FIONREAD, &here) == 0 ? here : 0;
}

/* False at the end of what the server says. What libpq leaves where it is does not count, for it is there the next time too; and
 * since more may have come meanwhile, what is counted is the least that it has taken. */
static bool consume(struct sql_conn *c)
{
    int64_t before = bytes_here(c);
    bool more = PQconsumeInput(c->pg);
    int64_t taken = before - bytes_here(c), least = before < READ_LEAST ? before : READ_LEAST;
    c->unread += taken > least ? taken : least;
    return more;
}

/* libpq keeps a row until it is whole, however long it is: one that is larger than any result may be ends here. */
static bool look_at_size(struct sql_conn *c)
{
    if (c->unread <= LIMIT_SQL_ROW)
        return true;
    if (c->calls.first && c->calls.first->shown.err.code == ERR_NONE)
        err_set(&c->calls.first->shown.err, ERR_ITEM_TOO_LARGE, "a row is larger than a result may be");
    c->dropped = true;
    return lost(c, "a row was too large");
}

bool sql_conn_turn(struct sql_conn *c)
{
    if (c->state == SQL_CONNECTING)
        return turn_connecting(c);
    bool more = consume(c); /* what it said before its end counts */
    if (!take_results(c) || !look_at_size(c))
        return false;
    return (more && PQstatus(c->pg) == CONNECTION_OK) || lost_on_the_way(c);
}
