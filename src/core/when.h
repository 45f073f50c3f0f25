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

/* The calendar: days since 1970-01-01 of a date and back; a month past 12 is one of the next year. */
int64_t when_days(int64_t year, int64_t month, int64_t day);
struct when_date {
    int64_t year;
    int month, day, weekday; /* 1..12, 1..31, 0 = Sunday */
};
struct when_date when_date(int64_t days);
int when_month_days(int64_t year, int month);

#endif
