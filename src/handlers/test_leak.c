/* test_leak.c: every item takes memory that nobody gives back. */
#include "core/mem.h"
#include "handlers/registry.h"

struct args {
    int64_t bytes;
};

struct lost {
    struct lost *next;
};

/* Reachable, so that leak checkers do not blame the engine; atomic, because a crew has many threads. */
static struct lost *_Atomic lost;

static enum step step(struct item *it)
{
    const struct args *args = it->args;
    struct lost *more =
        mem_alloc(sizeof *more + (size_t)args->bytes); /* aborts at the child's memory limit */

    for (int64_t i = 0; i < args->bytes; i += 4096)
        ((volatile char *)(more + 1))[i] = 1;
    more->next = lost;
    while (!atomic_compare_exchange_weak(&lost, &more->next, more))
        continue;
    buf_int(&it->out, it->index);
    return STEP_DONE;
}

static const struct field fields[] = {
    {.name = "bytes",
     .type = FIELD_INT,
     .offset = offsetof(struct args, bytes),
     .min = 0,
     .max = INT64_C(1) << 40,
     .def = 1 << 20,
     .summary = "bytes that each item takes for good"},
};

const struct handler handler_test_leak = {
    .name = "test.leak",
    .summary = "loses memory at every item and returns its index",
    .params = FIELDS(fields, struct args),
    .step = step,
    .hidden = true,
    .unremembered = true,
    .dangerous = true,
};
