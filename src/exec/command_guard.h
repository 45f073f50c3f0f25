/*
 * command_guard.h: a small process that outlives ours by a moment. It knows the groups of processes that were started for
 * commands, and kills them when this process is gone, however it went, and those that do not end when they are told to. (A
 * signal at the parent's death reaches the program alone, and not what a script of it has started.) Any thread.
 */
#ifndef LATHE_EXEC_COMMAND_GUARD_H
#define LATHE_EXEC_COMMAND_GUARD_H

#include <sys/types.h>

#include "core/err.h"

#define GUARD_MOST 4096 /* groups; it refuses more */

bool guard_open(struct err *e) LATHE_CHECK; /* nothing when it is there already */
void guard_watch(pid_t group);              /* safe between fork and exec; until guard_forget */
void guard_forget(pid_t group);
void guard_end(pid_t group); /* SIGTERM now, and SIGKILL in half a second unless it is forgotten before */
void guard_close(void);      /* it kills what is left, and is gone when this returns */

#endif
