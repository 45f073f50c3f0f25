/*
 * slots.h: the threads of a worker that run units. A bounded queue in, a list of the done ones out, and a bell that is
 * rung when something was done.
 */
#ifndef LATHE_WORKER_SLOTS_H
#define LATHE_WORKER_SLOTS_H

#include "worker/run.h"

struct slots;

bool slots_new(int threads, const struct run_env *env, int bell, struct slots **ret,
               struct err *e) LATHE_CHECK;
void slots_push(struct slots *s, struct run *first,
                struct run *last); /* a chain by `queued`; the last one's is NULL */
struct run *slots_take_done(
    struct slots *s); /* all that the bell was rung for, a chain by `queued`; NULL: none */
struct run *slots_take_back(struct slots *s,
                            int64_t until); /* one that nobody has begun, claimed until then; NULL: none */
int64_t slots_oldest(struct slots *s); /* when the first of those was claimed; CLOCK_NEVER: there is none */
int slots_busy(struct slots *s);       /* running now */
void slots_free(struct slots *s);      /* joins the threads: only when nothing runs any more */

#endif
