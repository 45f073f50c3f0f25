/* strategy_multiprocessing.c: W children, each taking a quarter of its share of the items at a time. */
#include "model/strategy.h"

static struct shape shape(const struct ask *a)
{
    int64_t grain = a->items / (4 * a->workers); /* four turns each: few round trips, and a short tail */

    return (struct shape){.processes = a->workers, .threads = 1, .width = 1, .grain = grain > 0 ? grain : 1};
}

const struct strategy strategy_multiprocessing = {
    .name = "multiprocessing",
    .aliases = "multiprocess processes",
    .summary = "processes that take items by the batch; a crash, leak or runaway costs one child",
    .fits = "many short CPU-bound items, and handlers that are not to be trusted",
    .kind = STRATEGY_SHAPED,
    .shape = shape,
};
