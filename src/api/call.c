#include "api/call.h"

#include <stdarg.h>
#include <stdio.h>

#include "core/json.h"
#include "core/limits.h"

/* A client that is told to come back does so after this; jitter is its own business. */
#define RETRY_AFTER_S 1

void call_header(struct call *c, const char *name, const char *format, ...)
{
    char value[LIMIT_HEADER];
    va_list args;
    va_start(args, format);
    int n = vsnprintf(value, sizeof value, format, args);
    va_end(args);
    if (n < 0 || (size_t)n >= sizeof value) {
        c->res.headers.failed = true; /* a header cut short would be a lie */
        return;
    }
    buf_puts(&c->res.headers, name);
    buf_puts(&c->res.headers, ": ");
    for (const char *p = value; *p; p++)
        if (*p != '\r' && *p != '\n')
            buf_char(&c->res.headers, *p);
    buf_puts(&c->res.headers, "\r\n");
}

static void put_errors(struct json_out *o, const struct err *e)
{
    json_key(o, "errors");
    json_open(o, '[');
    json_open(o, '{');
    json_key(o, "pointer");
    json_put_str(o, e->pointer);
    json_key(o, "detail");
    json_put_str(o, e->text);
    json_close(o, '}');
    json_close(o, ']');
}

void problem_write(struct json_out *o, const struct err *e, struct span request_id)
{
    char type[LIMIT_NAME + 16];
    snprintf(type, sizeof type, "/problems/%s", err_slug(e->code));
    json_open(o, '{');
    json_key(o, "type");
    json_put_str(o, type);
    json_key(o, "title");
    json_put_str(o, err_title(e->code));
    json_key(o, "status");
    json_put_int(o, err_status(e->code));
    json_key(o, "detail");
    json_put_str(o, e->text);
    if (e->pointer[0])
        put_errors(o, e);
    if (request_id.len > 0) {
        json_key(o, "request_id");
        json_put_text(o, request_id);
    }
    json_close(o, '}');
}

void call_fill_problem(struct call *c, const struct err *e)
{
    int status = err_status(e->code);
    struct json_out o = json_out(&c->res.body);
    c->res.status = status;
    c->res.content_type = "application/problem+json";
    c->res.stream = (struct stream){0};
    buf_clear(&c->res.body);
    problem_write(&o, e, c->req.request_id);
    buf_char(&c->res.body, '\n');
    if (status == 503 && err_retryable(e->code))
        call_header(c, "Retry-After", "%d", RETRY_AFTER_S);
}

void call_problem(struct call *c, const struct err *e)
{
    call_fill_problem(c, e);
    call_send(c);
}
