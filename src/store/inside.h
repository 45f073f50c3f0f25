/* inside.h: what the files of store/ share. */
#ifndef LATHE_STORE_INSIDE_H
#define LATHE_STORE_INSIDE_H

#include <assert.h>
#include <pthread.h>

#include "core/cond.h"
#include "store/claim_from.h"
#include "store/db.h"
#include "store/store.h"

#define POOL_MOST 64

struct store {
    const struct conf *conf;
    char role[32];
    struct db_gate gate;
    pthread_mutex_t mutex;
    pthread_cond_t freed;
    struct db pool[POOL_MOST];
    struct db *idle[POOL_MOST];
    size_t idle_n, pool_n;
    struct db begun;          /* by store_begin, for the next worker */
    struct store_stats stats; /* under mutex */
    int64_t stats_until;      /* 0: there are none yet */
    bool stats_asked;         /* somebody fetches new ones */
};

/* learn.c: what finished units taught and the store was not told yet, summed up by handler, digest and strategy. What is not familiar
 * is told in the turn that it comes with, the rest a quarter of a second later or when there are many. */
struct lesson {
    uint64_t digest;
    struct span handler, strategy; /* of their arena; strategy "": these runs say nothing of its pace */
    int64_t runs, items, failed, cpu, wait, bytes;
    double factors; /* measured by predicted, a sum over the runs */
};

struct lessons {
    struct arena arena;
    struct lesson *list;
    size_t count, room;
    int64_t since; /* clock_now() when the first came */
    bool urgent;
    struct params profiles, corrections;
};

void lessons_add(struct lessons *l, struct finish *const *list, size_t n); /* each finish once */
bool lessons_due(const struct lessons *l);
size_t lessons_steps(struct lessons *l, struct step *steps); /* up to 3, one transaction */
void lessons_clear(struct lessons *l);                       /* they have been told, or refused */
void lessons_release(struct lessons *l);

struct store_worker {
    struct store *store;
    struct db db, sweeper;
    struct db claims;     /* a session for claims beside many ends; open while there are such turns */
    int64_t claims_used;  /* clock_now() when it was used last */
    int64_t claims_after; /* from which on it may be used again: something was wrong with it */
    bool claims_failed;   /* and the log says so */
    enum sweeping {
        SWEEPING_NOTHING,
        SWEEPING_WORK,
        SWEEPING_TABLES
    } sweeping;            /* what the sweeper is about */
    bool sweep_failed[3];  /* by that: the last time, and the log says so */
    bool vacuumed;         /* `work`, so that tables may be counted now */
    int64_t looked;        /* clock_now() when somebody was sent to count tables */
    int64_t look_pause_ms; /* no sooner after that again; 0: something came of it */
    int64_t seen;          /* of what was due then */
    struct uuid id;
    struct claim_from from;
    struct lessons lessons;
    struct uuid unsure; /* a lease of which nobody knows whether it was made; nil: none */
    struct uuid slow; /* the task of a large unit whose finish did not end in time, and how often in a row */
    int slow_n;
    struct uuid forgot; /* up to which task this pass of store_forget has come; nil: it begins */
    int64_t claimed;    /* clock_now() when a claim was last answered; 0: never */
    bool quiet;         /* the latest claim left nothing, or there was none yet: the next may be for one */
    bool more;          /* the latest claim was for one, and there is more */
    int64_t one_after;  /* clock_now() from which on a claim for one is worth a try */
    bool answered;      /* PostgreSQL did something for us since then */
    bool deaf;          /* the last turn's evidence or claim was refused, and the log says so */
    struct span queues; /* owned copy, as in the settings */
    void (*told)(void *arg, const struct finish *f);
    void *told_arg;
    void (*on_claim)(void *arg, struct claim *c); /* NULL: claims have no session of their own */
    void *on_claim_arg;
    int64_t most_ms; /* that a call may take; 0: store.timeout */
};

/* worker.c. A claim whose answer was lost may have been made; false: PostgreSQL was lost. What runs taught and was not told. */
bool worker_give_back_unsure(struct store_worker *w, int64_t deadline, struct err *e) LATHE_CHECK;
void worker_tell_lessons(struct store_worker *w, int64_t deadline);

