#include "exec/frame.h"

#include <string.h>

#include "core/limits.h"

#define MOST_NS (LIMIT_TIMEOUT_MS * NS_PER_MS) /* no item takes longer */

/* Of every frame; a result follows, or pointer and text of an error. */
struct head {
    uint32_t length; /* of what follows this field */
    uint8_t kind, outcome;
    uint16_t code, pointer_length;
    uint8_t tries, cached;
    int64_t a, b, c; /* position, cpu, wait; position, ms; or cpu, first_step, peak_kib */
};

#define LENGTH_SIZE sizeof(uint32_t)

static void put(struct buf *out, struct head *h, struct span first, struct span second)
{
    h->length = (uint32_t)(sizeof *h - LENGTH_SIZE + first.len + second.len);
    buf_put(out, h, sizeof *h);
    buf_span(out, first);
    buf_span(out, second);
}

void frame_put_result(struct buf *out, int64_t position, const struct outcome *o)
{
    struct head h = {
        .kind = FRAME_RESULT, .outcome = (uint8_t)o->kind, .a = position, .b = o->cpu_ns, .c = o->wait_ns};
    h.tries = (uint8_t)o->tries;
    h.cached = o->cached;
    struct span pointer = {NULL, 0}, body = o->result;
    if (o->kind == OUTCOME_FAILED) {
        pointer = span_of(o->err->pointer);
        body = span_of(o->err->text);
        h.code = (uint16_t)o->err->code;
        h.pointer_length = (uint16_t)pointer.len;
    }
    put(out, &h, pointer, body);
}

void frame_put_log(struct buf *out, int64_t position, struct span text)
{
    struct head h = {.kind = FRAME_LOG, .a = position};
    put(out, &h, (struct span){NULL, 0}, span_take(&text, LIMIT_LOG_TEXT));
}

void frame_put_snooze(struct buf *out, int64_t position, int64_t ms)
{
    struct head h = {.kind = FRAME_SNOOZE, .a = position, .b = ms};
    put(out, &h, (struct span){NULL, 0}, (struct span){NULL, 0});
}

void frame_put_end(struct buf *out, const struct frame_end *end)
{
    struct head h = {.kind = FRAME_END, .a = end->cpu, .b = end->first_step, .c = end->peak_kib};
    put(out, &h, (struct span){NULL, 0}, end->counted);
}

/* A text of an error: as long as fits its place, without NUL inside. */
static bool copy_text(char *to, size_t room, struct span text)
{
    if (text.len >= room || (text.len && memchr(text.ptr, '\0', text.len)))
        return false;
    if (text.len)
        memcpy(to, text.ptr, text.len);
    to[text.len] = '\0';
    return true;
}

static bool read_error(const struct head *h, struct span body, struct frame *f)
{
    if (h->code == ERR_NONE || h->code >= ERR_COUNT || h->pointer_length > body.len)
        return false;
    struct span pointer = span_take(&body, h->pointer_length);
    f->err.code = (enum err_code)h->code;
    f->outcome.err = &f->err;
    return copy_text(f->err.pointer, sizeof f->err.pointer, pointer) &&
           copy_text(f->err.text, sizeof f->err.text, body);
}

static bool read_result(const struct head *h, struct span body, struct frame *f)
{
    f->position = h->a;
    f->outcome =
        (struct outcome){.cpu_ns = h->b, .wait_ns = h->c, .tries = h->tries, .cached = h->cached == 1};
    if (h->cached > 1 || (h->cached && h->outcome != OUTCOME_OK) || h->tries > LIMIT_ITEM_RETRIES ||
        h->a < 0 || h->b < 0 || h->b > MOST_NS || h->c < 0 || h->c > MOST_NS)
        return false;
    if (h->outcome == OUTCOME_FAILED) {
        f->outcome.kind = OUTCOME_FAILED;
        return read_error(h, body, f);
    }
    f->outcome.kind = OUTCOME_OK;
    f->outcome.result = body;
    return h->outcome == OUTCOME_OK && h->code == 0 && h->pointer_length == 0 && body.len > 0 &&
           body.len <= LIMIT_ITEM_RESULT && !memchr(body.ptr, '\n', body.len);
}

static bool read_end(const struct head *h, struct span body, struct frame *f)
{
    f->end = (struct frame_end){.cpu = h->a, .first_step = h->b, .peak_kib = h->c, .counted = body};
    return h->a >= 0 && h->b >= 0 && h->c >= 0 && h->c < INT64_MAX / LIMIT_ITEMS;
}

static bool read_log(const struct head *h, struct span body, struct frame *f)
{
    f->position = h->a;
    f->text = body;
    return h->a >= 0 && body.len <= LIMIT_LOG_TEXT;
}

static bool read_snooze(const struct head *h, struct span body, struct frame *f)
{
    f->position = h->a;
    f->snooze_ms = h->b;
    return body.len == 0 && h->a >= 0 && h->b > 0 && h->b <= LIMIT_SNOOZE_MS;
}

static bool read_kind(const struct head *h, struct span body, struct frame *f)
{
    switch (f->kind) {
    case FRAME_RESULT:
        return read_result(h, body, f);
    case FRAME_END:
        return read_end(h, body, f);
    case FRAME_LOG:
        return read_log(h, body, f);
    case FRAME_SNOOZE:
        return read_snooze(h, body, f);
    }
    return false;
}

enum frame_status frame_next(struct span *in, struct frame *ret)
{
    struct head h;
    struct span rest = *in;
    if (rest.len < LENGTH_SIZE)
        return FRAME_MORE;
    memcpy(&h.length, rest.ptr, LENGTH_SIZE);
    if (h.length < sizeof h - LENGTH_SIZE || h.length > LIMIT_FRAME)
        return FRAME_BAD;
    if (rest.len - LENGTH_SIZE < h.length)
        return FRAME_MORE;
    memcpy(&h, rest.ptr, sizeof h);
    span_take(&rest, sizeof h);
    struct span body = span_take(&rest, h.length - (sizeof h - LENGTH_SIZE));
    ret->kind = (enum frame_kind)h.kind;
    if (!read_kind(&h, body, ret))
        return FRAME_BAD;
    *in = rest;
    return FRAME_READ;
}
