/*
 * worker.h: a worker's life: claim a batch of units, run each under its shape on a slot, finish in batches, renew the
 * leases meanwhile, keep house when it is this worker's turn, and drain when told to stop.
 *
 * One thread (the caller's) speaks to PostgreSQL and decides; `slots` threads run units and speak to nobody but for the
 * evidence that a prediction needs. exec_start() must have been called before any other thread or library existed.
 * Settings: [worker].
 *
 * A unit that was on board when a worker died is run in a child process the next time, whatever its strategy, so that a
 * handler that crashes costs its own task and not one worker after another.
 */
#ifndef LATHE_WORKER_WORKER_H
#define LATHE_WORKER_WORKER_H

#include "core/conf.h"
#include "queue/queue.h"

enum worker_end {
    WORKER_STOPPED, /* was told to; nothing runs any more */
    WORKER_LEFT,    /* was told to; what still runs was given back, so leave by _exit */
    WORKER_RECYCLE, /* must be started anew: it grew too large or a handler does not come back; leave by _exit */
    WORKER_FAILED, /* could not start; see the error */
};

#define WORKER_EXIT_RECYCLE 75

/* `signals` is a descriptor of sig_open(): SIG_STOP drains, a second one leaves at once, SIG_RELOAD reads the settings. */
enum worker_end worker_run(struct conf *c, struct queue *q, int signals, struct err *e);

#endif
