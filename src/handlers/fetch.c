#include "handlers/fetch.h"

#include <stdio.h>

#include "core/limits.h"

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

static bool read_request(struct arena *a, struct span text, struct request *q, struct err *e)
{
    const struct json *input = NULL;
    if (text.len == 0)
        return err_set(e, ERR_BAD_FIELD, "an item must be a URL, or an object with one");
    if (!json_read(a, text, &input, e))
        return false;
    if (json_type(input) != JSON_TEXT)
        return json_type(input) == JSON_OBJECT
                   ? fields_read(&request_fields, input, "", q, e)
                   : err_set(e, ERR_BAD_FIELD, "an item must be a URL, or an object with one");
    struct span url = json_as_text(input);
    fields_defaults(&request_fields, q);
    if (url.len > LIMIT_URL || memchr(url.ptr, '\0', url.len))
        return err_set(e, ERR_BAD_FIELD, "a URL has at most %u characters", LIMIT_URL);
    memcpy(q->url, url.ptr, url.len);
    return true;
}

bool fetch_remembers(const struct item *it)
{
    struct arena a CLEANUP(arena_release) = ARENA_INIT;
    struct request q;
    struct err ignored;
    if (!read_request(&a, it->input, &q, &ignored))
        return false; /* it fails in a moment */
    return (strcmp(q.method, "GET") == 0 || strcmp(q.method, "HEAD") == 0) && json_type(q.body) == JSON_NULL;
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

static bool ask(struct item *it, const struct fetch_args *args, struct fetch *f)
{
    struct arena a CLEANUP(arena_release) = ARENA_INIT;
    struct request q;
    struct gathering g = {.e = &it->err};
    buf_init(&f->body, LIMIT_ITEM_INPUT);
    if (!read_request(&a, it->input, &q, &it->err) || !http_check_url(span_of(q.url), "/url", &it->err) ||
        !read_headers(&q, &g))
        return false;
    write_body(&q, f, &g);
    f->began = clock_now();
    f->ended = 0;
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

void fetch_drop(struct fetch *f)
{
    http_drop(f->call);
    f->call = NULL;
    buf_release(&f->body);
}

/* ---- what is answered */

static void write_digest(struct span body, char text[8 + 2 * SHA256_BYTES])
{
    static const char hex[] = "0123456789abcdef";
    unsigned char sum[SHA256_BYTES];
    sha256(body, sum);
    memcpy(text, "sha256:", 7);
    for (size_t i = 0; i < SHA256_BYTES; i++) {
        text[7 + 2 * i] = hex[sum[i] >> 4];
        text[8 + 2 * i] = hex[sum[i] & 15];
    }
    text[7 + 2 * SHA256_BYTES] = '\0';
}

void fetch_write(struct json_out *o, const struct fetch *f)
{
    const struct http_call *c = f->call;
    struct span type;
    json_key(o, "url");
    json_put_str(o, c->url);
    json_key(o, "status");
    json_put_int(o, c->status);
    json_key(o, "bytes");
    json_put_int(o, (int64_t)c->body.len);
    json_key(o, "digest");
    json_put_str(o, f->digest);
    json_key(o, "type");
    if (http_find(c->head, "content-type", &type))
        json_put_text(o, type);
    else
        json_put_null(o);
    json_key(o, "redirects");
    json_put_int(o, c->redirects);
    json_key(o, "http");
    json_put_num(o, c->version / 10.0);
    json_key(o, "ms");
    json_put_num(o, (double)((f->ended - f->began) / 1000) / 1e3);
}

static enum step end(struct item *it, const struct fetch_args *args, struct fetch *f)
{
    const struct http_call *c = f->call;
    bool mends = http_mends(c->status);
    bool first = f->ended == 0;
    if (first)
        f->ended = clock_now();
    if (c->err.code != ERR_NONE) {
        it->err = c->err;
        return STEP_FAIL;
    }
    if (c->status < 400 || args->any_status) {
        if (first)
            write_digest(c->body, f->digest);
        return STEP_DONE;
    }
    bool soon = c->retry_after > 0 && c->retry_after <= LIMIT_HTTP_LATER_S;
    if (mends && soon && f->later < args->later) {
        f->later++;
        f->until = clock_after_ms(c->retry_after * 1000);
        fetch_drop(f);
        return item_wait_until(it, f->until); /* or until the item's time is over */
    }
    err_set(&it->err, mends ? ERR_UPSTREAM : ERR_REJECTED, "the server answered %d", c->status);
    return STEP_FAIL;
}

enum step fetch_step(struct item *it, const struct fetch_args *a, struct fetch *f)
{
    if (clock_now() < f->until)
        return item_wait_until(it, f->until);
    if (!f->call && !ask(it, a, f))
        return STEP_FAIL;
    return f->call->done ? end(it, a, f) : item_wait_call(it);
}
