/*
 * rows_hub.h: the rows that handlers hand in, between the threads that run items and the threads that write. Inside store/ only.
 *
 * A row belongs to its client's thread until that hands it over (rows_send), then to the hub, and comes back with a verdict on
 * the client's list. A row whose call was dropped meanwhile is an orphan: whoever has it next frees it.
 */
#ifndef LATHE_STORE_ROWS_HUB_H
#define LATHE_STORE_ROWS_HUB_H

#include <libpq-fe.h>

#include "model/rows.h"
#include "store/params.h"

struct stmt;

#define ROW_COLUMNS 8
#define ROWS_TABLES 3

struct row_value {
    struct span text; /* without a pointer: NULL */
    int64_t number;
};

/* A table that rows are put into. Its statements take the arrays task, item, and one for each column. */
struct rows_table {
    const char *name;
    const struct stmt
        *fresh; /* returns id and true for each row, in order; refuses all when one is there already */
    const struct stmt *again; /* returns id and whether the row is the item's own, for each row, in order */
    enum pg_type columns[ROW_COLUMNS];
    int count;
    bool lazy;     /* a commit may be lost in a crash of the server; nobody waits for it */
    size_t number; /* its place among the queues */
    int key;       /* rows go in the order of this column, so that two transactions lock alike; -1: in any */
};

struct rows_client;

struct row_put {
    struct row_call shown;      /* the first member */
    struct rows_client *client; /* NULL: nobody waits for it */
    struct item *item;
    const struct rows_table *table;
    struct row_put *next;
    int64_t since, deadline;
    struct uuid task;
    int64_t index;
    bool orphan; /* under the hub's lock */
    size_t bytes;
    struct row_value values[ROW_COLUMNS]; /* their texts stand behind this */
};

struct rows_list {
    struct row_put *first, **end;
    size_t count, bytes;
};

void rows_list_init(struct rows_list *l);
void rows_list_add(struct rows_list *l, struct row_put *r);

/* A client: of the thread that runs items, but for what is marked. */
struct rows_client {
    int event; /* readable: there are verdicts */
    struct rows_list gathered;
    struct rows_list over; /* under the hub's lock: verdicts */
};

/* A copy of the values. The count is the table's. */
struct row_put *row_new(const struct rows_table *t, const struct row_value *values);

/* rows_writer.c: the hub. Any thread. */
bool rows_start(struct err *e) LATHE_CHECK; /* the threads that write, if they do not run yet */
void rows_send(struct rows_list *l);        /* hands all of them over; the list is empty then */
void rows_take_over(struct rows_client *c, struct rows_list *ret); /* the verdicts that have come */
void rows_orphan(struct row_put *r); /* its call was dropped before it was over */
/* A row without a client, of a lazy table. False: there is no room; it is still the caller's. */
bool rows_send_lazy(struct row_put *r);
void rows_settle(
    int64_t until);   /* waits for them to be done with all that was handed over: struct port_kind */
void rows_stop(void); /* ends the threads; at the end of the process */
int64_t rows_deadline(void);

/* rows_tables.c */
extern const struct rows_table rows_users, rows_records, rows_calls;
void rows_sort(const struct rows_table *t, struct row_put **rows, size_t n);
void rows_params(struct params *p, const struct rows_table *t, struct row_put *const *rows, size_t n);
/* False: the answer does not fit the question. */
bool rows_answers(const PGresult *r, struct row_put *const *rows, size_t n, struct err *e) LATHE_CHECK;

#endif
