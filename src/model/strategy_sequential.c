/* strategy_sequential.c: one item after another on one thread of the worker. */
#include "model/strategy.h"

static struct shape shape(const struct ask *a)
{
    (void)a;
    return (struct shape){.threads = 1, .width = 1, .grain = 1};
}

const struct strategy strategy_sequential = {
    .name = "sequential",
    .aliases = "",
    .summary = "one after another: the baseline",
    .fits = "few or tiny items, and as the measure of all others",
    .kind = STRATEGY_SHAPED,
    .shape = shape,
};
