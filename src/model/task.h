/*
 * task.h: a task as every floor speaks of it. Values only; texts are borrowed from the arena that the task was read into.
 */
#ifndef LATHE_MODEL_TASK_H
#define LATHE_MODEL_TASK_H

#include <stdbool.h>
#include <stdint.h>

#include "core/err.h"
#include "core/json.h"
#include "core/span.h"
#include "core/uuid.h"
#include "model/shape.h"

enum task_state {
#define STATE(name, final, text) TASK_##name,
#include "model/state.def"
    TASK_STATES
};

const char *state_name(enum task_state s);
bool state_final(enum task_state s);
bool state_may(enum task_state from, enum task_state to);
bool state_by_name(struct span name, enum task_state *ret);

/* What running cost. Times are sums over units, but wall, which is from the first start to the last end. */
struct measured {
    int64_t wall_us, cpu_us, wait_us;
    int64_t peak_rss_kib;
    int64_t cached;       /* items whose result was remembered: nothing was run for them */
    int64_t predicted_us; /* 0: there was no evidence to predict from */
};

struct task {
    struct uuid id, parent; /* parent nil: none */
    enum task_state state;
    bool cancelling; /* a cancel was asked for and the task still winds down */
    struct span handler, strategy, inner, queue;
    struct span params;     /* JSON object, every field with the value in force */
    struct span tags, meta; /* JSON, "" if none */
    struct shape shape;     /* what was used; all 0 while not known */
    int priority, attempt;
    int64_t items_total, items_done, items_failed; /* done counts failed ones too */
    int64_t batch_size, workers;
    int64_t units_total, units_done;
    int64_t item_timeout_ms, timeout_ms;         /* 0: none of its own */
    bool fail_fast;                              /* on_item_error = fail */
    double progress;                             /* 0..1; finer than items_done when Redis has news */
    int64_t created_us, started_us, finished_us; /* wall clock; 0: not yet */
    int64_t run_at_us;                           /* not before; 0: at once */
    int tries;                                   /* failures after which it was tried again */
    struct span terms;                           /* JSON of terms.h, "" if none */
    struct measured measured;
    struct span results; /* NDJSON of the first item results, whole lines, "" if none */
    struct err err;      /* code ERR_NONE: none */
};

/* The task document of HTTP-API: the same at every endpoint and in the terminal. */
void task_write(const struct task *t, struct json_out *o);
/* Its members alone, for a document that has more in it. */
void task_members(const struct task *t, struct json_out *o);

#endif
