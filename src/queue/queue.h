/*
 * queue.h: the one path of every task, store and cache together: put, wait, look, cancel on the api's side; turn, beat,
 * release, reap on the worker's side. The store is the truth and is asked by a jittered poll; Redis only makes the asking
 * prompt. With Redis gone everything here still works, slower.
 */
#ifndef LATHE_QUEUE_QUEUE_H
#define LATHE_QUEUE_QUEUE_H

#include "cache/cache.h"
#include "model/submission.h"
#include "store/store.h"

struct queue;

enum queue_side { QUEUE_API, QUEUE_WORKER, QUEUE_CLIENT };

/* QUEUE_API starts the group-commit writer and the waiters' thread; QUEUE_CLIENT (the command line) reads only. */
bool queue_open(const struct conf *c, enum queue_side side, struct queue **ret, struct err *e) LATHE_CHECK;
void queue_close(struct queue *q); /* waiting callers get their task as it is */

struct store *queue_store(struct queue *q);
struct cache *queue_cache(struct queue *q); /* may be NULL */
bool queue_prompt(struct queue *q);         /* messages arrive: nobody has to wait for a poll */

/* ---- the api's side ---- */

#define QUEUE_COMPARE "compare" /* the strategy's name of a comparison's parent */

/*
 * Makes task rows of a submission (one task; for `compare` a parent and a child a strategy) and hands them to the writer.
 * `done` is called once from the writer's thread after the commit, with the id to answer with (existing: of the task that
 * does its unique work already; nothing was written). Workers are told of a task when they can see it, which may be before; its end is
 * committed behind it, so that a wait which `done` registers is in time, or finds it at its first look. Everything is allocated in
 * `a`, which must live until then. False (ERR_BUSY …): nothing happens.
 */
bool queue_put(struct queue *q, struct arena *a, const struct submission *s,
               void (*done)(void *arg, struct uuid id, bool existing, const struct err *e), void *arg,
               struct err *e) LATHE_CHECK;

/* What became of one of many. */
struct put_result {
    struct uuid id;
    enum task_state state;
    bool existing;             /* its unique work is there already, as this task: nothing was written */
    const struct err *refused; /* NULL: it was accepted */
    size_t row;                /* the queue's */
};

/* The same for many submissions in one commit, LIMIT_BATCH at most with their callbacks. Each may be refused by itself, with
 * what depends on it; the others are written. `e` of done: nothing was. The results are in the order of the list. */
bool queue_put_many(struct queue *q, struct arena *a, const struct submission *const *list, size_t n,
                    void (*done)(void *arg, const struct put_result *results, size_t n, const struct err *e),
                    void *arg, struct err *e) LATHE_CHECK;

/*
 * A submission whose items come in pieces, as NDJSON: they go to the store as they come, at most a few MiB are held, and the task
 * is there with queue_stream_end or not at all. One thread, which waits for PostgreSQL. `s` has no items of its own; it gets
 * what they turn out to be, and must live as long as the arena. ERR_BAD_JSON, ERR_BAD_FIELD and ERR_TOO_LARGE name the line.
 *
 * Units: a strategy that makes one unit has LIMIT_UNIT_INPUT bytes of items. `background` has so much in each unit of batch_size
 * items, which is doubled as often as LIMIT_UNITS asks for; the task shows what was used.
 */
struct queue_stream;
bool queue_stream_new(struct queue *q, struct arena *a, struct submission *s, struct queue_stream **ret,
                      struct err *e) LATHE_CHECK;
bool queue_stream_feed(struct queue_stream *st, struct span piece, struct err *e) LATHE_CHECK;
/* `done` as in queue_put, but on this thread, before it returns true; false: nothing is written. Frees st either way. */
bool queue_stream_end(struct queue_stream *st,
                      void (*done)(void *arg, struct uuid id, bool existing, const struct err *e), void *arg,
                      struct err *e) LATHE_CHECK;
void queue_stream_drop(struct queue_stream *st);           /* instead: nothing is written */
int64_t queue_stream_items(const struct queue_stream *st); /* so far */

/* The task, with the live progress that Redis knows laid over it. */
bool queue_get(struct queue *q, struct arena *a, struct uuid id, struct task *ret, struct err *e) LATHE_CHECK;

/*
 * Calls `ready` once, from the waiters' thread: when the task is final, or as it is at the deadline; `t` is read into `a`.
 * With e set (t NULL) the store could not be asked (the deadline may then have passed by up to store.timeout), or there is
 * no such task. Costs no thread. ERR_BUSY when LIMIT_CALLS wait already.
 * queue_unwait takes it back: true if ready will not be called any more; false: it was called, or is about to be.
 */
