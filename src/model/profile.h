/*
 * profile.h: what runs have taught about a handler with given params, and what a shape would make of it. Pure arithmetic;
 * kept in PostgreSQL by store/, fed by worker/. docs/recommending.md derives the formulas.
 */
#ifndef LATHE_MODEL_PROFILE_H
#define LATHE_MODEL_PROFILE_H

#include <stdint.h>

#include "model/strategy.h"

/* What the machine itself costs, measured when a worker starts (exec_calibrate). Nanoseconds. */
struct host {
    int64_t cores;
    double thread_start;  /* one more thread */
    double process_start; /* one more child, warm */
    double item_cost;     /* engine's own work for an item in the worker */
    double process_item;  /* the same through a child */
    double timer_slack;   /* how much later than asked a wait ends */
};

/* Raises to what no machine does for less: a measured difference that is smaller is the noise of a busy one, and whatever seems to
 * cost nothing is recommended for ever after. */
void host_bound(struct host *h);

/* Evidence for one handler and params digest. Nanoseconds per item; decayed means, so that the latest runs count most. */
struct profile {
    int64_t runs, items; /* that it rests on; 0: nothing is known */
    double cpu, wait;
    double result_bytes;
    double failure_rate;
};

/* How one strategy's measurements stood to the bare prediction: its own correction for this handler, 1 if unknown. */
struct correction {
    int64_t runs;
    double factor;
};

struct prediction {
    double wall; /* ns */
    double cpu;  /* ns */
    double items_per_s;
    double memory_kib; /* on top of an idle worker */
    const char *bound; /* what limits it: "cpu", "waits", "one item", "start-up" */
};

struct prediction predict(const struct profile *p, const struct host *h, const struct shape *s,
                          int64_t items);

/* The same by a strategy's own correction for the handler; NULL, none known or one beyond belief: the bare prediction.
 * *ret_used is the correction that was applied, factor 1 if none; may be NULL. */
struct prediction predict_corrected(const struct profile *p, const struct host *h, const struct shape *s,
                                    int64_t items, const struct correction *c, struct correction *ret_used);

struct candidate {
    const struct strategy *strategy; /* NULL: a free shape */
    struct shape shape;
    struct prediction prediction;
    struct correction correction;
};

/* Every shaped strategy and the best free shapes, fastest first; ties go to a name, then to less memory, then to the
 * simpler. Returns how many were written. `corrections` is indexed like strategies[]; NULL: none. */
int recommend(const struct profile *p, const struct host *h, const struct ask *a,
              const struct correction *corrections, struct candidate *out, int room);

#endif
