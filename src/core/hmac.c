#include "core/hmac.h"

#include <assert.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

void hmac_sha256(struct span key, struct span text, unsigned char ret[HMAC_BYTES])
{
    unsigned n = 0;
    const unsigned char *made = HMAC(EVP_sha256(), key.len ? key.ptr : "", (int)key.len,
                                     (const unsigned char *)(text.len ? text.ptr : ""), text.len, ret, &n);
    assert(made && n == HMAC_BYTES); /* it fails for want of memory only */
    (void)made;
}

void sha256(struct span text, unsigned char ret[SHA256_BYTES])
{
    int made = EVP_Digest(text.len ? text.ptr : "", text.len, ret, NULL, EVP_sha256(), NULL);
    assert(made == 1);
    (void)made;
}

void base64_write(struct buf *out, struct span bytes)
{
    while (bytes.len) {
        struct span three = span_take(&bytes, 3);
        unsigned bits = 0;
        for (size_t i = 0; i < 3; i++)
            bits = bits << 8 | (i < three.len ? (unsigned char)three.ptr[i] : 0u);
        for (size_t i = 0; i < 4; i++)
            buf_char(out, i <= three.len ? letters[bits >> (18 - 6 * i) & 63] : '=');
    }
}

bool base64_read(struct buf *out, struct span text)
{
    while (text.len && text.ptr[text.len - 1] == '=')
        text.len--;
    unsigned bits = 0, have = 0;
    for (size_t i = 0; i < text.len; i++) {
        const char *at = text.ptr[i] ? memchr(letters, text.ptr[i], 64) : NULL;
        if (!at)
            return false;
        bits = (bits << 6 | (unsigned)(at - letters)) & 0xffff;
        have += 6;
        if (have >= 8) {
            have -= 8;
            buf_char(out, (char)(unsigned char)(bits >> have & 0xff));
        }
    }
    return have != 6;
}
