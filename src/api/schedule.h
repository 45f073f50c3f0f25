/*
 * schedule.h: reading the document of a schedule; the command line has the same.
 */
#ifndef LATHE_API_SCHEDULE_H
#define LATHE_API_SCHEDULE_H

#include "model/schedule.h"

struct conf;

/* {name, cron | every_s | run_at, timezone, missed, paused, task: {strategy, …a submission}}. ERR_BAD_FIELD, ERR_UNKNOWN_FIELD
 * and what submission_read refuses, with the pointer; with `conf` its queues must be among those
 * of api.queues, NULL: any will do. *ret borrows from `body` and the arena. */
bool schedule_read(struct arena *a, const struct conf *conf, const struct json *body, struct schedule *ret,
                   struct err *e) LATHE_CHECK;

/* ERR_NO_SCHEDULE: none can have this name. */
bool schedule_named(struct span name, struct err *e) LATHE_CHECK;

#endif
