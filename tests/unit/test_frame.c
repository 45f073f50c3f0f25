/* exec/frame.h: what goes in comes out, in any pieces, and nothing else is believed. */
#include "../lib/test.h"

#include "core/limits.h"
#include "exec/frame.h"

static struct buf sample(void)
{
    struct buf b = BUF_INIT(4 * MIB);
    struct err e;
    err_at(&e, ERR_ITEM_FAILED, "/items/3", "no luck");
    struct outcome ok = {.kind = OUTCOME_OK, .result = SPAN("[1,2]"), .cpu_ns = 5, .wait_ns = 6};
    struct outcome failed = {.kind = OUTCOME_FAILED, .err = &e, .cpu_ns = 7};
    frame_put_result(&b, 17, &ok);
    frame_put_result(&b, 3, &failed);
    frame_put_end(
        &b, &(struct frame_end){.cpu = 9, .first_step = CLOCK_NEVER, .peak_kib = 11, .counted = SPAN("12")});
    return b;
}

static void check_sample(struct span in)
{
    struct frame f;
    assert_int_equal(frame_next(&in, &f), FRAME_READ);
    assert_int_equal(f.kind, FRAME_RESULT);
    assert_int_equal(f.position, 17);
    assert_int_equal(f.outcome.kind, OUTCOME_OK);
    assert_true(span_is(f.outcome.result, "[1,2]"));
    assert_true(f.outcome.cpu_ns == 5 && f.outcome.wait_ns == 6);
    assert_int_equal(frame_next(&in, &f), FRAME_READ);
    assert_int_equal(f.position, 3);
    assert_int_equal(f.outcome.kind, OUTCOME_FAILED);
    assert_int_equal(f.outcome.err->code, ERR_ITEM_FAILED);
    assert_string_equal(f.outcome.err->pointer, "/items/3");
    assert_string_equal(f.outcome.err->text, "no luck");
    assert_int_equal(frame_next(&in, &f), FRAME_READ);
    assert_int_equal(f.kind, FRAME_END);
    assert_true(f.end.cpu == 9 && f.end.first_step == CLOCK_NEVER && f.end.peak_kib == 11);
    assert_true(span_is(f.end.counted, "12"));
    assert_int_equal(frame_next(&in, &f), FRAME_MORE);
    assert_int_equal(in.len, 0);
}

static void t01_there_and_back(void **state)
{
    (void)state;
    struct buf b CLEANUP(buf_release) = sample();
    check_sample(buf_view(&b));
}

static void t05_lines_and_snoozes(void **state)
{
    (void)state;
    struct buf b CLEANUP(buf_release) = BUF_INIT(4 * MIB);
    struct frame f;
    char text[LIMIT_LOG_TEXT + 50];
    memset(text, 'x', sizeof text);
    struct outcome o = {.kind = OUTCOME_OK, .result = SPAN("1"), .tries = 7};
    frame_put_log(&b, 4, SPAN("so far"));
    frame_put_log(&b, 4, (struct span){text, sizeof text});
    frame_put_snooze(&b, 5, 250);
    frame_put_result(&b, 6, &o);
    o.tries = LIMIT_ITEM_RETRIES + 1;
    frame_put_result(&b, 6, &o);
    struct span in = buf_view(&b);
    assert_int_equal(frame_next(&in, &f), FRAME_READ);
    assert_int_equal(f.kind, FRAME_LOG);
    assert_int_equal(f.position, 4);
    assert_true(span_is(f.text, "so far"));
    assert_int_equal(frame_next(&in, &f), FRAME_READ);
    assert_int_equal(f.text.len, LIMIT_LOG_TEXT);
    assert_int_equal(frame_next(&in, &f), FRAME_READ);
    assert_int_equal(f.kind, FRAME_SNOOZE);
    assert_true(f.position == 5 && f.snooze_ms == 250);
    assert_int_equal(frame_next(&in, &f), FRAME_READ);
    assert_int_equal(f.outcome.tries, 7);
    assert_int_equal(frame_next(&in, &f), FRAME_BAD);
}