/* A connection of its own for a writer or a worker. Not opened yet. */
void store_db_init(struct store *s, struct db *db, bool arrays);

int64_t store_deadline(struct store *s);
int64_t store_worker_deadline(const struct store_worker *w);

/* Runs the steps on a connection of the pool. They must be harmless to run twice: a connection that turns out to be dead
 * is replaced and they are sent again. The first step's error is the call's. */
bool store_run(struct store *s, struct step *steps, size_t n, struct err *e) LATHE_CHECK;
bool store_run_until(struct store *s, struct step *steps, size_t n, int64_t deadline,
                     struct err *e) LATHE_CHECK;
bool store_read(struct store *s, const struct stmt *stmt, const struct params *p, PGresult **ret,
                struct err *e) LATHE_CHECK;

/* Condition variables that wait on the clock of clock_now(). */

void params_release_at(struct params *p); /* for CLEANUP() */

/* The state that is shown. What a worker has is running, and what has its time ahead is scheduled, though nothing was
 * written when that began or ends. */
#define TASK_STATE                                                         \
    "CASE WHEN t.state = 'queued' AND h.since IS NOT NULL THEN 'running' " \
    "WHEN t.state = 'queued' AND t.run_at > now() AND t.tries = 0 THEN 'scheduled' ELSE t.state END"

/* tasks.c: every column that `struct task` shows; t is tasks. STATE: as it is shown, SINCE: when it began, STOPS: whether it is
 * asked to stop, AGAIN: whether it failed and is tried again. */
#define TASK_COLUMNS_OF(STATE, SINCE, STOPS, AGAIN)                                                                \
    "t.id, t.parent, " STATE ", " STOPS                                                                            \
    ", t.handler, t.strategy, t.inner_strategy, t.queue, t.params, t.tags, "                                       \
    "t.meta, t.shape_used[1], t.shape_used[2], t.shape_used[3], t.shape_used[4], t.priority, t.attempt, "          \
    "t.items_total, t.items_done, t.items_failed, t.batch_size, t.workers, t.units_total, t.units_done, "          \
    "t.item_timeout_ms, t.timeout_ms, t.fail_fast, t.created_at, " SINCE ", t.finished_at, "                       \
    "t.run_at, t.tries, t.terms::text, t.wall_us, t.cpu_us, t.wait_us, t.peak_rss_kib, t.cached, t.predicted_us, " \
    "CASE WHEN t.state = 'failed' THEN CASE WHEN t.units_failed = 0 THEN 'items-failed' ELSE t.error_code END "    \
    "WHEN " AGAIN " THEN t.error_code END, CASE WHEN t.state = 'failed' OR " AGAIN " THEN t.error_text END"

/* h.since is when its lease began, or NULL */
#define TASK_COLUMNS                                                                                     \
    TASK_COLUMNS_OF(TASK_STATE, "coalesce(t.started_at, CASE WHEN t.state = 'queued' THEN h.since END)", \
                    "t.cancelling AND NOT lathe_final(t.state)",                                         \
                    "(t.tries > 0 AND NOT lathe_final(t.state))")

/* Of a task that has ended: the same, where no lease needs to be looked for. */
#define TASK_ENDED_COLUMNS TASK_COLUMNS_OF("t.state", "t.started_at", "false", "false")

/* A column behind TASK_COLUMNS: the first lines of the results, at most $N bytes. */
#define TASK_RESULTS(N)                                                                              \
    "substring(coalesce(t.result, (SELECT r.bytes FROM results r WHERE r.task = t.id AND r.seq = 0 " \
    "AND r.part = 0)) FROM 1 FOR " N "::integer)"

/* h: since when a worker has a queued task. */
#define TASK_HELD                                                    \
    "LEFT JOIN LATERAL (SELECT min(l.since) AS since FROM leases l " \
    "WHERE t.state = 'queued' AND t.id = ANY (l.tasks)) h ON true"

/* lease.c: two columns, ended and released, as the functions of 002_functions.sql answer. */
struct row;
struct ended ended_from_row(struct arena *a, struct row *r);

void task_from_row(struct arena *a, const PGresult *result, int row, struct task *ret);

