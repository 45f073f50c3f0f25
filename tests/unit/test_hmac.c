/* core/hmac.h: the published vectors. */
#include "unit.h"

#include "core/hmac.h"

static void hex_of(const unsigned char *bytes, char text[2 * HMAC_BYTES + 1])
{
    for (size_t i = 0; i < HMAC_BYTES; i++)
        snprintf(text + 2 * i, 3, "%02x", bytes[i]);
}

static void t01_rfc_4231(void **state)
{
    (void)state;
    char aa[132], text[2 * HMAC_BYTES + 1];
    memset(aa, 0xaa, sizeof aa);
    const struct {
        struct span key, text;
        const char *want;
    } cases[] = {
        {{"\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b", 20},
         SPAN("Hi There"),
         "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"},
        {SPAN("Jefe"), SPAN("what do ya want for nothing?"),
         "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"},
        {{aa, 131},
         SPAN("Test Using Larger Than Block-Size Key - Hash Key First"),
         "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54"},
        {{NULL, 0}, {NULL, 0}, "b613679a0814d9ec772f95d778c35fc5ff1697c493715653c6c712144292c5ad"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        unsigned char got[HMAC_BYTES];
        hmac_sha256(cases[i].key, cases[i].text, got);
        hex_of(got, text);
        assert_string_equal(text, cases[i].want);
    }
}

static void t02_base64_both_ways(void **state)
{
    (void)state;
    const char *const pairs[][2] = {{"", ""},
                                    {"f", "Zg=="},
                                    {"fo", "Zm8="},
                                    {"foo", "Zm9v"},
                                    {"foob", "Zm9vYg=="},
                                    {"fooba", "Zm9vYmE="},
                                    {"foobar", "Zm9vYmFy"},
                                    {"\xff\xfe\xfb", "//77"}};
    for (size_t i = 0; i < COUNT_OF(pairs); i++) {
        struct buf b CLEANUP(buf_release) = BUF_INIT(64);
        base64_write(&b, span_of(pairs[i][0]));
        assert_span(buf_view(&b), pairs[i][1]);
        buf_clear(&b);
        assert_true(base64_read(&b, span_of(pairs[i][1])));
        assert_span(buf_view(&b), pairs[i][0]);
    }
}

static void t03_what_is_no_base64(void **state)
{
    (void)state;
    const struct span bad[] = {SPAN("Z"),    SPAN("Zm9vY"), SPAN("Zm=v"),
                               SPAN("Zm-v"), SPAN("Zm v"),  SPAN("Zm\0v")};
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        struct buf b CLEANUP(buf_release) = BUF_INIT(64);
        assert_false(base64_read(&b, bad[i]));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(t01_rfc_4231),
        cmocka_unit_test(t02_base64_both_ways),
        cmocka_unit_test(t03_what_is_no_base64),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
