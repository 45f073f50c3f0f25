/*
 * inside.h: what the files of this folder share, and nobody else includes.
 */
#ifndef LATHE_API_INSIDE_H
#define LATHE_API_INSIDE_H

#include <pthread.h>

#include "api/api.h"
#include "core/json.h"
#include "core/limits.h"

struct parked;
struct prefer;

struct api {
    const struct conf *conf;
    struct queue *queue;
    struct store *store; /* the queue's, for reading */

    pthread_mutex_t lock; /* over all below; taken before the queue's own locks */
    pthread_cond_t work;
    struct parked *waiting;                /* doubly linked */
    struct parked *errands, **errands_end; /* singly linked by next */
    bool draining, stopping, thread_runs;
    pthread_t thread;
};

/* ---- answers (answer.c): each ends with call_send, after which the call must not be touched ---- */

/* Tells the log why, and sends. */
void answer_problem(struct call *c, const struct err *e);
/* The entity tag of the body as it stands; 304 without a body when the caller has it already. Sends. */
void answer_tagged(struct call *c);

/* 202 and where to look; the body is the caller's to write. */
void accepted(struct call *c, struct uuid task);

/* ---- reading requests (reading.c) ---- */

struct query_pair {
    struct span name, value, raw; /* raw as it was sent */
    bool used;
};

struct query {
    struct query_pair *list;
    size_t count;
};

/* All pairs, decoded. ERR_BAD_REQUEST, ERR_BAD_FIELD (a name given twice), ERR_TOO_LARGE. */
bool query_read(struct call *c, struct query *ret, struct err *e) LATHE_CHECK;
/* Takes the pair out; false if there is none of this name. */
bool query_take(struct query *q, const char *name, struct span *ret_value);
/* What was not taken goes into the target by the table; ERR_UNKNOWN_FIELD names what is not in it. */
bool query_fields(const struct query *q, const struct fields *f, void *target, struct err *e) LATHE_CHECK;
/* What was not taken, as it was sent, joined by '&'. */
struct span query_rest(struct call *c, const struct query *q);
/* For routes without parameters. */
bool query_none(struct call *c, struct err *e) LATHE_CHECK;

bool is_ndjson(const struct call *c); /* the body's type is application/x-ndjson */
/* The body as JSON, NULL if it is empty; `lines`: its list that is wanted as JSON_LINES (json_read_lines), NULL: none.
 * ERR_MEDIA_TYPE, ERR_BAD_JSON, ERR_TOO_LARGE. */
bool body_read(struct call *c, const char *lines, const struct json **ret, struct err *e) LATHE_CHECK;

/*
 * A submission from the body (of a POST) and the query, where params and other objects and lists stand as JSON text. `strategy` NULL: /compare.
 */
bool submission_of(const struct api *a, struct call *c, const struct strategy *strategy, struct query *q,
                   struct submission *ret, struct err *e) LATHE_CHECK;

/* May tasks be submitted to every queue that it names, those of its callbacks too (setting api.queues)? */
bool queues_known(const struct conf *c, const struct submission *s, struct err *e) LATHE_CHECK;

bool id_of(struct span text, struct uuid *ret, struct err *e) LATHE_CHECK; /* ERR_NO_TASK: not a UUID */

/* ---- waiting (park.c) ---- */

/*
 * A call that waits for a task. In the call's arena. `answer` is called exactly once and sends; with `store_ok` it may
 * ask the store, which takes its time, else it must do with p->task: as last seen.
 */
struct parked {
    struct api *api;
    struct call *call;
    struct task task;
    bool (*asks_store)(
        const struct task *t); /* answering wants the store: it is then done on a thread that may wait for
                                               * it; NULL: never */
    void (*answer)(struct parked *p, bool store_ok);
    void *arg;
    bool waited; /* for answer: p->task comes from a wait */

    struct queue_wait wait;
    struct parked *next, **link; /* of the api's list */
};

/* Until the task is final, ms have passed, or the api drains. Any thread. Owns the call from here on. */
void park(struct parked *p, int64_t ms);

bool park_start(struct api *a, struct err *e) LATHE_CHECK;
void park_drain(struct api *a);
void park_stop(struct api *a);

/* ---- documents (document.c) ---- */

/*
 * The task's members, and `comparison` when it is the parent of one. False: that is null, because the store was not to be
 * asked (store_ok false, and e stays as it is) or did not answer. The document is good nevertheless.
 */
bool document_write(struct api *a, struct call *c, const struct task *t, bool store_ok, struct json_out *o,
                    struct err *e) LATHE_CHECK;
/* Whether the document of t needs the store. */
bool document_asks(const struct task *t);
/* A task as it will be in the store once this submission is committed. */
struct task document_new(struct arena *a, const struct submission *s);

/* ---- putting (submit.c) ---- */

/* What the caller prefers of a wait of at most `most_ms`; tells it in the answer's headers what of that is done. */
struct prefer preferred(struct call *c, int64_t most_ms);

/* Submits, then waits as Prefer says, at most `most_ms`, and then has `done` answer; asks_store as in struct parked, but
 * not where there was no wait at all. Owns the call. */
void put_and_wait(struct api *a, struct call *c, const struct submission *s, int64_t most_ms,
                  bool (*asks_store)(const struct task *t), void (*done)(struct parked *p, bool store_ok),
                  void *arg);
/* 200 with the finished task, or 202 with the task as it is: also with one whose comparison could not be read. */
void answer_put(struct parked *p, bool store_ok);

/* ---- the functions that routes.def and alias.def name ---- */

typedef void route_function(struct api *a, struct call *c, struct span parameter);
route_function submit_task, batch_put, compare_run, recommend_get, tasks_list, task_get, task_cancel,
    results_get, log_get;
route_function task_retry, tasks_retry;
route_function queues_list, queue_show, queue_limit, queue_rest, queue_resume;
route_function schedules_list, schedule_put, schedule_get, schedule_delete, schedule_pause, schedule_resume;
route_function users_list, records_list, calls_list, stats_get;
route_function alias_run, word_begin, brief_get, brief_cancel, job_process;
route_function handlers_get, strategies_get, workers_get, health_get, ready_get, metrics_get;

#endif
