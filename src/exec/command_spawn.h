/* command_spawn.h: fork and exec of a command's program. Inside exec/ only. */
#ifndef LATHE_EXEC_COMMAND_SPAWN_H
#define LATHE_EXEC_COMMAND_SPAWN_H

#include <sys/types.h>

#include "model/command.h"

struct spawned {
    pid_t pid;
    int pidfd, in, out, log; /* our ends, non-blocking, closed on exec */
};

/* Waits until the program is running. The guard, which the caller has opened, watches it. ERR_COMMAND, ERR_SYSTEM. Any thread. */
bool command_spawn(const struct command *c, struct spawned *ret, struct err *e) LATHE_CHECK;

#endif
