/* sleep.c: one wait, no work. */
#include "handlers/input.h"
#include "handlers/registry.h"

#define MOST_MS 3600000

struct nap_args {
    int64_t ms;
};

struct nap {
    int64_t ms, until;
};

static enum step step(struct item *it)
{
    const struct nap_args *args = it->args;
    struct nap *nap = it->state;

    if (nap->until == 0) {
        nap->ms = args->ms;
        if (!input_int(it, 0, MOST_MS, &nap->ms))
            return STEP_FAIL;
        nap->until = clock_after_ms(nap->ms);
    }
    if (clock_now() < nap->until)
        return item_wait_until(it, nap->until);
    buf_int(&it->out, nap->ms);
    return STEP_DONE;
}

static const struct field fields[] = {
    {.name = "ms",
     .type = FIELD_INT,
     .offset = offsetof(struct nap_args, ms),
     .min = 0,
     .max = MOST_MS,
     .def = 100,
     .summary = "how long an item waits that has no input"},
};

const struct handler handler_sleep = {
    .name = "sleep",
    .summary = "waits; returns the milliseconds that it was asked for",
    .item = "an integer: milliseconds, instead of the param",
    .params = FIELDS(fields, struct nap_args),
    .state_size = sizeof(struct nap),
    .step = step,
};
