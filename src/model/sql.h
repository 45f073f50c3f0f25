/*
 * sql.h: statements for handlers, against databases that the configuration names. The thread's client sends them on
 * connections that are used again, many on one without waiting for each other's answers, and steps the item when its
 * own is there. Each is a transaction of its own, so that one that fails takes no other with it.
 *
 *     if (!s->call && !(s->call = sql_start(it, query, values, n)))
 *         return STEP_FAIL;
 *     if (!s->call->done)
 *         return item_wait_call(it);
 *     if (s->call->err.code != ERR_NONE) …
 *     … s->call->rows …
 *
 * Defined in store/, which has libpq. A process has at most `connections` connections to a database, whatever its threads;
 * they are opened when there is work for them, so that a shape with one item in flight has one.
 */
#ifndef LATHE_MODEL_SQL_H
#define LATHE_MODEL_SQL_H

#include "model/port.h"

/* Both live as long as the process. */
struct sql_database {
    const char *name, *url; /* url: for libpq; it may hold a password and is never shown */
    int64_t connections;    /* of one process at most */
    int64_t timeout_ms; /* of a statement, of connecting, and how long a server that is away is waited for */
};

struct sql_query {
    const char *name, *sql; /* the parameters are $1, $2, … */
    const struct sql_database *database;
    int64_t rows; /* at most; more is an error */
    bool write;   /* else it runs in a read-only transaction */
};

/* What it points to lives until sql_drop. */
struct sql_call {
    bool done;
    /* UNREACHABLE, TIMEOUT and UPSTREAM (it may go well the next time), REJECTED, BAD_FIELD, ITEM_TOO_LARGE. What
     * PostgreSQL said begins with the SQLSTATE. */
    struct err err;
    struct span rows; /* JSON on one line: a list of objects */
    int64_t count;    /* rows; of a statement that returns none those that it changed */
};

extern const struct port_kind sql_port;

/* ERR_CONFIG: its url cannot be read. Connects nowhere. */
bool sql_database_check(const struct sql_database *d, struct err *e) LATHE_CHECK;

/* Values as text; one without ptr is NULL. They are copied. NULL with it->err set when it cannot even begin. */
struct sql_call *sql_start(struct item *it, const struct sql_query *query, const struct span *values,
                           size_t count);

/* Cancels it if it is under way. NULL is fine. */
void sql_drop(struct sql_call *c);

#endif
