/*
 * http_fetch.c: an item is a request; its result is what was answered. Answers that a later try may mend fail as retryable
 * (item_retries of the submission tries them again), and a server that says when to come back is asked again then.
 */
#include "core/limits.h"
#include "handlers/fetch.h"
#include "handlers/registry.h"

enum keep { KEEP_NOTHING, KEEP_TEXT, KEEP_BASE64 };

struct args {
    struct fetch_args fetch;
    int keep;
};

static void put_body(struct json_out *o, struct span body, int keep)
{
    struct buf coded CLEANUP(buf_release) = BUF_INIT(LIMIT_ITEM_RESULT);
    if (keep == KEEP_NOTHING)
        return;
    json_key(o, "body");
    if (keep == KEEP_TEXT) {
        json_put_text(o, body);
        return;
    }
    base64_write(&coded, body);
    json_put_text(o, buf_view(&coded));
    o->buf->failed |= coded.failed;
}

static enum step step(struct item *it)
{
    const struct args *args = it->args;
    struct fetch *f = it->state;
    enum step got = fetch_step(it, &args->fetch, f);
    if (got != STEP_DONE)
        return got;
    struct json_out o = json_out(&it->out);
    json_open(&o, '{');
    fetch_write(&o, f);
    put_body(&o, f->call->body, args->keep);
    json_close(&o, '}');
    return STEP_DONE;
}

static void drop(struct item *it)
{
    fetch_drop(it->state);
}

static const char *const keeps[] = {"none", "text", "base64", NULL};

static const struct field fields[] = {
    FETCH_FIELDS(struct args, fetch),
    {.name = "body",
     .type = FIELD_ENUM,
     .offset = offsetof(struct args, keep),
     .words = keeps,
     .summary = "what the result keeps of the body beside its digest: none, text or base64"},
};

const struct handler handler_http_fetch = {
    .name = "http.fetch",
    .summary = "makes an HTTP request; returns status, size, digest and, if wanted, the body",
    .item = FETCH_ITEM,
    .params = FIELDS(fields, struct args),
    .state_size = sizeof(struct fetch),
    .step = step,
    .drop = drop,
    .remembers = fetch_remembers,
};
