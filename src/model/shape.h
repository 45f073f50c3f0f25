/*
 * shape.h: how a plan is run: `processes` children (0: in the worker itself), each with `threads` threads, each of which
 * keeps `width` items in flight and takes `grain` items at a time from one shared cursor. Every strategy is a point in
 * this space.
 */
#ifndef LATHE_MODEL_SHAPE_H
#define LATHE_MODEL_SHAPE_H

#include <stdbool.h>
#include <stdint.h>

#include "core/field.h"

struct shape {
    int64_t processes, threads, width, grain;
};

extern const struct fields shape_fields; /* the `shape` object of a submission */

/* Threads that run items at once, and items in flight at once. */
int64_t shape_threads(const struct shape *s);
int64_t shape_in_flight(const struct shape *s);

/* The same shape, with a child if it has none: for what is not to be run in the worker itself. */
struct shape shape_in_child(struct shape s);

/* Makes every number at least what can run and at most what is useful for n items and allowed by max_workers. */
struct shape shape_fit(struct shape s, int64_t items, int64_t max_workers);

void shape_write(const struct shape *s, struct json_out *o);

#endif
