/*
 * store.h: the truth, in PostgreSQL. The only floor with libpq. Every call has a deadline (setting store.timeout), a lost
 * connection is opened again with jittered back-off, and a failure is ERR_STORE (try again), ERR_SCHEMA (run `lathe
 * migrate`) or ERR_DATA (this row is at fault). Statements are prepared, arrays carry batches, one round trip for many.
 *
 * Who may call what: a `struct store` is for the whole process and any thread; reads take a connection from its pool and
 * wait for one at most until the deadline. `struct store_writer` has a thread and a connection of its own (group commit).
 * `struct store_worker` is for one thread: a worker's claim loop.
 *
 * Tables and statements: sql/001_tables.sql; docs/store.md draws the life of a row.
 */
#ifndef LATHE_STORE_STORE_H
#define LATHE_STORE_STORE_H

#include "core/arena.h"
#include "core/buf.h"
#include "core/cancel.h"
#include "core/conf.h"
#include "model/limit.h"
#include "model/profile.h"
#include "model/schedule.h"
#include "model/task.h"

struct store;
struct store_writer;
struct store_worker;

/* Does not connect yet: a service starts without PostgreSQL and becomes ready when it is there. */
bool store_open(const struct conf *c, const char *role, struct store **ret, struct err *e) LATHE_CHECK;
void store_close(struct store *s); /* after its writers and workers */
/* Begins to open the session that the next store_worker_new has, as far as that needs no waiting: PostgreSQL works on it while the
 * caller starts. Whether it succeeds, the worker's first call sees, as if nothing had been begun. */
void store_begin(struct store *s);

/* A round trip, and the schema's version against the program's. For /readyz and at start. */
bool store_ready(struct store *s, struct err *e) LATHE_CHECK;

/* ---- schema (migrate.c) ---------------------------------------------------------------------------------------- */

/* Applies what is missing, each file in a transaction, under an advisory lock; tells of each by `note`. Run again it does
 * nothing. ERR_SCHEMA when the database is newer than this program. */
bool store_migrate(struct store *s, void (*note)(void *arg, const char *text), void *arg,
                   struct err *e) LATHE_CHECK;

/* ---- submission: group commit (writer.c) ------------------------------------------------------------------------ */

/* A task to be. Everything borrowed until `done` was called. */
struct new_task {
    struct uuid id, parent; /* parent nil: none */
    int order;              /* among its siblings: children of one parent run one after another */
    bool waits;             /* a child whose turn comes later: state scheduled, no units yet */
    bool container;         /* a parent: state running, never has units of its own */
    struct span handler, strategy, inner, queue, params, tags, meta;
    uint64_t digest;
    bool has_shape;
    struct shape shape;
    int priority;
    int64_t items_total, batch_size, workers, unit_size; /* unit k is items [k*unit_size, …) */
    int64_t item_timeout_ms, timeout_ms;
    bool fail_fast;
    int64_t run_at_us;     /* not before; 0: at once */
    struct span terms;     /* JSON of model/terms.h; "": none, and the task costs nothing for them */
    size_t needs;          /* how many tasks `terms` says that it depends on */
    struct uuid inputs_of; /* whose inputs it reads: itself or its parent */
    const struct span
        *inputs;      /* one NDJSON chunk per unit, `units` of them, each line ended; NULL: items are only
                                     counted. A child may read its parent's with units of another size: it gets its items */
    int64_t units;    /* of a container: of its inputs */
    int64_t uploaded; /* bytes of its inputs that store_upload_add wrote, instead of `inputs`; 0: none */
    int64_t uploaded_unit; /* and of the largest unit */
};

/* Refused because its limit's key would be one too many; there is room again when others are not used any more. */
enum put_crowd {
    PUT_ROOM,    /* it is not */
    PUT_GREEDY,  /* of its list: LIMIT_FRESH_GATES that nobody uses yet are the most */
    PUT_CROWDED, /* of all: LIMIT_GATES */
};

