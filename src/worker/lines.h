/*
 * lines.h: collects the results of a unit's items as they come, in any order, and gives them back in item order as NDJSON:
 *
 *     {"index":0,"state":"succeeded","result":…}
 *     {"index":1,"state":"failed","error":{"type":"item-failed","detail":"…"}}
 *     {"index":2,"tries":1,"state":"succeeded","result":…}       after one failure
 *
 * One call at a time (exec's `done` never overlaps itself). Bounded by LIMIT_UNIT_RESULT: past it results are replaced by
 * an error line each, so that every item still has its line.
 */
#ifndef LATHE_WORKER_LINES_H
#define LATHE_WORKER_LINES_H

#include "core/buf.h"
#include "exec/exec.h"

struct lines {
    struct buf text; /* the lines in the order of arrival */
    struct line_place {
        uint32_t offset, len; /* len 0: not reported */
    } * places;
    int64_t first, count;
    int64_t next;      /* the item that would continue the order; -1 once they came out of order */
    int64_t too_large; /* results that were replaced */
};

void lines_init(struct lines *l, int64_t first, int64_t count);
void lines_release(struct lines *l); /* also of one that was only zeroed */
/* False if the result was replaced because the unit's results are too large: the item then counts as failed. */
bool lines_add(struct lines *l, const struct outcome *o);
/* All lines in item order, borrowed from *l; at most once, at the end. */
struct span lines_in_order(struct lines *l);

#endif
