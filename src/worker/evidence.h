/*
 * evidence.h: what the machine costs (measured once, on a thread of its own, soon after the worker's start, when no unit runs) and
 * what earlier runs taught about a handler, remembered for a second so that a thousand small units do not ask a thousand times. Any thread.
 */
#ifndef LATHE_WORKER_EVIDENCE_H
#define LATHE_WORKER_EVIDENCE_H

#include "model/profile.h"
#include "store/store.h"

#define EVIDENCE_STRATEGIES 16 /* room for one correction a strategy */

struct evidence;

struct evidence *evidence_new(struct store *s, int64_t cores);
void evidence_free(struct evidence *ev);
void evidence_end(struct evidence *ev); /* ends the measuring thread; evidence_free does, too */

/* Around each unit that runs. */
void evidence_begin(struct evidence *ev);
void evidence_over(struct evidence *ev);

struct host evidence_host(struct evidence *ev); /* careful guesses until measured */

/* False when nothing is known yet or the store cannot be asked. */
bool evidence_find(struct evidence *ev, const struct unit *u, struct profile *ret,
                   struct correction corrections[EVIDENCE_STRATEGIES]);

/* The first of recommend() by these, remembered with them. False: it recommends nothing. */
bool evidence_best(struct evidence *ev, uint64_t digest, const struct ask *ask, const struct host *host,
                   const struct profile *profile, const struct correction *corrections,
                   struct candidate *ret);

void evidence_forget(struct evidence *ev, uint64_t digest); /* a run has just changed it */

#endif
