/*
 * metrics_table.h: where each metric's cells lie in a row. For metrics.c and metrics_out.c only.
 */
#ifndef LATHE_CORE_METRICS_TABLE_H
#define LATHE_CORE_METRICS_TABLE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/metrics.h"

enum metric_type { METRIC_COUNTER, METRIC_GAUGE, METRIC_SECONDS };

struct metric_row {
    const char *name, *label, *help;
    enum metric_type type;
    const char *const
        *words; /* of the label, NULL-terminated, "other" last; one empty word if there is no label */
    size_t word_count;
    size_t first; /* cell */
    size_t width; /* cells of one word: 1, or the buckets, their overflow, and the sum */
};

extern const double metric_buckets[];
extern const size_t metric_bucket_count;

/* Cells hold whole numbers, so that adding is one instruction: counters and gauges in millionths, the sums of histograms
 * in billionths, buckets as they are. */
#define METRIC_UNIT 1e6
#define METRIC_SUM_UNIT 1e9

const struct metric_row *metric_table(void); /* METRIC_COUNT rows, made at the first call; any thread */
size_t metric_cells(void);                   /* in one row */
uint64_t metric_signature(void); /* of names, types, words and buckets: two programs that agree on it share */

/* Calls each(cells, alive, arg) for every row of the open file: `cells` of a dead process keep only their counters. */
void metric_rows(void (*each)(_Atomic int64_t *cells, bool alive, void *arg), void *arg);

#endif
