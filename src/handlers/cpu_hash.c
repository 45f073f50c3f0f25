/* cpu_hash.c: a checksum or digest of bytes. */
#include "handlers/process.h"
#include "handlers/registry.h"

struct args {
    struct source_args source;
    int method;
};

static enum step step(struct item *it)
{
    const struct args *args = it->args;
    struct arena a CLEANUP(arena_release) = ARENA_INIT;
    struct json_out o = json_out(&it->out);
    struct source from;
    json_open(&o, '{');
    if (!source_open(&from, &a, it, &args->source) ||
        !process_hash(it, &from, (enum digest_kind)args->method, &o))
        return STEP_FAIL;
    json_close(&o, '}');
    return STEP_DONE;
}

static const struct field fields[] = {
    DIGEST_FIELD(struct args, method, "method", DIGEST_SHA256, "of what kind"),
    SOURCE_FIELDS(struct args, source),
};

const struct handler handler_cpu_hash = {
    .name = "cpu.hash",
    .summary = "a checksum or digest of bytes",
    .item = SOURCE_ITEM,
    .params = FIELDS(fields, struct args),
    .step = step,
};
