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

/* A list of which no tree is built says what the tree says. */
static void check_lines(struct arena *a, struct span text, const struct json *v)
{
    struct buf flat CLEANUP(buf_release) = BUF_INIT(8 * LIMIT_BODY),
                    tree CLEANUP(buf_release) = BUF_INIT(8 * LIMIT_BODY);
    const struct json *w, *again;
    MUST(json_read_lines(a, text, "items", &w, NULL));
    MUST(json_type(w) == json_type(v));
    json_emit(&flat, w);
    MUST(json_read(a, buf_view(&flat), &again, NULL));
    buf_clear(&flat);
    json_emit(&flat, again);
    json_emit(&tree, v);
    MUST(span_eq(buf_view(&flat), buf_view(&tree)));
    const struct json *items = json_type(w) == JSON_OBJECT ? json_member(w, "items") : NULL;
    if (json_type(items) != JSON_LINES)
        return;
    size_t n = 0;
    for (struct span lines = json_as_lines(items); lines.len > 0; n++)
        MUST(json_check(span_cut(&lines, '\n'), NULL));
    MUST(n == json_len(json_member(v, "items")));
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
    if (good) {
        check_good(&a, v);
        check_lines(&a, text, v);
    }
    struct buf quoted CLEANUP(buf_release) = BUF_INIT(8 * LIMIT_BODY);
    struct json_out o = json_out(&quoted);
    json_put_text(&o, text); /* any bytes become a good string */
    MUST(quoted.failed || size > LIMIT_BODY / 8 || size == 0 || memchr(data, 0, size) ||
         json_check(buf_view(&quoted), NULL));
    return 0;
}

FUZZ_MAIN("json")
