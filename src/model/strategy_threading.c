/* strategy_threading.c: a crew of W threads in the worker. */
#include "model/strategy.h"

static struct shape shape(const struct ask *a)
{
    return (struct shape){.threads = a->workers, .width = 1, .grain = 1};
}

const struct strategy strategy_threading = {
    .name = "threading",
    .aliases = "threaded threads",
    .summary = "a crew of threads that shares memory",
    .fits = "waits and CPU mixed, modest numbers of items, every item on a stack of its own",
    .kind = STRATEGY_SHAPED,
    .shape = shape,
};
