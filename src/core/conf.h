/*
 * conf.h: the settings. settings.def is the table; this makes a struct of it, reads default < file < environment <
 * command line, and prints help and a sample. Read once at start; on SIGHUP conf_reload applies the rows that allow it.
 * After the threads have started a struct conf is read-only but for those rows, which are read through conf_now().
 *
 * sections.def is the table of what the file may hold any number of times, under names: commands, databases, ...
 *
 *     const struct conf_database *d = conf_database(c, SPAN("crm"));     // NULL: there is no [database crm]
 *     for (size_t i = 0; i < c->command_count; i++) … c->commands[i].program …
 */
#ifndef LATHE_CORE_CONF_H
#define LATHE_CORE_CONF_H

#include <stdbool.h>
#include <stdint.h>

#include "core/arena.h"
#include "core/buf.h"
#include "core/err.h"
#include "core/span.h"

#define CONF_TYPE_text const char *
#define CONF_TYPE_lines const char *
#define CONF_TYPE_int int64_t
#define CONF_TYPE_bool bool
#define CONF_TYPE_size int64_t
#define CONF_TYPE_ms int64_t
#define CONF_TYPE_mode int64_t

/* Every one begins with these two: its name, and the line of the file where it begins. */
struct conf_command {
    const char *name;
    int64_t line;
#define COMMAND(name, type, def, min, max, required, text) CONF_TYPE_##type name;
#include "core/sections.def"
};

struct conf_database {
    const char *name;
    int64_t line;
#define DATABASE(name, type, def, min, max, required, text) CONF_TYPE_##type name;
#include "core/sections.def"
};

struct conf_query {
    const char *name;
    int64_t line;
#define QUERY(name, type, def, min, max, required, text) CONF_TYPE_##type name;
#include "core/sections.def"
};

struct conf_destination {
    const char *name;
    int64_t line;
#define DESTINATION(name, type, def, min, max, required, text) CONF_TYPE_##type name;
#include "core/sections.def"
};

struct conf {
#define SETTING(section, name, type, def, min, max, reload, text) CONF_TYPE_##type section##_##name;
#include "core/settings.def"
#undef SETTING
#define KIND(kind, plural, example, text) \
    struct conf_##kind *plural;           \
    size_t kind##_count;
#include "core/sections.def"
    struct arena arena; /* of the texts and sections */
    char path[512];     /* of the file that was read, "" if none */
    char **options;     /* "section.name=VALUE" of the command line, kept for conf_reload */
    size_t option_count;
};

/* The section of this name, NULL if there is none: conf_command(c, name), conf_database, conf_query, conf_destination. */
#define KIND(kind, plural, example, text) \
    const struct conf_##kind *conf_##kind(const struct conf *c, struct span name);
#include "core/sections.def"

/* A setting that a reload may change while threads run: conf_now(&conf->api_wait). */
#define conf_now(member) __atomic_load_n((member), __ATOMIC_ACQUIRE)

/*
 * Reads the settings. `path` NULL means $LATHE_CONF, else /etc/lathe/lathe.conf if it is there; a path that was named
 * must exist. Takes the options --section.name=VALUE and --conf=FILE out of argv and leaves the rest in order.
 * ERR_CONFIG names the file and line, the variable or the option, the allowed range and the value (not of a password).
 */
bool conf_load(struct conf *c, const char *path, int *argc, char **argv, struct err *e) LATHE_CHECK;

/* Reads again: file, environment, and the command line as it was. Reloadable rows are changed in place, atomically (an old
 * text stays valid); others and sections that differ are named in *ret_ignored, separated by commas. Nothing changes on
 * an error. */
bool conf_reload(struct conf *c, struct buf *ret_ignored, struct err *e) LATHE_CHECK;

void conf_release(struct conf *c);
void conf_help(struct buf *out); /* a line per setting: option, default, text */
void conf_sample(
    struct buf *out); /* conf/lathe.conf as shipped: every setting commented out at its default */
void conf_manual(struct buf *out);                     /* docs/settings.md: every setting, in Markdown */
void conf_show(const struct conf *c, struct buf *out); /* the values in force; secrets as *** */

#endif
