/*
 * recommendation.h: which strategy suits a workload, and on what evidence. Where nothing was measured it says so and falls
 * back on rules of thumb.
 */
#ifndef LATHE_API_RECOMMENDATION_H
#define LATHE_API_RECOMMENDATION_H

#include "model/submission.h"
#include "store/store.h"

enum { RECOMMENDATION_MOST = 32 };

struct recommendation {
    const struct submission *asked;
    struct profile profile; /* runs 0: nothing is known, and the candidates have no prediction */
    struct host host;
    bool host_known;                            /* false: no worker is alive, this host was assumed */
    struct candidate list[RECOMMENDATION_MOST]; /* best first */
    int count;                                  /* at least 1 */
    const char *evidence;                       /* "312 runs, 40000 items" */
    const char *reason;                         /* why the first one */
    const struct task *probe;                   /* the probe that was just run, NULL: none */
};

/* What a probe runs: the first items of `asked`, one after another. */
struct submission probe_of(const struct submission *asked);

/* Asks the store. `probe`: a probe that has ended just now; NULL: none. */
bool recommendation_make(struct arena *a, struct store *s, const struct submission *asked,
                         const struct task *probe, struct recommendation *ret, struct err *e) LATHE_CHECK;

/* The same from given evidence. Pure. */
void recommendation_from(struct arena *a, struct recommendation *r, const struct correction *corrections);

const char *candidate_name(const struct candidate *c); /* of its strategy; "shape" for a free one */
void recommendation_write(const struct recommendation *r, struct json_out *o);

#endif
