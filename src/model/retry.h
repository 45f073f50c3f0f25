/*
 * retry.h: how long to wait before something that failed is tried again. Pure arithmetic: chance is given in.
 */
#ifndef LATHE_MODEL_RETRY_H
#define LATHE_MODEL_RETRY_H

#include "core/field.h"

/* base, base * factor, base * factor², … at most max; `jitter` is the part of it that is left to chance. */
struct backoff {
    int64_t base_ms;
    double factor;
    int64_t max_ms;
    double jitter; /* 0: exactly that long; 1: anything from nothing to that long */
};

extern const struct fields backoff_fields;

/* What to wait after `failures` failures (1 and up), ms. `chance` is from [0, 1): by so much of the jitter it is shorter. */
int64_t backoff_ms(const struct backoff *b, int64_t failures, double chance);

#endif
