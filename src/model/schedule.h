/*
 * schedule.h: tasks that come by the clock: a row of the table `schedules`, and when it fires. Pure but for the zone's file.
 */
#ifndef LATHE_MODEL_SCHEDULE_H
#define LATHE_MODEL_SCHEDULE_H

#include "core/json.h"
#include "core/limits.h"
#include "core/uuid.h"
#include "model/cron.h"

/* What becomes of times at which nobody was there to fire. */
enum missed {
    MISSED_SKIP, /* nothing; what is a minute late at most is not missed */
    MISSED_ONCE, /* one task for all of them */
    MISSED_ALL,  /* a task for each of the last day */
};

extern const char *const missed_names[]; /* in their order; NULL at the end */

struct schedule {
    struct span name;
    struct span cron; /* "": by run_at or every_s */
    struct span timezone, strategy, body,
        error;                  /* body: a submission, JSON; error: why the last time made no task */
    int64_t every_s, run_at_us; /* 0: not by this */
    int missed;                 /* enum missed */
    bool paused;
    int64_t next_us, last_us, created_us, updated_us; /* 0: never */
    struct uuid last_task;
    int64_t fired;
};

/* Its clock, ready for use. */
struct schedule_clock {
    struct cron cron;
    const struct zone *zone;
    int64_t every_s, run_at_us; /* both 0: by cron */
};

/* ERR_BAD_FIELD names the pointer: not exactly one of cron, every_s and run_at; what cron_read and zone_load refuse. */
bool schedule_clock(struct arena *a, const struct schedule *s, struct schedule_clock *ret,
                    struct err *e) LATHE_CHECK;

/* The first time after `after_us`; 0: none. every_s counts from 1970, so that it does not drift. */
int64_t schedule_next(const struct schedule_clock *k, int64_t after_us);

/* What a schedule that is due (next_us <= now_us) fires now, and what is next. */
#define SCHEDULE_FIRES 100
struct schedule_fires {
    int64_t at_us[SCHEDULE_FIRES];
    size_t count;
    int64_t next_us; /* may be due too; 0: never again */
};
void schedule_fires(const struct schedule *s, const struct schedule_clock *k, int64_t now_us,
                    struct schedule_fires *ret);

/* The id of the task that it fires for this time: the same whoever fires it, so that it can be put once only. */
struct uuid schedule_task(struct span name, int64_t at_us);

/* The document of the HTTP API. */
void schedule_write(const struct schedule *s, struct json_out *o);

#endif
