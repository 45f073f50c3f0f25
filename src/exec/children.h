/*
 * children.h: the worker's children, those at work and those that wait warm for the next run. Any thread.
 */
#ifndef LATHE_EXEC_CHILDREN_H
#define LATHE_EXEC_CHILDREN_H

#include "core/buf.h"
#include "core/clock.h"
#include "exec/child.h"
#include "exec/zygote.h"

struct child {
    pid_t pid;
    int sock, pidfd;
    int64_t cpu_seen; /* of its life, ns, as of its last end */
    int64_t peak_kib; /* of its own memory, in any order: an idle one may still have as much */
    int64_t idle_since;
    struct child *next;
};

/* Up to n children, warm ones first, each handed to `got` as soon as it is there. Returns how many; when that is fewer
 * than n, *e says why. */
int children_take(int n, void (*got)(void *arg, struct child *c), void *arg, struct err *e);

/* After a run, those (linked by `next`) that have said that they are done: kept for the next run as far as there is room
 * and let go beyond. */
void children_keep(struct child *list);

/* Lets go those that are dead, and of the others all that have waited long enough by `now` (clock_now() scale): most of
 * them CHILDREN_SHORT_NS, the few that were used last CHILDREN_LONG_NS. */
#define CHILDREN_SHORT_NS (10 * NS_PER_S)
#define CHILDREN_LONG_NS (60 * NS_PER_S)
void children_idle(int64_t now);

/* Kills it if need be, waits until it is gone, says how it ended, and frees it. */
struct child_end children_bury(struct child *c);

/* ERR_ITEM_CRASHED, for the item that it had in hands. `limit`: of its memory, 0 if it had none. */
void child_end_explain(const struct child_end *end, int64_t limit, struct err *e);

void child_kill(const struct child *c);

/* Lets all go that wait; nobody may be in a run. */
void children_release(void);

#endif
