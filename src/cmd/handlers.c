#include <inttypes.h>
#include <stdio.h>

#include "cmd/cmd.h"
#include "cmd/options.h"
#include "core/limits.h"
#include "handlers/registry.h"

struct listing {
    bool json;
};

static const struct field fields[] = {
    {.name = "json",
     .type = FIELD_BOOL,
     .offset = offsetof(struct listing, json),
     .summary = "one JSON document, with the schema of the params"},
};
static const struct fields options = FIELDS(fields, struct listing);

static void describe_param(const struct field *f, struct buf *b)
{
    buf_printf(b, "  %-22s %s", f->name, f->summary);
    switch (f->type) {
    case FIELD_NUM:
        buf_printf(b, " (%" PRId64 " to %" PRId64 ", default %g)", f->min, f->max,
                   (double)f->def + f->def_part);
        break;
    case FIELD_INT:
        buf_printf(b, " (%" PRId64 " to %" PRId64 ", default %" PRId64 ")", f->min, f->max, f->def);
        break;
    case FIELD_BOOL:
        buf_printf(b, " (default %s)", f->def ? "true" : "false");
        break;
    case FIELD_TEXT:
        buf_printf(b, " (default \"%s\")", f->def_text ? f->def_text : "");
        break;
    case FIELD_ENUM:
        buf_printf(b, " (default %s)", f->words[f->def]);
        break;
    case FIELD_JSON:
        break;
    }
    buf_char(b, '\n');
}

static void describe(const struct handler *h, struct buf *b)
{
    buf_printf(b, "%s: %s\n", h->name, h->summary);
    if (h->process_only)
        buf_puts(b, "  (in child processes under every strategy)\n");
    if (h->item)
        buf_printf(b, "  (item)                 %s\n", h->item);
    for (size_t i = 0; i < h->params.count; i++)
        describe_param(&h->params.list[i], b);
    buf_char(b, '\n');
}

static void put_json(const struct handler *h, struct json_out *o)
{
    json_open(o, '{');
    json_key(o, "name");
    json_put_str(o, h->name);
    json_key(o, "summary");
    json_put_str(o, h->summary);
    json_key(o, "item");
    json_put_str(o, h->item);
    json_key(o, "process_only");
    json_put_bool(o, h->process_only);
    json_key(o, "params");
    fields_schema(&h->params, o);
    json_close(o, '}');
}

static bool run(struct cmd *c, int argc, char **argv, struct err *e)
{
    struct buf b CLEANUP(buf_release) = BUF_INIT(LIMIT_RESPONSE);
    struct json_out o = json_out(&b);
    struct listing s;
    (void)c;
    fields_defaults(&options, &s);
    if (!options_take(&options, NULL, &argc, argv, &s, e) || !options_words(argc, argv, 0, 0, e))
        return false;
    if (s.json)
        json_open(&o, '[');
    const struct handler *h;
    for (size_t i = 0; (h = handler_at(i)); i++) {
        if (h->hidden || h->internal)
            continue;
        if (s.json)
            put_json(h, &o);
        else
            describe(h, &b);
    }
    if (s.json) {
        json_close(&o, ']');
        buf_char(&b, '\n');
    }
    fwrite(b.ptr, 1, b.len, stdout);
    return true;
}

const struct command command_handlers = {
    .name = "handlers",
    .summary = "what can be done to items, and the params of each",
    .usage = "lathe handlers [--json]",
    .options = &options,
    .help =
        "A param is given as --param=NAME=VALUE. Handlers of your own are shared objects, read from handlers.dir (empty, that\n"
        "is " LATHE_HANDLERS_DIR "),\n"
        "or programs in any language, each in a section [command NAME] of the configuration; see lathe settings --sample.\n",
    .handlers = true,
    .run = run,
};
