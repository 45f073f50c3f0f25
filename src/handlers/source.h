/*
 * source.h: the bytes of an item, in pieces, for handlers that work on bytes: a text of the item, data in base64, or so
 * many bytes of filler text, of which never more than a piece is in memory.
 *
 *     struct source s;
 *     if (!source_open(&s, &arena, it, &args->source)) return STEP_FAIL;
 *     for (struct span piece; (piece = source_next(&s)).len;) …
 */
#ifndef LATHE_HANDLERS_SOURCE_H
#define LATHE_HANDLERS_SOURCE_H

#include "core/arena.h"
#include "handlers/filler.h"
#include "model/handler.h"

#define SOURCE_PIECE (16 * 1024) /* some hundred microseconds of whatever is done to it */
#define SOURCE_MOST (1024 * 1024 * 1024)
#define SOURCE_ITEM                                                                                \
    "a string: the bytes; or {\"data\",\"encoding\"} with encoding text or base64, or {\"bytes\"," \
    "\"seed\"}: filler text"

/* Part of a handler's params: what an item is that was only counted. */
struct source_args {
    int64_t bytes, seed;
};

/* clang-format off */
#define SOURCE_FIELDS(args_of, member)                                                                           \
    {.name = "bytes", .type = FIELD_INT, .offset = offsetof(args_of, member.bytes), .min = 0, .max = SOURCE_MOST, \
     .def = 65536, .summary = "how many bytes of filler text an item has that brings none"},                   \
    {.name = "seed", .type = FIELD_INT, .offset = offsetof(args_of, member.seed), .min = 0, .max = INT64_MAX,     \
     .def = 0, .summary = "which text: of the item at index i that of seed + i"}
/* clang-format on */

struct source {
    int64_t size; /* of all of it */
    int64_t left;
    struct span rest; /* of given bytes */
    char *made;       /* a piece of filler; NULL: the bytes were given */
    struct filler filler;
};

/* What it reads lives in the arena. False with it->err set when the item is none of these. */
bool source_open(struct source *s, struct arena *a, struct item *it, const struct source_args *args);

void source_of(struct source *s, struct span bytes); /* of these, which are borrowed */

struct span source_next(
    struct source *s); /* SOURCE_PIECE bytes at most, until the next call; empty: the end */

#endif
