/* cpu_compress.c: packs bytes and says how small they became. */
#include "handlers/process.h"
#include "handlers/registry.h"

struct args {
    struct source_args source;
    struct pack_args pack;
};

static enum step step(struct item *it)
{
    const struct args *args = it->args;
    struct arena a CLEANUP(arena_release) = ARENA_INIT;
    struct json_out o = json_out(&it->out);
    struct source from;
    json_open(&o, '{');
    if (!source_open(&from, &a, it, &args->source) || !process_pack(it, &from, &args->pack, &o))
        return STEP_FAIL;
    json_close(&o, '}');
    return STEP_DONE;
}

static const struct field fields[] = {
    PACK_FIELDS(struct args, pack),
    SOURCE_FIELDS(struct args, source),
    DIGEST_FIELD(struct args, pack.digest, "digest", DIGEST_CRC32, "of the packed bytes"),
    KEEP_FIELD(struct args, pack),
};

const struct handler handler_cpu_compress = {
    .name = "cpu.compress",
    .summary = "compresses bytes and tells how small they became",
    .item = SOURCE_ITEM,
    .params = FIELDS(fields, struct args),
    .step = step,
};
