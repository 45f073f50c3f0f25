/*
 * handler.h: what is done to an item. A handler is a resumable step; it never knows how many items run beside it, on
 * which thread or in which process, and a strategy never knows what an item does.
 *
 * step() returns STEP_DONE with a JSON value in it->out, STEP_FAIL with it->err, or STEP_WAIT after item_wait_*(), and is
 * then called again when that is ready. It may be called early: check again what was waited for. CPU work just runs, and
 * looks at item_stopping() about every millisecond. drop() releases what step() opened; it is called exactly once for
 * every item whose step() was called at least once: after DONE or FAIL, after a cancel, after a time-out, half-way. An item
 * that failed may be begun anew, from a zeroed state, after its drop().
 *
 *     struct nap_args { int64_t ms; };
 *     struct nap { int64_t until; };
 *
 *     static enum step step(struct item *it)
 *     {
 *         const struct nap_args *args = it->args;
 *         struct nap *nap = it->state;                                   // zeroed at the first step
 *         if (nap->until == 0)
 *             nap->until = clock_after_ms(args->ms);
 *         if (clock_now() < nap->until)
 *             return item_wait_until(it, nap->until);
 *         buf_puts(&it->out, "null");
 *         return STEP_DONE;
 *     }
 *
 *     static const struct field fields[] = {{.name = "ms", …}};
 *     const struct handler handler_sleep = {
 *         .name = "sleep", .summary = "waits", .params = FIELDS(fields, struct nap_args),
 *         .state_size = sizeof(struct nap), .step = step,
 *     };
 */
#ifndef LATHE_MODEL_HANDLER_H
#define LATHE_MODEL_HANDLER_H

#include <stdbool.h>
#include <stdint.h>

#include "core/buf.h"
#include "core/cancel.h"
#include "core/clock.h"
#include "core/err.h"
#include "core/field.h"
#include "core/span.h"
#include "core/uuid.h"

struct handler;
struct ports;

enum step { STEP_DONE, STEP_FAIL, STEP_WAIT, STEP_SNOOZE };

/* What a step waits for: the earlier of a time and a descriptor. */
struct item_wait {
    int64_t until; /* clock_now() scale; CLOCK_NEVER: only the descriptor */
    int fd;        /* -1: only the time */
    int events;    /* POLLIN, POLLOUT */
    bool call;     /* also for the end of a call of the item (model/port.h) */
    bool turn;     /* it stands in a line: its own time limit does not run, and begins anew */
};

struct item {
    /* given */
    const struct handler *handler;
    struct uuid task;  /* whose item it is; nil: nobody's, as when a handler is tried */
    int64_t index;     /* of the item in its task, from 0 */
    struct span input; /* JSON text of the item; empty when items were only counted */
    const void *args;  /* the handler's params struct */
    void *state;       /* state_size bytes, zeroed before the first step */
    const struct cancel *cancel;
    int64_t deadline;    /* of this item, CLOCK_NEVER if there is none */
    struct ports *ports; /* see model/port.h; NULL: what runs the item reaches nothing outside */
    int64_t
        tries; /* how often it has failed before, as far as is known: its unit's failures and its own in this run */
    void (*log)(const struct item *it, struct span text); /* NULL: nobody keeps a log */

    /* made by the step */
    struct buf out;  /* the result: exactly one JSON value on one line; empty counts as null */
    struct err err;  /* why it failed */
    double progress; /* 0..1 of this item, if it tells */
    struct item_wait wait;
    int64_t snooze_ms;
};

struct handler {
    const char *name;    /* "cpu.sum_squares" */
    const char *summary; /* one line */
    const char *item;    /* what an input is, one line; NULL: it is not looked at */
    struct fields
        params; /* schema, validation, help; the target struct is plain bytes: it is copied to children */
    bool (*check)(const void *args, struct err *e); /* what a table cannot say; NULL: nothing */
    size_t state_size;
    enum step (*step)(struct item *it);
    void (*drop)(struct item *it); /* NULL: nothing to release */
    int64_t
        version; /* raised when the same params and input come to another result: nothing remembered is taken for it */
    bool indexed; /* its result depends on the index also where there is an input */
    bool
        unremembered; /* it is there for what it does, or never says the same twice: cache_ttl_s is refused */
    bool (*remembers)(
        const struct item *it); /* may this item's result be? asked before its first step. NULL: yes */
    void (*salt)(const void *args,
                 struct buf *to); /* what the result depends on beside params and input, such as
                                                       settings: written to what keys are made of. NULL: nothing */
    bool hidden;                  /* for tests: not listed; usable only when the setting or the test allows */
    bool internal;                /* its tasks are made by Lathe alone: not listed, and refused to callers */
    bool process_only;            /* run in child processes under every strategy: a shape without gets one */
    bool dangerous;  /* meant to crash, hang or leak: the contract suite runs it in children only */
    const void *own; /* what step() has to know of handlers that share it: it->handler->own */
};

static inline enum step item_wait_until(struct item *it, int64_t when)
{
    it->wait = (struct item_wait){.until = when, .fd = -1};
    return STEP_WAIT;
}

static inline enum step item_wait_fd(struct item *it, int fd, int events, int64_t until)
{
    it->wait = (struct item_wait){.until = until, .fd = fd, .events = events};
    return STEP_WAIT;
}

/* Until a call that it began through a port is over, or the item's time is. */
static inline enum step item_wait_call(struct item *it)
{
    it->wait = (struct item_wait){.until = CLOCK_NEVER, .fd = -1, .call = true};
    return STEP_WAIT;
}

/* The same while others are served before it: the time limit of the item begins when it is stepped again. */
static inline enum step item_wait_turn(struct item *it)
{
    it->wait = (struct item_wait){.until = CLOCK_NEVER, .fd = -1, .call = true, .turn = true};
    return STEP_WAIT;
}

/* The work should end now: it was cancelled or its time is over. What step() then returns is not looked at. */
static inline bool item_stopping(const struct item *it)
{
    return cancel_raised(it->cancel) || (it->deadline != CLOCK_NEVER && clock_now() >= it->deadline);
}

/*
 * Not now: the run ends, nothing of it is stored, and the item's whole unit is run anew after so many ms (LIMIT_SNOOZE_LEAST_MS
 * to LIMIT_SNOOZE_MS), all its items from the beginning. It counts as no failure. A unit that was put off again and again for
 * LIMIT_SNOOZES_MS, or past its `expires`, is failed.
 */
static inline enum step item_snooze(struct item *it, int64_t ms)
{
    it->snooze_ms = ms;
    return STEP_SNOOZE;
}

/* STEP_FAIL with a message. */
enum step item_fail(struct item *it, const char *format, ...) LATHE_PRINTF(2, 3);

/* A line for the log of the task, LIMIT_LOG_TEXT bytes of it; see GET /api/v1/tasks/{id}/log. A run keeps LIMIT_RUN_LOG bytes of
 * lines; what is more is only counted. */
void item_log(struct item *it, const char *format, ...) LATHE_PRINTF(2, 3);

#endif
