/*
 * metrics.h: counters, gauges and histograms in a file of shared memory, so that every process of one host can count and
 * one can answer /metrics for all of them. Each process has a row of cells of its own; counters of a dead process are
 * kept, its gauges are not. Counting is one relaxed atomic add; any thread.
 */
#ifndef LATHE_CORE_METRICS_H
#define LATHE_CORE_METRICS_H

#include <stdbool.h>

#include "core/buf.h"
#include "core/err.h"

enum metric {
#define METRIC(name, type, label, help) M_##name,
#include "core/metrics.def"
#undef METRIC
    METRIC_COUNT
};

/* Maps (makes, if needed) the file and takes a row. path NULL: memory of this process alone. Before it, counting works
 * on a private row that is not shown. A file of another version or size is replaced. */
bool metrics_open(const char *path, struct err *e) LATHE_CHECK;

/* `label` is one of the words registered for the metric's label (metrics.c); an unknown one counts as "other". */
void metric_add(enum metric m, const char *label, double by);
void metric_set(enum metric m, const char *label, double value);
void metric_observe(enum metric m, const char *label, double seconds);

/* For a process that is not in the file: what it has counted since the last time, gauges left out, for another of the same program to add
 * to its own. */
void metrics_take(struct buf *out);
/* False: it is nothing that metrics_take can have put there; then nothing of it was added. */
bool metrics_give(struct span counted) LATHE_CHECK;

/* All rows summed, Prometheus text format 0.0.4, names prefixed lathe_ and suffixed by type. */
void metrics_write(struct buf *out);

#endif
