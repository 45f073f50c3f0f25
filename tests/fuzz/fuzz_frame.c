/* exec/frame.h: whatever a broken child sends, a frame that is read keeps its promises and reads back the same. */
#include "fuzz/replay.h"

#include <string.h>

#include "core/limits.h"
#include "exec/frame.h"

static void check_result(const struct frame *f)
{
    const struct outcome *o = &f->outcome;
    MUST(f->position >= 0 && o->cpu_ns >= 0 && o->wait_ns >= 0);
    if (o->kind == OUTCOME_FAILED) {
        MUST(o->err == &f->err && f->err.code > ERR_NONE && f->err.code < ERR_COUNT);
        MUST(memchr(f->err.text, 0, sizeof f->err.text) && memchr(f->err.pointer, 0, sizeof f->err.pointer));
    } else {
        MUST(o->kind == OUTCOME_OK);
        MUST(o->result.len > 0 && o->result.len <= LIMIT_ITEM_RESULT &&
             !memchr(o->result.ptr, '\n', o->result.len));
    }
}

/* Written again it is what it was, but for the bytes that mean nothing. */
static void check_again(const struct frame *f)
{
    struct buf b CLEANUP(buf_release) = BUF_INIT(2 * LIMIT_FRAME);
    struct frame again;
    if (f->kind == FRAME_END)
        frame_put_end(&b, &f->end);
    else if (f->kind == FRAME_LOG)
        frame_put_log(&b, f->position, f->text);
    else if (f->kind == FRAME_SNOOZE)
        frame_put_snooze(&b, f->position, f->snooze_ms);
    else
        frame_put_result(&b, f->position, &f->outcome);
    struct span in = buf_view(&b);
    MUST(frame_next(&in, &again) == FRAME_READ && in.len == 0 && again.kind == f->kind);
    if (f->kind == FRAME_LOG)
        MUST(again.position == f->position && span_eq(again.text, f->text));
    if (f->kind == FRAME_END)
        MUST(span_eq(again.end.counted, f->end.counted));
    if (f->kind == FRAME_SNOOZE)
        MUST(again.position == f->position && again.snooze_ms == f->snooze_ms);
    if (f->kind != FRAME_RESULT)
        return;
    MUST(again.position == f->position && again.outcome.kind == f->outcome.kind);
    MUST(f->outcome.kind == OUTCOME_FAILED ? strcmp(again.err.text, f->err.text) == 0
                                           : span_eq(again.outcome.result, f->outcome.result));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct span in = {(const char *)data, size}, before = in;
    struct frame f;
    enum frame_status status;
    while ((status = frame_next(&in, &f)) == FRAME_READ) {
        MUST(in.len < before.len && in.ptr + in.len == before.ptr + before.len);
        if (f.kind == FRAME_RESULT)
            check_result(&f);
        else
            MUST(f.kind == FRAME_END || f.kind == FRAME_LOG || f.kind == FRAME_SNOOZE);
        check_again(&f);
        before = in;
    }
    MUST(in.ptr == before.ptr && in.len == before.len);
    return 0;
}

FUZZ_MAIN("frame")
