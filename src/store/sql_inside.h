/*
 * sql_inside.h: what the files of sql_port.c share: a call, a connection that calls are sent on, a client that has calls
 * and borrows connections, and the pool that lends them.
 *
 *     call   one statement of one item; it waits in its lane, or is on a connection, or is done
 *     lane   the calls of one thread to one database
 *     conn   in the hands of one lane at a time, or idle in the pool; never of two threads
 *     pool   of one database in this process
 */
#ifndef LATHE_STORE_SQL_INSIDE_H
#define LATHE_STORE_SQL_INSIDE_H

#include <libpq-fe.h>
#include <pthread.h>
#include <stdatomic.h>

#include "core/json.h"
#include "core/limits.h"
#include "model/sql.h"

struct lookup;
struct sql_lane;
struct sql_client;

struct sql_one {
    struct sql_call shown; /* first */
    const struct sql_query *query;
    struct sql_lane *lane;
    struct item *item;           /* NULL: it was dropped while it was on a connection */
    struct sql_conn *conn;       /* NULL: it waits, or is done */
    struct sql_one *prev, *next; /* in the lane or on the connection */
    struct buf text;             /* the values, a NUL behind each */
    const char **values;
    int count;
    int again;   /* how often it was sent anew through no fault of its own */
    bool resend; /* so it is when its answer is over */
    bool cancelled;
    struct buf out;
    struct json_out json;
};

struct sql_list {
    struct sql_one *first, *last;
    int64_t count;
};

void sql_list_put(struct sql_list *l, struct sql_one *c);
void sql_list_put_first(struct sql_list *l, struct sql_one *c);
void sql_list_take(struct sql_list *l, struct sql_one *c);

/* ---- connections (sql_conn.c): one thread at a time */

enum sql_state {
    SQL_CONNECTING,
    SQL_CHORE, /* it prepares something; no call is on it */
    SQL_READY,
    SQL_DEAD,
};

/* What a sync of a chore is of, and so whose trouble its refusal is. */
enum sql_chore {
    SQL_SETTING,   /* the session's: it is of no use */
    SQL_WISH,      /* a setting without which it is of use */
    SQL_STATEMENT, /* the caller's: it cannot be prepared */
};

struct sql_conn {
    PGconn *pg; /* NULL: `opening` still looks for its hosts */
    struct sql_opening *opening;
    struct sql_pool *pool;
    struct sql_lane *lane; /* NULL: idle */
    struct sql_conn *next; /* in the pool, in a lane's `given`, or among the dead */
    enum sql_state state;
    struct sql_list calls;
    int64_t until;  /* when what it does is too late; CLOCK_NEVER: it does nothing */
    int64_t began;  /* the first of the calls; or since when it is idle */
    int64_t pace;   /* ns that a statement takes behind another one, lately */
    int64_t unread; /* bytes that libpq took since the last result, at least */
    bool behind;    /* the first of the calls was sent while another was under way */
    bool served;    /* the lane that has it has sent something on it */
    bool write;     /* what the session is set to */
    int cancels;    /* that were asked for, and have hit nothing yet */
    int echoes;     /* of those that have: each may hit once more */
    struct {
        const struct sql_query *query; /* NULL: of the session's own settings */
        int64_t began;
        int syncs;           /* to come */
        enum sql_chore last; /* before the last of them; before the others: SQL_SETTING */
        struct err err;
    } chore;
    struct prepared {
        const struct sql_query *query;
        unsigned number; /* its name is lathe_<number> */
        int values;      /* that it takes */
    } * prepared;
    size_t prepared_n, prepared_room;
    unsigned numbers;
    int watched;      /* descriptor in the client's set; -1: none */
    unsigned events;  /* that it is watched for */
    struct err err;   /* why it was lost */
    char detail[200]; /* more of it, for the log */
    bool busy;        /* something was on it when it was let go */
    bool dropped;     /* by us, because of its first call: those behind may be sent anew, if they only read */
};

/* Begins to connect. Never NULL: one that cannot even begin is found at the first turn. */
struct sql_conn *sql_conn_new(struct sql_pool *pool);
/* Closes; what is under way is cancelled. The calls are no business of it any more. */
void sql_conn_free(struct sql_conn *c);

/* Reads what is there and goes on with what it does. False: it is lost, c->err says why. */
bool sql_conn_turn(struct sql_conn *c) LATHE_CHECK;
bool sql_conn_flush(struct sql_conn *c) LATHE_CHECK; /* likewise; sends what is unsent */
int sql_conn_fd(const struct sql_conn *c);
unsigned sql_conn_wants(const struct sql_conn *c); /* EPOLLIN, EPOLLOUT */

/* May it be sent at once, or must the connection be made ready for it first (by a chore, when nothing else is on it)? */
bool sql_conn_fits(const struct sql_conn *c, const struct sql_query *q);
bool sql_conn_chore(struct sql_conn *c, const struct sql_query *q) LATHE_CHECK;
/* False: the connection is lost, and the call is where it was. */
bool sql_conn_send(struct sql_conn *c, struct sql_one *call) LATHE_CHECK;
int64_t sql_conn_depth(const struct sql_conn *c); /* calls that are worth having on it at once */
/* The item of its first call was dropped. What is quick ends by itself, since a cancel would rather hit the one behind it; what
 * is not is cancelled when `until` has come. */
