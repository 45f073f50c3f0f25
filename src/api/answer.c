/* The last steps of every answer. */
#include <inttypes.h>

#include "api/inside.h"
#include "api/prefer.h"
#include "api/router.h"
#include "core/log.h"

/* nginx writes the access log; here is one line for each answer that is a refusal or a failure, with its reason. */
void answer_problem(struct call *c, const struct err *e)
{
    int status = err_status(e->code);
    log_at(status >= 500 ? LOG_WARN : LOG_INFO, "http.refused", e,
           "status=%d method=%s path=" SPAN_FMT " request=" SPAN_FMT, status, method_name(c->req.method),
           SPAN_ARG(c->req.path), SPAN_ARG(c->req.request_id));
    call_problem(c, e);
}

void answer_tagged(struct call *c)
{
    uint64_t hash = UINT64_C(0xcbf29ce484222325); /* FNV-1a */
    for (size_t i = 0; i < c->res.body.len; i++)
        hash = (hash ^ (uint8_t)c->res.body.ptr[i]) * UINT64_C(0x100000001b3);
    struct span tag = span_of(arena_printf(&c->arena, "\"%016" PRIx64 "\"", hash));
    call_header(c, "ETag", SPAN_FMT, SPAN_ARG(tag));
    call_header(c, "Cache-Control", "no-cache");
    c->res.status = etag_matches(c->req.if_none_match, tag) ? 304 : 200;
    call_send(c);
}

void accepted(struct call *c, struct uuid task)
{
    char id[UUID_TEXT];
    uuid_format(task, id);
    c->res.status = 202;
    call_header(c, "Location", "/api/v1/tasks/%s", id);
    call_header(c, "Retry-After", "1");
}
