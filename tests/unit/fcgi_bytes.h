/*
 * fcgi_bytes.h: what a web server would write, for the tests of the front.
 */
#ifndef LATHE_TESTS_FCGI_BYTES_H
#define LATHE_TESTS_FCGI_BYTES_H

#include <stdint.h>

#include "core/buf.h"
#include "core/span.h"
#include "fcgi/wire.h"

static inline void put_record_padded(struct buf *b, uint8_t type, uint16_t id, struct span content,
                                     uint8_t padding)
{
    const uint8_t head[FCGI_HEADER] = {FCGI_VERSION,
                                       type,
                                       (uint8_t)(id >> 8),
                                       (uint8_t)id,
                                       (uint8_t)(content.len >> 8),
                                       (uint8_t)content.len,
                                       padding,
                                       0};
    static const char zeros[256];
    buf_put(b, head, sizeof head);
    buf_span(b, content);
    buf_put(b, zeros, padding);
}

static inline void put_record(struct buf *b, uint8_t type, uint16_t id, struct span content)
{
    put_record_padded(b, type, id, content, (uint8_t)(-content.len & 7u));
}

static inline void put_begin(struct buf *b, uint16_t id, uint8_t role, uint8_t flags)
{
    const char body[8] = {0, (char)role, (char)flags};
    put_record(b, FCGI_BEGIN, id, (struct span){body, sizeof body});
}

static inline void put_length(struct buf *b, size_t n)
{
    if (n >= 128) {
        buf_char(b, (char)(n >> 24 | 0x80));
        buf_char(b, (char)(n >> 16));
        buf_char(b, (char)(n >> 8));
    }
    buf_char(b, (char)n);
}

static inline void put_pair(struct buf *b, struct span name, struct span value)
{
    put_length(b, name.len);
    put_length(b, value.len);
    buf_span(b, name);
    buf_span(b, value);
}

#endif
