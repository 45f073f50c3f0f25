#include "core/buf.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "core/mem.h"

void buf_init(struct buf *b, size_t max)
{
    *b = (struct buf)BUF_INIT(max);
}

void buf_release(struct buf *b)
{
    mem_free(b->ptr);
    buf_init(b, b->max);
}

void buf_clear(struct buf *b)
{
    b->len = 0;
    b->failed = false;
}

char *buf_reserve(struct buf *b, size_t n)
{
    if (b->failed || n > b->max - b->len) {
        b->failed = true;
        return NULL;
    }
    if (n > b->cap - b->len || !b->ptr) {
        size_t cap = b->cap < 256 ? 256 : b->cap * 2;
        if (cap < b->len + n)
            cap = b->len + n;
        if (cap > b->max)
            cap = b->max;
        b->ptr = mem_grow(b->ptr, cap, 1);
        b->cap = cap;
    }
    return b->ptr + b->len;
}

void buf_advance(struct buf *b, size_t n)
{
    assert(n <= b->cap - b->len);
    b->len += n;
}

void buf_put(struct buf *b, const void *bytes, size_t n)
{
    char *room = n ? buf_reserve(b, n) : NULL;
    if (!room)
        return;
    memcpy(room, bytes, n);
    b->len += n;
}

void buf_puts(struct buf *b, const char *text)
{
    buf_put(b, text, strlen(text));
}

void buf_span(struct buf *b, struct span s)
{
    buf_put(b, s.ptr, s.len);
}

void buf_int(struct buf *b, int64_t v)
{
    char text[20]; /* by hand: printf was a tenth of the time of an answer */
    char *at = text + sizeof text;
    uint64_t rest = v < 0 ? 0 - (uint64_t)v : (uint64_t)v;
    do
        *--at = (char)('0' + rest % 10);
    while ((rest /= 10) > 0);
    if (v < 0)
        *--at = '-';
    buf_put(b, at, (size_t)(text + sizeof text - at));
}

void buf_printf(struct buf *b, const char *format, ...)
{
    char small[256]; /* most texts: one formatting, and no room taken for the NUL */
    va_list values;
    va_start(values, format);
    int length = vsnprintf(small, sizeof small, format, values);
    va_end(values);
    if (length < 0) {
        b->failed = true;
        return;
    }
    if ((size_t)length < sizeof small) {
        buf_put(b, small, (size_t)length);
        return;
    }
    if ((size_t)length > b->max - b->len) { /* not worth the memory */
        b->failed = true;
        return;
    }
    char *large CLEANUP(mem_free_at) = mem_alloc((size_t)length + 1);
    va_start(values, format);
    vsnprintf(large, (size_t)length + 1, format, values);
    va_end(values);
    buf_put(b, large, (size_t)length);
}

void buf_consume(struct buf *b, size_t n)
{
    assert(n <= b->len);
    if (n == 0)
        return;
    memmove(b->ptr, b->ptr + n, b->len - n);
    b->len -= n;
}
