/*
 * terms.h: what a task asks for beyond being run once and soon. Most ask for nothing, and then nothing is stored, looked at
 * or paid for. What is asked for is one JSON object: written here from the checked fields of a submission, kept in
 * tasks.terms, read by the functions of sql/ by its keys, and read here again by the worker that runs a unit.
 *
 * A term is a member of this struct, a row of submission_fields.c, a check in terms_check, a line in terms_write, and, if a
 * worker needs it, a line in terms_read.
 */
#ifndef LATHE_MODEL_TERMS_H
#define LATHE_MODEL_TERMS_H

#include "core/arena.h"
#include "core/err.h"
#include "core/json.h"
#include "model/follow.h"
#include "model/limit.h"
#include "model/retry.h"

#define TERMS_TIME 40 /* bytes of a time as callers write it */

struct terms {
    /* as given; see submission_fields.c */
    char run_at[TERMS_TIME + 1];
    double delay;
    const struct json *expires_json, *backoff_json;
    int64_t retries;      /* failures of a unit after which it is tried again */
    int64_t item_retries; /* failures of an item after which it is tried again inside its run */

    int64_t cache_ttl_s; /* results of items are remembered for so long; 0: not */

    const struct json *limit_json;
    char tenant[LIMIT_NAME + 1]; /* who shares his queue fairly with others; "": nobody */

    struct follow follow; /* what it asks of other tasks; checked and completed by follow_check */

    /* made from it */
    struct limit limit;     /* of its key */
    struct backoff backoff; /* of both */
    int64_t expires_us;     /* not begun after it; 0: whenever */
    int64_t run_at_us;      /* not before; 0: at once. A column of its own, not in the JSON */
};

/* Completes what was read into the fields. `now_us` is what a delay counts from. ERR_BAD_FIELD names the pointer. */
bool terms_check(struct terms *t, int64_t now_us, struct err *e) LATHE_CHECK;

/* The JSON object in the arena; "" when nothing is asked for. */
struct span terms_write(struct arena *a, const struct terms *t);

/* What a worker needs of that object (retries, item_retries, backoff, expires_us, cache_ttl_s); "" gives the defaults. */
bool terms_read(struct arena *a, struct span json, struct terms *ret, struct err *e) LATHE_CHECK;

#endif
