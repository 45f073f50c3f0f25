/*
 * waits.h: those who wait for the end of a task, any number of them on one thread. A message on the channel `done` makes a
 * wait due at once; a poll finds what no message told of. Whatever is due, or nearly so, is asked in one query.
 *
 * When the store is asked about a wait:
 *   - soon after it began (WAITS_FIRST_MS), because the task may have ended before that;
 *   - when a message names its task, and when messages begin or cease to arrive;
 *   - every setting api.poll while messages arrive; else after a quarter of its age, between WAITS_SHORTEST_MS and
 *     WAITS_LONGEST_MS;
 *   - at its deadline.
 */
#ifndef LATHE_QUEUE_WAITS_H
#define LATHE_QUEUE_WAITS_H

#include "queue/queue.h"

#define WAITS_FIRST_MS 20
#define WAITS_SHORTEST_MS 20
#define WAITS_LONGEST_MS 250
#define WAITS_BATCH 1000u /* ids in one query */

struct waits;

/* c NULL: only polls. */
bool waits_new(const struct conf *conf, struct store *s, struct cache *c, struct waits **ret,
               struct err *e) LATHE_CHECK;
void waits_free(struct waits *w); /* every wait is told its task as it is */

bool waits_add(struct waits *w, struct queue_wait *x, struct err *e) LATHE_CHECK;
bool waits_remove(struct waits *w, struct queue_wait *x);
bool waits_prompt(struct waits *w);     /* messages arrive */
int64_t waits_queries(struct waits *w); /* how often the store was asked, for tests */

#endif
