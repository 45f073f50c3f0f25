/*
 * comparison.h: the children of a compare task, as a table: one row a strategy, and the winner. Pure.
 */
#ifndef LATHE_API_COMPARISON_H
#define LATHE_API_COMPARISON_H

#include "core/arena.h"
#include "model/task.h"

struct comparison_row {
    const struct task *task;
    double duration_ms, items_per_s;
    double speedup; /* over sequential; 0: not known */
    double
        predicted_error; /* (measured - predicted) / measured; meaningful if task->measured.predicted_us > 0 */
    bool ended;          /* the figures above are there: it succeeded */
};

struct comparison {
    struct comparison_row *rows; /* in the order of the children */
    size_t count, done;          /* done: rows whose task is final */
    const struct comparison_row
        *winner; /* the fastest that succeeded without a failed item; NULL: none yet */
};

struct comparison comparison_of(struct arena *a, const struct task *children, size_t n);

/* {"winner": "hybrid", "strategies": [{"strategy": …}, …]} */
void comparison_write(const struct comparison *t, struct json_out *o);

#endif
