/*
 * supervise.h: keeps processes of this same program running: starts them, starts them again when they end (with growing
 * pauses where they do not live long), hands signals on, and ends them within a deadline. For `lathe serve`. One thread,
 * no libraries: a supervisor that does almost nothing has almost nothing to fail at.
 *
 * Each has a process group of its own: Ctrl-C is for the supervisor, which tells the others. If the supervisor dies, they
 * stop as if it had told them (core/parent.h).
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
    pid_t pid;     /* 0: not running */
    pid_t leaving; /* the one before it, which asked for a successor and still finishes; 0: none */
    int64_t started, start_at; /* clock_now() */
    int64_t pause_ms;
    bool settled; /* it has lived long once: the settings that it was started with are good */
};

struct supervision {
    struct supervised *list;
    int count;
    int signals;                           /* sig_open() */
    int64_t stop_ms;                       /* from SIGTERM to SIGKILL */
    void (*reload)(struct supervision *v); /* at SIG_RELOAD, before the others are told; NULL: nothing */
    void *arg;                             /* of reload */
};

/* Until SIG_STOP and every process has ended. False when a process that has never lived long says that its configuration
 * or the database schema is not right (exit 78): starting it again would not help. */
bool supervise(struct supervision *v, struct err *e) LATHE_CHECK;

#endif
