/*
 * uuid.h: version 7 identifiers (RFC 9562): 48 bits of milliseconds, 12 bits that order ids inside a millisecond of this
 * process, 62 random bits. Sorting by id is sorting by time of creation. Any thread.
 */
#ifndef LATHE_CORE_UUID_H
#define LATHE_CORE_UUID_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "core/span.h"

struct uuid {
    uint8_t b[16];
};

#define UUID_TEXT 37 /* 36 characters and NUL */

struct uuid uuid_v7(void);
void uuid_format(struct uuid id, char text[UUID_TEXT]);
bool uuid_parse(struct span text, struct uuid *ret); /* 8-4-4-4-12 hex, either case */
int64_t uuid_wall_ms(struct uuid id);                /* the time in a version 7 id */
struct uuid uuid_floor(int64_t wall_us);             /* the lowest id of that time: for ranges */

static inline bool uuid_eq(struct uuid a, struct uuid b)
{
    return memcmp(a.b, b.b, sizeof a.b) == 0;
}

static inline bool uuid_is_nil(struct uuid a)
{
    return uuid_eq(a, (struct uuid){{0}});
}

uint64_t uuid_hash(struct uuid a); /* for tables */

#endif
