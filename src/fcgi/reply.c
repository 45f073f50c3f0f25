#include "fcgi/reply.h"

#include <assert.h>
#include <poll.h>

#include "core/clock.h"
#include "core/limits.h"
#include "fcgi/record.h"

/* The longest that a streamed answer waits for its client at one spot. */
#define STREAM_PATIENCE_MS 30000

/* nginx sends the Status as it stands: a bare number would reach the client without a word. */
static const char *reason(int status)
{
    static const struct {
        int status;
        const char *text;
    } reasons[] = {
        {200, "OK"},
        {201, "Created"},
        {202, "Accepted"},
        {204, "No Content"},
        {206, "Partial Content"},
        {303, "See Other"},
        {304, "Not Modified"},
        {400, "Bad Request"},
        {401, "Unauthorized"},
        {403, "Forbidden"},
        {404, "Not Found"},
        {405, "Method Not Allowed"},
        {406, "Not Acceptable"},
        {409, "Conflict"},
        {410, "Gone"},
        {412, "Precondition Failed"},
        {413, "Content Too Large"},
        {415, "Unsupported Media Type"},
        {422, "Unprocessable Content"},
        {500, "Internal Server Error"},
        {503, "Service Unavailable"},
        {504, "Gateway Timeout"},
    };
    for (size_t i = 0; i < COUNT_OF(reasons); i++)
        if (reasons[i].status == status)
            return reasons[i].text;
    return "Status"; /* any word will do */
}

bool reply_has_body(const struct call *c)
{
    return c->req.method != METHOD_HEAD && c->res.status != 204 && c->res.status != 304;
}

static void check_limits(struct call *c)
{
    bool headers = c->res.headers.failed;
    if (!headers && !c->res.body.failed)
        return;
    struct err e = ERR_INIT;
    err_set(&e, ERR_INTERNAL, "the %s of the answer are more than the limit allows",
            headers ? "headers" : "bytes");
    buf_clear(&c->res.headers);
    call_fill_problem(c, &e);
}

void reply_head(struct call *c, struct buf *out)
{
    check_limits(c);
    const struct response *r = &c->res;
    assert(r->status >= 200 && r->status <= 599);
    buf_printf(out, "Status: %d %s\r\n", r->status, reason(r->status));
    if (r->status != 204 && r->status != 304) {
        buf_printf(out, "Content-Type: %s\r\n", r->content_type ? r->content_type : "application/json");
        if (!r->stream.more)
            buf_printf(out, "Content-Length: %zu\r\n", r->body.len);
    }
    buf_span(out, buf_view(&r->headers));
    buf_puts(out, "X-Request-Id: ");
    buf_span(out, c->req.request_id);
    buf_puts(out, "\r\n\r\n");
    assert(!out->failed);
}

static bool send_all(struct record_out *o, int fd, struct err *e)
{
    enum record_result r;
    while ((r = record_send(o, fd)) == RECORD_AGAIN) {
        struct pollfd p = {.fd = fd, .events = POLLOUT};
        if (poll(&p, 1, STREAM_PATIENCE_MS) == 0)
            return err_set(e, ERR_TIMEOUT, "nobody took the answer for %d ms", STREAM_PATIENCE_MS);
    }
    return r == RECORD_DONE ? true : err_set(e, ERR_GONE, "the connection was closed during the answer");
}

bool reply_stream(struct call *c, struct span head, int fd, uint16_t id, struct err *e)
{
    struct buf piece CLEANUP(buf_release) = BUF_INIT(LIMIT_STREAM_CHUNK);
    for (bool end = false; !end; head = SPAN("")) {
        buf_clear(&piece);
        if (!c->res.stream.more(c->res.stream.arg, &piece, &end, e))
            return false;
        if (piece.failed)
            return err_set(e, ERR_INTERNAL, "a piece of a streamed answer was over its limit");
        struct record_out o = record_out(id, head, buf_view(&piece), end);
        if (!send_all(&o, fd, e))
            return false;
    }
    return true;
}
