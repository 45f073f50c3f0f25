/*
 * command_process.h: the processes of commands: starting one, keeping it for the next run, ending it, and how long to wait
 * after one that was of no use. Inside exec/ only.
 */
#ifndef LATHE_EXEC_COMMAND_PROCESS_H
#define LATHE_EXEC_COMMAND_PROCESS_H

#include <sys/types.h>

#include "model/command.h"

struct process {
    const struct command *command;
    pid_t pid;        /* and its group */
    int pidfd;        /* readable: it has ended */
    int in, out, log; /* its standard input, output and error: our ends, non-blocking; -1: closed */
    int64_t answers;
    int64_t last_id; /* of an item: none comes twice in its life, though it serves many runs */
    int64_t idle_since;
    struct process *next; /* idle */
};

/* An idle one that lives, or a new one. ERR_COMMAND: it cannot be started; not for its own fault, but for want of a guard, if
 * *ret_again says when to try again. */
bool process_open(const struct command *c, struct process **ret, int64_t *ret_again,
                  struct err *e) LATHE_CHECK;
void process_keep(struct process *p); /* for the next run; it has nothing in hand */
void process_end(struct process *p);  /* it is told to end, and killed if it does not; *p is gone */

/* Has it ended? Then what is left of its group is killed, and `text` says how it ended. */
bool process_over(const struct process *p, char *text, size_t size);

bool processes_idle(void);    /* lets go those whose time is over; false */
void processes_release(void); /* everything, and waits for it */

/* ---- luck: a program that ends before it answers anything is not started again and again */

#define LUCK_OUT 10 /* so many in a row, and nothing waits for the next one */

struct luck {
    int64_t until; /* not started before, 0: at once */
    int64_t failures;
    bool out;       /* who needs it now is failed */
    struct err err; /* with this */
};

struct luck luck_now(const struct command *c);
void luck_good(const struct command *c);
void luck_bad(const struct command *c, const struct err *why, bool out);

#endif
