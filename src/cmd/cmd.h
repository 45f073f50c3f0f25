/*
 * cmd.h: a subcommand of the program: a screen each, a file each, a line in commands.def. main.c reads the settings, sets
 * up the log, and turns what a command returns into a message and an exit code (err.def: sysexits.h numbers).
 *
 *     static bool run(struct cmd *c, int argc, char **argv, struct err *e) { … }
 *     const struct command command_migrate = {
 *         .name = "migrate", .summary = "brings the database schema up to date", .usage = "lathe migrate",
 *         .help = "…", .run = run,
 *     };
 */
#ifndef LATHE_CMD_CMD_H
#define LATHE_CMD_CMD_H

#include "core/conf.h"
#include "core/err.h"
#include "core/field.h"

struct cmd {
    struct conf conf;
    int exit;   /* exit code when run returned true; 0 unless the command sets another */
    bool leave; /* end by _exit: threads may still run */
};

struct command {
    const char *name, *summary;
    const char *usage;            /* one line */
    const char *help;             /* what it does, an example; below the usage in `lathe NAME --help` */
    const struct fields *options; /* cmd/options.h; shown by --help; NULL: none */
    const char *shorts;           /* their letters */
    void (*more_options)(struct buf *out); /* and those that come from elsewhere; NULL: none */
    bool handlers;                         /* it needs to know them: plug-ins are loaded before run() */
    bool service; /* a process that stays: logs by the settings; others log warnings only */
    /* argv[0] is the command's name; the settings' options are taken out. False: e says why. */
    bool (*run)(struct cmd *c, int argc, char **argv, struct err *e);
};

/* Refuses arguments that a command has no use for: ERR_USAGE. */
bool cmd_no_arguments(int argc, char **argv, struct err *e) LATHE_CHECK;

#endif
