/* The line that a command answers, and an item's line made of any bytes: one line, and it reads back. */
#include "fuzz/replay.h"

#include "core/utf8.h"
#include "exec/command_answer.h"

static void check_text(struct span text)
{
    while (text.len) {
        size_t n = utf8_length(text);
        MUST(n > 0);
        span_take(&text, n);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena a CLEANUP(arena_release) = ARENA_INIT;
    struct buf b CLEANUP(buf_release) = BUF_INIT(1u << 22);
    struct span line = {(const char *)data, size};
    struct answer got;
    struct err e = ERR_INIT;
    bool good = answer_read(&a, line, &got, &e);
    MUST(good == (e.code == ERR_NONE));
    check_text(span_of(e.text)); /* a stranger's bytes do not get into messages as they are */
    if (good && got.kind == ANSWER_RESULT) {
        json_emit(&b, got.result);
        MUST(!b.failed && json_check(buf_view(&b), NULL) && !memchr(b.ptr, '\n', b.len));
    }
    buf_clear(&b);
    if (!json_check(line, NULL))
        return 0;
    answer_ask(&b, 7, 5, 1, line, line);
    MUST(!b.failed && b.ptr[b.len - 1] == '\n' && memchr(b.ptr, '\n', b.len) == b.ptr + b.len - 1);
    MUST(json_check((struct span){b.ptr, b.len - 1}, &e) || e.code == ERR_TOO_LARGE ||
         strstr(e.text, "deep"));
    return 0;
}

FUZZ_MAIN("answer")
