/*
 * timers.h: the waits of one reactor that end by the clock: a heap, earliest first. Not libev's timers, because its epoll
 * back-end rounds every sleep up to a whole millisecond, which is 5 % of a wait of 20 ms; docs/exec.md has the figures.
 * One thread. What is kept is a pointer to the `timer` that the owner embeds.
 */
#ifndef LATHE_EXEC_TIMERS_H
#define LATHE_EXEC_TIMERS_H

#include <stddef.h>
#include <stdint.h>

#include "core/clock.h"

struct timer {
    int64_t due;
    size_t at; /* place in the heap + 1; 0: not in it */
};

struct timers {
    struct timer_entry {
        int64_t due; /* beside the pointer, so that sifting does not touch the timers */
        struct timer *timer;
    } * heap;
    size_t count, room;
};

#define TIMERS_INIT \
    {               \
        0           \
    }

void timers_release(struct timers *t); /* the timers themselves belong to others */
void timers_add(struct timers *t, struct timer *timer, int64_t due);
void timers_remove(struct timers *t, struct timer *timer); /* nothing when it is not in it */

static inline int64_t timers_next(const struct timers *t)
{
    return t->count ? t->heap[0].due : CLOCK_NEVER;
}

/* Takes out the earliest if it is due by `now`; NULL if none is. */
struct timer *timers_pop(struct timers *t, int64_t now);

#endif
