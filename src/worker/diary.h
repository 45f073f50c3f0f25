/*
 * diary.h: what one run of a unit has to say, for the log of its task: lines of its items, and the worker's own of how it
 * ended. NDJSON:
 *
 *     {"at":"2026-11-21T03:14:05.123456Z","unit":0,"try":1,"index":5,"text":"upper"}
 *     {"at":"…","unit":0,"try":1,"text":"try 1 of 4 failed: …; next in 1.5 s"}
 *
 * `index` is the item's. LIMIT_RUN_LOG bytes of items' lines; those that are too many are counted, and one line says how
 * many. One call at a time.
 */
#ifndef LATHE_WORKER_DIARY_H
#define LATHE_WORKER_DIARY_H

#include "core/buf.h"
#include "store/store.h"

struct diary {
    const struct unit *unit; /* set before the first line */
    struct buf text;
    int64_t dropped;
};

void diary_add(struct diary *d, int64_t index, struct span text);
/* How the unit ended, if it failed or goes round again: `terms` says how often. *f gets the log, which lives as long as d. */
void diary_end(struct diary *d, int64_t retries, struct finish *f);
void diary_release(struct diary *d); /* also of one that was only zeroed */

#endif
