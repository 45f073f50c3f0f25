/* test_hang.c: some items never end by themselves. */
#include "handlers/registry.h"
#include "handlers/test_pick.h"

struct args {
    struct test_pick pick;
    bool polite;
};

static enum step step(struct item *it)
{
    const struct args *args = it->args;

    if (test_picked(&args->pick, it->index)) {
        while (!args->polite || !item_stopping(it))
            __asm__ volatile("");
        return item_fail(it, "stopped");
    }
    buf_int(&it->out, it->index);
    return STEP_DONE;
}

static const struct field fields[] = {
    TEST_PICK_FIELDS,
    {.name = "polite",
     .type = FIELD_BOOL,
     .offset = offsetof(struct args, polite),
     .def = 0,
     .summary = "look at item_stopping() while spinning"},
};

const struct handler handler_test_hang = {
    .name = "test.hang",
    .summary = "spins for ever at some items and returns the index of the others",
    .params = FIELDS(fields, struct args),
    .step = step,
    .hidden = true,
    .unremembered = true,
    .dangerous = true,
};
