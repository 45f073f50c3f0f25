/* core/json.h: what the strict pass lets through json-c reads as well, and what is written reads back the same. */
#include "fuzz/replay.h"

#include "core/json.h"
#include "core/limits.h"

static void check_good(struct arena *a, const struct json *v)
{
    struct buf once CLEANUP(buf_release) = BUF_INIT(8 * LIMIT_BODY),
                    twice CLEANUP(buf_release) = BUF_INIT(8 * LIMIT_BODY);
    const struct json *again;
    json_emit(&once, v);
    MUST(!once.failed);
    MUST(json_read(a, buf_view(&once), &again, NULL));
    MUST(json_type(again) == json_type(v));
    json_emit(&twice, again);
    MUST(span_eq(buf_view(&once), buf_view(&twice)));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena a CLEANUP(arena_release) = ARENA_INIT;
    struct span text = {(const char *)data, size};
    struct err e = ERR_INIT;
    const struct json *v = NULL;
    bool good = json_check(text, NULL);
    MUST(json_read(&a, text, &v, &e) == good);
    MUST(good == (v != NULL));
    MUST(good == (e.code == ERR_NONE));
    MUST(good || e.text[0]);
    if (good)
        check_good(&a, v);
    struct buf quoted CLEANUP(buf_release) = BUF_INIT(8 * LIMIT_BODY);
    struct json_out o = json_out(&quoted);
    json_put_text(&o, text); /* any bytes become a good string */
    MUST(quoted.failed || size > LIMIT_BODY / 8 || size == 0 || memchr(data, 0, size) ||
         json_check(buf_view(&quoted), NULL));
    return 0;
}

FUZZ_MAIN("json")
