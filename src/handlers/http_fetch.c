/*
 * http_fetch.c: an item is a request; its result is what was answered. Answers that a later try may mend fail as retryable
 * (item_retries of the submission tries them again), and a server that says when to come back is asked again then.
 */
#include <inttypes.h>
#include <stdio.h>

#include "core/hmac.h"
#include "core/limits.h"
#include "handlers/registry.h"
#include "model/http.h"

#define MOST_BYTES (64 * 1024 * 1024)

enum keep { KEEP_NOTHING, KEEP_TEXT, KEEP_BASE64 };

struct args {
    int64_t timeout_ms, redirects, max_bytes, per_host, later;
    int keep;
    bool any_status;
};

struct fetch {
    struct http_call *call;
    struct buf body;      /* of the request */
    int64_t began, until; /* until: nothing is asked before */
    int64_t later;        /* how often it was told to come back */
};

/* An item as an object. */
struct request {
    char url[LIMIT_URL + 1], method[24];
    const struct json *headers, *body;
};

static const struct field request_list[] = {
    {.name = "url",
     .type = FIELD_TEXT,
     .offset = offsetof(struct request, url),
     .max = LIMIT_URL,
     .def_text = "",
     .summary = "http or https"},
    {.name = "method",
     .type = FIELD_TEXT,
     .offset = offsetof(struct request, method),
     .min = 1,
     .max = 23,
     .def_text = "GET",
     .summary = "GET, POST, …"},
    {.name = "headers",
     .type = FIELD_JSON,
     .offset = offsetof(struct request, headers),
     .summary = "object of strings"},
    {.name = "body",
     .type = FIELD_JSON,
     .offset = offsetof(struct request, body),
     .summary = "a string is sent as it is, any other value as JSON"},
};
static const struct fields request_fields = FIELDS(request_list, struct request);

/* ---- what is asked */

static bool read_request(struct arena *a, struct item *it, struct request *q)
{
    const struct json *input = NULL;
    if (it->input.len == 0)
        return err_set(&it->err, ERR_BAD_FIELD, "an item must be a URL, or an object with one");
    if (!json_read(a, it->input, &input, &it->err))
        return false;
    if (json_type(input) != JSON_TEXT)
        return json_type(input) == JSON_OBJECT
                   ? fields_read(&request_fields, input, "", q, &it->err)
                   : err_set(&it->err, ERR_BAD_FIELD, "an item must be a URL, or an object with one");
    struct span url = json_as_text(input);
    fields_defaults(&request_fields, q);
    if (url.len > LIMIT_URL || memchr(url.ptr, '\0', url.len))
        return err_set(&it->err, ERR_BAD_FIELD, "a URL has at most %u characters", LIMIT_URL);
    memcpy(q->url, url.ptr, url.len);
    return true;
}

struct gathering {
    struct http_header list[LIMIT_HTTP_HEADERS];
    size_t count;
    struct err *e;
};

static bool gather(struct span key, const struct json *value, void *arg)
{
    struct gathering *g = arg;
    if (json_type(value) != JSON_TEXT || g->count == LIMIT_HTTP_HEADERS - 1)
        return err_at(g->e, ERR_BAD_FIELD, "/headers", "\"/headers\" must hold strings, fewer than %u",
                      LIMIT_HTTP_HEADERS);
    g->list[g->count++] = (struct http_header){key, json_as_text(value)};
    return true;
}

static bool has_type(const struct gathering *g)
{
    for (size_t i = 0; i < g->count; i++)
        if (span_eq_nocase(g->list[i].name, "content-type"))
            return true;
    return false;
}

static bool read_headers(const struct request *q, struct gathering *g)
{
    if (json_type(q->headers) == JSON_NULL)
        return true;
    if (json_type(q->headers) != JSON_OBJECT)
        return err_at(g->e, ERR_BAD_FIELD, "/headers", "\"/headers\" must be an object of strings");
    return json_each(q->headers, gather, g);
}

static void write_body(const struct request *q, struct fetch *f, struct gathering *g)
{
    buf_clear(&f->body);
    if (json_type(q->body) == JSON_TEXT) {
        buf_span(&f->body, json_as_text(q->body));
    } else if (json_type(q->body) != JSON_NULL) {
        json_emit(&f->body, q->body);
        if (!has_type(g))
            g->list[g->count++] = (struct http_header){SPAN("Content-Type"), SPAN("application/json")};
    }
}

static bool ask(struct item *it, struct fetch *f)
{
    const struct args *args = it->args;
    struct arena a CLEANUP(arena_release) = ARENA_INIT;
    struct request q;
    struct gathering g = {.e = &it->err};
    buf_init(&f->body, LIMIT_ITEM_INPUT);
    if (!read_request(&a, it, &q) || !http_check_url(span_of(q.url), "/url", &it->err) ||
        !read_headers(&q, &g))
        return false;
    write_body(&q, f, &g);
    f->began = clock_now();
    f->call = http_start(it, &(struct http_request){
                                 .method = span_of(q.method),
                                 .url = span_of(q.url),
                                 .headers = g.list,
                                 .header_count = g.count,
                                 .body = buf_view(&f->body),
                                 .most = args->max_bytes,
                                 .redirects = args->redirects,
                                 .timeout_ms = args->timeout_ms,
                                 .per_host = args->per_host,
                                 .unpack = true,
                             });
    return f->call != NULL;
}

