/*
 * hmac.h: SHA-256, HMAC-SHA256 (RFC 2104) and base64 (RFC 4648), for digests and signatures. The only door to libcrypto. Any thread.
 */
#ifndef LATHE_CORE_HMAC_H
#define LATHE_CORE_HMAC_H

#include "core/buf.h"

#define HMAC_BYTES 32
#define SHA256_BYTES 32

void hmac_sha256(struct span key, struct span text, unsigned char ret[HMAC_BYTES]);

void sha256(struct span text, unsigned char ret[SHA256_BYTES]);

void base64_write(struct buf *out, struct span bytes); /* with padding */

/* False: the text is no base64, padded or not. */
bool base64_read(struct buf *out, struct span text) LATHE_CHECK;

#endif
