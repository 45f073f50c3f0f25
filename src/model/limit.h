/*
 * limit.h: how many units may run at once, and how often one may begin; across all workers. Of a key that submissions name
 * (the term `limit`), or of a queue.
 */
#ifndef LATHE_MODEL_LIMIT_H
#define LATHE_MODEL_LIMIT_H

#include "core/field.h"
#include "core/limits.h"

struct limit {
    char key[LIMIT_KEY + 1]; /* "": none */
    int64_t concurrency;     /* 0: any number */
    int64_t rate;            /* units in per_s seconds, and so many at once after a pause; 0: any number */
    double per_s;
};

extern const struct fields limit_fields;

/* The fields of a table that are the numbers of a limit; `at`: where in `type` it is, with its dot ("limit."). */
#define LIMIT_NUMBERS(type_, at)                                                                       \
    {.name = "concurrency",                                                                            \
     .type = FIELD_INT,                                                                                \
     .offset = offsetof(type_, at concurrency),                                                        \
     .max = LIMIT_CONCURRENCY,                                                                         \
     .summary = "units that may run at once; 0: any number"},                                          \
        {.name = "rate",                                                                               \
         .type = FIELD_INT,                                                                            \
         .offset = offsetof(type_, at rate),                                                           \
         .max = LIMIT_RATE,                                                                            \
         .summary = "units that may begin in per_s seconds; 0: any number"},                           \
    {                                                                                                  \
        .name = "per_s", .type = FIELD_NUM, .offset = offsetof(type_, at per_s), .max = LIMIT_DELAY_S, \
        .def = 1, .summary = "seconds that rate counts for"                                            \
    }

/* The term; `json` NULL or null: key is "". ERR_BAD_FIELD names the pointer. */
bool limit_read(const struct json *json, struct limit *ret, struct err *e) LATHE_CHECK;
/* Does per_s fit? `at` is the object's pointer. */
bool limit_check(const struct limit *l, const char *at, struct err *e) LATHE_CHECK;
/* The member "limit", if there is one. */
void limit_write(const struct limit *l, struct json_out *o);
/* concurrency, rate, per_s as members of the open object; null where there is no limit. */
void limit_write_numbers(const struct limit *l, struct json_out *o);

#endif
