/*
 * heap.h: waits ordered by `at`, the earliest first. Each knows its place, so that it can be moved or taken out. The
 * caller brings the lock and sees to it that no more than LIMIT_CALLS are in it.
 */
#ifndef LATHE_QUEUE_HEAP_H
#define LATHE_QUEUE_HEAP_H

#include "queue/queue.h"

struct heap {
    struct queue_wait **list; /* LIMIT_CALLS */
    size_t count;
};

void heap_put(struct heap *h, struct queue_wait *x);
void heap_take(struct heap *h, struct queue_wait *x);
void heap_moved(struct heap *h, struct queue_wait *x); /* its `at` was changed */

#endif
