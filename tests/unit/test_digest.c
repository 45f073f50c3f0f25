/* core/digest.h: published vectors, and that pieces make no difference. */
#include "unit.h"

#include "core/digest.h"
#include "core/limits.h"

static void digest_of(enum digest_kind kind, struct span text, size_t piece, struct buf *out)
{
    struct digest d CLEANUP(digest_close) = DIGEST_INIT;
    struct err e = ERR_INIT;
    buf_clear(out);
    if (!digest_open(&d, kind, &e))
        fail_msg("%s", e.text);
    while (text.len)
        digest_add(&d, span_take(&text, piece));
    digest_add(&d, (struct span){NULL, 0});
    digest_write(&d, out);
}

static void t01_vectors(void **state)
{
    (void)state;
    static const struct {
        enum digest_kind kind;
        const char *text, *want;
    } cases[] = {
        {DIGEST_CRC32, "", "crc32:00000000"},
        {DIGEST_CRC32, "123456789", "crc32:cbf43926"},
        {DIGEST_MD5, "abc", "md5:900150983cd24fb0d6963f7d28e17f72"},
        {DIGEST_SHA1, "abc", "sha1:a9993e364706816aba3e25717850c26c9cd0d89d"},
        {DIGEST_SHA256, "", "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
        {DIGEST_SHA256, "abc", "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"},
        {DIGEST_SHA512, "abc",
         "sha512:ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a"
         "2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f"},
        {DIGEST_BLAKE2B, "abc",
         "blake2b:ba80a53f981c4d0d6a2797b69f12f6e94c212f14685ac4b74b12bb6fdbffa2d1"
         "7d87c5392aab792dc252d5de4533cc9518d38aa8dbf1925ab92386edd4009923"},
    };
    struct buf b CLEANUP(buf_release) = BUF_INIT(256);
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        digest_of(cases[i].kind, span_of(cases[i].text), 1, &b);
        assert_span(buf_view(&b), cases[i].want);
    }
}

static void t02_pieces(void **state)
{
    (void)state;
    struct buf whole CLEANUP(buf_release) = BUF_INIT(256), parts CLEANUP(buf_release) = BUF_INIT(256);
    char text[1000];
    for (size_t i = 0; i < sizeof text; i++)
        text[i] = (char)(i * i % 251);
    for (int kind = DIGEST_CRC32; digest_names[kind]; kind++)
        for (size_t piece = 1; piece < sizeof text; piece += 63) {
            digest_of((enum digest_kind)kind, (struct span){text, sizeof text}, sizeof text, &whole);
            digest_of((enum digest_kind)kind, (struct span){text, sizeof text}, piece, &parts);
            assert_true(span_eq(buf_view(&whole), buf_view(&parts)));
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(t01_vectors),
        cmocka_unit_test(t02_pieces),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
