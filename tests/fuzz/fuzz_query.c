/* query_next: what was decoded and is encoded again decodes to the same, and the end is an end. */
#include "fuzz/replay.h"

#include "model/submission.h"

static void encode(struct buf *b, struct span s)
{
    for (size_t i = 0; i < s.len; i++)
        buf_printf(b, "%%%02X", (unsigned)(unsigned char)s.ptr[i]);
}

static void check_pair(struct arena *a, struct span name, struct span value)
{
    struct buf b CLEANUP(buf_release) = BUF_INIT(1u << 20);
    struct span rest, again_name, again_value;
    struct err e = ERR_INIT;

    encode(&b, name);
    buf_char(&b, '=');
    encode(&b, value);
    MUST(!b.failed && !memchr(name.ptr, '\0', name.len) && !memchr(value.ptr, '\0', value.len));
    rest = buf_view(&b);
    MUST(query_next(a, &rest, &again_name, &again_value, &e));
    MUST(span_eq(name, again_name) && span_eq(value, again_value) && rest.len == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena a CLEANUP(arena_release) = ARENA_INIT;
    struct span query = {(const char *)data, size}, name, value;
    struct err e = ERR_INIT;
    size_t left = query.len;

    while (query_next(&a, &query, &name, &value, &e)) {
        MUST(query.len < left); /* it comes forward */
        left = query.len;
        check_pair(&a, name, value);
    }
    MUST(e.code == ERR_BAD_REQUEST || (e.code == ERR_NONE && query.len == 0));
    return 0;
}

FUZZ_MAIN("query")
