/* strategy_hybrid.c: an event loop on each core, batch_size items in flight between them. */
#include "model/strategy.h"

static struct shape shape(const struct ask *a)
{
    int64_t width = (a->batch_size + a->cores - 1) / a->cores;

    return (struct shape){.threads = a->cores, .width = width, .grain = 1};
}

const struct strategy strategy_hybrid = {
    .name = "hybrid",
    .aliases = "",
    .summary = "an event loop per core: waits overlap and CPU runs on every core",
    .fits = "many items that both wait and compute; the safe choice when nothing is known",
    .kind = STRATEGY_SHAPED,
    .shape = shape,
};
