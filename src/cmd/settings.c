#include <stdio.h>
#include <string.h>

#include "cmd/cmd.h"
#include "cmd/options.h"
#include "core/limits.h"

struct showing {
    bool in_force, sample, manual;
};

static const struct field fields[] = {
    {.name = "in_force",
     .type = FIELD_BOOL,
     .offset = offsetof(struct showing, in_force),
     .summary = "the values in force, from wherever they come; secrets as ***"},
    {.name = "sample",
     .type = FIELD_BOOL,
     .offset = offsetof(struct showing, sample),
     .summary = "a configuration file with every setting at its default"},
    {.name = "manual",
     .type = FIELD_BOOL,
     .offset = offsetof(struct showing, manual),
     .summary = "docs/settings.md"},
};
static const struct fields options = FIELDS(fields, struct showing);

static bool run(struct cmd *c, int argc, char **argv, struct err *e)
{
    struct buf b CLEANUP(buf_release) = BUF_INIT(LIMIT_RESPONSE);
    struct showing s;
    fields_defaults(&options, &s);
    if (!options_take(&options, NULL, &argc, argv, &s, e) || !options_words(argc, argv, 0, 0, e))
        return false;
    if (s.in_force)
        conf_show(&c->conf, &b);
    else if (s.sample)
        conf_sample(&b);
    else if (s.manual)
        conf_manual(&b);
    else
        conf_help(&b);
    fwrite(b.ptr, 1, b.len, stdout);
    return true;
}

const struct command command_settings = {
    .name = "settings",
    .summary = "every setting, its default and meaning",
    .usage = "lathe settings [--in-force | --sample | --manual]",
    .options = &options,
    .help = "",
    .run = run,
};
