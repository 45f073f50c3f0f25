/* main.c: finds the command, reads the settings, and turns its outcome into a message and an exit code. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cache/port.h"
#include "cmd/cmd.h"
#include "cmd/options.h"
#include "core/limits.h"
#include "core/log.h"
#include "core/mem.h"
#include "core/net_guard.h"
#include "core/parent.h"
#include "core/sig.h"
#include "core/span.h"
#include "exec/http.h"
#include "exec/places.h"
#include "handlers/plugin.h"
#include "handlers/registry.h"

#define COMMAND(symbol) extern const struct command command_##symbol;
#include "cmd/commands.def"
#undef COMMAND

static const struct command *const commands[] = {
#define COMMAND(symbol) &command_##symbol,
#include "cmd/commands.def"
#undef COMMAND
    NULL,
};

static void print_help(FILE *to)
{
    fputs("lathe runs batches of work: durably, under the execution strategy that fits.\n"
          "\n"
          "Usage: lathe COMMAND [OPTION…]\n"
          "\n"
          "Commands:\n",
          to);
    for (int i = 0; commands[i] != NULL; i++)
        fprintf(to, "  %-11s %s\n", commands[i]->name, commands[i]->summary);
    fputs(
        "\n"
        "Every command takes --conf=FILE and any setting as --section.name=VALUE, for example\n"
        "--store.url='dbname=lathe'. `lathe COMMAND --help` tells more, `lathe settings` names the settings,\n"
        "`man lathe` tells all.\n"
        "\n"
        "Exit codes: 0 done; 1 the task failed or was cancelled; 64 wrong command line; 65 wrong input; 66 no such\n"
        "task; 70 a fault in Lathe; 71 the system refused; 75 try again later; 78 wrong configuration or schema.\n",
        to);
}

static void print_command_help(const struct command *c)
{
    struct buf options CLEANUP(buf_release) = BUF_INIT(64 * KIB);
    printf("%s: %s\n\nUsage: %s\n\n%s", c->name, c->summary, c->usage, c->help);
    if (c->options) {
        buf_puts(&options, "\nOptions:\n");
        options_help(c->options, c->shorts, &options);
    }
    if (c->more_options)
        c->more_options(&options);
    fwrite(options.ptr, 1, options.len, stdout);
    puts("\nSettings come from /etc/lathe/lathe.conf (or --conf=FILE, or $LATHE_CONF), the environment\n"
         "(LATHE_SECTION_NAME) and options (--section.name=VALUE), the later over the earlier.");
}

static const struct command *find(const char *name)
{
    for (int i = 0; commands[i] != NULL; i++)
        if (strcmp(commands[i]->name, name) == 0)
            return commands[i];
    return NULL;
}

static bool asks_for_help(int argc, char **argv)
{
    for (int i = 1; i < argc; i++)
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0)
            return true;
    return false;
}

bool cmd_no_arguments(int argc, char **argv, struct err *e)
{
    if (argc > 1)
        return err_set(e, ERR_USAGE, "%s takes no argument \"%s\"; lathe %s --help tells what it takes",
                       argv[0], argv[1], argv[0]);
    return true;
}

/* The output of a command is its answer: only a process that stays tells what it does. */
static void set_up_log(const struct conf *c, const struct command *command)
{
    log_apply(c, command->name);
    if (!command->service && log_threshold < LOG_WARN)
        log_threshold = LOG_WARN;
}

static bool run(const struct command *command, struct cmd *c, int argc, char **argv, struct err *e)
{
    if (!conf_load(&c->conf, NULL, &argc, argv, e))
        return false;
    set_up_log(&c->conf, command);
    if (!net_guard_open(c->conf.http_allow, e) || !http_trust(c->conf.http_ca_file, e) ||
        !handlers_open(&c->conf, e))
        return false;
    redis_ports_open(&c->conf);
    places_open(&c->conf);
    if (command->handlers && !plugins_load(c->conf.handlers_dir, e))
        return false;
    return command->run(c, argc, argv, e);
}

/* Redis or PostgreSQL may go while a command writes to them. Ctrl-C ends a command as it ends any other. */
static void ignore_broken_pipes(void)
{
    struct sigaction ignore = {.sa_handler = SIG_IGN};
    sigaction(SIGPIPE, &ignore, NULL);
}

/* Many texts name the field themselves. */
static void report(const struct command *command, const struct err *e)
{
    bool named = e->pointer[0] == '\0' || strstr(e->text, e->pointer) != NULL;
    fprintf(stderr, "lathe %s: %s%s%s\n", command->name, named ? "" : e->pointer, named ? "" : ": ", e->text);
}

static int run_command(const struct command *command, int argc, char **argv)
{
    struct cmd c = {0};
    struct err e = ERR_INIT;

    if (command->service) {
        sig_block();
        parent_follow();
    } else {
        ignore_broken_pipes();
    }
    const char *allow = getenv("LATHE_TEST_HANDLERS");
    handlers_allow_hidden(allow != NULL && strcmp(allow, "1") == 0);
    bool ok = run(command, &c, argc, argv, &e);
    if (!ok)
        report(command, &e);
    fflush(stdout);
    int code = ok ? c.exit : err_exit(e.code);
    if (c.leave)
        _exit(code);
    conf_release(&c.conf);
    return code;
}

int main(int argc, char **argv)
{
    if (argc < 2) {
        print_help(stderr);
        return err_exit(ERR_USAGE);
    }
    if (strcmp(argv[1], "--version") == 0 || strcmp(argv[1], "-V") == 0) {
        puts("lathe " PACKAGE_VERSION);
        return 0;
    }
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 || strcmp(argv[1], "help") == 0) {
        print_help(stdout);
        return 0;
    }
    const struct command *command = find(argv[1]);
    if (command == NULL) {
        fprintf(stderr, "lathe: there is no command \"%s\". lathe --help lists them.\n", argv[1]);
        return err_exit(ERR_USAGE);
    }
    if (asks_for_help(argc - 1, argv + 1)) {
        print_command_help(command);
        return 0;
    }
    return run_command(command, argc - 1, argv + 1);
}
