/*
 * claim_from.h: where in its queues a worker's claims begin. From the beginning, when there may be too little to do. But rows that
 * were claimed stay in the index until they are vacuumed, in front of all others, and a claim goes past every one. So a claim
 * after a large one that got all it wanted begins behind the last unit that was claimed, but for one every 50 ms; or, where these
 * take more than the others do, so seldom that it is a twentieth of the time, but once in a second. And rows stay for as long as
 * somebody's old transaction might look at them: where going past them has become dear, all claims begin there, and from the beginning only
 * now and then: a twentieth of the time when there is enough to do, half of it when there is not, and once in a minute at least.
 * What has a lower rank (a higher priority, a unit that came back or that its gate let in, a transaction that took long) waits
 * for that. Not so what waits for a place in a queue with a limit: such a queue is always looked at from its beginning.
 * Claims that are as dear wherever they begin all begin at the beginning. Pure; one thread.
 */
#ifndef LATHE_STORE_CLAIM_FROM_H
#define LATHE_STORE_CLAIM_FROM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/uuid.h"

/* Of a unit, in the order of claims. */
struct claim_place {
    int64_t rank_us; /* since 1970; 0: the beginning */
    struct uuid task;
    int64_t seq;
};

struct claim_from {
    struct claim_place last;         /* that was claimed; 0: none yet */
    int64_t dear;                    /* claims from the beginning that took much, in a row */
    int64_t whole_ns;                /* what the latest of them took, when that has become a habit; else 0 */
    int64_t whole_at;                /* clock_now() at its end */
    int64_t part_ns;                 /* what one behind a place takes that gets much; 0: there was none */
    int64_t over_ns, over_before_ns; /* what the latest two from the beginning took more than that */
    bool starved;                    /* the latest claim got less than was wanted */
    bool full;                       /* it got that, and many */
};

/* Behind which place the next claim is to begin. */
struct claim_place claim_from(const struct claim_from *f, int64_t now);

/* A claim is over at `now` (whole: that began at the beginning): it took `ns`, for `got` units of `want`, the last of them at
 * `last`. */
void claim_took(struct claim_from *f, bool whole, int64_t ns, size_t got, int want,
                const struct claim_place *last, int64_t now);

/* It took `ns` and came to nothing: its time was over, or the connection was. */
void claim_failed(struct claim_from *f, bool whole, int64_t ns, int64_t now);

/* When to claim again, for what the latest claim has passed by; CLOCK_NEVER: it has passed nothing by, or got enough. */
int64_t claim_again(const struct claim_from *f, bool whole);

#endif
