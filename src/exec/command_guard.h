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
#define GUARD_PAUSE_MOST_MS 10000

/* Nothing when it is there already. One that died, does not listen, or does not answer when programs outlive their time, is replaced, by one that knows all that it knew; not at once
 * when that happens again and again: ERR_COMMAND, and *ret_again says when, at most GUARD_PAUSE_MOST_MS from now; else it is 0. */
bool guard_open(int64_t *ret_again, struct err *e) LATHE_CHECK;
void guard_look(void);         /* the same every few seconds, for programs that run */
void guard_watch_me(void);     /* between fork and exec, so that there is no moment in which nobody watches */
void guard_watch(pid_t group); /* until guard_forget */
void guard_forget(pid_t group);
/* SIGTERM now, and SIGKILL in half a second unless it is forgotten before; at once while there is no guard. */
void guard_end(pid_t group);
void guard_close(void); /* it kills what is left, and is gone when this returns */

#endif
