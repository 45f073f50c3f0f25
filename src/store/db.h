/*
 * db.h: one connection to PostgreSQL; one thread at a time. It is opened when it is needed and opened again after it was
 * lost; statements are prepared on it when they are first used. Everything ends by its deadline: what hangs is dropped.
 *
 * A call is a list of steps that go out in one piece. Steps between two syncs are one transaction: all of them or none,
 * also where a statement cannot be prepared; the other transactions of the call are done.
 *
 *     struct step steps[] = {{.stmt = &finish, .params = &p, .sync = true}, {.stmt = &claim, .params = &q, .sync = true}};
 *     if (!db_run(db, steps, COUNT_OF(steps), deadline, e)) …     // the connection was lost: see steps[i].synced
 *     if (steps[0].err.code != ERR_NONE) …                        // PostgreSQL refused this one
 */
#ifndef LATHE_STORE_DB_H
#define LATHE_STORE_DB_H

#include <libpq-fe.h>

#include "core/clock.h"
#include "core/conf.h"
#include "store/gate.h"
#include "store/hosts.h"
#include "store/params.h"

struct stmt {
    const char *name; /* NULL: it is needed once, and is not prepared */
    const char *sql;
};

struct step {
    const struct stmt *stmt;
    const struct params *params; /* NULL: none */
    bool sync;                   /* ends the transaction */
    void (*over)(
        void *arg); /* with sync: called when its transaction is over, before later ones are answered */
    void *arg;
    /* set by db_run */
    PGresult *result; /* db_steps_clear frees it; NULL when err is set or the connection was lost before */
    struct err err;   /* PostgreSQL refused it: ERR_DATA, ERR_SCHEMA, ERR_STORE, … */
    bool synced;      /* its transaction is over: committed, if no step of it has err set */
    int64_t over_at;  /* clock_now() when that was heard, of a step with sync */
};

#define DB_STATEMENTS 64

struct db {
    const struct conf *conf;
    struct db_gate *gate; /* NULL: none */
    const char *role;     /* application_name is lathe-<role> */
    bool arrays;          /* its statements bring arrays: see SETTINGS in open.c */
    bool impatient;       /* waits for a lock a twentieth of store.timeout at most */
    bool unlimited;       /* a statement may take as long as it takes */
    void (*meanwhile)(
        void *arg); /* NULL: none; called when the steps have gone out, before their answers are waited for */
    void *meanwhile_arg;
    int64_t sent_at;  /* clock_now() when the latest steps had gone out; 0: they did not */
    int64_t heard_at; /* likewise when PostgreSQL said something last */
    struct db *
        beside; /* NULL: none; its answers are read too while this one waits: PostgreSQL may hold there what is waited for here */
    int hurry;  /* while this descriptor is readable nothing waits longer than a second; -1: none */
    PGconn *conn;   /* NULL: not open */
    PGconn *coming; /* NULL: none; begun and not open yet */
    PostgresPollingStatusType coming_wants;
    struct lookup *lookups
        [HOSTS_MOST]; /* NULL: none; of the hosts' names, which may take longer than one try to open it */
    const struct stmt *prepared[DB_STATEMENTS];
    size_t prepared_n;
};

/* Opens it if it is not open. ERR_STORE at once while the gate is closed. ERR_CONFIG: store.url cannot be read. */
bool db_open(struct db *db, int64_t deadline, struct err *e) LATHE_CHECK;
void db_close(struct db *db); /* also drops what is under way, names that are being looked up too */

/* Begins to open it, as far as that needs no waiting, so that the first db_open finds more of it done: the server forks a process and
 * reads its catalogs meanwhile. What goes wrong is for db_open, which then begins anew. */
void db_begin(struct db *db);
void db_take_over(struct db *db, struct db *begun); /* what was begun there, if anything was */

/* False: the connection could not be opened, or was lost or too slow (ERR_STORE), and is closed. */
bool db_run(struct db *db, struct step *steps, size_t n, int64_t deadline, struct err *e) LATHE_CHECK;

/* Opens it, and prepares what these steps need, so that sending them waits for nothing. False: as above. */
bool db_ready(struct db *db, struct step *steps, size_t n, int64_t deadline, struct err *e) LATHE_CHECK;

/* The same in two halves, between which another connection may be used. db_send: they have gone out, or are about to; false as
 * above, and then there is nothing to be taken. The steps stay where they are until then. */
bool db_send(struct db *db, struct step *steps, size_t n, int64_t deadline, struct err *e) LATHE_CHECK;
bool db_take(struct db *db, struct step *steps, size_t n, int64_t deadline, struct err *e) LATHE_CHECK;
/* Waits for either: is it `db` of whom there is something to be taken, and not `beside` alone? Also true when neither answers. */
bool db_answers(const struct db *db, const struct db *beside, int64_t deadline);

/* One statement in its own transaction; its own error is the call's. */
bool db_one(struct db *db, const struct stmt *stmt, const struct params *params, int64_t deadline,
            PGresult **ret, struct err *e) LATHE_CHECK;

/* Text of several statements, as in a migration. Not while steps are under way. */
bool db_script(struct db *db, const char *sql, int64_t deadline, struct err *e) LATHE_CHECK;

/* One statement, as text, without waiting for its end: false at the start if it could not be sent. Nothing else may be run on
 * the connection; db_script_over says when it is over, however it ended, and closes it. *ret: its result, to be cleared; *e: why
 * PostgreSQL refused it. Neither, if the connection was lost, which is for those to tell who open one next. Both may be NULL. */
bool db_script_start(struct db *db, const char *sql, int64_t deadline, struct err *e) LATHE_CHECK;
/* Waits for it until then; clock_now(): only looks. */
bool db_script_over(struct db *db, int64_t deadline, PGresult **ret, struct err *e) LATHE_CHECK;

/* Between the files of db.h: until one of `events` is so on a descriptor, or on its socket, of which *ret_got tells. False: not by the
 * deadline, or a second after somebody hurries. */
bool db_wait_for(struct db *db, int fd, short events, int64_t deadline, short *ret_got,
                 struct err *e) LATHE_CHECK;
bool db_wait(struct db *db, short events, int64_t deadline, short *ret_got, struct err *e) LATHE_CHECK;

void db_steps_clear(struct step *steps, size_t n);
void db_result_clear(PGresult **r); /* for CLEANUP() */

#endif
