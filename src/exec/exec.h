/*
 * exec.h: runs a plan under a shape. One engine for every strategy: a reactor is one thread's event loop that keeps
 * `width` items in flight; a crew is `threads` reactors; `processes` are children of a zygote with a crew in each; all of
 * them take items from one shared cursor.
 *
 * The contract, each line a test over every strategy and every handler (tests/contract):
 *   - every item is reported exactly once: ok, failed or cancelled;
 *   - `done` never overlaps itself; it may be called from any thread;
 *   - never more items in flight than the shape allows;
 *   - exec_run returns only when nothing runs any more, and false only if nothing could start (then nothing was reported);
 *   - after the cancel flag is raised nothing new starts. In the worker that is exact: each thread looks at the flag
 *     before each item, so that at most one a thread starts late. Children cannot see the caller's flag: the calling
 *     thread looks at it before it takes in anything that they say, and every 5 ms at least, and passes it on. Until then
 *     they go on, and empty items are begun by the thousand in a millisecond;
 *   - a child that dies loses at most what it had taken: it is run again elsewhere once, and the item that was in its
 *     hands when the second child died is failed with ERR_ITEM_CRASHED;
 *   - an item that failed and may be mended is run again by itself, up to item_retries times, after a wait in which it keeps
 *     its place; it is reported once, by its last try. Cancel and deadline end the wait at once;
 *   - an item that is put off (item_snooze) ends the run: it is reported as failed with ERR_SNOOZED, the rest is cancelled,
 *     and the report says for how long;
 *   - with cache_ttl_ms the result of an item may be one that was computed before from the same params and input; it is told so;
 *   - a time limit really ends an item: at the next step or item_stopping() in the worker, by SIGKILL in a child.
 *
 *     struct plan p = {.handler = h, .args = args, .count = 100, .shape = shape, .cancel = &cancel, .done = on_item, …};
 *     struct exec_report report;
 *     if (!exec_run(&p, &report, e)) …
 */
#ifndef LATHE_EXEC_EXEC_H
#define LATHE_EXEC_EXEC_H

#include "model/handler.h"
#include "model/profile.h"
#include "model/retry.h"
#include "model/shape.h"

enum outcome_kind { OUTCOME_OK, OUTCOME_FAILED, OUTCOME_CANCELLED };

struct outcome {
    int64_t index; /* as in the task: plan.first + position */
    enum outcome_kind kind;
    struct span result;    /* OUTCOME_OK: JSON on one line; borrowed for the call */
    const struct err *err; /* otherwise */
    int64_t cpu_ns;        /* inside its steps */
    int64_t wait_ns;       /* what it asked to wait for and waited; not its turn behind other items */
    int64_t tries;         /* failures in this run after which it was tried again */
    int64_t snooze_ms;     /* ERR_SNOOZED: for so long */
    bool cached;           /* the result was there already, nothing was run; cpu and wait are 0 */
};

/* Live figures, readable from any thread while the plan runs. */
struct exec_progress {
    _Atomic int64_t done, failed;  /* done counts failed ones too */
    _Atomic int64_t partial_milli; /* sum of the progress of items in flight, in thousandths */
};

struct plan {
    struct uuid task; /* what its items are told; nil: none */
    const struct handler *handler;
    const void *args;          /* handler->params.size bytes */
    const struct span *inputs; /* `count` inputs, or NULL when items are only counted */
    int64_t first, count;
    struct shape shape;
    int64_t item_timeout_ms; /* 0: none */
    int64_t deadline; /* of the whole plan: what is left is failed with ERR_TASK_TIMEOUT; CLOCK_NEVER: none */
    bool fail_fast;   /* after the first failed item the rest is cancelled */
    int64_t item_retries; /* failures of an item after which it is tried again, LIMIT_ITEM_RETRIES at most */
    struct backoff backoff; /* after each; never more than LIMIT_ITEM_BACKOFF_MS */
    int64_t tries;          /* of the unit before: what handlers see is this and the item's own */
    int64_t cache_ttl_ms;   /* results are remembered for so long, and taken from there (memo.h); 0: not */
    int64_t
        child_memory; /* bytes of address space that a child may take on top of what it has; 0: no limit */
    const struct cancel
        *cancel; /* the caller's, raised from any thread; looked at, never raised here; NULL: none */
    struct exec_progress *progress; /* NULL: not wanted */
    void (*done)(void *arg, const struct outcome *o);
    /* A line that an item has to say; called as `done` is. NULL: not wanted. */
    void (*log)(void *arg, int64_t index, struct span text);
    void *arg;
};

struct exec_report {
    int64_t ok, failed, cancelled;
    int64_t cached; /* of those that are ok: their result was there already */
    int64_t wall_ns, cpu_ns,
        wait_ns;          /* cpu and wait are sums over items; cpu includes the engine's own share */
    int64_t item_cpu_ns;  /* CPU inside steps only: what a profile learns from */
    int64_t start_ns;     /* from the call to the first step */
    int64_t peak_rss_kib; /* worker and children, while it ran; less what children had that died of it */
    int64_t children_lost;
    int64_t snooze_ms; /* the longest that an item was put off; 0: none was */
};

bool exec_run(const struct plan *p, struct exec_report *report, struct err *e) LATHE_CHECK;

/*
 * Starts the zygote: a small process that forks the children, itself forked here before any thread, connection or library
 * exists, by a thread that lives as long as the process (its death takes the zygote along). Without it shapes with
 * processes are refused with ERR_SYSTEM. exec_stop ends it and every child and waits until they are gone; a run that still
 * has children then loses them.
 */
bool exec_start(struct err *e) LATHE_CHECK;
void exec_stop(void);

/* The zygote was found dead or dumb: no shape with processes runs in this process any more. Any thread. */
bool exec_broken(void);

/*
 * Lets go children and connections that wait warm for a run that does not come: to be called every few seconds, from any thread.
 * Most children go after 10 seconds; up to 2 a core with 8 MiB between them after 60. Costs a few microseconds when there are
 * none, some milliseconds when many go. True: something that a run has told a server is still to be sent; call again after PORT_SOON_MS.
 */
bool exec_idle(void);

/* What runs have told servers and is still to be sent goes out, until the deadline: for a process that ends without exec_stop because a
 * thread does not come back. */
void exec_settle(int64_t until);

/* Measures the machine's own costs with empty items, in some tens of milliseconds; fills everything but cores. */
bool exec_calibrate(struct host *h, struct err *e) LATHE_CHECK;

#endif
