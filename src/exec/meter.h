/*
 * meter.h: CPU time of a step, cheaply. Reading the thread's CPU clock is a system call of some 300 ns; the wall clock is
 * 20 ns. A step that is over within METER_SHORT cannot have slept, so its wall time is its CPU time; only longer ones
 * pay for the CPU clock. Between two readings the CPU clock is taken to run with the wall clock, which holds while the
 * thread is busy; wherever it may not have been (a gap between two steps) it is read again. One thread; it may serve one series
 * of steps after the other, so that a thread that goes from one short series to the next does not read it for each.
 */
#ifndef LATHE_EXEC_METER_H
#define LATHE_EXEC_METER_H

#include "core/clock.h"

#define METER_SHORT INT64_C(10000)  /* ns */
#define METER_DRIFT INT64_C(100000) /* ns of wall time for which one joint reading is trusted */

struct meter {
    int64_t wall, cpu; /* the last joint reading */
    int64_t seen;      /* when the last step ended */
};

static inline void meter_sync(struct meter *m, int64_t now)
{
    m->cpu = clock_thread_cpu();
    m->wall = now;
}

/* Before a step; returns clock_now(). */
static inline int64_t meter_start(struct meter *m)
{
    int64_t now = clock_now();
    if (now - m->seen > METER_SHORT || now - m->wall > METER_DRIFT)
        meter_sync(m, now);
    return now;
}

/* Before the first of many; returns clock_now(), and what the CPU clock says then. */
static inline int64_t meter_begin(struct meter *m, int64_t *ret_cpu)
{
    m->seen = meter_start(m);
    *ret_cpu = m->cpu + (m->seen - m->wall);
    return m->seen;
}

/* After the last: all that the thread used since `began`, when its CPU clock said `cpu`. */
static inline int64_t meter_since(int64_t began, int64_t cpu)
{
    int64_t took = clock_now() - began;
    int64_t used = took < METER_SHORT ? took : clock_thread_cpu() - cpu;
    return used < 0 ? 0 : used; /* it did not have its core all the time before it began */
}

/* After the step that began at `began`; returns clock_now(). */
static inline int64_t meter_stop(struct meter *m, int64_t began, int64_t *ret_cpu)
{
    int64_t now = clock_now(), took = now - began;
    m->seen = now;
    if (took < METER_SHORT) {
        *ret_cpu = took;
        return now;
    }
    int64_t before = m->cpu + (began - m->wall);
    meter_sync(m, now);
    int64_t used = m->cpu - before;
    *ret_cpu = used < 0 ? 0 : used > took ? took : used;
    return now;
}

#endif