/* What became of a task with terms that was put; zero: it was written as it is. */
struct put_verdict {
    struct uuid existing;  /* its unique work is there already, as this task: nothing was written. nil: no */
    enum task_state state; /* of that, as stored */
    int bad_need;          /* refused: the place in depends_on, from 1, of a task that is not there. 0: no */
    bool held;             /* refused: a transaction that lasts has its unique key: try again */
    enum put_crowd crowd;
};

/* Tasks that are accepted together or not at all, but for those with a verdict; what depends on these is refused too. `done` is called once, from the writer's thread: e is NULL after the
 * commit with synchronous_commit on, else says why it failed. ERR_STORE: PostgreSQL did not confirm it in time, and nobody knows
 * whether it was written (an answer to a commit may be lost); with every other error nothing was.
 *
 * `seen` (NULL: not wanted) is called before it, from the same thread, when workers can claim the tasks although the disk has not
 * confirmed them yet: perhaps not at all, perhaps again after a failure, perhaps before a done that says it failed. */
struct new_tasks {
    const struct new_task *list;
    size_t count;
    struct put_verdict *verdicts; /* `count` of them, written before done; NULL: not wanted */
    void (*done)(void *arg, const struct err *e);
    void (*seen)(void *arg);
    void *arg;
    bool resent;            /* set before done: `seen` may have been called for rows that were lost */
    struct new_tasks *next; /* the writer's, as are these */
    int64_t deadline;
    size_t weight, bytes;
};

bool store_writer_new(struct store *s, struct store_writer **ret, struct err *e) LATHE_CHECK;
void store_writer_stop(struct store_writer *w); /* begins what store_writer_free waits for; NULL is fine */
void store_writer_free(
    struct store_writer *w); /* writes what is queued, bounded by the deadline; the rest gets ERR_STOPPING */

/* Queues; any thread; never waits. ERR_BUSY when LIMIT_WRITE_QUEUE rows (what they depend on counts as rows) or LIMIT_WRITE_QUEUE_BYTES wait already: then done is not called. The first
 * batch goes at once, batches grow only while one is under way. A bad row never fails its neighbours. */
bool store_put(struct store_writer *w, struct new_tasks *t, struct err *e) LATHE_CHECK;

/* ---- submission: inputs that come in pieces (upload.c) ------------------------------------------------------------ */

/*
 * One transaction on a connection of its own: the inputs of a task as they come, its rows last. Whatever ends it before
 * store_upload_end, a crash of this process too, leaves nothing behind. One thread at a time; it waits for PostgreSQL,
 * at most store.timeout a call. After a call that failed only store_upload_free may follow.
 */
struct store_upload;

/* Items [first, first + count) as NDJSON, every line ended. Chunks come in order, without a gap. */
struct input_chunk {
    int64_t first, count;
    struct span bytes;
};

bool store_upload_new(struct store *s, struct uuid task, struct store_upload **ret,
                      struct err *e) LATHE_CHECK;
bool store_upload_add(struct store_upload *u, const struct input_chunk *list, size_t n,
                      struct err *e) LATHE_CHECK;
/* Commits the rows of t with the inputs, unless a verdict is against its first task, which must be the one of store_upload_new:
 * then nothing is written. t->done is not called. ERR_STORE: as struct new_tasks says. */
bool store_upload_end(struct store_upload *u, struct new_tasks *t, struct err *e) LATHE_CHECK;
void store_upload_free(struct store_upload *u); /* NULL is fine */

/* ---- reading (tasks.c, results.c) ------------------------------------------------------------------------------- */

bool store_get(struct store *s, struct arena *a, struct uuid id, struct task *ret,
               struct err *e) LATHE_CHECK; /* ERR_NO_TASK */
/* Those of `ids` that exist, any order; `finals_only` leaves out the others. One round trip. Returns their number. */
bool store_get_many(struct store *s, struct arena *a, const struct uuid *ids, size_t n, bool finals_only,
                    struct task **ret, size_t *ret_n, struct err *e) LATHE_CHECK;
bool store_children(struct store *s, struct arena *a, struct uuid parent, struct task **ret, size_t *ret_n,
                    struct err *e) LATHE_CHECK; /* by order */

