#include "store/claim_from.h"

#include "core/clock.h"

#define DEAR_NS (20 * NS_PER_MS)      /* more than a claim takes, */
#define DEAR_UNIT_NS (NS_PER_MS / 20) /* and this for each unit of it */
#define DEAR_TIMES 3                  /* in a row: one may be planned, or stand still for a moment */
#define SHARE_BUSY 20
#define SHARE_STARVED 2
#define PASSED_BY_NS (60 * NS_PER_S) /* nothing waits longer for a claim from the beginning */
#define FULL_NS \
    (50 * NS_PER_MS)          /* nor than this while they are cheap: no dearer than those behind a place, */
#define FULL_MOST_NS NS_PER_S /* nor than this while they are not dear, */
#define FULL_LEAST 64         /* and so large that what lies in front of them matters */
#define PART_WEIGHT 8         /* of what a claim behind a place takes: the mean of about so many */

/* One may have stood still for a moment: the smaller of two. */
static int64_t full_pause(const struct claim_from *f)
{
    int64_t pause = SHARE_BUSY * (f->over_ns < f->over_before_ns ? f->over_ns : f->over_before_ns);
    return pause < FULL_NS ? FULL_NS : pause < FULL_MOST_NS ? pause : FULL_MOST_NS;
}

static int64_t whole_after(const struct claim_from *f)
{
    if (f->whole_ns == 0)
        return f->full ? f->whole_at + full_pause(f) : 0;
    int64_t pause = f->whole_ns * ((f->starved ? SHARE_STARVED : SHARE_BUSY) - 1);
    return f->whole_at + (pause < PASSED_BY_NS ? pause : PASSED_BY_NS);
}

struct claim_place claim_from(const struct claim_from *f, int64_t now)
{
    return now >= whole_after(f) ? (struct claim_place){.rank_us = 0} : f->last;
}

static void took_whole(struct claim_from *f, bool dear, int64_t ns, int64_t now)
{
    f->dear = dear ? f->dear + 1 : 0;
    f->whole_ns = f->dear >= DEAR_TIMES ? ns : 0;
    f->over_before_ns = f->over_ns;
    f->over_ns = f->part_ns > 0 && ns > f->part_ns ? ns - f->part_ns : 0;
    f->whole_at = now;
}

/* What is dear wherever it begins (large inputs, a gate that is locked) is not dear for what lies before it. */
static void took_part(struct claim_from *f, int64_t ns)
{
    if (f->whole_ns != 0 && ns > f->whole_ns / 2)
        f->whole_ns = f->dear = f->over_ns = 0;
}

void claim_took(struct claim_from *f, bool whole, int64_t ns, size_t got, int want,
                const struct claim_place *last, int64_t now)
{
    if (got > 0)
        f->last = *last;
    f->starved = got < (size_t)want;
    f->full = !f->starved && got >= FULL_LEAST;
    if (whole)
        took_whole(f, ns > DEAR_NS + (int64_t)got * DEAR_UNIT_NS, ns, now);
    else
        took_part(f, ns);
    if (!whole && f->full)
        f->part_ns = f->part_ns == 0 ? ns : f->part_ns + (ns - f->part_ns) / PART_WEIGHT;
}

void claim_failed(struct claim_from *f, bool whole, int64_t ns, int64_t now)
{
    if (!whole)
        took_part(f, ns);
    else if (ns > DEAR_NS)
        took_whole(f, true, ns, now);
}

int64_t claim_again(const struct claim_from *f, bool whole)
{
    return !whole && f->starved ? whole_after(f) : CLOCK_NEVER;
}
