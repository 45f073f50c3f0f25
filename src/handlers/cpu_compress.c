/* cpu_compress.c: packs bytes and says how small they became. */
#include "core/digest.h"
#include "core/hmac.h"
#include "core/json.h"
#include "core/limits.h"
#include "core/pack.h"
#include "handlers/registry.h"
#include "handlers/source.h"

/* What is kept is told in base64, a third longer, in a result that has other members too. */
#define KEPT_MOST (LIMIT_ITEM_RESULT / 4 * 3 - 1024)

struct args {
    struct source_args source;
    int method, digest;
    int64_t level;
    bool keep;
};

/* Where the packed bytes go. */
struct sink {
    struct digest digest;
    struct buf kept;
    int64_t bytes;
    bool keep;
};

static void take(void *arg, struct span bytes)
{
    struct sink *s = arg;
    s->bytes += (int64_t)bytes.len;
    digest_add(&s->digest, bytes);
    if (s->keep)
        buf_span(&s->kept, bytes);
}

static bool pack(struct item *it, struct source *from, struct pack *p, struct sink *to)
{
    for (bool last = false; !last;) {
        if (item_stopping(it))
            return err_set(&it->err, ERR_ITEM_FAILED, "stopped before its %lld bytes were packed",
                           (long long)from->size);
        struct span piece = source_next(from);
        last = piece.len == 0;
        if (!pack_add(p, piece, last, take, to, &it->err))
            return false;
    }
    return !to->kept.failed || err_set(&it->err, ERR_ITEM_TOO_LARGE,
                                       "%lld bytes are too many to be kept in a result, which takes %u",
                                       (long long)to->bytes, KEPT_MOST);
}

static void answer(struct item *it, int64_t size, struct sink *s)
{
    const struct args *args = it->args;
    struct json_out o = json_out(&it->out);
    struct buf text CLEANUP(buf_release) = BUF_INIT(LIMIT_ITEM_RESULT);
    digest_write(&s->digest, &text);
    json_open(&o, '{');
    json_key(&o, "bytes");
    json_put_int(&o, size);
    json_key(&o, "packed");
    json_put_int(&o, s->bytes);
    json_key(&o, "ratio");
    json_put_num(&o, (double)(size * 1000 / (s->bytes > 0 ? s->bytes : 1)) / 1000);
    json_key(&o, "digest");
    json_put_text(&o, buf_view(&text));
    if (args->keep) {
        buf_clear(&text);
        base64_write(&text, buf_view(&s->kept));
        json_key(&o, "data");
        json_put_text(&o, buf_view(&text));
    }
    json_close(&o, '}');
}

static void close_sink(struct sink *s)
{
    digest_close(&s->digest);
    buf_release(&s->kept);
}

static void close_pack(struct pack **p)
{
    pack_close(*p);
}

static enum step step(struct item *it)
{
    const struct args *args = it->args;
    struct arena a CLEANUP(arena_release) = ARENA_INIT;
    struct sink to CLEANUP(close_sink) = {
        .digest = DIGEST_INIT, .kept = BUF_INIT(KEPT_MOST), .keep = args->keep};
    struct pack *p CLEANUP(close_pack) = NULL;
    struct source from;
    if (!source_open(&from, &a, it, &args->source) ||
        !digest_open(&to.digest, (enum digest_kind)args->digest, &it->err) ||
        !pack_open(&p, (enum pack_kind)args->method, (int)args->level, from.size, &it->err) ||
        !pack(it, &from, p, &to))
        return STEP_FAIL;
    answer(it, from.size, &to);
    return STEP_DONE;
}

static const struct field fields[] = {
    {.name = "method",
     .type = FIELD_ENUM,
     .offset = offsetof(struct args, method),
     .words = pack_names,
     .def = PACK_ZSTD,
     .summary = "zlib, gzip or zstd"},
    {.name = "level",
     .type = FIELD_INT,
     .offset = offsetof(struct args, level),
     .min = 1,
     .max = PACK_LEVEL_MOST,
     .def = 3,
     .summary = "from quick to small"},
    SOURCE_FIELDS(struct args, source),
    {.name = "digest",
     .type = FIELD_ENUM,
     .offset = offsetof(struct args, digest),
     .words = digest_names,
     .def = DIGEST_CRC32,
     .summary = "of the packed bytes"},
    {.name = "keep",
     .type = FIELD_BOOL,
     .offset = offsetof(struct args, keep),
     .summary = "puts the packed bytes into the result, in base64; more than 767 KiB fail the item"},
};

const struct handler handler_cpu_compress = {
    .name = "cpu.compress",
    .summary = "compresses bytes and tells how small they became",
    .item = SOURCE_ITEM,
    .params = FIELDS(fields, struct args),
    .step = step,
};
