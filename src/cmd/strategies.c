#include <stdio.h>

#include "cmd/cmd.h"
#include "model/strategy.h"

static bool run(struct cmd *c, int argc, char **argv, struct err *e)
{
    (void)c;
    if (!cmd_no_arguments(argc, argv, e))
        return false;
    for (int i = 0; strategies[i]; i++) {
        const struct strategy *s = strategies[i];
        printf("%s%s%s%s\n  %s\n  fits: %s\n", s->name, s->aliases[0] ? " (" : "", s->aliases,
               s->aliases[0] ? ")" : "", s->summary, s->fits);
    }
    return true;
}

const struct command command_strategies = {
    .name = "strategies",
    .summary = "how items can be run, and when each way fits",
    .usage = "lathe strategies",
    .help = "Names in brackets are aliases.\n",
    .run = run,
};
