/*
 * supervise.h: keeps processes of this same program running: starts them, starts them again when they end (at once, then
 * with growing pauses), hands signals on, and ends them within a deadline. For `lathe serve`. One thread, no libraries:
 * a supervisor that does almost nothing has almost nothing to fail at.
 */
#ifndef LATHE_CMD_SUPERVISE_H
#define LATHE_CMD_SUPERVISE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "core/err.h"

struct supervised {
    const char *role;  /* the subcommand, for logs: "api", "worker" */
    char *const *argv; /* of the program, NULL at the end; argv[0] is the name */
    /* the supervisor's */
    pid_t pid;                 /* 0: not running */
    int64_t started, start_at; /* clock_now() */
    int64_t pause_ms;
};

struct supervision {
    struct supervised *list;
    int count;
    int signals;                                                                 /* sig_open() */
    int64_t stop_ms;                                                             /* from SIGTERM to SIGKILL */
    void (*ended)(void *arg, const struct supervised *s, pid_t pid, int status); /* may be NULL */
    void *arg;
};

/* Until SIG_STOP and every process has ended. False when a process says that its configuration or the database schema is
 * not right (exit 78): starting it again would not help. */
bool supervise(struct supervision *s, struct err *e) LATHE_CHECK;

#endif
