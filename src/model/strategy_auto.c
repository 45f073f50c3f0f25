/* strategy_auto.c: the recommender's choice, made when the task runs; no shape of its own. */
#include "model/strategy.h"

const struct strategy strategy_auto = {
    .name = "auto",
    .aliases = "",
    .summary = "the shape that measurements of this handler and these params recommend",
    .fits = "whoever would rather not choose",
    .kind = STRATEGY_AUTO,
};
