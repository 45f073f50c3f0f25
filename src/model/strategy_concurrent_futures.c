/* strategy_concurrent_futures.c: W children, every item its own future. */
#include "model/strategy.h"

static struct shape shape(const struct ask *a)
{
    return (struct shape){.processes = a->workers, .threads = 1, .width = 1, .grain = 1};
}

const struct strategy strategy_concurrent_futures = {
    .name = "concurrent-futures",
    .aliases = "futures",
    .summary = "processes that take one item at a time, each with a time-out and an end of its own",
    .fits = "long or uneven items, each of which may hang or crash",
    .kind = STRATEGY_SHAPED,
    .shape = shape,
};
