/* records.h: reading what handlers put (sql/014_records.sql), and figures over many tasks. */
#ifndef LATHE_STORE_RECORDS_H
#define LATHE_STORE_RECORDS_H

#include "model/task.h"
#include "store/store.h"

struct user_info {
    int64_t id, age; /* age: -1 if unknown */
    struct span email, name, meta;
    struct uuid task; /* nil: nobody's */
    int64_t item, created_us;
};

/* Newest first, before the number `before` (0: from the newest). email: only this one, in lower case; "": all. */
bool store_users(struct store *s, struct arena *a, struct span email, int64_t before, int limit,
                 struct user_info **ret, size_t *ret_n, struct err *e) LATHE_CHECK;

struct record_info {
    int64_t id;
    struct uuid task;
    int64_t item, status, bytes, fetched_us;
    struct span url, type, digest;
};

/* Of a task, in the order of its items, behind `after` (-1: from the first). */
bool store_records(struct store *s, struct arena *a, struct uuid task, int64_t after, int limit,
                   struct record_info **ret, size_t *ret_n, struct err *e) LATHE_CHECK;

struct call_info {
    int64_t at_us, us, item, status; /* status 0: there was no answer */
    struct span method, url, error;
};

/* Of a task, in the order in which they began, behind a call that began at `at_us` for `item` (0: from the first). */
bool store_calls(struct store *s, struct arena *a, struct uuid task, int64_t at_us, int64_t item, int limit,
                 struct call_info **ret, size_t *ret_n, struct err *e) LATHE_CHECK;

/* Tasks of a handler in a queue, or (both "") all of them. */
struct figures {
    struct span handler, queue;
    int64_t tasks, states[TASK_STATES], items_done, items_failed;
    double run_p50, run_p95, wait_p50, wait_p95; /* seconds; of those that have ended or begun; 0: none has */
};

struct figures_error {
    struct span code;
    int64_t count;
};

struct task_figures {
    int64_t from_us, to_us; /* of this time */
    bool whole; /* false: there were more tasks than are looked at, and from_us is later than was asked for */
    struct figures all, *groups;
    size_t groups_n;
    struct figures_error *errors; /* why tasks failed, the most frequent first */
    size_t errors_n;
};

/* Of the tasks submitted in the last window_s seconds, LIMIT_FIGURES_LOOK at most, the newest. */
bool store_figures(struct store *s, struct arena *a, int64_t window_s, struct task_figures *ret,
                   struct err *e) LATHE_CHECK;

#endif
