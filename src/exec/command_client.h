/*
 * command_client.h: a thread's client of a command, shared by command.c (who waits, who is handed over, who is to blame) and
 * command_read.c (what the process says). Inside exec/ only; one thread.
 */
#ifndef LATHE_EXEC_COMMAND_CLIENT_H
#define LATHE_EXEC_COMMAND_CLIENT_H

#include "core/arena.h"
#include "core/buf.h"
#include "core/limits.h"
#include "exec/command_process.h"

#define READ_BYTES (64u * KIB) /* at a time */
#define READS 16               /* of one look: others have their turn as well */
#define DEAF_MS 100            /* how long one that does not read, or closed its output, is given to end */

struct call {
    struct command_call shown;
    struct item *it;
    struct client *client;
    struct span params;
    struct buf result;
    int64_t id;
    int deaths; /* of processes that had it in hand */
    bool in_hand;
    bool alone; /* a suspect: nobody is beside it in the process */
    struct call *prev, *next;
};

struct queue {
    struct call *first, *last;
    int64_t count;
};

struct client {
    const struct command *command; /* NULL: no call yet */
    int set, alarm;                /* an epoll set, and a timerfd in it */
    struct process *process;       /* NULL: none runs */
    int64_t
        patience; /* with the guard, without which none is started: until then; 0: it has not been missed */
    struct queue waits, hand; /* not handed over; handed over, in that order */
    struct buf out, in, log;  /* to be written; read, and not yet a whole line */
    bool writing;             /* the process takes no more for the moment: epoll tells when it does */
    bool deaf;                /* it will never take more */
    bool mute;                /* it will never say more */
    struct arena arena;
};

enum source { SOURCE_ALARM, SOURCE_IN, SOURCE_OUT, SOURCE_LOG, SOURCE_END };

/* command.c */
void command_pull(struct queue *q, struct call *c); /* out of it */
void command_finish(struct call *c);                /* it is in no queue any more; its item is stepped */
void command_fail(struct call *c, const struct err *why);
void command_turn(struct client *k); /* the time of the first in the process's hand runs from now */
void command_ring_at(struct client *k, int64_t when);
void command_lose(struct client *k, const struct err *why); /* the process is of no use any more */

/* command_read.c */
bool command_read_answers(struct client *k, int most, bool all); /* false: the process was lost */
void command_read_log(struct client *k);
void command_ended(struct client *k);        /* the process has, or seems to have */
void command_lose_useless(struct client *k); /* it lives on, and neither reads nor says anything */

#endif