static void hang_up(struct fetch *f)
{
    http_drop(f->call);
    f->call = NULL;
    buf_release(&f->body);
}

/* ---- what is answered */

static void put_digest(struct json_out *o, struct span body)
{
    unsigned char sum[SHA256_BYTES];
    char text[8 + 2 * SHA256_BYTES] = "sha256:";
    sha256(body, sum);
    for (size_t i = 0; i < SHA256_BYTES; i++)
        snprintf(text + 7 + 2 * i, 3, "%02x", sum[i]);
    json_key(o, "digest");
    json_put_str(o, text);
}

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

static enum step answer(struct item *it, const struct fetch *f)
{
    const struct http_call *c = f->call;
    const struct args *args = it->args;
    struct json_out o = json_out(&it->out);
    struct span type;
    json_open(&o, '{');
    json_key(&o, "url");
    json_put_str(&o, c->url);
    json_key(&o, "status");
    json_put_int(&o, c->status);
    json_key(&o, "bytes");
    json_put_int(&o, (int64_t)c->body.len);
    put_digest(&o, c->body);
    json_key(&o, "type");
    if (http_find(c->head, "content-type", &type))
        json_put_text(&o, type);
    else
        json_put_null(&o);
    json_key(&o, "redirects");
    json_put_int(&o, c->redirects);
    json_key(&o, "http");
    json_put_num(&o, c->version / 10.0);
    json_key(&o, "ms");
    json_put_num(&o, (double)((clock_now() - f->began) / 1000) / 1e3);
    put_body(&o, c->body, args->keep);
    json_close(&o, '}');
    return STEP_DONE;
}

static enum step end(struct item *it, struct fetch *f)
{
    const struct args *args = it->args;
    const struct http_call *c = f->call;
    bool mends = http_mends(c->status);
    if (c->err.code != ERR_NONE) {
        it->err = c->err;
        return STEP_FAIL;
    }
    if (c->status < 400 || args->any_status)
        return answer(it, f);
    bool soon = c->retry_after > 0 && c->retry_after <= LIMIT_HTTP_LATER_S;
    if (mends && soon && f->later < args->later) {
        f->later++;
        f->until = clock_after_ms(c->retry_after * 1000);
        hang_up(f);
        return item_wait_until(it, f->until); /* or until the item's time is over */
    }
    err_set(&it->err, mends ? ERR_UPSTREAM : ERR_REJECTED, "the server answered %d", c->status);
    return STEP_FAIL;
}

static enum step step(struct item *it)
{
    struct fetch *f = it->state;
    if (clock_now() < f->until)
        return item_wait_until(it, f->until);
    if (!f->call && !ask(it, f))
        return STEP_FAIL;
    return f->call->done ? end(it, f) : item_wait_call(it);
}

static void drop(struct item *it)
{
    hang_up(it->state);
}

static const char *const keeps[] = {"none", "text", "base64", NULL};

static const struct field fields[] = {
    {.name = "timeout_ms",
     .type = FIELD_INT,
     .offset = offsetof(struct args, timeout_ms),
     .min = 1,
     .max = 3600000,
     .def = 30000,
     .summary = "time limit of a request with its redirects, milliseconds"},
    {.name = "redirects",
     .type = FIELD_INT,
     .offset = offsetof(struct args, redirects),
     .min = 0,
     .max = 20,
     .def = 5,
     .summary = "how many are followed at most"},
    {.name = "max_bytes",
     .type = FIELD_INT,
     .offset = offsetof(struct args, max_bytes),
     .min = 1,
     .max = MOST_BYTES,
     .def = 1048576,
     .summary = "an answer whose body is larger, unpacked, fails the item"},
    {.name = "body",
     .type = FIELD_ENUM,
     .offset = offsetof(struct args, keep),
     .words = keeps,
     .summary = "what the result keeps of the body beside its digest: none, text or base64"},
    {.name = "any_status",
     .type = FIELD_BOOL,
     .offset = offsetof(struct args, any_status),
     .summary = "statuses from 400 on are results too, and fail no item"},
    {.name = "per_host",
     .type = FIELD_INT,
     .offset = offsetof(struct args, per_host),
     .min = 0,
     .max = 100000,
     .def = 0,
     .summary = "connections to one host at most, on each thread; 0: as many as items are in flight"},
    {.name = "retry_after",
     .type = FIELD_INT,
     .offset = offsetof(struct args, later),
     .min = 0,
     .max = 100,
     .def = 3,
     .summary = "how often a server that names a time (Retry-After) is asked again then"},
};

const struct handler handler_http_fetch = {
    .name = "http.fetch",
    .summary = "makes an HTTP request; returns status, size, digest and, if wanted, the body",
    .item = "a URL, or an object {url, method, headers, body}",
    .params = FIELDS(fields, struct args),
    .state_size = sizeof(struct fetch),
    .step = step,
    .drop = drop,
};
