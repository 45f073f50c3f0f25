/* test_snooze.c: some items are put off, until somebody makes a file. */
#include <unistd.h>

#include "core/limits.h"
#include "handlers/registry.h"
#include "handlers/test_pick.h"

struct args {
    struct test_pick pick;
    int64_t ms;
    char until[256];
};

static bool not_yet(const struct args *args, int64_t index)
{
    return args->ms > 0 && test_picked(&args->pick, index) &&
           (args->until[0] == '\0' || access(args->until, F_OK) != 0);
}

static enum step step(struct item *it)
{
    const struct args *args = it->args;

    if (not_yet(args, it->index))
        return item_snooze(it, args->ms);
    buf_int(&it->out, it->index);
    return STEP_DONE;
}

static const struct field fields[] = {
    TEST_PICK_FIELDS,
    {.name = "ms",
     .type = FIELD_INT,
     .offset = offsetof(struct args, ms),
     .min = 0,
     .max = LIMIT_SNOOZE_MS,
     .def = 0,
     .summary = "for how long they are put off, milliseconds; 0: not at all"},
    {.name = "until",
     .type = FIELD_TEXT,
     .offset = offsetof(struct args, until),
     .max = 255,
     .def_text = "",
     .summary = "path of a file: once it is there nothing is put off"},
};

const struct handler handler_test_snooze = {
    .name = "test.snooze",
    .summary = "puts off some items and returns the index of the others",
    .params = FIELDS(fields, struct args),
    .step = step,
    .hidden = true,
    .unremembered = true,
};
