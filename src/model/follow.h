/*
 * follow.h: what tasks ask of each other: the same work once (unique), work that waits for work (depends_on), work that
 * comes after it (callback). A part of struct terms; sql/003_follow.sql does it.
 */
#ifndef LATHE_MODEL_FOLLOW_H
#define LATHE_MODEL_FOLLOW_H

#include "core/arena.h"
#include "core/err.h"
#include "core/json.h"
#include "core/limits.h"
#include "core/uuid.h"

/* What a task needs. */
struct need {
    struct uuid id;   /* nil: not known yet, and name says what it is */
    struct span name; /* of a row of the same batch */
};

struct unique {
    char key[LIMIT_KEY + 1]; /* "": none; of the work of one handler */
    double for_s;            /* and so long after the submission, even when the task is over */
    int until;               /* 0 the task is over, 1 a worker has begun it */
    bool given;              /* the key */
};

struct follow {
    /* as given; see submission_fields.c */
    const struct json *unique_json, *depends_on_json, *callback_json;
    int depends_if; /* 0 all that it needs succeeded, 1 all of it ended */

    /* made from it */
    struct unique unique;
    struct need *needs;
    size_t needs_n;
    struct uuid callback_of;           /* the task whose callback it is; nil: of none */
    const struct json *callback_tasks; /* list of submissions; NULL: none */
};

/* Completes what was read into the fields; what it makes lives in the arena. ERR_BAD_FIELD names the pointer. */
bool follow_check(struct arena *a, struct follow *f, struct err *e) LATHE_CHECK;

/* Members of the terms: what is asked for. Every need has its id by now. */
void follow_write(const struct follow *f, struct json_out *o);

#endif
