#include "fcgi/record.h"

#include <assert.h>
#include <errno.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "fcgi/wire.h"

/* Content of a full record: the largest that needs no padding. */
#define CONTENT 65528u
#define WIRE (CONTENT + FCGI_HEADER)
#define RECORDS_MOST 16u /* in one system call: a mebibyte */

static size_t payload(const struct record_out *o)
{
    return o->head.len + o->body.len;
}

static unsigned padding(size_t content)
{
    return (unsigned)(-content & 7u);
}

static size_t tail_size(const struct record_out *o)
{
    return padding(payload(o) % CONTENT) + (o->end ? 3 * FCGI_HEADER : 0);
}

struct record_out record_out(uint16_t id, struct span head, struct span body, bool end)
{
    struct record_out o = {.head = head, .body = body, .id = id, .end = end};
    uint64_t records = (payload(&o) + CONTENT - 1) / CONTENT;
    o.total = records * FCGI_HEADER + payload(&o) + tail_size(&o);
    return o;
}

static void header(uint8_t *p, uint8_t type, uint16_t id, size_t content)
{
    const uint8_t h[FCGI_HEADER] = {FCGI_VERSION,
                                    type,
                                    (uint8_t)(id >> 8),
                                    (uint8_t)id,
                                    (uint8_t)(content >> 8),
                                    (uint8_t)content,
                                    (uint8_t)padding(content),
                                    0};
    memcpy(p, h, sizeof h);
}

/* A system call in the making: what lies before `skip` has been sent already. */
struct vector {
    struct iovec iov[RECORDS_MOST * 3 + 1];
    int count;
    uint64_t skip;
};

static void vector_add(struct vector *v, const void *p, size_t n)
{
    if (v->skip >= n) {
        v->skip -= n;
        return;
    }
    assert((size_t)v->count < sizeof v->iov / sizeof v->iov[0]);
    const char *from = (const char *)p + v->skip;
    v->iov[v->count++] = (struct iovec){.iov_base = (void *)(uintptr_t)from, .iov_len = n - v->skip};
    v->skip = 0;
}

/* `n` bytes of the payload from `at`: the end of head, the beginning of body, or a piece of each. */
static void vector_payload(struct vector *v, const struct record_out *o, size_t at, size_t n)
{
    if (at < o->head.len) {
        size_t part = o->head.len - at < n ? o->head.len - at : n;
        vector_add(v, o->head.ptr + at, part);
        at += part;
        n -= part;
    }
    if (n > 0)
        vector_add(v, o->body.ptr + (at - o->head.len), n);
}

static void tail(uint8_t *p, const struct record_out *o)
{
    memset(p, 0, tail_size(o));
    if (!o->end)
        return;
    p += padding(payload(o) % CONTENT);
    header(p, FCGI_STDOUT, o->id, 0);
    header(p + FCGI_HEADER, FCGI_END, o->id, FCGI_HEADER); /* its body: status 0, request complete */
}

static ssize_t send_some(const struct record_out *o, int fd)
{
    uint8_t headers[RECORDS_MOST][FCGI_HEADER], last[FCGI_HEADER + 3 * FCGI_HEADER];
    size_t at = (size_t)(o->sent / WIRE) * CONTENT, size = payload(o);
    struct vector v = {.skip = o->sent % WIRE};
    if (at > size) { /* nothing but the last of the tail, which began in the record before */
        at -= CONTENT;
        v.skip += WIRE;
    }
    for (unsigned i = 0; i < RECORDS_MOST && at < size; i++) {
        size_t content = size - at < CONTENT ? size - at : CONTENT;
        header(headers[i], FCGI_STDOUT, o->id, content);
        vector_add(&v, headers[i], FCGI_HEADER);
        vector_payload(&v, o, at, content);
        at += content;
    }
    if (at == size) {
        tail(last, o);
        vector_add(&v, last, tail_size(o));
    }
    struct msghdr m = {.msg_iov = v.iov, .msg_iovlen = (size_t)v.count};
    return sendmsg(fd, &m, MSG_DONTWAIT | MSG_NOSIGNAL);
}

enum record_result record_send(struct record_out *o, int fd)
{
    while (o->sent < o->total) {
        ssize_t n = send_some(o, fd);
        if (n > 0)
            o->sent += (uint64_t)n;
        else if (n < 0 && errno == EAGAIN)
            return RECORD_AGAIN;
        else if (n == 0 || errno != EINTR)
            return RECORD_BROKEN;
    }
    return RECORD_DONE;
}
