/*
 * zone.h: what a local clock shows: UTC, an offset ("+01:00"), or a zone by its name, read from the system's time zone database (TZif files
 * of /usr/share/zoneinfo; Debian package tzdata) and not through TZ and localtime(3), which are the whole process's.
 *
 * Pure but for zone_load, which reads one file; any thread.
 */
#ifndef LATHE_MODEL_ZONE_H
#define LATHE_MODEL_ZONE_H

#include "core/arena.h"
#include "core/err.h"

struct zone;

#define ZONE_NAME 64 /* bytes of a name */

/* In the arena. ERR_BAD_FIELD, without a pointer: there is no such zone here. */
bool zone_load(struct arena *a, struct span name, const struct zone **ret, struct err *e) LATHE_CHECK;
/* The same from the bytes of a TZif file. */
bool zone_parse(struct arena *a, struct span file, const struct zone **ret, struct err *e) LATHE_CHECK;

/* A stretch of time in which the offset stays: [from, until), seconds since 1970 UTC. */
struct zone_span {
    int64_t from, until; /* INT64_MIN, INT64_MAX: for ever */
    int offset, before;  /* seconds east of UTC; `before`: in the stretch before this one */
};
struct zone_span zone_at(const struct zone *z, int64_t utc_s);

#endif
