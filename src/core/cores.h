/*
 * cores.h: how many processors this process may run on. Of a container or a cpuset that is fewer than the machine has.
 */
#ifndef LATHE_CORE_CORES_H
#define LATHE_CORE_CORES_H

int cores_usable(void); /* 1 at least; any thread */

#endif
