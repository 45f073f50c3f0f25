/* core/pack.h: what was packed is what comes out when zlib or zstd unpacks it, whatever the packer did before. */
#include "unit.h"

#include <zlib.h>
#include <zstd.h>

#include "core/limits.h"
#include "core/pack.h"

#define MOST (512 * KIB)

static struct err e;

static void gather(void *arg, struct span bytes)
{
    buf_span(arg, bytes);
}

static void pack_all(enum pack_kind kind, int level, struct span text, size_t piece, struct buf *out)
{
    struct pack *p;
    buf_clear(out);
    assert_true(pack_open(&p, kind, level, (int64_t)text.len, &e));
    while (text.len)
        assert_true(pack_add(p, span_take(&text, piece), false, gather, out, &e));
    assert_true(pack_add(p, (struct span){NULL, 0}, true, gather, out, &e));
    pack_close(p);
    assert_false(out->failed);
}

static size_t unpack_zlib(struct span packed, unsigned char *out)
{
    z_stream z = {.next_in = (z_const Bytef *)(uintptr_t)packed.ptr,
                  .avail_in = (uInt)packed.len,
                  .next_out = out,
                  .avail_out = MOST};
    assert_int_equal(inflateInit2(&z, MAX_WBITS + 32), Z_OK); /* zlib or gzip, as its header says */
    assert_int_equal(inflate(&z, Z_FINISH), Z_STREAM_END);
    assert_int_equal(z.avail_in, 0);
    size_t n = z.total_out;
    inflateEnd(&z);
    return n;
}

static void check_unpacked(enum pack_kind kind, struct span packed, struct span text)
{
    unsigned char *out = malloc(MOST);
    size_t n =
        kind == PACK_ZSTD ? ZSTD_decompress(out, MOST, packed.ptr, packed.len) : unpack_zlib(packed, out);
    assert_true(span_eq((struct span){(char *)out, n}, text));
    free(out);
}

/* A third of it repeats, a third is noise, a third is zeros. */
static void make_text(char *text, size_t n)
{
    uint64_t x = 1;
    for (size_t i = 0; i < n; i++) {
        x = x * 6364136223846793005u + 1442695040888963407u;
        text[i] = i < n / 3 ? (char)(i % 17 * (i / 1000)) : i < n / 3 * 2 ? (char)(x >> 56) : 0;
    }
}

static void t01_what_goes_in_comes_out(void **state)
{
    (void)state;
    static const size_t sizes[] = {0, 1, 2, 100, 32767, 65536, 300000};
    struct buf b CLEANUP(buf_release) = BUF_INIT(MOST);
    char *text = malloc(MOST);
    make_text(text, MOST);
    for (int kind = PACK_ZLIB; pack_names[kind]; kind++)
        for (int level = 1; level <= PACK_LEVEL_MOST; level += 2)
            for (size_t i = 0; i < COUNT_OF(sizes); i++) {
                struct span s = {text, sizes[i]};
                pack_all((enum pack_kind)kind, level, s, i % 2 ? 16384 : 1000, &b);
                check_unpacked((enum pack_kind)kind, buf_view(&b), s);
            }
    free(text);
}

/* Dropped half-way, a packer is as good as new for the next, at this level and at another. */
static void t02_dropped(void **state)
{
    (void)state;
    struct buf first CLEANUP(buf_release) = BUF_INIT(MOST), b CLEANUP(buf_release) = BUF_INIT(MOST);
    char *text = malloc(MOST);
    make_text(text, MOST);
    for (int kind = PACK_ZLIB; pack_names[kind]; kind++) {
        struct pack *p;
        pack_release();
        pack_all((enum pack_kind)kind, 3, (struct span){text, 100000}, 16384, &first);
        assert_true(pack_open(&p, (enum pack_kind)kind, 6, MOST, &e));
        assert_true(pack_add(p, (struct span){text, 200000}, false, gather, &b, &e));
        pack_close(p);
        pack_all((enum pack_kind)kind, 3, (struct span){text, 100000}, 16384, &b);
        assert_true(span_eq(buf_view(&first), buf_view(&b)));
    }
    free(text);
}

/* Many at once, more than are kept. */
static void t03_side_by_side(void **state)
{
    (void)state;
    struct pack *p[20];
    struct buf b[COUNT_OF(p)];
    for (size_t i = 0; i < COUNT_OF(p); i++) {
        buf_init(&b[i], MOST);
        assert_true(pack_open(&p[i], (enum pack_kind)(i % 3), 1, 8, &e));
    }
    for (size_t i = 0; i < COUNT_OF(p); i++)
        assert_true(pack_add(p[i], SPAN("abcd"), false, gather, &b[i], &e));
    for (size_t i = 0; i < COUNT_OF(p); i++) {
        assert_true(pack_add(p[i], SPAN("efgh"), true, gather, &b[i], &e));
        pack_close(p[i]);
        check_unpacked((enum pack_kind)(i % 3), buf_view(&b[i]), SPAN("abcdefgh"));
        buf_release(&b[i]);
    }
    pack_close(NULL);
}

static int release(void **state)
{
    (void)state;
    pack_release();
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(t01_what_goes_in_comes_out),
        cmocka_unit_test(t02_dropped),
        cmocka_unit_test(t03_side_by_side),
    };
    return cmocka_run_group_tests(tests, NULL, release);
}
