#include "handlers/process.h"

#include "core/hmac.h"
#include "core/limits.h"

/* What is kept is told in base64, a third longer, in a result that has other members too. */
#define KEPT_MOST (LIMIT_ITEM_RESULT / 4 * 3 - 4096)

static bool stopped(struct item *it, const struct source *s)
{
    return item_stopping(it) && !err_set(&it->err, ERR_ITEM_FAILED,
                                         "stopped before the end of its %lld bytes", (long long)s->size);
}

static void put_size(const struct source *s, struct json_out *o)
{
    json_key(o, "bytes");
    json_put_int(o, s->size);
}

static void put_digest(struct digest *d, struct json_out *o)
{
    struct buf text CLEANUP(buf_release) = BUF_INIT(256);
    digest_write(d, &text);
    json_key(o, "digest");
    json_put_text(o, buf_view(&text));
}

/* ---- digests */

bool process_hash(struct item *it, struct source *s, enum digest_kind kind, struct json_out *o)
{
    struct digest d CLEANUP(digest_close) = DIGEST_INIT;
    if (!digest_open(&d, kind, &it->err))
        return false;
    for (struct span piece; (piece = source_next(s)).len;) {
        if (stopped(it, s))
            return false;
        digest_add(&d, piece);
    }
    put_size(s, o);
    put_digest(&d, o);
    return true;
}

/* ---- compression */

/* Where the packed bytes go. */
struct sink {
    struct digest digest;
    struct buf kept;
    int64_t bytes;
    bool keep;
};

static void take(void *arg, struct span bytes)
{
    struct sink *to = arg;
    to->bytes += (int64_t)bytes.len;
    digest_add(&to->digest, bytes);
    if (to->keep)
        buf_span(&to->kept, bytes);
}

static bool pack(struct item *it, struct source *s, struct pack *p, struct sink *to)
{
    for (bool last = false; !last;) {
        if (stopped(it, s))
            return false;
        struct span piece = source_next(s);
        last = piece.len == 0;
        if (!pack_add(p, piece, last, take, to, &it->err))
            return false;
    }
    return !to->kept.failed || err_set(&it->err, ERR_ITEM_TOO_LARGE,
                                       "%lld bytes are too many to be kept in a result, which takes %u",
                                       (long long)to->bytes, KEPT_MOST);
}

static void put_data(struct span bytes, struct json_out *o)
{
    struct buf text CLEANUP(buf_release) = BUF_INIT(LIMIT_ITEM_RESULT);
    base64_write(&text, bytes);
    json_key(o, "data");
    json_put_text(o, buf_view(&text));
}

static void close_sink(struct sink *to)
{
    digest_close(&to->digest);
    buf_release(&to->kept);
}

static void close_pack(struct pack **p)
{
    pack_close(*p);
}

bool process_pack(struct item *it, struct source *s, const struct pack_args *args, struct json_out *o)
{
    struct sink to CLEANUP(close_sink) = {
        .digest = DIGEST_INIT, .kept = BUF_INIT(KEPT_MOST), .keep = args->keep};
    struct pack *p CLEANUP(close_pack) = NULL;
    if (!digest_open(&to.digest, (enum digest_kind)args->digest, &it->err) ||
        !pack_open(&p, (enum pack_kind)args->method, (int)args->level, s->size, &it->err) ||
        !pack(it, s, p, &to))
        return false;
    put_size(s, o);
    json_key(o, "packed");
    json_put_int(o, to.bytes);
    json_key(o, "ratio");
    json_put_num(o, (double)(s->size * 1000 / (to.bytes > 0 ? to.bytes : 1)) / 1000);
    put_digest(&to.digest, o);
    if (args->keep)
        put_data(buf_view(&to.kept), o);
    return true;
}

/* ---- words */

bool process_words(struct item *it, struct source *s, struct json_out *o)
{
    int64_t lines = 0, words = 0;
    bool inside = false;
    for (struct span piece; (piece = source_next(s)).len;) {
        if (stopped(it, s))
            return false;
        for (size_t i = 0; i < piece.len; i++) {
            bool blank = char_is_space(piece.ptr[i]);
            lines += piece.ptr[i] == '\n';
            words += !blank && !inside;
            inside = !blank;
        }
    }
    put_size(s, o);
    json_key(o, "lines");
    json_put_int(o, lines);
    json_key(o, "words");
    json_put_int(o, words);
    return true;
}
