/*
 * cron.h: times of repetition, as crontab(5) writes them: "minute hour day-of-month month day-of-week", each a star, a
 * number, a name (jan, mon), a range or a list of them, stars and ranges with a step ("*" "/15", "9-17/2"); 7 is Sunday too;
 * @hourly, @daily, @midnight, @weekly, @monthly, @yearly and @annually. When neither of the two days begins with a star
 * either of them is enough; else both must fit. Pure; any thread.
 *
 * Where the local clock is changed it is as in cron(8). An expression whose minute or hour begins with a star goes by the time that
 * passes: it fires at each minute at which the clock shows what fits, also twice in an hour that comes twice, and not in
 * one that is left out. Any other names a time of day: what is left out fires once, at the moment of the change, and what
 * comes twice fires the first time only.
 */
#ifndef LATHE_MODEL_CRON_H
#define LATHE_MODEL_CRON_H

#include "model/zone.h"

#define CRON_TEXT 256 /* bytes of an expression */

struct cron {
    uint64_t minutes; /* a bit each */
    uint32_t hours, days, months, weekdays;
    bool any_day, any_weekday; /* begins with a star */
    bool passing;              /* goes by the time that passes */
};

/* ERR_BAD_FIELD, without a pointer: says which of the fields is wrong, or that it would never fire. */
bool cron_read(struct span text, struct cron *ret, struct err *e) LATHE_CHECK;

/* The first time after `after_s`, seconds since 1970 UTC. False: there is none within 400 years. */
bool cron_next(const struct cron *c, const struct zone *z, int64_t after_s, int64_t *ret_s);

/* The latest time in [from_s, to_s]; false: there is none. */
bool cron_last(const struct cron *c, const struct zone *z, int64_t from_s, int64_t to_s, int64_t *ret_s);

#endif
