/*
 * breaker.h: leaves Redis alone after failures, so that a dead one costs nothing. Pure: the caller brings the time and
 * the lock.
 *
 *     closed ──3 failures in a row──▶ open ──its wait is over──▶ half-open: one caller probes
 *        ▲                              ▲                            │
 *        └──────────── ok ──────────────┼────────────────────────────┤
 *                                       └── failure: a longer wait ──┘
 *
 * Every breaker_enter that said yes is followed by one breaker_leave with the same turn. A turn from before the last
 * move tells nothing about Redis as it is now and is not counted.
 */
#ifndef LATHE_CACHE_BREAKER_H
#define LATHE_CACHE_BREAKER_H

#include <stdbool.h>
#include <stdint.h>

#define BREAKER_FAILURES 3
#define BREAKER_FIRST_NS (INT64_C(1000) * 1000000)
#define BREAKER_LONGEST_NS (INT64_C(30000) * 1000000)

struct breaker {
    int failures;  /* in a row, while closed */
    int64_t until; /* 0: closed; else open until then (clock_now() scale) */
    int64_t wait;  /* ns, of the latest opening; 0: none since it was closed */
    bool probing;  /* half-open, and somebody has the probe */
    unsigned turn; /* counts the moves */
};

enum breaker_move { BREAKER_STAYED, BREAKER_OPENED, BREAKER_CLOSED };

bool breaker_refuses(const struct breaker *b, int64_t now);
bool breaker_enter(struct breaker *b, int64_t now, unsigned *ret_turn); /* false: do without Redis */

/* How the call went. OPENED and CLOSED are told once for each outage, not for each probe. */
enum breaker_move breaker_leave(struct breaker *b, unsigned turn, bool ok, int64_t now);

#endif
