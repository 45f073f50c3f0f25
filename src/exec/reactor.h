/*
 * reactor.h: one thread's share of a run. Takes items from the work's cursor, keeps up to `width` of them in flight,
 * steps those that are ready, sleeps when none is, and returns when there is nothing left or the run is to stop; then
 * every item that it took has been finished, and dropped if it was stepped. A blocking shape is a reactor of width 1.
 *
 * Descriptors are watched with a libev loop that is made when the first item waits for one; the clock with timers.h.
 */
#ifndef LATHE_EXEC_REACTOR_H
#define LATHE_EXEC_REACTOR_H

#include "exec/work.h"

/* Runs in the calling thread. `lane` is written by this thread only. */
void reactor_run(const struct work *w, const struct sink *sink, struct lane *lane, struct tally *ret);

#endif
