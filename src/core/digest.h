/*
 * digest.h: checksums and digests of bytes that come in pieces. With hmac.h the only door to libcrypto. A digest belongs to one
 * thread at a time.
 *
 *     struct digest d CLEANUP(digest_close) = DIGEST_INIT;
 *     if (!digest_open(&d, DIGEST_SHA256, e)) return false;
 *     digest_add(&d, piece);
 *     digest_write(&d, &out);               // "sha256:" and lower-case hexadecimal
 */
#ifndef LATHE_CORE_DIGEST_H
#define LATHE_CORE_DIGEST_H

#include "core/buf.h"
#include "core/err.h"

enum digest_kind {
    DIGEST_CRC32, /* as in zip and gzip */
    DIGEST_MD5,
    DIGEST_SHA1,
    DIGEST_SHA256,
    DIGEST_SHA512,
    DIGEST_BLAKE2B, /* 512 bits */
};

extern const char *const digest_names[]; /* "crc32", …: in this order, NULL at the end */

struct digest {
    enum digest_kind kind;
    void *state; /* libcrypto's */
    unsigned long crc;
};

/* clang-format off */
#define DIGEST_INIT {.state = NULL}
/* clang-format on */

/* ERR_REJECTED: this machine's libcrypto does not offer it (MD5 where FIPS rules). Close it in any case. */
bool digest_open(struct digest *d, enum digest_kind kind, struct err *e) LATHE_CHECK;
void digest_add(struct digest *d, struct span bytes);
void digest_write(struct digest *d, struct buf *out); /* once, at the end */
void digest_close(struct digest *d);

#endif
