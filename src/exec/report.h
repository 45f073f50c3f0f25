/*
 * report.h: tells the caller of a run what became of its items, and keeps count. One thread at a time: whoever calls
 * holds the run's lock or is the only one.
 */
#ifndef LATHE_EXEC_REPORT_H
#define LATHE_EXEC_REPORT_H

#include "exec/exec.h"

struct report {
    const struct plan *plan;
    struct cancel stop; /* hangs below the caller's; raised when fail_fast or a snooze ends the run */
    int64_t ok, failed, cancelled, cached;
    int64_t snooze_ms; /* the longest */
};

void report_init(struct report *r, const struct plan *p);

/* Counts, moves the progress, calls done, and raises `stop` if the item failed and that is to end the run. */
void report_item(struct report *r, const struct outcome *o);

/* A line that an item has to say. */
void report_log(struct report *r, int64_t position, struct span text);

#endif
