/* The order of the sources, and reading again. */
#include "core/conf.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/conf_sections.h"

#define DEFAULT_PATH "/etc/lathe/lathe.conf"
#define OPTIONS_MOST 256

/* Is it --section.name=…? Options of the subcommands have no point in their name. */
static bool is_setting(const char *arg)
{
    return strncmp(arg, "--", 2) == 0 && memchr(arg, '.', strcspn(arg, "="));
}

/* Moves our options from argv to c->options, and the last --conf to *ret_path. */
static bool take_options(struct conf *c, int *argc, char **argv, const char **ret_path, struct err *e)
{
    int kept = 0, i = 0;
    c->options = arena_array(&c->arena, (size_t)(*argc > 0 ? *argc : 0), sizeof *c->options);
    for (; i < *argc; i++) {
        if (i > 0 && strcmp(argv[i], "--") == 0)
            break;
        if (i > 0 && strncmp(argv[i], "--conf=", 7) == 0)
            *ret_path = argv[i] + 7;
        else if (i > 0 && strcmp(argv[i], "--conf") == 0)
            return err_set(e, ERR_CONFIG, "the option --conf needs a value: write --conf=FILE");
        else if (i > 0 && is_setting(argv[i]))
            c->options[c->option_count++] = arena_text(&c->arena, span_of(argv[i] + 2));
        else
            argv[kept++] = argv[i];
    }
    for (; i < *argc; i++) /* from "--" on, everything is the subcommand's */
        argv[kept++] = argv[i];
    if (kept < *argc)
        argv[kept] = NULL;
    *argc = kept;
    return true;
}

static bool read_options(struct conf *c, struct err *e)
{
    for (size_t i = 0; i < c->option_count; i++) {
        struct span value = span_of(c->options[i]);
        bool has_value = strchr(c->options[i], '=') != NULL;
        struct span name = span_cut(&value, '='), shown = name;
        if (shown.len > 80)
            shown.len = 80;
        struct span section = span_cut(&name, '.');
        const struct conf_row *row = conf_find(section, name);
        if (!row)
            return err_set(e, ERR_CONFIG, "there is no option --" SPAN_FMT "; lathe settings lists them",
                           SPAN_ARG(shown));
        if (!has_value)
            return err_set(e, ERR_CONFIG,
                           "the option --" SPAN_FMT " needs a value: write --" SPAN_FMT "=VALUE",
                           SPAN_ARG(shown), SPAN_ARG(shown));
        if (!conf_set(c, row, value, "the command line", e))
            return false;
    }
    return true;
}

static void make_variable(const struct conf_row *row, char *name, size_t size)
{
    snprintf(name, size, "LATHE_%s_%s", row->section, row->name);
    for (char *p = name; *p; p++)
        if (*p >= 'a' && *p <= 'z')
            *p = (char)(*p - ('a' - 'A'));
}

static bool read_environment(struct conf *c, struct err *e)
{
    for (size_t i = 0; i < conf_row_count; i++) {
        char name[80], origin[100];
        make_variable(&conf_rows[i], name, sizeof name);
        const char *value = getenv(name);
        snprintf(origin, sizeof origin, "the variable %s", name);
        if (value && !conf_set(c, &conf_rows[i], span_of(value), origin, e))
            return false;
    }
    return true;
}

/* Everything but taking the options out of argv. `path` NULL or "": the file is not named, and need not be there. */
static bool read_all(struct conf *c, const char *path, struct err *e)
{
    conf_set_defaults(c);
    bool named = path && *path;
    if (!named)
        path = DEFAULT_PATH;
    if (named || access(path, F_OK) == 0) {
        if (strlen(path) >= sizeof c->path)
            return err_set(e, ERR_CONFIG, "the path of the configuration file is longer than %zu bytes",
                           sizeof c->path - 1);
        snprintf(c->path, sizeof c->path, "%s", path);
        if (!conf_read_file(c, path, e))
            return false;
    }
    return read_environment(c, e) && read_options(c, e);
}

bool conf_load(struct conf *c, const char *path, int *argc, char **argv, struct err *e)
{
    *c = (struct conf){0};
    bool good = take_options(c, argc, argv, &path, e);
    if (good)
        good = read_all(c, path ? path : getenv("LATHE_CONF"), e);
    if (!good)
        conf_release(c);
    return good;
}

bool conf_reload(struct conf *c, struct buf *ret_ignored, struct err *e)
{
    struct conf next CLEANUP(conf_release) = {.options = c->options, .option_count = c->option_count};
    if (!read_all(&next, c->path, e))
        return false;
    const char *separator = "";
    for (size_t i = 0; i < conf_row_count; i++) {
        const struct conf_row *row = &conf_rows[i];
        if (conf_same(row, c, &next))
            continue;
        if (row->reload) {
            conf_take(row, c, &next);
        } else {
            buf_printf(ret_ignored, "%s%s.%s", separator, row->section, row->name);
            separator = ",";
        }
    }
    sections_differ(c, &next, separator, ret_ignored);
    return true;
}

void conf_release(struct conf *c)
{
    arena_release(&c->arena);
    *c = (struct conf){0};
}