struct task_filter {
    struct span handler, strategy, queue; /* "": any */
    struct span error;                    /* slug; only of tasks that failed; "": any */
    bool by_state;
    enum task_state state;
    struct uuid parent;         /* nil: any */
    int64_t since_us, until_us; /* created; 0: open */
    struct uuid before;         /* keyset: only ids below it; nil: from the newest */
    int limit;                  /* 1..LIMIT_LIST */
};
/* A filtered list (but one of a parent's children) looks at LIMIT_LIST_LOOK tasks a call, and may find less than `limit` or
 * none of them: then *ret_next is the `before` to go on with; nil: there is no more, or the page is full. */
bool store_list(struct store *s, struct arena *a, const struct task_filter *f, struct task **ret,
                size_t *ret_n, struct uuid *ret_next,
                struct err *e) LATHE_CHECK; /* newest first, without `results` */

/* Item results in item order from item `from` on, of finished units only, also while the task still runs; a gap (a unit
 * not finished yet) ends it; a task that is over has no gaps. NDJSON, at most out->max bytes a call, and a piece may end in
 * the middle of a line. Every line begins {"index":ITEM, as worker/lines.h writes it. Holds no connection between calls. */
struct store_results {
    struct uuid id;
    int64_t next, limit;   /* next item; items still wanted */
    int64_t seq, part, at; /* the store's: where it goes on; 0 at first */
};
bool store_results_more(struct store *s, struct store_results *r, struct buf *out, bool *ret_end,
                        struct err *e) LATHE_CHECK;

/* The log of a task from its beginning, whole rows at most out->max bytes a call: of runs that have ended, in that order. Holds no
 * connection between calls. NDJSON, as worker/diary.h writes it. */
struct store_log {
    struct uuid id;
    int64_t at_us, seq; /* the store's: where it goes on; 0 at first */
    struct uuid lease;
};
bool store_log_more(struct store *s, struct store_log *l, struct buf *out, bool *ret_end,
                    struct err *e) LATHE_CHECK;

/* What a call ended besides what it was about: somebody may wait for it. */
struct ended {
    struct uuid *ids; /* tasks that became final, parents too; in the arena */
    size_t count;
    bool released; /* a sibling's turn came: somebody should look for work */
};

/* ---- cancelling -------------------------------------------------------------------------------------------------- */

/* Takes away the units that nobody has, marks the rest; children too. Idempotent. *ret is the task afterwards: final, or
 * cancelling while workers wind it down. A task that ended otherwise is returned as it is. *ret_ended: what ended by it. */
bool store_cancel(struct store *s, struct arena *a, struct uuid id, struct task *ret, struct ended *ret_ended,
                  struct err *e) LATHE_CHECK;

/* ---- running again (redrive.c) ------------------------------------------------------------------------------------ */

/* Runs tasks that are over again, at most LIMIT_RETRY, in one transaction: with failed_only the units in which not every
 * item succeeded, else all. refusals[i]: ERR_NONE, or why ids[i] does not run again: ERR_NO_TASK, ERR_CONFLICT. Safe to call
 * again when it fails: what runs by then is refused. */
bool store_retry(struct store *s, const struct uuid *ids, size_t n, bool failed_only, struct err *refusals,
                 struct err *e) LATHE_CHECK;

/* ---- a worker ---------------------------------------------------------------------------------------------------- */

struct worker_info {
    struct uuid id;
    struct span name, host, queues;
    int64_t pid, slots, busy, cores;
    int64_t started_us, seen_us,
        claimed_us; /* claimed: when a claim was last answered; 0: never. The store's to know */
    struct host costs;
};

/* A unit that was claimed: a range of items of a task, and what running it needs. */
struct unit {
    struct uuid task, lease; /* the lease is the fence: without it nothing of the unit can be finished */
    int64_t seq, first, count;
    int64_t place; /* in its lease, from 1 */
    int attempt;   /* workers lost before, + 1 */
    int tries;     /* failures before, after which it was tried again */
    struct span handler, strategy, inner, queue, params;
    struct span terms; /* JSON of model/terms.h, "" if none */
    uint64_t digest;
    bool has_shape;
    struct shape shape;
    int64_t batch_size, workers, item_timeout_ms, timeout_ms;
    bool fail_fast, single; /* single: the task's only unit */
    bool alone;             /* single, and nothing else hangs on it: no parent, no terms, no limited queue */
    struct span inputs;     /* NDJSON, "" when items are only counted */
};

