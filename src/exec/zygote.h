/*
 * zygote.h: the process that forks children, for a worker that has threads and must not fork. It is forked itself before
 * the first thread, connection or library, does nothing but fork and reap, and ends when the worker does. Any thread may
 * call; calls take their turn.
 */
#ifndef LATHE_EXEC_ZYGOTE_H
#define LATHE_EXEC_ZYGOTE_H

#include <sys/types.h>

#include "core/err.h"

/* A child as the worker knows it: the socket that it talks on, and a descriptor that is readable once it is dead. */
struct newborn {
    pid_t pid;
    int sock, pidfd;
};

/* How a child ended. */
struct child_end {
    bool known;  /* false: the zygote is dead too, nobody can tell */
    int status;  /* as of waitpid(2) */
    int64_t cpu; /* ns, of its whole life */
};

bool zygote_start(struct err *e) LATHE_CHECK;
void zygote_stop(void); /* waits until it is gone */
bool zygote_running(void);
bool zygote_broken(void); /* a call found it dead, or it did not answer: every later one fails */

/* Forks n children and calls `got` for each as it comes, in the caller's thread. Returns how many came; when that is
 * fewer than n, *e says why. */
int zygote_fork(int n, void (*got)(void *arg, const struct newborn *child), void *arg, struct err *e);

/* Of a child whose pidfd is readable. It can be asked once. */
struct child_end zygote_collect(pid_t pid);

#endif
