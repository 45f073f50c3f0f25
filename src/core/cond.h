/*
 * cond.h: condition variables by the clock of clock_now(), whose deadlines a step of the wall clock does not move.
 *
 *     struct box { pthread_mutex_t lock; pthread_cond_t news; bool full; };
 *     cond_init(&b->news);
 *     pthread_mutex_lock(&b->lock);
 *     while (!b->full && cond_wait(&b->news, &b->lock, deadline))
 *         continue;
 */
#ifndef LATHE_CORE_COND_H
#define LATHE_CORE_COND_H

#include <pthread.h>
#include <stdbool.h>

#include "core/clock.h"

void cond_init(pthread_cond_t *c);

/* With the lock held. False: the deadline has passed (CLOCK_NEVER does not). True: perhaps there is news. */
bool cond_wait(pthread_cond_t *c, pthread_mutex_t *lock, int64_t deadline);

#endif
