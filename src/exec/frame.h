/*
 * frame.h: what a child tells the worker, as messages on a byte stream: length (4 bytes, the machine's order: both ends
 * are one program), a head, a body. The reader trusts nothing: a handler may have written over any of the child's memory
 * before it died. Pure; tests/fuzz/fuzz_frame.c feeds it anything.
 */
#ifndef LATHE_EXEC_FRAME_H
#define LATHE_EXEC_FRAME_H

#include "core/buf.h"
#include "exec/exec.h"

enum frame_kind { FRAME_RESULT = 1, FRAME_END = 2, FRAME_LOG = 3, FRAME_SNOOZE = 4 };

struct frame {
    enum frame_kind kind;
    /* FRAME_RESULT: an item is done or failed */
    int64_t position;
    struct outcome outcome; /* index is not set; result points into the input, err to the one below */
    struct err err;
    /* FRAME_LOG: `position` has a line to say; points into the input */
    struct span text;
    /* FRAME_SNOOZE: `position` is put off for so long; its result, ERR_SNOOZED, follows */
    int64_t snooze_ms;
    /* FRAME_END: this child has no more work; from here on it waits for the next order */
    struct frame_end {
        int64_t cpu;         /* ns of CPU that the process has used in its life */
        int64_t first_step;  /* clock_now() scale, CLOCK_NEVER: there was none */
        int64_t peak_kib;    /* memory of its own, at most, in this run */
        struct span counted; /* metrics_take; points into the input, where it is not believed yet */
    } end;
};

/* `o` is OUTCOME_OK or OUTCOME_FAILED. */
void frame_put_result(struct buf *out, int64_t position, const struct outcome *o);
void frame_put_log(struct buf *out, int64_t position, struct span text); /* what is too long loses its end */
void frame_put_snooze(struct buf *out, int64_t position, int64_t ms);
void frame_put_end(struct buf *out, const struct frame_end *end);

enum frame_status { FRAME_MORE, FRAME_READ, FRAME_BAD };

/* Takes one frame off the front of *in. FRAME_MORE: it is not all there yet, nothing was taken. FRAME_BAD: this is no
 * child of ours speaking; nothing behind it can be understood. */
enum frame_status frame_next(struct span *in, struct frame *ret);

#endif
