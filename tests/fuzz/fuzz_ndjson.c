/* model/ndjson.h: wherever the pieces are cut, the same values come out, each good and on one line; or the same error. */
#include "fuzz/replay.h"

#include <string.h>

#include "core/buf.h"
#include "core/json.h"
#include "model/ndjson.h"

static bool on_value(void *arg, struct span value, struct err *e)
{
    struct buf *all = arg;
    MUST(value.len > 0 && !memchr(value.ptr, '\n', value.len) && json_check(value, e));
    buf_span(all, value);
    buf_char(all, '\n');
    return true;
}

/* The first byte says how long the pieces are. */
static bool cut(const uint8_t *data, size_t size, size_t piece, struct buf *all, struct err *e)
{
    struct ndjson n;
    bool good = true;
    ndjson_init(&n, on_value, all);
    for (size_t at = 0; good && at < size; at += piece)
        good =
            ndjson_feed(&n, (struct span){(const char *)data + at, size - at < piece ? size - at : piece}, e);
    good = good && ndjson_end(&n, e);
    ndjson_release(&n);
    return good;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct buf whole CLEANUP(buf_release) = BUF_INIT(4u << 20),
                     pieces CLEANUP(buf_release) = BUF_INIT(4u << 20);
    struct err e1 = ERR_INIT, e2 = ERR_INIT;
    if (size < 1 || size > 2u << 20)
        return 0;
    size_t piece = 1 + data[0];
    bool good1 = cut(data + 1, size - 1, size, &whole, &e1),
         good2 = cut(data + 1, size - 1, piece, &pieces, &e2);
    MUST(good1 == good2 && e1.code == e2.code && strcmp(e1.text, e2.text) == 0);
    MUST(span_eq(buf_view(&whole), buf_view(&pieces)));
    MUST(good1 || e1.code == ERR_BAD_JSON || e1.code == ERR_TOO_LARGE);
    return 0;
}

FUZZ_MAIN("ndjson")
