/* strategy_async_batch.c: one event loop in the worker with batch_size items in flight. */
#include "model/strategy.h"

static struct shape shape(const struct ask *a)
{
    return (struct shape){.threads = 1, .width = a->batch_size, .grain = 1};
}

const struct strategy strategy_async_batch = {
    .name = "async-batch",
    .aliases = "async",
    .summary = "one event loop, batch_size waits at once",
    .fits = "thousands of items that wait much and compute little",
    .kind = STRATEGY_SHAPED,
    .shape = shape,
};
