#include <stdio.h>

#include "cmd/cmd.h"
#include "store/store.h"

static void note(void *arg, const char *text)
{
    (void)arg;
    puts(text);
    fflush(stdout);
}

static bool run(struct cmd *c, int argc, char **argv, struct err *e)
{
    struct store *s = NULL;
    if (!cmd_no_arguments(argc, argv, e) || !store_open(&c->conf, "migrate", &s, e))
        return false;
    bool ok = store_migrate(s, note, NULL, e);
    store_close(s);
    return ok;
}

const struct command command_migrate = {
    .name = "migrate",
    .summary = "brings the database schema up to date",
    .usage = "lathe migrate",
    .help =
        "Applies the migrations that this program carries and the database lacks, each in a transaction, one process at a\n"
        "time. Run again it changes nothing. A database that is newer than this program is left alone (exit 78).\n",
    .run = run,
};
