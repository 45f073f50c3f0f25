#include "store/claim_from.h"

#include "core/clock.h"

#define DEAR_NS \
    (5 * NS_PER_MS) /* what is passed by waits for nineteen times as long at most: not noticed either */
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
    f->whole_ns = ns > DEAR_NS ? ns : 0;
    f->whole_at = now;
}

int64_t claim_again(const struct claim_from *f, int64_t from)
{
    return from != 0 && f->starved ? whole_after(f) : CLOCK_NEVER;
}
