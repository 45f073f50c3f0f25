/*
 * clock.h: time. Inside the program time is int64_t nanoseconds on the monotonic clock; wall time, int64_t microseconds
 * since 1970 UTC, is only for what is stored or shown.
 */
#ifndef LATHE_CORE_CLOCK_H
#define LATHE_CORE_CLOCK_H

#include <stddef.h>
#include <stdint.h>

#define NS_PER_MS INT64_C(1000000)
#define NS_PER_S INT64_C(1000000000)
#define CLOCK_NEVER INT64_MAX /* a deadline that does not come */

int64_t clock_now(void);        /* monotonic, ns */
int64_t clock_wall_us(void);    /* since the epoch, µs */
int64_t clock_shared_us(void);  /* the same by the clock that all processes share, see below */
int64_t clock_thread_cpu(void); /* CPU time of the calling thread, ns */
int64_t clock_process_cpu(void);

int64_t clock_jitter(int64_t ms);   /* ms spread over [ms/2, ms*3/2), so that many do not come at once */
double clock_chance(void);          /* anything from [0, 1) */
int64_t clock_after_ms(int64_t ms); /* a deadline; ms < 0 is CLOCK_NEVER */
int clock_poll_ms(
    int64_t deadline); /* what is left as a poll(2) time-out: rounded up, 0 when past, -1 for never */

/* The database's clock is the truth of an installation: a machine whose own is wrong or is set must not end tasks as
 * expired, nor shift delays. The store tells what it says at every connect and beat; from then on it goes by the steady
 * clock. Until it was told, clock_shared_us is clock_wall_us. Any thread. */
void clock_told(int64_t shared_us);

#define CLOCK_TEXT 28                                      /* "2026-11-21T03:14:05.123456Z" and NUL */
void clock_format(int64_t wall_us, char text[CLOCK_TEXT]); /* RFC 3339, UTC */

#endif
