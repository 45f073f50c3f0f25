/* cpu_sum_squares.c: CPU work with a result that anybody can check. */
#include "handlers/input.h"
#include "handlers/registry.h"

#define MOST INT64_C(1000000000000)
#define STRETCH INT64_C(65536) /* additions between two looks at item_stopping(): some tens of microseconds */

struct sum_args {
    int64_t n;
};

/* The empty asm makes every addition happen: compilers know the closed form of this sum. */
static uint64_t add_squares(uint64_t sum, uint64_t from, uint64_t to)
{
    for (uint64_t i = from; i < to; i++) {
        sum += i * i;
        __asm__ volatile("" : "+r"(sum));
    }
    return sum;
}

static enum step step(struct item *it)
{
    const struct sum_args *args = it->args;
    int64_t n = args->n;
    uint64_t sum = 0;

    if (!input_int(it, 0, MOST, &n))
        return STEP_FAIL;
    for (int64_t i = 0; i < n; i += STRETCH) {
        if (item_stopping(it))
            return item_fail(it, "stopped at %lld of %lld", (long long)i, (long long)n);
        sum = add_squares(sum, (uint64_t)i, (uint64_t)(i + STRETCH < n ? i + STRETCH : n));
    }
    buf_int(&it->out, (int64_t)(sum & INT64_MAX));
    return STEP_DONE;
}

static const struct field fields[] = {
    {.name = "n",
     .type = FIELD_INT,
     .offset = offsetof(struct sum_args, n),
     .min = 0,
     .max = MOST,
     .def = 1000000,
     .summary = "how many squares an item adds up that has no input"},
};

const struct handler handler_cpu_sum_squares = {
    .name = "cpu.sum_squares",
    .summary = "the sum of i*i for all i from 0 to n-1, modulo 2^63",
    .item = "an integer: n, instead of the param",
    .params = FIELDS(fields, struct sum_args),
    .step = step,
};
