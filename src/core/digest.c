#include "core/digest.h"

#include <assert.h>
#include <openssl/evp.h>
#include <zlib.h>

const char *const digest_names[] = {"crc32", "md5", "sha1", "sha256", "sha512", "blake2b", NULL};

static const EVP_MD *method_of(enum digest_kind kind)
{
    static const EVP_MD *(*const methods[])(void) = {
        [DIGEST_MD5] = EVP_md5,       [DIGEST_SHA1] = EVP_sha1,          [DIGEST_SHA256] = EVP_sha256,
        [DIGEST_SHA512] = EVP_sha512, [DIGEST_BLAKE2B] = EVP_blake2b512,
    };
    return methods[kind]();
}

bool digest_open(struct digest *d, enum digest_kind kind, struct err *e)
{
    *d = (struct digest){.kind = kind};
    if (kind == DIGEST_CRC32) {
        d->crc = crc32(0, NULL, 0);
        return true;
    }
    d->state = EVP_MD_CTX_new();
    if (d->state && EVP_DigestInit_ex(d->state, method_of(kind), NULL) == 1)
        return true;
    return err_set(e, ERR_REJECTED, "%s is not offered by the libcrypto of this machine", digest_names[kind]);
}

void digest_add(struct digest *d, struct span bytes)
{
    if (bytes.len == 0)
        return;
    if (d->kind == DIGEST_CRC32) {
        d->crc = crc32_z(d->crc, (const unsigned char *)bytes.ptr, bytes.len);
        return;
    }
    int added = EVP_DigestUpdate(d->state, bytes.ptr, bytes.len);
    assert(added == 1);
    (void)added;
}

static void put_hex(struct buf *out, const unsigned char *bytes, size_t n)
{
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < n; i++) {
        buf_char(out, digits[bytes[i] >> 4]);
        buf_char(out, digits[bytes[i] & 15]);
    }
}

void digest_write(struct digest *d, struct buf *out)
{
    unsigned char sum[EVP_MAX_MD_SIZE];
    unsigned n = 4;
    if (d->kind == DIGEST_CRC32) {
        for (unsigned i = 0; i < n; i++)
            sum[i] = (unsigned char)(d->crc >> (24 - 8 * i) & 0xff);
    } else {
        int made = EVP_DigestFinal_ex(d->state, sum, &n);
        assert(made == 1);
        (void)made;
    }
    buf_puts(out, digest_names[d->kind]);
    buf_char(out, ':');
    put_hex(out, sum, n);
}

void digest_close(struct digest *d)
{
    EVP_MD_CTX_free(d->state);
    d->state = NULL;
}
