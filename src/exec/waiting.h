/*
 * waiting.h: the items of one reactor that wait, by the clock, for a descriptor, or for the earlier of both. Times are in
 * timers.h, to the nanosecond; descriptors in a libev loop that is made when the first item waits for one. One thread.
 */
#ifndef LATHE_EXEC_WAITING_H
#define LATHE_EXEC_WAITING_H

#include "exec/slots.h"

struct waiting {
    struct timers timers;
    struct ev_loop *loop; /* NULL until an item waits for a descriptor */
    int alarm;            /* timerfd that ends the loop's sleep: libev's own rounds up to milliseconds */
    int bell;             /* ends a sleep for good when it is readable; -1: there is none */
    ev_io alarm_io, bell_io;
    int64_t watched;                 /* descriptors waited for */
    int64_t looked;                  /* when it was last asked which are ready */
    struct slot *ready, **ready_end; /* whose descriptor is ready, in the order of arrival */
    bool rung;
};

/* Whoever works for items of this reactor on a descriptor of his own. */
struct guest {
    void (*ready)(void *arg);
    void *arg;
    ev_io io;
};

void waiting_init(struct waiting *w, int bell);
void waiting_release(struct waiting *w);

/* What the item's wait says, but until `due` at most. ERR_INTERNAL if that is never, ERR_SYSTEM if it cannot be waited
 * for; then it does not wait. */
bool waiting_add(struct waiting *w, struct slot *s, int64_t due, struct err *e) LATHE_CHECK;
void waiting_remove(struct waiting *w, struct slot *s); /* nothing when it does not wait */

/* The next one whose time has come by `now`, or whose descriptor was ready at the last look; it does not wait any more.
 * NULL: none. */
struct slot *waiting_due(struct waiting *w, int64_t now);
struct slot *waiting_ready(struct waiting *w);

/* Calls g->ready(g->arg) whenever the descriptor is readable, from waiting_look and waiting_sleep, until it is dismissed. */
bool waiting_invite(struct waiting *w, struct guest *g, int fd, struct err *e) LATHE_CHECK;
void waiting_dismiss(struct waiting *w, struct guest *g);

/* By the guest: what this slot waits for is over. Nothing when it waits for something else. */
void waiting_wake(struct waiting *w, struct slot *s);

void waiting_look(struct waiting *w); /* at the descriptors, without sleeping */

/* Until the time, a descriptor, or the bell, which sets `rung`. */
void waiting_sleep(struct waiting *w, int64_t until);

static inline int64_t waiting_next(const struct waiting *w)
{
    return timers_next(&w->timers);
}

#endif
