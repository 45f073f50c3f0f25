/*
 * run_item.h: one item by hand: steps it, waits as it asks, drops it. The smallest engine there is, to test handlers
 * without exec/ and to know what a strategy has to come to.
 */
#ifndef LATHE_TEST_RUN_ITEM_H
#define LATHE_TEST_RUN_ITEM_H

#include <poll.h>

#include "core/clock.h"
#include "core/json.h"
#include "core/limits.h"
#include "core/mem.h"
#include "model/handler.h"

struct run_item {
    struct item it;
    const struct handler *handler;
    struct cancel never;
    enum step last;
    int steps, waits;
};

static inline void run_begin(struct run_item *r, const struct handler *h, const void *args, int64_t index,
                             struct span input, size_t max)
{
    *r = (struct run_item){.handler = h, .last = STEP_WAIT};
    r->it = (struct item){
        .handler = h,
        .index = index,
        .input = input,
        .args = args,
        .state = mem_alloc(h->state_size > 0 ? h->state_size : 1),
        .cancel = &r->never,
        .deadline = CLOCK_NEVER,
        .out = BUF_INIT(max),
        .err = ERR_INIT,
    };
}

static inline enum step run_step(struct run_item *r)
{
    r->steps++;
    r->last = r->handler->step(&r->it);
    return r->last;
}

static inline void run_wait(struct run_item *r)
{
    struct pollfd p = {.fd = r->it.wait.fd, .events = (short)r->it.wait.events};

    r->waits++;
    poll(&p, 1, clock_poll_ms(r->it.wait.until));
}

/* What was opened is released; the result and the error stay until run_end. */
static inline void run_drop(struct run_item *r)
{
    if (r->handler->drop && r->steps > 0)
        r->handler->drop(&r->it);
    mem_free(r->it.state);
    r->it.state = NULL;
}

static inline void run_end(struct run_item *r)
{
    buf_release(&r->it.out);
}

static inline void run_item(struct run_item *r, const struct handler *h, const void *args, int64_t index,
                            struct span input)
{
    run_begin(r, h, args, index, input, LIMIT_ITEM_RESULT);
    while (run_step(r) == STEP_WAIT)
        run_wait(r);
    run_drop(r);
}

/* The handler's params from JSON text, checked as at submission; in the arena. NULL with *e set if they are refused. */
static inline void *run_args(struct arena *a, const struct handler *h, const char *json, struct err *e)
{
    const struct json *v;
    void *args = arena_alloc(a, h->params.size > 0 ? h->params.size : 1);

    if (!json_read(a, span_of(json), &v, e) || !fields_read(&h->params, v, "/params", args, e))
        return NULL;
    return h->check && !h->check(args, e) ? NULL : args;
}

#endif