struct claim {
    struct arena
        arena; /* of the units; the caller releases it when the last one is finished; empty when count is 0 */
    struct uuid lease;
    struct unit *units;
    size_t count;
    int64_t
        again; /* clock_now() at which to claim again, for units that this claim has passed by; CLOCK_NEVER: there are none */
    bool beside; /* the ends of its turn: what these let in it has not seen */
};

/* The end of a unit. */
struct finish {
    const struct unit *unit;
    enum task_state state; /* of the unit: succeeded (also with failed items that may), failed, cancelled */
    struct span results;   /* NDJSON, one line an item that ran */
    int64_t items_done, items_failed;
    struct shape shape; /* used */
    struct measured measured;
    struct span used; /* the strategy whose shape it was; "": a free one */
    int64_t bare_us;  /* predicted without the strategy's correction; 0: not. These two make the correction */
    int64_t item_cpu_ns, item_wait_ns; /* sums over items: for the profile */
    bool familiar; /* so many runs came before that nobody misses what this one teaches for a while */
    bool taught;   /* the store has noted that; false at first */
    int64_t started_us, finished_us; /* clock_now() in us: no wall clock, which may be set in between */
    bool shown;                      /* how far it was has been told to Redis by this worker */
    bool remembers;                  /* its task asks for that (cache_ttl_s): measured.cached counts */
    struct err err;
    struct span log;   /* NDJSON of worker/diary.h for the task's log, "" if there is nothing to say */
    int64_t logged_us; /* wall clock: the place of it in the log */
    bool again;        /* run the unit once more, unless its task stops: nothing else of it is stored */
    bool counts;       /* with again: as a failure */
    int64_t again_ms;  /* with again: not before so many ms */
    /* set by store_turn */
    bool applied;         /* false: the lease had gone; discard */
    bool final;           /* the task (or its parent: see ended) is over */
    struct uuid ended[2]; /* ids that became final: the task, its parent; nil: none */
    bool followed;        /* others waited for its end, of any queue; then also released */
    bool released;        /* somebody else's turn came: somebody should look for work */
};

bool store_worker_new(struct store *s, struct worker_info *info, struct store_worker **ret,
                      struct err *e) LATHE_CHECK;
/* `finished` is called within store_turn for each finish that was stored, before its claim is answered: somebody waits. */
void store_worker_tell(struct store_worker *w, void (*finished)(void *arg, const struct finish *f),
                       void *arg);
/* Where many ends meet with much that is wanted, the claim goes by a session of its own at the same time, and `claimed` is called
 * within store_turn as soon as it is there, before the ends are stored or after; it takes the claim's arena. *ret is empty then. */
void store_worker_hand(struct store_worker *w, void (*claimed)(void *arg, struct claim *c), void *arg);
void store_worker_free(struct store_worker *w); /* also takes the worker off the list */

/* From now on a call takes at most most_ms (0: store.timeout, and more for large results), and at most a second once the
 * descriptor `hurry` is readable (-1: none): a worker that is told to stop does not wait for a server that hangs. */
void store_worker_bound(struct store_worker *w, int64_t most_ms, int hurry);

/*
 * One turn of the claim loop, in one round trip: finishes (durable, all or none of the batch on ERR_STORE,
 * then safe to call again with the same; large results have more than store.timeout, and one that is too slow three times while
 * PostgreSQL does other things becomes a failed finish), then claims up to `want` units of `queues` ("*": any) under one new lease
 * (synchronous_commit off: a claim that is lost is claimed again). *ret has count 0 when there is no work.
 */
bool store_turn(struct store_worker *w, struct finish *finishes, size_t n, int want, struct claim *ret,
                struct err *e) LATHE_CHECK;

