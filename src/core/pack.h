/*
 * pack.h: compression of bytes that come in pieces, by zlib and by zstd. The only door to both. A packer belongs to one thread at a
 * time; what it needs is kept for whoever packs next, on any thread of the process, since making it anew takes as long as packing
 * some ten thousand bytes does.
 *
 *     struct pack *p;
 *     if (!pack_open(&p, PACK_ZSTD, 3, total, e)) return false;
 *     while (more) ok = pack_add(p, piece, last, take, arg, e);          // take(arg, bytes) as they are made
 *     pack_close(p);
 */
#ifndef LATHE_CORE_PACK_H
#define LATHE_CORE_PACK_H

#include <stdint.h>

#include "core/buf.h"
#include "core/err.h"

enum pack_kind { PACK_ZLIB, PACK_GZIP, PACK_ZSTD };

extern const char
    *const pack_names[]; /* "zlib" (RFC 1950), "gzip" (RFC 1952), "zstd" (RFC 8878); NULL at the end */

/* With all three 1 is quick and 9 is small. zstd has levels up to 19; there one block of its takes a tenth of a second, in which
 * nobody could stop it. */
#define PACK_LEVEL_MOST 9

struct pack;

/* `total`: how many bytes will come, exactly. ERR_SYSTEM: no memory. */
bool pack_open(struct pack **ret, enum pack_kind kind, int level, int64_t total, struct err *e) LATHE_CHECK;

/* `last`: the end; nothing can be added then. take() may be called any number of times, and must not call back. False: the packer
 * is good for pack_close only. */
bool pack_add(struct pack *p, struct span piece, bool last, void (*take)(void *arg, struct span bytes),
              void *arg, struct err *e) LATHE_CHECK;

void pack_close(struct pack *p); /* at any time; NULL is fine */

void pack_release(void); /* frees what is kept; for tests and at the end */

#endif
