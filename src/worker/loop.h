/*
 * loop.h: the state of the claim loop, shared by the files of this folder only. One thread touches it: the loop's own.
 *
 *   worker.c   the life: start, wait, drain, end
 *   turn.c     finish and claim
 *   care.c     while units run: leases, cancels, progress, time limits, housekeeping
 */
#ifndef LATHE_WORKER_LOOP_H
#define LATHE_WORKER_LOOP_H

#include "worker/slots.h"
#include "worker/worker.h"

/* Units that were claimed together: one lease, one arena. */
struct batch {
    struct claim claim;
    size_t open; /* units whose end is not stored yet */
    bool lost;   /* the lease is gone: nothing of it can be finished */
    struct batch *next;
};

struct worker {
    struct conf *conf;
    struct queue *queue;
    struct queue_worker *queue_worker;
    struct evidence *evidence;
    struct slots *slots;
    struct run_env env;
    struct worker_info info;
    struct arena arena; /* of info's texts */
    int signals, queue_bell, slot_bell;

    struct batch *batches;
    struct run *runs;         /* every run whose end is not stored yet */
    size_t running, unstored; /* runs that are queued or run; runs that are done but not stored */
    struct finish *finishes;  /* room for LIMIT_CLAIM: what the next turn stores */
    struct run **finished;    /* the runs of finishes[] */
    size_t finishes_n, finishes_bytes;

    bool look; /* there may be work: claim at the next turn */
    bool first_claim;
    double mean_unit_ns; /* moving average of a unit's time, for the prefetch */
    int store_failures;  /* in a row */
    int64_t next_turn, next_poll, next_beat, next_tell, next_reap; /* clock_now() deadlines */

    bool draining, leaving, recycle;
    int64_t drain_until;
};

/* turn.c */
void turn_gather(struct worker *w); /* takes done runs from the slots */
bool turn_due(const struct worker *w);
void turn(struct worker *w);
void turn_give_back(struct worker *w,
                    bool running_too); /* what nobody has begun; with running_too everything */
void turn_report(struct worker *w, struct run *r, enum task_state state,
                 const struct err *e); /* ends a run without it */

/* care.c */
void care(struct worker *w);               /* whatever is due now */
int64_t care_next(const struct worker *w); /* when care() should be called next */
void care_look_for_cancels(struct worker *w);

/* worker.c */
void worker_recycle(struct worker *w, const char *why);

#endif
