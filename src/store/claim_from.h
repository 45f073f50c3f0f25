/*
 * claim_from.h: where in its queues a worker's claims begin. From the beginning, as a rule. But rows that were claimed stay in the
 * index as long as somebody's old transaction might look at them, in front of all others, and a claim goes past every
 * one. Where that has become dear, claims begin at the last rank that was claimed, and from the beginning only now and
 * then: a twentieth of the time when there is enough to do, half of it when there is not, and once in a minute at least.
 * What has a lower rank (a higher priority, a unit that came back or that its gate let in, a transaction that took long) waits
 * for that. Not so what waits for a place in a queue with a limit: such a queue is always looked at from its beginning.
 * Claims that are as dear wherever they begin all begin at the beginning. Pure; one thread.
 */
#ifndef LATHE_STORE_CLAIM_FROM_H
#define LATHE_STORE_CLAIM_FROM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct claim_from {
    int64_t rank_us;  /* the last that was claimed, since 1970; 0: none yet */
    int64_t dear;     /* claims from the beginning that took much, in a row */
    int64_t whole_ns; /* what the latest of them took, when that has become a habit; else 0 */
    int64_t whole_at; /* clock_now() at its end */
    bool starved;     /* the latest claim got less than was wanted */
};

/* The rank at which the next claim is to begin; 0: from the beginning. */
int64_t claim_from(const struct claim_from *f, int64_t now);

/* A claim that began at `from` is over at `now`: it took `ns`, for `got` units of `want`, the last of rank `last_us`. */
void claim_took(struct claim_from *f, int64_t from, int64_t ns, size_t got, int want, int64_t last_us,
                int64_t now);

/* It took `ns` and came to nothing: its time was over, or the connection was. */
void claim_failed(struct claim_from *f, int64_t from, int64_t ns, int64_t now);

/* When to claim again, for what the latest claim has passed by; CLOCK_NEVER: it has passed nothing by, or got enough. */
int64_t claim_again(const struct claim_from *f, int64_t from);

#endif
