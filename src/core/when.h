/*
 * when.h: times as callers write them. Pure.
 */
#ifndef LATHE_CORE_WHEN_H
#define LATHE_CORE_WHEN_H

#include <stdbool.h>
#include <stdint.h>

#include "core/span.h"

/* RFC 3339: "2026-11-21T03:14:05Z", "…05.25+01:00", also a date alone (midnight UTC). Microseconds since 1970 UTC.
 * A blank where the '+' of the zone should be is what a query string makes of an unescaped '+', and is taken for it. */
bool when_read(struct span text, int64_t *ret_us);

#endif