struct queue_wait {
    struct uuid id;
    struct arena *a;
    int64_t deadline;
    void (*ready)(void *arg, const struct task *t, const struct err *e);
    void *arg;
    /* the queue's (waits.c): zero in the beginning */
    struct queue_wait *next, **link; /* of those whose ids share a bucket; afterwards: of those to be told */
    const struct task *found;
    int64_t since, at;
    size_t place;
    bool linked, late;
};
bool queue_wait(struct queue *q, struct queue_wait *w, struct err *e) LATHE_CHECK;
bool queue_unwait(struct queue *q, struct queue_wait *w);

/* store_cancel, then tells workers at once, and those who wait for what ended by it. */
bool queue_cancel(struct queue *q, struct arena *a, struct uuid id, struct task *ret,
                  struct err *e) LATHE_CHECK;

/* store_retry of one task, then tells workers. ERR_NO_TASK, ERR_CONFLICT. */
bool queue_retry(struct queue *q, struct uuid id, bool failed_only, struct err *e) LATHE_CHECK;

/* The same of those that a filter finds, f->limit at most, LIMIT_RETRY a transaction. When it fails some may run already. */
struct retried {
    int64_t count, refused;
    struct uuid next; /* the `before` to go on with; nil: there are no more */
    struct uuid last; /* one that was refused, and why */
    struct err why;
};
bool queue_retry_all(struct queue *q, struct arena *a, const struct task_filter *f, bool failed_only,
                     struct retried *ret, struct err *e) LATHE_CHECK;

/* store_pause_queue, and workers are told of a queue that goes on. */
bool queue_pause(struct queue *q, struct span name, bool paused, struct span reason,
                 struct err *e) LATHE_CHECK;
void queue_look(struct queue *q, struct span name); /* tells workers that there may be work */

/* ---- the worker's side; the thread of its claim loop ---- */

struct queue_worker;

/* `bell` is rung (net_ring) when there may be work or a cancel: a message came, or the subscription began anew. */
bool queue_worker_new(struct queue *q, struct worker_info *info, int bell, struct queue_worker **ret,
                      struct err *e) LATHE_CHECK;
void queue_worker_free(struct queue_worker *w);
void queue_hand(struct queue_worker *w, void (*claimed)(void *arg, struct claim *c),
                void *arg);                                           /* store_worker_hand */
void queue_bound(struct queue_worker *w, int64_t most_ms, int hurry); /* store_worker_bound */

/* store_turn, then tells the waiters what ended and workers (this one too, by its bell) what was released. */
bool queue_turn(struct queue_worker *w, struct finish *finishes, size_t n, int want, struct claim *ret,
                struct err *e) LATHE_CHECK;
bool queue_beat(struct queue_worker *w, struct arena *a, const struct worker_info *info,
                const struct uuid *leases, size_t n, bool *lost, struct uuid **ret_cancelled,
                size_t *ret_cancelled_n, struct err *e) LATHE_CHECK;
/* Ms until the first time, of those that messages told, for which units wait: be there to queue_wake then. 0: it is past, and told
 * no more; -1: there is none. The bell is rung for a time that is before the one known. */
int64_t queue_later(struct queue_worker *w);
/* Ids that cancel messages named since the last call: look at them now and not at the next beat. */
size_t queue_cancels(struct queue_worker *w, struct uuid *out, size_t room);
void queue_tell(struct queue_worker *w, const struct cache_view *views,
                size_t n); /* progress; never fails aloud */
bool queue_release(struct queue_worker *w, const struct unit *const *units, size_t n, bool count,
                   struct err *e) LATHE_CHECK;
/* store_wake, then tells workers if something woke. */
bool queue_wake(struct queue_worker *w, int64_t *ret_next_ms, int64_t *ret_fire_ms,
                struct err *e) LATHE_CHECK;
/* Fires one schedule that is due: its tasks are put, it is moved on, workers are told. *ret_fired false: none is due, or another
 * worker fires. */
bool queue_fire(struct queue_worker *w, bool *ret_fired, struct err *e) LATHE_CHECK;
/* store_warm, store_measure. */
bool queue_warm(struct queue_worker *w, struct err *e) LATHE_CHECK;
bool queue_measure(struct queue_worker *w, struct err *e) LATHE_CHECK;
/* store_horizon, and a line in the log if there is something. */
void queue_look_at_horizon(struct queue_worker *w);
/* store_forget, a round of LIMIT_FORGET. */
bool queue_forget(struct queue_worker *w, int64_t *ret_deleted, bool *ret_more, struct err *e) LATHE_CHECK;
bool queue_reap(struct queue_worker *w, struct arena *a, struct reaped *ret, struct err *e) LATHE_CHECK;

#endif
