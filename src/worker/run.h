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
#include "model/terms.h"
#include "worker/args.h"
#include "worker/diary.h"
#include "worker/evidence.h"
#include "worker/lines.h"

enum run_state { RUN_QUEUED, RUN_RUNNING, RUN_DONE };

/* Whose the unit is: the claim loop's view, beside which a slot may still run it. */
enum run_hold {
    HOLD_OURS,   /* its end will be stored */
    HOLD_ENDING, /* its end is among those that the next turn stores */
    HOLD_BACK,   /* the next turn gives it back; what comes of it is not stored */
    HOLD_GONE,   /* stored, given back, or taken over by another worker */
};

/* What every run of a worker shares. */
struct run_env {
    const struct conf *conf;
    struct evidence *evidence;
};

struct run {
    struct unit *unit; /* in the arena of its batch */
    void *batch;       /* the claim loop's */
    _Atomic int state; /* enum run_state */
    struct cancel cancel;
    _Atomic bool
        wanted; /* the cancel is the caller's wish; otherwise the worker stops and gives the unit back */
    _Atomic int64_t started;  /* clock_now(), 0 until it runs */
    _Atomic int64_t deadline; /* of the unit */
    struct exec_progress progress;

    /* the claim loop's: once it is neither aboard nor ours any more it is freed */
    enum run_hold hold;
    bool aboard;                   /* the slots have it */
    bool shown;                    /* how far it is was told */
    bool abandoned;                /* it does not come back; nobody waits for it */
    bool count;                    /* giving it back counts an attempt */
    int64_t claimed, cancelled_at; /* clock_now(); cancelled_at 0: not */
    struct lines without;          /* the lines of an end that was told without it */
    struct diary last_words;       /* and its log */

    /* the slot's thread's */
    struct lines lines;
    bool
        unhelped; /* it failed for want of the zygote, not by itself: it is given back, and an attempt counted */
    struct diary diary;
    bool mendable;       /* an item failed that might not the next time */
    int64_t snooze_ms;   /* an item put the unit off for so long; 0: none did */
    struct terms *terms; /* what of them concerns running; NULL: there are none, as with most */
    struct finish finish;
    struct run *next, **at; /* in the list of all, the claim loop's; what points to it */
    struct run *queued;     /* in the slots' queue or done list */
    int64_t ended;          /* clock_now(), when it was put there */
};

struct run *run_new(struct unit *u, void *batch);
void run_free(struct run *r);

/* Runs the unit on the calling thread until nothing of it runs any more; fills r->finish. Never fails: what goes wrong is
 * the unit's end. `args`: the thread's, from one unit to the next. */
void run_unit(struct run *r, const struct run_env *env, struct args *args);

/* The end of a run that does not come back, for all its items, made by the claim loop while the slot's thread still has
 * everything of it but what stands here. */
void run_end_without(struct run *r, enum task_state state, const struct err *e, struct finish *ret);

#endif
