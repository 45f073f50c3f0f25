/*
 * process.h: what is done to the bytes of a source, for the handlers that compute: each writes members into the JSON object that
 * is open in *o, and looks at item_stopping() as it goes. False with it->err set: what was written does not count.
 */
#ifndef LATHE_HANDLERS_PROCESS_H
#define LATHE_HANDLERS_PROCESS_H

#include "core/digest.h"
#include "core/json.h"
#include "core/pack.h"
#include "handlers/source.h"

/* "bytes", "digest" */
bool process_hash(struct item *it, struct source *s, enum digest_kind kind, struct json_out *o);

struct pack_args {
    int method, digest; /* enum pack_kind; enum digest_kind, of the packed bytes */
    int64_t level;
    bool keep; /* the packed bytes go into the result */
};

/* "bytes", "packed", "ratio", "digest"; "data" if they are kept. ERR_ITEM_TOO_LARGE: too many for that. */
bool process_pack(struct item *it, struct source *s, const struct pack_args *args, struct json_out *o);

/* Rows of a handler's table of params: target is its struct, member the pack_args in it, or the int that says which digest.
 * Their order in a table is that of what is written, and so of the digests that profiles and remembered results are kept by. */
/* clang-format off */
#define PACK_FIELDS(target, member)                                                                                   \
    {.name = "method", .type = FIELD_ENUM, .offset = offsetof(target, member.method), .words = pack_names,            \
     .def = PACK_ZSTD, .summary = "of compression: zlib, gzip or zstd"},                                              \
    {.name = "level", .type = FIELD_INT, .offset = offsetof(target, member.level), .min = 1, .max = PACK_LEVEL_MOST,  \
     .def = 3, .summary = "of compression, from quick to small"}

#define KEEP_FIELD(target, member)                                                                                    \
    {.name = "keep", .type = FIELD_BOOL, .offset = offsetof(target, member.keep),                                     \
     .summary = "puts the packed bytes into the result, in base64; more than 764 KiB fail the item"}

#define DIGEST_FIELD(target, member, called, usual, text)                                                             \
    {.name = called, .type = FIELD_ENUM, .offset = offsetof(target, member), .words = digest_names, .def = usual,     \
     .summary = text ": crc32, md5, sha1, sha256, sha512 or blake2b"}
/* clang-format on */

/* "bytes", "lines", "words": as wc counts them; blanks are those of ASCII. */
bool process_words(struct item *it, struct source *s, struct json_out *o);

#endif
