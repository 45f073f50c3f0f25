/*
 * gate.h: the limits of one host (the settings' [destination]) before the HTTP calls of one thread: so many at once, so many in a time,
 * over all workers and hosts. Who may go is asked of Redis, for up to GATE_BATCH calls together, and nobody is held by it: calls wait
 * in line, their items with them, and go when they are let through. A place is held until gate_leave, however long that is: its lease
 * is renewed meanwhile, by gate_look. Where Redis is away each process keeps the limits by itself.
 * One thread, but for what gates of a process share.
 */
#ifndef LATHE_EXEC_GATE_H
#define LATHE_EXEC_GATE_H

#include "core/conf.h"
#include "model/port.h"

#define GATE_BATCH 12

/* One call's place in line and, later, its leave to be under way. */
struct pass {
    struct gate *gate; /* NULL: none */
    struct pass *next, *prev;
    int64_t lease; /* its number in Redis; 0: it is not known there */
    bool waits, inside;
};

struct gate;

/* `redis` is the thread's client of redis_own_port, NULL: there is none. go(arg, pass) is called for each pass that was let through;
 * timer(arg) when gate_due changed. */
struct gate *gate_new(const struct conf_destination *limits, void *redis,
                      void (*go)(void *arg, struct pass *p), void (*timer)(void *arg), void *arg);
void gate_free(struct gate *g); /* nobody waits or is inside */
const struct conf_destination *gate_limits(const struct gate *g);

void gate_enter(struct gate *g, struct pass *p); /* go may be called at once */
void gate_leave(
    struct pass *p); /* out of the line, or it was inside and is over; nothing for one that is neither */

int64_t gate_due(const struct gate *g); /* when gate_look is to be called; CLOCK_NEVER: not */
void gate_look(struct gate *g, int64_t now);

#endif