/* Renews leases and the worker's own row. `lost[i]` is set for a lease that is gone. *ret_cancelled: tasks under these
 * leases that somebody wants cancelled, in the arena. */
bool store_beat(struct store_worker *w, struct arena *a, const struct worker_info *info,
                const struct uuid *leases, size_t n, bool *lost, struct uuid **ret_cancelled,
                size_t *ret_cancelled_n, struct err *e) LATHE_CHECK;

/* Gives units back that were not started or not finished: they keep their place, and another worker claims them at once.
 * `count`: an attempt is counted, because they may have cost this worker its life, and the one after worker.attempts fails
 * them. Those of a task that stops anyway end it: *ret. */
bool store_release(struct store_worker *w, struct arena *a, const struct unit *const *units, size_t n,
                   bool count, struct ended *ret, struct err *e) LATHE_CHECK;

/* Puts to work, `room` at most, the units whose time has come. *ret_next_ms: until somebody should look again; -1: nothing
 * waits for a time. *ret_fire_ms: until a schedule is due; -1: there is none. */
bool store_wake(struct store_worker *w, int room, int64_t *ret_woken, int64_t *ret_next_ms,
                int64_t *ret_fire_ms, struct err *e) LATHE_CHECK;

struct reaped {
    int64_t leases, requeued, failed;
    int64_t expired;    /* tasks of which units were not begun in time */
    int64_t leaked;     /* slots of limits that nobody held, and that are free now */
    struct ended ended; /* too many workers lost, or not begun in time */
    bool leader;        /* false: another worker keeps house */
};
/* Housekeeping, by whoever holds the advisory lock: expired leases, workers long gone. */
bool store_reap(struct store_worker *w, struct arena *a, struct reaped *ret, struct err *e) LATHE_CHECK;

/* Deletes tasks that have been over for store.retention (0: none), `room` at most and the children of these: one round of a pass
 * over all that are old enough. *ret_more: the pass goes on with the next call. Of many workers only the one that is alive
 * longest deletes. */
bool store_forget(struct store_worker *w, int room, int64_t *ret_deleted, bool *ret_more,
                  struct err *e) LATHE_CHECK;

/* ---- schedules (schedules.c) ------------------------------------------------------------------------------------- */

/* Creates it, or replaces the one of this name; its next time counts from now. ERR_BAD_FIELD as schedule_clock, ERR_CONFLICT:
 * there are LIMIT_SCHEDULES. *ret: as it is now. */
bool store_put_schedule(struct store *s, struct arena *a, const struct schedule *put, struct schedule *ret,
                        bool *ret_new, struct err *e) LATHE_CHECK;
bool store_get_schedule(struct store *s, struct arena *a, struct span name, struct schedule *ret,
                        struct err *e) LATHE_CHECK; /* ERR_NO_SCHEDULE, as the next ones */
bool store_list_schedules(struct store *s, struct arena *a, struct span after, int limit,
                          struct schedule **ret, size_t *ret_n, struct err *e) LATHE_CHECK; /* by name */
bool store_pause_schedule(struct store *s, struct arena *a, struct span name, bool pause,
                          struct schedule *ret, struct err *e) LATHE_CHECK;
bool store_drop_schedule(struct store *s, struct span name, struct err *e) LATHE_CHECK;

/*
 * Firing. store_fire_begin opens a transaction and locks a schedule that is due; *ret_due false: there is none, or somebody
 * else fires, and the transaction is over. store_fire_end inserts the tasks, moves the schedule on and commits: all of it or
 * nothing. The first tasks of the lists are those that were fired: of one that was refused f->error says why, instead of one whose unique
 * work is there already f->task is that, and f->count has neither. ERR_DATA, ERR_BUSY: a row was refused; store_fire_refuse then moves the schedule on without tasks, if it is still due.
 * Between the two nothing else may be asked of `w`.
 */
struct fired {
    int64_t at_us, next_us; /* 0: none */
    struct uuid task;
    int64_t count;
    struct span error;
};
bool store_fire_begin(struct store_worker *w, struct arena *a, struct schedule *ret, bool *ret_due,
                      int64_t *ret_now_us, struct err *e) LATHE_CHECK;
