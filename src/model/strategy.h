/*
 * strategy.h: the strategies that people know, as named points in the space of shapes. Adding one is a file and a line in
 * strategies.def:
 *
 *     static struct shape shape(const struct ask *a) { return (struct shape){.threads = a->workers, .width = 1, .grain = 1}; }
 *     const struct strategy strategy_threading = {
 *         .name = "threading", .aliases = "threaded threads", .shape = shape,
 *         .summary = "a crew of threads that share memory", .fits = "waits and CPU mixed, modest numbers of items",
 *     };
 */
#ifndef LATHE_MODEL_STRATEGY_H
#define LATHE_MODEL_STRATEGY_H

#include "core/span.h"
#include "model/shape.h"

/* What a shape is made from. The numbers are at least 1. */
struct ask {
    int64_t items, batch_size, workers, cores;
    bool process_only; /* of the handler */
};

enum strategy_kind {
    STRATEGY_SHAPED, /* has a shape of its own */
    STRATEGY_AUTO,   /* the recommender picks the shape when it runs */
    STRATEGY_QUEUED, /* split into units of batch_size, each run under `inner`; the caller does not wait */
};

struct strategy {
    const char *name;
    const char *aliases; /* separated by blanks, "" if none */
    const char *summary; /* in words, one line */
    const char *fits;    /* when to choose it, one line */
    enum strategy_kind kind;
    struct shape (*shape)(const struct ask *a); /* STRATEGY_SHAPED only */
};

#define STRATEGY(symbol) extern const struct strategy strategy_##symbol;
#include "model/strategies.def"
#undef STRATEGY

extern const struct strategy *const strategies[]; /* in the order of the registry, NULL at the end */

/* The shape of one that has one, as it may be run: with a child where the handler is run in children only. */
struct shape strategy_shape(const struct strategy *s, const struct ask *a);

const struct strategy *strategy_find(struct span name_or_alias); /* NULL: no such */

#endif
