#include "core/clock.h"

#include <limits.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

static int64_t read_clock(clockid_t id)
{
    struct timespec t;
    clock_gettime(id, &t);
    return (int64_t)t.tv_sec * NS_PER_S + t.tv_nsec;
}

int64_t clock_now(void)
{
    return read_clock(CLOCK_MONOTONIC);
}

int64_t clock_wall_us(void)
{
    return read_clock(CLOCK_REALTIME) / 1000;
}

static _Atomic int64_t shared_ahead; /* of the steady clock, us; 0: nobody has told */

void clock_told(int64_t shared_us)
{
    atomic_store(&shared_ahead, shared_us - clock_now() / 1000);
}

int64_t clock_shared_us(void)
{
    int64_t ahead = atomic_load(&shared_ahead);
    return ahead != 0 ? ahead + clock_now() / 1000 : clock_wall_us();
}

int64_t clock_thread_cpu(void)
{
    return read_clock(CLOCK_THREAD_CPUTIME_ID);
}

int64_t clock_process_cpu(void)
{
    return read_clock(CLOCK_PROCESS_CPUTIME_ID);
}

int64_t clock_after_ms(int64_t ms)
{
    int64_t ns, deadline;
    if (ms < 0 || __builtin_mul_overflow(ms, NS_PER_MS, &ns) ||
        __builtin_add_overflow(clock_now(), ns, &deadline))
        return CLOCK_NEVER;
    return deadline;
}

int clock_poll_ms(int64_t deadline)
{
    if (deadline == CLOCK_NEVER)
        return -1;
    int64_t now = clock_now();
    if (deadline <= now)
        return 0;
    int64_t ms = (deadline - now - 1) / NS_PER_MS + 1;
    return ms > INT_MAX ? INT_MAX : (int)ms;
}

/* The last `n` decimal digits of v. */
static void put_digits(char *to, int n, unsigned v)
{
    for (; n > 0; v /= 10)
        to[--n] = (char)('0' + v % 10);
}

void clock_format(int64_t wall_us, char text[CLOCK_TEXT])
{
    int64_t seconds = wall_us / 1000000, us = wall_us % 1000000;
    if (us < 0) {
        us += 1000000;
        seconds--;
    }
    time_t t = (time_t)seconds;
    struct tm d = {0};
    gmtime_r(&t, &d);
    /* by hand, for it is in every answer: printf took longer than the rest of it */
    static const char form[CLOCK_TEXT] = "0000-00-00T00:00:00.000000Z";
    memcpy(text, form, sizeof form);
    put_digits(text, 4, (unsigned)(d.tm_year + 1900)); /* RFC 3339 has no others */
    put_digits(text + 5, 2, (unsigned)d.tm_mon + 1);
    put_digits(text + 8, 2, (unsigned)d.tm_mday);
    put_digits(text + 11, 2, (unsigned)d.tm_hour);
    put_digits(text + 14, 2, (unsigned)d.tm_min);
    put_digits(text + 17, 2, (unsigned)d.tm_sec);
    put_digits(text + 20, 6, (unsigned)us);
}

static uint64_t chance(void)
{
    uint64_t r = 0;
    if (getrandom(&r, sizeof r, GRND_NONBLOCK) != (ssize_t)sizeof r)
        r = (uint64_t)clock_now();
    return r;
}

int64_t clock_jitter(int64_t ms)
{
    return ms / 2 + (ms > 0 ? (int64_t)(chance() % (uint64_t)ms) : 0);
}

double clock_chance(void)
{
    return (double)(chance() % (1u << 30)) / (double)(1u << 30);
}
