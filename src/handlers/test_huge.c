/* test_huge.c: results of any size, and one that has no end. */
#include "handlers/registry.h"

struct args {
    int64_t bytes;
    bool careless;
};

/* Pieces of 4 KiB until `bytes` are there (0: until the buffer refuses). */
static void fill(struct buf *out, int64_t bytes)
{
    char piece[4096];

    memset(piece, 'x', sizeof piece);
    for (int64_t left = bytes > 0 ? bytes : INT64_MAX; left > 0 && !out->failed;) {
        size_t n = left < (int64_t)sizeof piece ? (size_t)left : sizeof piece;

        buf_put(out, piece, n);
        left -= (int64_t)n;
    }
}

static enum step step(struct item *it)
{
    const struct args *args = it->args;

    buf_char(&it->out, '"');
    fill(&it->out, args->bytes);
    buf_char(&it->out, '"');
    if (!it->out.failed || args->careless)
        return STEP_DONE;
    err_set(&it->err, ERR_ITEM_TOO_LARGE, "the result has no end");
    return STEP_FAIL;
}

static const struct field fields[] = {
    {.name = "bytes",
     .type = FIELD_INT,
     .offset = offsetof(struct args, bytes),
     .min = 0,
     .max = INT64_C(1) << 40,
     .def = 0,
     .summary = "length of the string that each item returns; 0: without end"},
    {.name = "careless",
     .type = FIELD_BOOL,
     .offset = offsetof(struct args, careless),
     .def = 0,
     .summary = "say done even when the result was refused"},
};

const struct handler handler_test_huge = {
    .name = "test.huge",
    .summary = "returns strings of any length, also without end",
    .params = FIELDS(fields, struct args),
    .step = step,
    .hidden = true,
    .unremembered = true,
};
