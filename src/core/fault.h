/*
 * fault.h: named points where a test can make the program fail or die. Compiled to nothing unless configured with
 * --enable-fault-points.
 *
 * LATHE_FAULT="store.commit:3:drop,worker.finish:1:kill": at the 3rd pass through store.commit fault_hit returns true
 * (the caller then acts as if the call failed), at the 1st pass through worker.finish the process kills itself.
 * Actions: drop, kill, stop (SIGSTOP), delay=MS. LATHE_FAULT_COUNT=FILE appends the name of each point passed.
 */
#ifndef LATHE_CORE_FAULT_H
#define LATHE_CORE_FAULT_H

#include <stdbool.h>

#ifdef LATHE_FAULT_POINTS
bool fault_hit(const char *point);
#else
static inline bool fault_hit(const char *point)
{
    (void)point;
    return false;
}
#endif

#endif