static void t02_pieces_are_waited_for(void **state)
{
    (void)state;
    struct buf b CLEANUP(buf_release) = sample();
    struct frame f;
    int whole = 0;
    for (size_t n = 0; n <= b.len; n++) {
        struct span in = {b.ptr, n}, before;
        enum frame_status s;
        int read = 0;
        do {
            before = in;
            s = frame_next(&in, &f);
            read += s == FRAME_READ;
        } while (s == FRAME_READ);
        assert_int_equal(s, FRAME_MORE);
        assert_true(in.ptr == before.ptr && in.len == before.len); /* nothing taken */
        assert_true(read == whole || read == whole + 1);
        whole = read;
    }
    assert_int_equal(whole, 3);
}

/* Changes n bytes at `at` of one frame and says what comes of it. */
static enum frame_status changed(const struct buf *b, size_t at, const void *bytes, size_t n)
{
    struct buf copy CLEANUP(buf_release) = BUF_INIT(4 * MIB);
    buf_span(&copy, buf_view(b));
    memcpy(copy.ptr + at, bytes, n);
    struct span in = buf_view(&copy);
    struct frame f;
    return frame_next(&in, &f);
}

static void t03_nonsense_is_refused(void **state)
{
    (void)state;
    struct buf ok CLEANUP(buf_release) = BUF_INIT(4 * MIB), failed CLEANUP(buf_release) = BUF_INIT(4 * MIB);
    struct err e;
    err_set(&e, ERR_ITEM_FAILED, "no luck");
    frame_put_result(&ok, 1, &(struct outcome){.kind = OUTCOME_OK, .result = SPAN("12")});
    frame_put_result(&failed, 1, &(struct outcome){.kind = OUTCOME_FAILED, .err = &e});
    uint32_t long_length = LIMIT_FRAME + 1, short_length = 3;
    int64_t negative = -1, for_ever = INT64_MAX;
    uint16_t no_code = 0, bad_code = ERR_COUNT, long_pointer = 500;
    uint8_t kind = 9, outcome = OUTCOME_CANCELLED;
    assert_int_equal(changed(&ok, 0, &long_length, 4), FRAME_BAD);
    assert_int_equal(changed(&ok, 0, &short_length, 4), FRAME_BAD);
    assert_int_equal(changed(&ok, 4, &kind, 1), FRAME_BAD);
    assert_int_equal(changed(&ok, 5, &outcome, 1), FRAME_BAD);
    assert_int_equal(changed(&ok, 16, &negative, 8), FRAME_BAD);
    assert_int_equal(changed(&ok, 24, &negative, 8), FRAME_BAD);
    assert_int_equal(changed(&ok, 24, &for_ever, 8), FRAME_BAD);
    assert_int_equal(changed(&ok, 32, &for_ever, 8), FRAME_BAD);
    assert_int_equal(changed(&ok, ok.len - 1, "\n", 1), FRAME_BAD);
    assert_int_equal(changed(&failed, 6, &no_code, 2), FRAME_BAD);
    assert_int_equal(changed(&failed, 6, &bad_code, 2), FRAME_BAD);
    assert_int_equal(changed(&failed, 8, &long_pointer, 2), FRAME_BAD);
    assert_int_equal(changed(&failed, failed.len - 2, "\0", 1), FRAME_BAD);
    assert_int_equal(changed(&failed, 16, &for_ever, 8),
                     FRAME_READ); /* a position is for the reader to judge */
}

static void t04_texts_of_errors_fit(void **state)
{
    (void)state;
    struct buf b CLEANUP(buf_release) = BUF_INIT(4 * MIB);
    struct err e = {.code = ERR_ITEM_FAILED};
    memset(e.text, 'x', sizeof e.text - 1);
    memset(e.pointer, 'p', sizeof e.pointer - 1);
    frame_put_result(&b, 0, &(struct outcome){.kind = OUTCOME_FAILED, .err = &e});
    struct span in = buf_view(&b);
    struct frame f;
    assert_int_equal(frame_next(&in, &f), FRAME_READ);
    assert_string_equal(f.err.text, e.text);
    assert_string_equal(f.err.pointer, e.pointer);
    /* one byte more than there is room for */
    uint32_t length = (uint32_t)(b.len - 4 + 1);
    memcpy(b.ptr, &length, sizeof length);
    buf_char(&b, 'x');
    in = buf_view(&b);
    assert_int_equal(frame_next(&in, &f), FRAME_BAD);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(t01_there_and_back),      cmocka_unit_test(t02_pieces_are_waited_for),
        cmocka_unit_test(t03_nonsense_is_refused), cmocka_unit_test(t04_texts_of_errors_fit),
        cmocka_unit_test(t05_lines_and_snoozes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
