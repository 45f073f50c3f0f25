/* strategy_background.c: queued in units that any worker may take; no shape of its own. */
#include "model/strategy.h"

const struct strategy strategy_background = {
    .name = "background",
    .aliases = "",
    .summary = "queued in units of batch_size items that any worker on any host may take",
    .fits = "work that nobody waits for, and more work than one host can do",
    .kind = STRATEGY_QUEUED,
};