/* put.c: the statements of the group commit: one for each kind of tasks that are alike, one for the rest of them, one for
 * those that are not just put to work. */
#define PUT_KINDS 4      /* that are sent by themselves */
#define PUT_KIND_LEAST 4 /* rows of such a kind */
#define PUT_STEPS (PUT_KINDS + 2)

struct put_row {
    const struct new_tasks *list;
    const struct new_task *task;
    int64_t sender; /* the number of its list in the batch */
    struct put_row *next;
};

struct put_rows {
    struct put_row *first, **end;
    size_t count;
};

/* Kept from batch to batch for its memory. */
struct put_batch {
    bool
        fresh; /* sent for the first time, with new ids; else those that are there already are left as they are */
    struct put_row *rows;
    size_t room;
    struct put_rows kinds[PUT_KINDS], rest;
    struct params params[PUT_STEPS];
};

void put_batch_init(struct put_batch *b);
void put_batch_release(struct put_batch *b);
/* One transaction; returns how many steps. They use the lists, and the batch, until the next call. */
size_t put_steps(struct put_batch *b, struct new_tasks *const *lists, size_t n, struct step *steps);
/* After it: the verdicts of the lists. */
void put_answers(const struct step *steps, size_t steps_n, struct new_tasks *const *lists, size_t n);
size_t put_bytes(const struct new_tasks *t);
bool put_placed(
    const struct new_tasks *t); /* one of them is not just put to work: a verdict may be against it */
size_t put_weight(const struct new_tasks *t); /* rows that it becomes: its tasks, and what they depend on */

/* follow.c: what lathe_place answers, to the lists. */
void place_answers(const PGresult *r, struct new_tasks *const *lists, size_t n);

/* finish.c: two statements for one transaction, since most units are a task's only one and end in one update; and one for a
 * single such unit, which a statement of arrays would cost more than it is worth. */
extern const struct stmt finish_stmt, finish_many_stmt, finish_one_stmt;
/* Into ret: those that are finished by the quick ones, by id, each task once, then the others. Returns how many are quick. */
size_t finish_sort(struct finish *const *list, size_t n, struct finish **ret);
void finish_one_params(struct params *p, const struct finish *f);
void finish_params(struct params *p, struct finish *const *list, size_t n);
void finish_answers(const PGresult *r, struct finish *const *list, size_t n);
void finish_many_params(struct params *p, struct finish *const *list, size_t n,
                        size_t more); /* that the general one finishes, behind these in the list */
void finish_many_answers(const PGresult *r, struct finish *const *list, size_t n); /* and of finish_one */

/* Before these, in their transaction, where an item's result was remembered. False: no task asks for that. */
extern const struct stmt cached_stmt;
bool cached_params(struct params *p, struct finish *const *list, size_t n);

/* logs.c: in the transaction of the finish, before it. False: nobody has anything to say. */
extern const struct stmt logs_stmt;
bool logs_params(struct params *p, struct finish *const *list, size_t n);

/* claim.c */
extern const struct stmt claim_one_stmt; /* for a worker that waits: one unit, or none, of a plain queue */
void claim_one_params(struct params *p, struct store_worker *w, struct uuid lease, int want);
/* True: there are other units, or it is not plain; claim_stmt then gets them. */
bool claim_one_read(const PGresult *r, struct uuid lease, struct claim *ret, struct claim_place *ret_last);
extern const struct stmt lazy_stmt; /* this transaction may be lost in a crash of the server */
extern const struct stmt claim_begin_stmt, claim_stmt; /* two steps, one transaction; likewise lazy */
void claim_params(struct params *p, struct store_worker *w, struct uuid lease, int want,
                  const struct claim_place *from);
void claim_read(const PGresult *r, struct uuid lease, struct claim *ret,
                struct claim_place *ret_last); /* of the last unit; untouched where there is none */

/* lease.c */
extern const struct stmt release_stmt;
void release_params(struct params *p, struct uuid lease); /* all of it */

/* sweep.c, with store_measure: vacuums `work` in the background when `dead` rows are many. Called now and then; never waits for it. */
void sweep(struct store_worker *w, int64_t dead);

#endif
