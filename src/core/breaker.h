/*
 * breaker.h: leaves a server alone after failures, so that a dead one costs nothing. Pure: the caller brings the time and
 * the lock.
 *
 *     closed ──n failures in a row──▶ open ──its wait is over──▶ half-open: one caller probes
 *        ▲                              ▲                            │
 *        └──────────── ok ──────────────┼────────────────────────────┤
 *                                       └── failure: a longer wait ──┘
 *
 * Every breaker_enter that said yes is followed by one breaker_leave with the same turn. A turn from before the last
 * move tells nothing about the server as it is now and is not counted.
 */
#ifndef LATHE_CORE_BREAKER_H
#define LATHE_CORE_BREAKER_H

#include <stdbool.h>
#include <stdint.h>

#define BREAKER_FAILURES 3
#define BREAKER_FIRST_NS (INT64_C(1000) * 1000000)
#define BREAKER_LONGEST_NS (INT64_C(30000) * 1000000)

struct breaker {
    int allowed;                  /* failures in a row that open it; 0: BREAKER_FAILURES */
    int64_t first_ns, longest_ns; /* the first wait, and the last; 0: BREAKER_FIRST_NS, BREAKER_LONGEST_NS */
    int failures;                 /* in a row, while closed */
    int64_t until;                /* 0: closed; else open until then (clock_now() scale) */
    int64_t wait;                 /* ns, of the latest opening; 0: none since it was closed */
    bool probing;                 /* half-open, and somebody has the probe */
    unsigned turn;                /* counts the moves */
};

enum breaker_move { BREAKER_STAYED, BREAKER_OPENED, BREAKER_CLOSED };

bool breaker_refuses(const struct breaker *b, int64_t now);
bool breaker_enter(struct breaker *b, int64_t now, unsigned *ret_turn); /* false: do without */

/* Nobody knows how the call went: who had the probe leaves it to another. */
void breaker_forget(struct breaker *b, unsigned turn);

/* How the call went. OPENED and CLOSED are told once for each outage, not for each probe. */
enum breaker_move breaker_leave(struct breaker *b, unsigned turn, bool ok, int64_t now);

#endif
