/*
 * graves.h: how children ended that nobody has asked after yet. The zygote's; one thread.
 *
 * The worker asks after almost every child, but not after one that it gave up on. Such a grave must neither stay for ever
 * nor speak for another child that is given the same pid later.
 */
#ifndef LATHE_EXEC_GRAVES_H
#define LATHE_EXEC_GRAVES_H

#include "exec/zygote.h"

#define GRAVES_MOST 1024 /* beyond, the oldest is forgotten: more than a worker has children at once */

struct graves {
    struct grave {
        pid_t pid;
        struct child_end end;
    } * list; /* the oldest first */
    size_t count, room;
};

/* An older one of the same pid is another child's: it goes. */
void graves_dig(struct graves *g, pid_t pid, const struct child_end *end);

/* False: there is none. Each can be had once. */
bool graves_open(struct graves *g, pid_t pid, struct child_end *ret);

void graves_release(struct graves *g);

#endif