void sql_conn_abandon(struct sql_conn *c);
/* It is overdue, and was still connecting: goes on to the next host at its next turn. False: there is none. */
bool sql_conn_skip(struct sql_conn *c);
bool sql_conn_overdue(
    struct sql_conn
        *c); /* `until` has come. False: only for a call that is not wanted, which was cancelled */
void sql_conn_cancel(struct sql_conn *c); /* its first call */
bool sql_conn_alive(struct sql_conn *c);  /* an idle one: has the server closed it meanwhile? */

/* What a connection tells (sql_port.c). */
void sql_call_over(struct sql_one *call);  /* shown is filled in */
void sql_call_again(struct sql_one *call); /* to the front of its lane */
void sql_chore_failed(struct sql_conn *c); /* chore.query cannot be prepared: chore.err */

/* ---- how one begins (sql_opening.c): the names of its hosts are looked up (lookup.h) before libpq has it, which would do that itself
 * and hold the thread meanwhile */

/* `end`: when it is too late for all of its hosts. */
struct sql_opening *sql_opening_new(struct sql_pool *pool, int64_t end);
void sql_opening_free(struct sql_opening *o); /* NULL: nothing */
/* Goes on with it; at first, when sql_opening_fd is readable, and when what it began has failed or took too long and there are more hosts.
 * *ret: the connection that was begun; NULL: not yet. False: no host that is left has an address. */
bool sql_opening_turn(struct sql_opening *o, PGconn **ret, struct err *e) LATHE_CHECK;
int sql_opening_fd(const struct sql_opening *o);        /* -1: nothing is being looked up */
int64_t sql_opening_until(const struct sql_opening *o); /* of what was begun last */
bool sql_opening_skip(struct sql_opening *o); /* gives that up. False: there is nothing else to try */

/* ---- pools (sql_pool.c): any thread */

struct sql_lane {
    struct sql_client *client;
    struct sql_pool *pool;
    struct sql_list calls; /* that wait */
    struct sql_conn *conns[LIMIT_SQL_CONNECTIONS];
    int conns_n;
    int64_t sent; /* calls on them */
    struct sql_lane *next;
    /* under the pool's lock */
    bool waits;  /* for a connection: it has none */
    int permits; /* that it may open */
    struct sql_conn *given;
    struct sql_lane *prev_waiting, *next_waiting;
};

struct sql_pool {
    const struct sql_database *database;
    struct sql_pool *next;
    pthread_mutex_t lock;
    int64_t open;          /* connections and permits: database->connections at most */
    struct sql_conn *idle; /* the one that was used last is first */
    struct sql_lane *waiting, *waiting_end;
    _Atomic int wanted;                            /* lanes that wait */
    struct lookup *lookups[LIMIT_SQL_CONNECTIONS]; /* whose callers did not wait for their end: others may */
    int lookups_n;
    int failures;
    int64_t down_since, next_try; /* clock_now(); 0: as far as is known it is there */
    struct err why;
};

struct sql_pool *sql_pool_of(const struct sql_database *d);

enum sql_loan { LOAN_CONN, LOAN_PERMIT, LOAN_NONE, LOAN_DOWN };
/* One more connection. LOAN_NONE: all are lent, and a lane that has none is lined up: it is rung for. LOAN_DOWN: the server
 * is away, and it is not yet time to look again. */
enum sql_loan sql_pool_borrow(struct sql_pool *p, struct sql_lane *l, struct sql_conn **ret);
/* What was given to the lane since it lined up: *ret NULL: nothing; *ret_permits more may be opened. */
struct sql_conn *sql_pool_given(struct sql_pool *p, struct sql_lane *l, int *ret_permits);
void sql_pool_return(struct sql_pool *p, struct sql_conn *c); /* nothing is on it */
void sql_pool_gone(struct sql_pool *p);                      /* one that was lent was closed, or not opened */
void sql_pool_leave(struct sql_pool *p, struct sql_lane *l); /* it waits no more */

void sql_pool_failed(struct sql_pool *p, const struct err *why,
                     const char *detail); /* detail: "" or for the log */
void sql_pool_reached(struct sql_pool *p);
/* Since when it has been away; 0: it is not. */
int64_t sql_pool_down(struct sql_pool *p, int64_t *ret_next_try, struct err *ret_why);

/* A lookup that was left, for whoever tries next: a name server that is silent for long has a question for each connection, not for each
 * try. */
void sql_pool_keep_lookup(struct sql_pool *p, struct lookup *l);
struct lookup *sql_pool_take_lookup(struct sql_pool *p, const char *name); /* NULL: there is none */

void sql_pools_idle(int64_t before); /* closes those that nobody has used since */

void sql_client_ring(struct sql_client *c); /* by the pool: something was given to one of its lanes */

#endif
