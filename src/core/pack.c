#include "core/pack.h"

#include <assert.h>
#include <pthread.h>
#include <zlib.h>
#include <zstd.h>

#include "core/limits.h"
#include "core/mem.h"

#define OUT_BYTES (32 * KIB)
#define KEPT_MOST \
    8 /* packers of all kinds; as many threads of a process pack at once without making new ones */
#define KEPT_BYTES_MOST (4u * MIB) /* one that is larger (zstd from level 7 on) is not kept */

const char *const pack_names[] = {"zlib", "gzip", "zstd", NULL};

struct pack {
    enum pack_kind kind;
    int level; /* of z */
    z_stream z;
    ZSTD_CCtx *zstd;
    struct pack *next; /* kept */
    unsigned char out[OUT_BYTES];
};

static struct {
    pthread_mutex_t lock;
    struct pack *list;
    int count;
} kept = {.lock = PTHREAD_MUTEX_INITIALIZER};

typedef void taker(void *arg, struct span bytes);

/* ---- zlib, for its own format and for gzip's */

static bool open_zlib(struct pack *p, int level)
{
    p->level = level;
    int wrap = p->kind == PACK_GZIP ? 16 : 0;
    return deflateInit2(&p->z, level, Z_DEFLATED, MAX_WBITS + wrap, 8, Z_DEFAULT_STRATEGY) == Z_OK;
}

/* Another level is another stream: deflateParams of older versions flushes to where the last stream ended. */
static bool begin_zlib(struct pack *p, int level, int64_t total)
{
    (void)total;
    if (level == p->level)
        return deflateReset(&p->z) == Z_OK;
    deflateEnd(&p->z);
    return open_zlib(p, level);
}

static bool add_zlib(struct pack *p, struct span piece, bool last, taker *take, void *arg)
{
    p->z.next_in = (z_const Bytef *)(uintptr_t)piece.ptr;
    p->z.avail_in = (uInt)piece.len;
    do {
        p->z.next_out = p->out;
        p->z.avail_out = OUT_BYTES;
        if (deflate(&p->z, last ? Z_FINISH : Z_NO_FLUSH) == Z_STREAM_ERROR)
            return false;
        if (p->z.avail_out < OUT_BYTES)
            take(arg, (struct span){(const char *)p->out, OUT_BYTES - p->z.avail_out});
    } while (p->z.avail_out == 0);
    return true;
}

static void close_zlib(struct pack *p)
{
    deflateEnd(&p->z);
}

/* By its documentation at these settings. */
static size_t size_zlib(const struct pack *p)
{
    (void)p;
    return 268 * KIB;
}

/* ---- zstd */

static bool open_zstd(struct pack *p, int level)
{
    (void)level;
    p->zstd = ZSTD_createCCtx();
    return p->zstd != NULL;
}

static bool begin_zstd(struct pack *p, int level, int64_t total)
{
    return !ZSTD_isError(ZSTD_CCtx_reset(p->zstd, ZSTD_reset_session_and_parameters)) &&
           !ZSTD_isError(ZSTD_CCtx_setParameter(p->zstd, ZSTD_c_compressionLevel, level)) &&
           !ZSTD_isError(ZSTD_CCtx_setPledgedSrcSize(p->zstd, (unsigned long long)total));
}

static bool add_zstd(struct pack *p, struct span piece, bool last, taker *take, void *arg)
{
    ZSTD_inBuffer in = {piece.ptr, piece.len, 0};
    size_t left;
    do {
        ZSTD_outBuffer out = {p->out, OUT_BYTES, 0};
        left = ZSTD_compressStream2(p->zstd, &out, &in, last ? ZSTD_e_end : ZSTD_e_continue);
        if (ZSTD_isError(left))
            return false;
        if (out.pos > 0)
            take(arg, (struct span){(const char *)p->out, out.pos});
    } while (in.pos < in.size || (last && left > 0));
    return true;
}

static void close_zstd(struct pack *p)
{
    ZSTD_freeCCtx(p->zstd);
}

static size_t size_zstd(const struct pack *p)
{
    return ZSTD_sizeof_CCtx(p->zstd);
}

/* ---- both */

static const struct {
    bool (*open)(struct pack *p, int level);
    bool (*begin)(struct pack *p, int level, int64_t total);
    bool (*add)(struct pack *p, struct span piece, bool last, taker *take, void *arg);
    void (*close)(struct pack *p);
    size_t (*size)(const struct pack *p);
} methods[] = {
    [PACK_ZLIB] = {open_zlib, begin_zlib, add_zlib, close_zlib, size_zlib},
    [PACK_GZIP] = {open_zlib, begin_zlib, add_zlib, close_zlib, size_zlib},
    [PACK_ZSTD] = {open_zstd, begin_zstd, add_zstd, close_zstd, size_zstd},
};

static void free_pack(struct pack *p)
{
    methods[p->kind].close(p);
    mem_free(p);
}

static struct pack *take_kept(enum pack_kind kind)
{
    pthread_mutex_lock(&kept.lock);
    struct pack **at = &kept.list;
    while (*at && (*at)->kind != kind)
        at = &(*at)->next;
    struct pack *p = *at;
    if (p) {
        *at = p->next;
        kept.count--;
    }
    pthread_mutex_unlock(&kept.lock);
    return p;
}

bool pack_open(struct pack **ret, enum pack_kind kind, int level, int64_t total, struct err *e)
{
    assert(level >= 1 && level <= PACK_LEVEL_MOST && total >= 0);
    struct pack *p = take_kept(kind);
    bool ok = p != NULL;
    if (!p) {
        p = mem_alloc(sizeof *p);
        p->kind = kind;
        ok = methods[kind].open(p, level);
    }
    if (!ok || !methods[kind].begin(p, level, total)) {
        free_pack(p);
        return err_set(e, ERR_SYSTEM, "no memory to compress with %s", pack_names[kind]);
    }
    *ret = p;
    return true;
}

bool pack_add(struct pack *p, struct span piece, bool last, taker *take, void *arg, struct err *e)
{
    return methods[p->kind].add(p, piece, last, take, arg) ||
           err_set(e, ERR_SYSTEM, "%s could not compress", pack_names[p->kind]);
}

void pack_close(struct pack *p)
{
    if (!p)
        return;
    bool keep = methods[p->kind].size(p) <= KEPT_BYTES_MOST;
    if (keep) {
        pthread_mutex_lock(&kept.lock);
        keep = kept.count < KEPT_MOST;
        if (keep) {
            p->next = kept.list;
            kept.list = p;
            kept.count++;
        }
        pthread_mutex_unlock(&kept.lock);
    }
    if (!keep)
        free_pack(p);
}

void pack_release(void)
{
    for (int kind = PACK_ZLIB; kind <= PACK_ZSTD; kind++)
        for (struct pack *p; (p = take_kept((enum pack_kind)kind));)
            free_pack(p);
}
