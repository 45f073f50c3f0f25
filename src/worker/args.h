/*
 * args.h: a unit's params as its handler wants them. Units that one thread runs one after the other mostly have the same: these are
 * read once. Belongs to one thread.
 *
 *     struct args args = ARGS_INIT;
 *     const void *list = args_read(&args, handler, unit->params, &e);      // good until the next call
 *     …
 *     args_rest(&args);                                                     // between two units
 *     args_release(&args);
 */
#ifndef LATHE_WORKER_ARGS_H
#define LATHE_WORKER_ARGS_H

#include "core/arena.h"
#include "model/handler.h"

struct args {
    struct arena arena;
    const struct handler *handler; /* NULL: nothing is kept */
    struct span params;
    void *list;      /* handler->params.size bytes */
    uint64_t digest; /* 0: nobody asked yet */
};

#define ARGS_INIT           \
    {                       \
        .arena = ARENA_INIT \
    }

/* NULL: they are no JSON, or not what the handler takes, and *e says what. */
const void *args_read(struct args *a, const struct handler *h, struct span params, struct err *e) LATHE_CHECK;

/* Of what was read last: the key of its profile (model/submission.h). */
uint64_t args_digest(struct args *a);

/* Lets go of what is too large to be kept for a unit that may not come. */
void args_rest(struct args *a);
void args_release(struct args *a);

#endif
