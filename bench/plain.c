/*
 * plain.c: what bench/handlers compares the handlers that compute with: the same work by a plain loop, or by plain calls of the
 * library from as many threads as it is told, on the same bytes.
 *
 *     bench/plain squares N                              a loop that a compiler makes of C
 *     bench/plain compress METHOD LEVEL BYTES BLOCKS THREADS     METHOD: zlib zstd
 *     bench/plain text BYTES BLOCKS                              those bytes, for peers
 *
 * The first two print seconds. Those of making the bytes are not among them: each thread's are of its calls alone, and the slowest thread's count.
 */
#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>
#include <zstd.h>

#include "core/clock.h"
#include "core/mem.h"
#include "handlers/filler.h"

/* The asm makes the sum needed, and does not come between its additions. */
static __attribute__((noinline)) uint64_t squares(uint64_t n)
{
    uint64_t sum = 0;
    for (uint64_t i = 0; i < n; i++) {
        sum += i * i;
#ifdef __clang__ /* which knows the closed form */
        __asm__ volatile("" : "+r"(sum));
#endif
    }
    return sum;
}

struct job {
    bool zstd;
    int level;
    size_t bytes;
    int64_t blocks;
    _Atomic int64_t next, slowest;
};

static size_t call_zlib(z_stream *z, char *in, size_t bytes, char *out, size_t room)
{
    deflateReset(z);
    z->next_in = (unsigned char *)in;
    z->avail_in = (unsigned)bytes;
    z->next_out = (unsigned char *)out;
    z->avail_out = (unsigned)room;
    return deflate(z, Z_FINISH) == Z_STREAM_END ? z->total_out : 0;
}

static void *compress_blocks(void *arg)
{
    struct job *j = arg;
    size_t room = ZSTD_compressBound(j->bytes) + compressBound(j->bytes);
    char *in = mem_alloc(j->bytes + FILLER_SLACK), *out = mem_alloc(room);
    ZSTD_CCtx *c = ZSTD_createCCtx();
    z_stream z = {0};
    int64_t took = 0;
    if (deflateInit(&z, j->level) != Z_OK || !c)
        exit(1);
    for (int64_t i; (i = atomic_fetch_add(&j->next, 1)) < j->blocks;) {
        struct filler f;
        filler_begin(&f, (uint64_t)i);
        filler_take(&f, in, j->bytes);
        int64_t begin = clock_now();
        size_t n = j->zstd ? ZSTD_compressCCtx(c, out, room, in, j->bytes, j->level)
                           : call_zlib(&z, in, j->bytes, out, room);
        took += clock_now() - begin;
        if (n == 0 || ZSTD_isError(n))
            exit(1);
    }
    for (int64_t most = atomic_load(&j->slowest); took > most;)
        if (atomic_compare_exchange_weak(&j->slowest, &most, took))
            break;
    deflateEnd(&z);
    ZSTD_freeCCtx(c);
    mem_free(in);
    mem_free(out);
    return NULL;
}

static int64_t compress_all(char **argv)
{
    struct job j = {.zstd = strcmp(argv[2], "zstd") == 0,
                    .level = (int)strtol(argv[3], NULL, 10),
                    .bytes = strtoul(argv[4], NULL, 10),
                    .blocks = strtol(argv[5], NULL, 10)};
    pthread_t threads[256];
    long count = strtol(argv[6], NULL, 10);
    for (long i = 0; i < count && i < 256; i++)
        if (pthread_create(&threads[i], NULL, compress_blocks, &j) != 0)
            exit(1);
    for (long i = 0; i < count && i < 256; i++)
        pthread_join(threads[i], NULL);
    return j.slowest;
}

static int write_text(size_t bytes, int64_t blocks)
{
    char *text = mem_alloc(bytes + FILLER_SLACK);
    bool ok = true;
    for (int64_t i = 0; ok && i < blocks; i++) {
        struct filler f;
        filler_begin(&f, (uint64_t)i);
        filler_take(&f, text, bytes);
        ok = fwrite(text, 1, bytes, stdout) == bytes;
    }
    mem_free(text);
    return ok && fflush(stdout) == 0 ? 0 : 1;
}

int main(int argc, char **argv)
{
    int64_t took = 0;
    if (argc == 4 && strcmp(argv[1], "text") == 0)
        return write_text(strtoul(argv[2], NULL, 10), strtol(argv[3], NULL, 10));
    if (argc == 3 && strcmp(argv[1], "squares") == 0) {
        int64_t begin = clock_now();
        uint64_t sum = squares(strtoul(argv[2], NULL, 10));
        took = clock_now() - begin;
        fprintf(stderr, "%" PRIu64 "\n", sum & INT64_MAX);
    } else if (argc == 7 && strcmp(argv[1], "compress") == 0) {
        took = compress_all(argv);
    } else {
        return 2;
    }
    printf("%.6f\n", (double)took / 1e9);
    return 0;
}
