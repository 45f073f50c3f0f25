#include "model/retry.h"

#include <assert.h>

#include "core/limits.h"

static const struct field fields[] = {
    {.name = "base_ms",
     .type = FIELD_INT,
     .offset = offsetof(struct backoff, base_ms),
     .min = 0,
     .max = LIMIT_TIMEOUT_MS,
     .def = 1000,
     .summary = "wait after the first failure, milliseconds"},
    {.name = "factor",
     .type = FIELD_NUM,
     .offset = offsetof(struct backoff, factor),
     .min = 1,
     .max = 100,
     .def = 2,
     .summary = "each wait is so many times the one before"},
    {.name = "max_ms",
     .type = FIELD_INT,
     .offset = offsetof(struct backoff, max_ms),
     .min = 0,
     .max = LIMIT_TIMEOUT_MS,
     .def = 3600000,
     .summary = "the longest wait, milliseconds"},
    {.name = "jitter",
     .type = FIELD_NUM,
     .offset = offsetof(struct backoff, jitter),
     .min = 0,
     .max = 1,
     .def_part = 0.5,
     .summary = "the part of a wait that is left to chance, so that not all come back at once"},
};

const struct fields backoff_fields = FIELDS(fields, struct backoff);

int64_t backoff_ms(const struct backoff *b, int64_t failures, double chance)
{
    assert(failures >= 1 && chance >= 0 && chance < 1);
    double ms = (double)b->base_ms, most = (double)b->max_ms;
    for (int64_t i = 1; i < failures && ms < most; i++)
        ms *= b->factor;
    ms = ms < most ? ms : most;
    return (int64_t)(ms * (1 - b->jitter * chance));
}
