#include "store/claim_from.h"

#include "core/clock.h"

#define DEAR_NS (20 * NS_PER_MS)      /* more than a claim takes, */
#define DEAR_UNIT_NS (NS_PER_MS / 20) /* and this for each unit of it */
#define DEAR_TIMES 3                  /* in a row: one may be planned, or stand still for a moment */
#define SHARE_BUSY 20
#define SHARE_STARVED 2

static int64_t whole_after(const struct claim_from *f)
{
    return f->whole_at + f->whole_ns * ((f->starved ? SHARE_STARVED : SHARE_BUSY) - 1);
}

int64_t claim_from(const struct claim_from *f, int64_t now)
{
    return f->whole_ns == 0 || now >= whole_after(f) ? 0 : f->rank_us;
}

void claim_took(struct claim_from *f, int64_t from, int64_t ns, size_t got, int want, int64_t last_us,
                int64_t now)
{
    if (got > 0)
        f->rank_us = last_us;
    f->starved = got < (size_t)want;
    if (from != 0)
        return;
    f->dear = ns > DEAR_NS + (int64_t)got * DEAR_UNIT_NS ? f->dear + 1 : 0;
    f->whole_ns = f->dear >= DEAR_TIMES ? ns : 0;
    f->whole_at = now;
}

int64_t claim_again(const struct claim_from *f, int64_t from)
{
    return from != 0 && f->starved ? whole_after(f) : CLOCK_NEVER;
}
