/*
 * child.h: a process that runs items for the worker. Forked by the zygote, it keeps nothing open but stderr and one
 * socket; on it come orders (fixed size, with the two descriptors of shared.h), and back go frames (frame.h). Between
 * orders it waits, warm. A handler is the same address in every process, because none of them has been exec'ed anew.
 */
#ifndef LATHE_EXEC_CHILD_H
#define LATHE_EXEC_CHILD_H

#include "exec/shared.h"

#define CHILD_IDLE_MS \
    90000 /* it leaves by itself when no order came for so long; children.c is quicker if it is asked */
#define CHILD_NO_MEMORY 97 /* its exit status when memory ran out */
#define CHILD_NO_LIMIT 96  /* when its memory limit could not be set */
#define CHILD_STRANDED 98  /* when the worker or the zygote has gone, or spoke what it did not understand */

enum order_kind { ORDER_RUN = 1, ORDER_STOP = 2 };

struct order {
    enum order_kind kind; /* ORDER_STOP only wakes it up to look at the cancel flag */
    struct uuid task;
    const struct handler *handler;
    size_t data_size, board_size;
    int64_t first, count; /* of the task; places in the list of work */
    int64_t threads, width, grain, lane;
    int64_t item_timeout, deadline, memory;
    int64_t item_retries, tries; /* as in struct plan */
    struct backoff backoff;
    struct memo_rules memo;
    bool list;   /* positions come from the list */
    bool log;    /* lines of items are wanted */
    bool urgent; /* send a failed item at once: it ends the run */
};

/* The rest of the life of a process that was just forked. `parent`: who forked it. */
void child_main(int sock, int parent) LATHE_NORETURN;

#endif
