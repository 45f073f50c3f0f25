/* cpu_sum_squares.c: CPU work with a result that anybody can check. */
#include "core/json.h"
#include "core/limits.h"
#include "handlers/input.h"
#include "handlers/registry.h"
#include "handlers/squares.h"

#define MOST INT64_C(1000000000000)
#define STRETCH INT64_C(65536) /* additions between two looks at item_stopping(): some tens of microseconds */

struct sum_args {
    int64_t n, parts;
};

struct range {
    int64_t from, to;
};

static const struct field range_list[] = {
    {.name = "from",
     .type = FIELD_INT,
     .offset = offsetof(struct range, from),
     .max = MOST,
     .summary = "the first i"},
    {.name = "to",
     .type = FIELD_INT,
     .offset = offsetof(struct range, to),
     .max = MOST,
     .def = -1,
     .summary = "the first that is not among them any more"},
};
static const struct fields range_fields = FIELDS(range_list, struct range);

/* {"from": a, "to": b} */
static bool read_range(struct item *it, struct range *r)
{
    struct arena a CLEANUP(arena_release) = ARENA_INIT;
    if (!fields_read_text(&range_fields, &a, it->input, r, &it->err))
        return false;
    if (r->to < r->from)
        return err_at(&it->err, ERR_BAD_FIELD, "/to",
                      "\"/to\" must be given, and not be less than \"/from\"");
    return true;
}

/* An item that was only counted: its part of the whole, or all of it where nobody asked for parts. */
static bool take_part(struct item *it, const struct sum_args *args, struct range *r)
{
    int64_t parts = args->parts > 0 ? args->parts : 1, i = args->parts > 0 ? it->index : 0;
    if (i >= parts)
        return err_set(&it->err, ERR_BAD_FIELD, "there is no item %lld of %lld parts", (long long)i,
                       (long long)parts);
    *r = (struct range){args->n * i / parts, args->n * (i + 1) / parts};
    return true;
}

static bool read_item(struct item *it, struct range *r)
{
    *r = (struct range){0, 0};
    if (it->input.len == 0)
        return take_part(it, it->args, r);
    return it->input.ptr[0] == '{' ? read_range(it, r) : input_int(it, 0, MOST, &r->to);
}

static enum step step(struct item *it)
{
    struct range r;
    uint64_t sum = 0;
    if (!read_item(it, &r))
        return STEP_FAIL;
    for (int64_t i = r.from; i < r.to; i += STRETCH) {
        if (item_stopping(it))
            return item_fail(it, "stopped at %lld of %lld", (long long)i, (long long)r.to);
        sum += squares_sum((uint64_t)i, (uint64_t)(i + STRETCH < r.to ? i + STRETCH : r.to));
    }
    buf_int(&it->out, (int64_t)(sum & INT64_MAX));
    return STEP_DONE;
}

static const struct field fields[] = {
    {.name = "n",
     .type = FIELD_INT,
     .offset = offsetof(struct sum_args, n),
     .min = 0,
     .max = MOST,
     .def = 1000000,
     .summary = "how many squares an item adds up that has no input"},
    {.name = "parts",
     .type = FIELD_INT,
     .offset = offsetof(struct sum_args, parts),
     .min = 0,
     .max = LIMIT_ITEMS,
     .def = 0,
     .summary = "cuts n: the item at index i adds up the i-th of so many parts; 0: each adds up all"},
};

const struct handler handler_cpu_sum_squares = {
    .name = "cpu.sum_squares",
    .summary = "the sum of i*i for all i from 0 to n-1, modulo 2^63",
    .item = "an integer: n, instead of the param; or {\"from\",\"to\"}: the i from here to before there",
    .params = FIELDS(fields, struct sum_args),
    .step = step,
};
