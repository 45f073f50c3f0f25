/* test_fail.c: some items fail, in good order. */
#include <inttypes.h>

#include "handlers/registry.h"
#include "handlers/test_pick.h"

struct args {
    struct test_pick pick;
    int64_t times;
};

static enum step step(struct item *it)
{
    const struct args *args = it->args;

    if (test_picked(&args->pick, it->index) && (args->times == 0 || it->tries < args->times))
        return item_fail(it, "item %" PRId64 " fails, as it was asked to", it->index);
    buf_int(&it->out, it->index);
    return STEP_DONE;
}

static const struct field fields[] = {
    TEST_PICK_FIELDS,
    {.name = "times",
     .type = FIELD_INT,
     .offset = offsetof(struct args, times),
     .min = 0,
     .max = 1000000,
     .def = 0,
     .summary = "only so many times, and then no more; 0: always"},
};

const struct handler handler_test_fail = {
    .name = "test.fail",
    .summary = "fails some items and returns the index of the others",
    .params = FIELDS(fields, struct args),
    .step = step,
    .hidden = true,
    .unremembered = true,
};
