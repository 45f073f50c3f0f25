/*
 * submission.h: a request for work, validated. The body of POST /api/v1/tasks/{strategy} and of /compare, the same from
 * the command line. Pure: what to do about it is queue/'s business.
 */
#ifndef LATHE_MODEL_SUBMISSION_H
#define LATHE_MODEL_SUBMISSION_H

#include "core/arena.h"
#include "core/json.h"
#include "core/limits.h"
#include "model/handler.h"
#include "model/strategy.h"
#include "model/terms.h"

struct submission {
    /* the fields of the body, in the order of submission_fields */
    char handler_name[LIMIT_NAME + 1];
    const struct json *params_json, *items_json, *shape_json, *tags, *meta, *strategies_json;
    int64_t items_count, batch_size, workers;
    bool simulate_db_delay, simulate_redis_delay; /* short for simulate's params of the same names */
    bool db_delay_given, redis_delay_given, items_count_given, inner_given;
    char queue[LIMIT_NAME + 1];
    int64_t priority;
    char inner_name[LIMIT_NAME + 1];     /* background: how units run */
    int64_t item_timeout_ms, timeout_ms; /* 0: none */
    int on_item_error;                   /* 0 continue, 1 fail */
    struct terms terms;
    char name[LIMIT_NAME + 1], strategy_name[LIMIT_NAME + 1]; /* of a row */

    /* made from them */
    const struct strategy *strategy, *inner; /* inner only for background, and for it in /compare */
    const struct handler *handler;
    void *args;         /* the handler's params struct, in the arena */
    struct span params; /* canonical JSON of args */
    uint64_t digest;    /* of handler and params: the key of its profile */
    bool has_shape;
    struct shape shape;
    const struct strategy *compared[16]; /* /compare: NULL at the end */
    int64_t items;                       /* how many */
    struct span lines;                   /* their inputs as NDJSON, in the arena; "": they are only counted */
    int64_t uploaded, uploaded_unit,
        unit_size; /* its items are in the store already (queue/stream.c): bytes, of the largest unit, items of a unit; 0: not */
    struct uuid id;               /* that it is to have; nil: it is given one */
    struct submission *callbacks; /* that are put with it, to follow it */
    size_t callbacks_n;
};

extern const struct fields submission_fields;

/*
 * `lookup` finds a handler by name (NULL: there is none). `strategy` NULL means /compare. `body` NULL: an empty body, and
 * `query` pairs, if any, are set on top: fields by their names, `strategies=a,b` (only /compare), and the handler's params
 * as `params.NAME=…`. ERR_BAD_FIELD, ERR_UNKNOWN_FIELD, ERR_NO_HANDLER name the pointer or the parameter. The
 * fields that are objects or lists are not given where they are null; the others refuse it, as their schema says. What is
 * made lives in the arena; *ret borrows from it and from `body`.
 */
bool submission_read(struct arena *a, const struct strategy *strategy, const struct json *body,
                     struct span query, const struct handler *(*lookup)(struct span name),
                     struct submission *ret, struct err *e) LATHE_CHECK;

/*
 * A row of a batch, or of the tasks of a callback: an object with the fields of a body, its strategy among them. `defaults`
 * (NULL: none) is what submission_defaults made; the row's own fields go before.
 */
bool submission_row(struct arena *a, const struct submission *defaults, const struct json *row,
                    const struct handler *(*lookup)(struct span name), struct submission *ret,
                    struct err *e) LATHE_CHECK;

/* Fields that rows share: an object, NULL gives a submission's own. Only for submission_row. */
bool submission_defaults(const struct json *object, struct submission *ret, struct err *e) LATHE_CHECK;

/* The key of the profile of a handler with params in their canonical form. Stored, so it never changes. */
uint64_t submission_digest(const char *handler, struct span params);

/* Decodes one percent-encoded pair of a query string off the front of *query; false when there is none left, and with
 * ERR_BAD_REQUEST when the encoding is wrong or a NUL is in it. The caller passes *e with the code ERR_NONE. */
bool query_next(struct arena *a, struct span *query, struct span *ret_name, struct span *ret_value,
                struct err *e);

#endif
