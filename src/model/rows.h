/*
 * rows.h: rows that handlers put into Lathe's own tables. A handler hands in its row and waits for it as for any call. What all
 * items in flight have handed in by the time their threads have nothing to step goes to PostgreSQL as one statement and one
 * commit; the call is over when that commit is durable. Each row has its own verdict: one that PostgreSQL refuses takes no
 * other with it.
 *
 * A row remembers its item (task and index). Handed in again, because a run was repeated after a crash or an answer was
 * lost, it is found and neither stored twice nor taken for somebody else's.
 *
 *     if (!s->call && !(s->call = rows_put_user(it, &(struct user_row){.email = …})))
 *         return STEP_FAIL;
 *     if (!s->call->done)
 *         return item_wait_call(it);
 *     if (s->call->err.code != ERR_NONE) …
 *     … s->call->id, s->call->created …
 *
 * Defined in store/, which has libpq. A process has two connections for rows at most, whatever its threads, opened when
 * there is something to write.
 */
#ifndef LATHE_MODEL_ROWS_H
#define LATHE_MODEL_ROWS_H

#include "core/conf.h"
#include "core/err.h"
#include "core/span.h"

struct item;
struct port_kind;

/* Made by rows_put_*; lives until rows_drop. */
struct row_call {
    bool done;
    struct err
        err; /* DATA: PostgreSQL refuses the row; STORE: it could not be asked in store.timeout: nobody knows */
    bool created; /* false: another item's or somebody else's row has its key */
    int64_t id;   /* of the row that is there now */
};

/* Of `users`. The key is the e-mail address. Spans are copied. */
struct user_row {
    struct span email; /* as it is to be compared: users_email() in handlers/db_users.c */
    struct span name;
    int64_t age;      /* -1: unknown */
    struct span meta; /* a JSON object; empty: none */
};

/* Of `data_records`: what an item brought. The key is the item: brought again, it replaces what was there. */
struct record_row {
    struct span url, type, digest, body;
    int64_t status;
};

extern const struct port_kind rows_port;

/* NULL with it->err set when it cannot even begin. */
struct row_call *rows_put_user(struct item *it, const struct user_row *u);
struct row_call *rows_put_record(struct item *it, const struct record_row *r);

/* Forgets it; a row that is under way is written all the same, or not. NULL is fine. */
void rows_drop(struct row_call *c);

/* Where PostgreSQL is: once at start, before there are threads and children. Borrowed for the life of the process. */
void rows_configure(const struct conf *c);

#endif
