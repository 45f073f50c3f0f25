/* cpu_compress.c: packs bytes and says how small they became. */
#include "core/limits.h"
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
    {.name = "method",
     .type = FIELD_ENUM,
     .offset = offsetof(struct args, pack.method),
     .words = pack_names,
     .def = PACK_ZSTD,
     .summary = "zlib, gzip or zstd"},
    {.name = "level",
     .type = FIELD_INT,
     .offset = offsetof(struct args, pack.level),
     .min = 1,
     .max = PACK_LEVEL_MOST,
     .def = 3,
     .summary = "from quick to small"},
    SOURCE_FIELDS(struct args, source),
    {.name = "digest",
     .type = FIELD_ENUM,
     .offset = offsetof(struct args, pack.digest),
     .words = digest_names,
     .def = DIGEST_CRC32,
     .summary = "of the packed bytes"},
    {.name = "keep",
     .type = FIELD_BOOL,
     .offset = offsetof(struct args, pack.keep),
     .summary = "puts the packed bytes into the result, in base64; more than 764 KiB fail the item"},
};

const struct handler handler_cpu_compress = {
    .name = "cpu.compress",
    .summary = "compresses bytes and tells how small they became",
    .item = SOURCE_ITEM,
    .params = FIELDS(fields, struct args),
    .step = step,
};
