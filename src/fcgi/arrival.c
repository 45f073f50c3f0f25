#include "fcgi/arrival.h"

#include <assert.h>
#include <string.h>

#include "core/limits.h"
#include "fcgi/wire.h"

struct record {
    uint8_t version, type;
    uint16_t id;
    size_t content, padding;
};

static struct record record_at(const uint8_t *p)
{
    return (struct record){
        .version = p[0],
        .type = p[1],
        .id = (uint16_t)(p[2] << 8 | p[3]),
        .content = (size_t)(p[4] << 8 | p[5]),
        .padding = p[6],
    };
}

/*
 * The name-value pairs, which may lie across records: a length is one byte, or four with the top bit set. Only lengths are
 * followed here, so that what libfcgi will allocate is known to be backed by bytes that were sent.
 */
struct pairs {
    unsigned lengths;      /* read of the two */
    unsigned length_bytes; /* still to read of the current length */
    uint32_t length;
    size_t left; /* bytes of name and value still to come */
    bool nul;
};

static void pairs_length(struct pairs *s, uint8_t byte)
{
    if (s->length_bytes == 0) {
        s->length = byte & 0x7fu;
        s->length_bytes = byte & 0x80u ? 4 : 1;
    } else {
        s->length = s->length << 8 | byte;
    }
    if (--s->length_bytes == 0) {
        s->left += s->length;
        s->lengths++;
    }
}

static bool pairs_feed(struct pairs *s, const uint8_t *p, size_t n)
{
    while (n > 0) {
        size_t step = 1;
        if (s->lengths < 2) {
            pairs_length(s, *p);
            if (s->left > LIMIT_FCGI_HEAD)
                return false;
        } else {
            step = s->left < n ? s->left : n;
            s->nul = s->nul || memchr(p, 0, step) != NULL;
            s->left -= step;
        }
        if (s->lengths == 2 && s->left == 0)
            s->lengths = 0;
        p += step;
        n -= step;
    }
    return true;
}

static bool pairs_complete(const struct pairs *s)
{
    return s->lengths == 0 && s->length_bytes == 0;
}

/* Takes the next record off the bytes; false if it is not there whole. */
static bool record_next(const uint8_t **p, const uint8_t *end, struct record *r)
{
    if (end - *p < FCGI_HEADER)
        return false;
    *r = record_at(*p);
    if ((size_t)(end - *p) < FCGI_HEADER + r->content + r->padding)
        return false;
    *p += FCGI_HEADER + r->content + r->padding;
    return true;
}

static const uint8_t *record_content(const struct record *r, const uint8_t *after)
{
    return after - r->padding - r->content;
}

static enum arrival_verdict scan_begin(const uint8_t **p, const uint8_t *end, struct arrival *f)
{
    const uint8_t *start = *p;
    if (end > start && start[0] != FCGI_VERSION)
        return ARRIVAL_BAD;
    if (end - start >= 2 && start[1] != FCGI_BEGIN)
        return ARRIVAL_BAD;
    struct record r;
    if (!record_next(p, end, &r))
        return ARRIVAL_MORE;
    const uint8_t *body = record_content(&r, *p);
    if (r.padding != 0) /* libfcgi would take it for the next record */
        return ARRIVAL_BAD;
    if (r.id == 0 || r.content != 8 || (body[0] << 8 | body[1]) != FCGI_RESPONDER)
        return ARRIVAL_BAD;
    f->id = r.id;
    f->keep = body[2] & FCGI_KEEP_CONN;
    return ARRIVAL_READY;
}

/* A record of the stream `type`; its header is judged as soon as it is there. *ret_end: it was the empty one. */
static enum arrival_verdict scan_stream(const uint8_t **p, const uint8_t *end, uint8_t type, uint16_t id,
                                        struct record *r, bool *ret_end)
{
    if (end - *p < FCGI_HEADER)
        return ARRIVAL_MORE;
    struct record head = record_at(*p);
    if (head.version != FCGI_VERSION || head.type != type || head.id != id)
        return ARRIVAL_BAD;
    if (head.content == 0 && head.padding > 0)
        return ARRIVAL_BAD; /* allowed by the letter, sent by nobody; libfcgi would leave the padding in the socket */
    if (!record_next(p, end, r))
        return ARRIVAL_MORE;
    *ret_end = r->content == 0;
    return ARRIVAL_READY;
}

static enum arrival_verdict scan_params(const uint8_t **p, const uint8_t *end, struct arrival *f)
{
    struct pairs pairs = {0};
    bool ended = false;
    while (!ended) {
        struct record r;
        enum arrival_verdict v = scan_stream(p, end, FCGI_PARAMS, f->id, &r, &ended);
        if (v != ARRIVAL_READY)
            return v;
        if (!pairs_feed(&pairs, record_content(&r, *p), r.content))
            return ARRIVAL_BAD;
    }
    f->nul = pairs.nul;
    return pairs_complete(&pairs) ? ARRIVAL_READY : ARRIVAL_BAD;
}

static enum arrival_verdict scan_stdin(const uint8_t **p, const uint8_t *end, struct arrival *f)
{
    bool ended = false;
    while (!ended) {
        struct record r;
        enum arrival_verdict v = scan_stream(p, end, FCGI_STDIN, f->id, &r, &ended);
        if (v != ARRIVAL_READY)
            return v;
    }
    f->whole = true;
    return ARRIVAL_READY;
}

enum arrival_verdict arrival_scan(const uint8_t *bytes, size_t n, struct arrival *ret)
{
    struct arrival f = {0};
    const uint8_t *p = bytes, *end = bytes + n;
    enum arrival_verdict v = scan_begin(&p, end, &f);
    if (v == ARRIVAL_READY)
        v = scan_params(&p, end, &f);
    if (v == ARRIVAL_MORE)
        return n >= LIMIT_FCGI_HEAD ? ARRIVAL_BAD : ARRIVAL_MORE;
    if (v == ARRIVAL_READY)
        v = scan_stdin(&p, end, &f);
    if (v == ARRIVAL_MORE && n >= ARRIVAL_ENOUGH)
        v = ARRIVAL_READY;
    if (f.whole && p != end)
        return ARRIVAL_BAD; /* a second request before the first is answered: libfcgi would swallow its beginning */
    if (v == ARRIVAL_READY)
        *ret = f;
    return v;
}
