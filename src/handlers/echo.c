/* echo.c: gives back what it was given. */
#include "handlers/registry.h"

static enum step step(struct item *it)
{
    if (it->input.len > 0)
        buf_span(&it->out, it->input);
    else
        buf_int(&it->out, it->index);
    return STEP_DONE;
}

const struct handler handler_echo = {
    .name = "echo",
    .summary = "returns its input, or its index when items are only counted",
    .item = "any JSON value",
    .step = step,
};
