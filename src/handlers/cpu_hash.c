/* cpu_hash.c: a checksum or digest of bytes. */
#include "core/digest.h"
#include "core/json.h"
#include "core/limits.h"
#include "handlers/registry.h"
#include "handlers/source.h"

struct args {
    struct source_args source;
    int method;
};

static enum step step(struct item *it)
{
    const struct args *args = it->args;
    struct arena a CLEANUP(arena_release) = ARENA_INIT;
    struct digest d CLEANUP(digest_close) = DIGEST_INIT;
    struct buf text CLEANUP(buf_release) = BUF_INIT(256);
    struct source from;
    if (!source_open(&from, &a, it, &args->source) ||
        !digest_open(&d, (enum digest_kind)args->method, &it->err))
        return STEP_FAIL;
    for (struct span piece; (piece = source_next(&from)).len;) {
        if (item_stopping(it))
            return item_fail(it, "stopped before the end of its %lld bytes", (long long)from.size);
        digest_add(&d, piece);
    }
    digest_write(&d, &text);
    struct json_out o = json_out(&it->out);
    json_open(&o, '{');
    json_key(&o, "bytes");
    json_put_int(&o, from.size);
    json_key(&o, "digest");
    json_put_text(&o, buf_view(&text));
    json_close(&o, '}');
    return STEP_DONE;
}

static const struct field fields[] = {
    {.name = "method",
     .type = FIELD_ENUM,
     .offset = offsetof(struct args, method),
     .words = digest_names,
     .def = DIGEST_SHA256,
     .summary = "crc32, md5, sha1, sha256, sha512 or blake2b"},
    SOURCE_FIELDS(struct args, source),
};

const struct handler handler_cpu_hash = {
    .name = "cpu.hash",
    .summary = "a checksum or digest of bytes",
    .item = SOURCE_ITEM,
    .params = FIELDS(fields, struct args),
    .step = step,
};