bool store_fire_end(struct store_worker *w, struct arena *a, const struct schedule *s, struct fired *f,
                    struct new_tasks *const *lists, size_t n, struct err *e) LATHE_CHECK;
bool store_fire_refuse(struct store_worker *w, const struct schedule *s, const struct fired *f,
                       struct err *e) LATHE_CHECK;

/* ---- queues (gates.c) --------------------------------------------------------------------------------------------- */

/* What limits units: the gate of a key ("key/NAME") or of a queue ("queue/NAME"). */
struct gate_info {
    struct span name;
    struct limit limit;
    int64_t inside, waiting;     /* units */
    struct uuid *holders, *next; /* some of their tasks */
    size_t holders_n, next_n;
};

struct queue_info {
    struct span name;
    int64_t queued, waiting, running; /* units: claimable; for a time or a gate; under leases */
    double oldest_s;                  /* of the unit that is claimed next */
    bool paused;
    struct span reason;
    int64_t paused_us;
    struct limit limit;
    struct gate_info *gates; /* store_queue only: the queue's, and those that its units are in or wait for */
    size_t gates_n;
};

/* Those that have units, limits or a pause, by name; LIMIT_LIST at most. */
bool store_queues(struct store *s, struct arena *a, struct queue_info **ret, size_t *ret_n,
                  struct err *e) LATHE_CHECK;
bool store_queue(struct store *s, struct arena *a, struct span name, struct queue_info *ret,
                 struct err *e) LATHE_CHECK; /* any name is one */
/* Replaces them; what runs already counts. ERR_BUSY: LIMIT_QUEUES have some. */
bool store_limit_queue(struct store *s, struct span name, const struct limit *l, struct err *e) LATHE_CHECK;
bool store_pause_queue(struct store *s, struct span name, bool paused, struct span reason,
                       struct err *e) LATHE_CHECK;

/* What keeps dead rows from being removed for longer than store.horizon_warn. *ret_count: how many there are; the oldest is told.
 * Asked by many workers, the one that is alive longest gets the answer, the others 0. */
bool store_horizon(struct store_worker *w, int64_t *ret_count, double *ret_age_s, char *ret_what, size_t room,
                   struct err *e) LATHE_CHECK;

/* Has PostgreSQL read and plan what the first finish will call, which takes it some 20 ms: for a worker that has nothing else to do. */
bool store_warm(struct store_worker *w, struct err *e) LATHE_CHECK;

/* Looks whether PostgreSQL still knows how large the tables are. If not it is told to count, in the background, so that its plans fit;
 * unless it is busy with what it was told before, or there was nothing to count a moment ago. What came of it is logged. */
bool store_measure(struct store_worker *w, struct err *e) LATHE_CHECK;

/* ---- evidence ---------------------------------------------------------------------------------------------------- */

bool store_workers(struct store *s, struct arena *a, struct worker_info **ret, size_t *ret_n,
                   struct err *e) LATHE_CHECK;
/* Unknown: runs 0. corrections[] is indexed like strategies[]. Ends by the deadline, if that is before store.timeout's. */
bool store_profile(struct store *s, struct span handler, uint64_t digest, int64_t deadline,
                   struct profile *ret, struct correction *corrections, int room, struct err *e) LATHE_CHECK;
bool store_host(struct store *s, struct host *ret,
                struct err *e) LATHE_CHECK; /* of the latest live worker; zeros if none */

/* Figures for /metrics and /readyz that cost a query; cached for some seconds, and longer while somebody asks for new ones. */
struct store_stats {
    int64_t queued, running, leases, workers;
    double oldest_queued_s;
    int64_t stalled;    /* workers that are alive and have room, and whose claims are not answered */
    double claim_age_s; /* the longest time since a claim was answered, of the workers that have room */
    double
        horizon_s; /* age of the oldest transaction that keeps dead rows; 0: none is older than store.horizon_warn */
    char horizon[128]; /* what that is; "": nothing */
};
bool store_stats(struct store *s, struct store_stats *ret, struct err *e) LATHE_CHECK;

#endif
