/*
 * run.h: one claimed unit on its way through a slot. The claim loop makes it and reads it while it runs (cancel, progress,
 * deadline); the slot's thread fills `finish`; after RUN_DONE only the claim loop touches it.
 */
#ifndef LATHE_WORKER_RUN_H
#define LATHE_WORKER_RUN_H

#include <stdatomic.h>

#include "exec/exec.h"
#include "handlers/registry.h"
#include "store/store.h"
#include "worker/evidence.h"
#include "worker/lines.h"

enum run_state { RUN_QUEUED, RUN_RUNNING, RUN_DONE };

/* What every run of a worker shares. */
struct run_env {
    const struct conf *conf;
    struct evidence *evidence;
};

struct run {
    const struct unit *unit; /* in the arena of its batch */
    void *batch;             /* the claim loop's */
    _Atomic int state;       /* enum run_state */
    struct cancel cancel;
    _Atomic bool
        wanted; /* the cancel is the caller's wish; otherwise the worker stops and gives the unit back */
    _Atomic int64_t started;  /* clock_now(), 0 until it runs */
    _Atomic int64_t deadline; /* of the unit */
    int64_t cancelled_at;     /* clock_now(), 0: not; the claim loop's */
    bool abandoned;           /* its end was reported without it; the claim loop's */
    struct exec_progress progress;

    struct lines lines;
    struct err first_failure;
    struct finish finish;
    struct run *next;   /* in the list of all, the claim loop's */
    struct run *queued; /* in the slots' queue or done list */
};

struct run *run_new(const struct unit *u, void *batch);
void run_free(struct run *r);

/* Runs the unit on the calling thread until nothing of it runs any more; fills r->finish. Never fails: what goes wrong is
 * the unit's end. */
void run_unit(struct run *r, const struct run_env *env);

#endif
