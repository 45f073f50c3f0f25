/*
 * buf.h: a growing run of bytes with a maximum that must be named at the start (limits.h). Writing past the maximum
 * marks the buffer as failed and later writes do nothing: write freely, look once at the end.
 *
 *     struct buf b CLEANUP(buf_release) = BUF_INIT(LIMIT_RESPONSE);
 *     buf_puts(&b, "id: ");
 *     buf_printf(&b, "%d", 7);
 *     if (b.failed) …
 */
#ifndef LATHE_CORE_BUF_H
#define LATHE_CORE_BUF_H

#include <stdbool.h>
#include <stddef.h>

#include "core/attr.h"
#include "core/span.h"

struct buf {
    char *ptr; /* owned; not NUL-terminated */
    size_t len;
    size_t cap;
    size_t max;
    bool failed; /* a write would have gone past max and was dropped, and so is every later one */
};

/* clang-format off */
#define BUF_INIT(maximum) {.max = (maximum)}
/* clang-format on */

void buf_init(struct buf *b, size_t max);
void buf_release(struct buf *b); /* frees; empty and usable again with the same max */
void buf_clear(struct buf *b);   /* len 0, failed false, memory kept */
void buf_put(struct buf *b, const void *bytes, size_t n);
void buf_puts(struct buf *b, const char *text);
void buf_span(struct buf *b, struct span s);
void buf_int(struct buf *b, int64_t v);
void buf_printf(struct buf *b, const char *format, ...) LATHE_PRINTF(2, 3);
char *buf_reserve(struct buf *b,
                  size_t n); /* room for n bytes at the end, NULL if past max; then buf_advance */
void buf_advance(struct buf *b, size_t n);
void buf_consume(struct buf *b, size_t n); /* drops n bytes from the front (moves the rest) */

static inline void buf_char(struct buf *b, char c)
{
    if (b->len < b->cap && !b->failed)
        b->ptr[b->len++] = c;
    else
        buf_put(b, &c, 1);
}

static inline struct span buf_view(const struct buf *b)
{
    return (struct span){b->ptr, b->len};
}

#endif
