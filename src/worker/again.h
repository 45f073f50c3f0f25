/*
 * again.h: whether a unit that ended goes round once more, and when. Pure.
 */
#ifndef LATHE_WORKER_AGAIN_H
#define LATHE_WORKER_AGAIN_H

#include "model/terms.h"
#include "store/store.h"

/* If it were its task's only unit, the task would now be failed. */
bool again_failed(const struct finish *f);

/*
 * Sets again, counts and again_ms of a finish that is otherwise complete: when a handler put it off (`snooze_ms` > 0, which
 * counts as no failure); when it failed, has tries left, and trying mends it (`mendable`); never after its time. The rest of the finish stays true, because the store keeps it where the
 * task does not go on. `now_us` is the wall clock, `chance` from [0, 1).
 */
void again_decide(struct finish *f, const struct terms *t, bool mendable, int64_t snooze_ms, int64_t now_us,
                  double chance);

#endif
