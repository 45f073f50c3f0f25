/*
 * webhook.c: tells a receiver of the end of a task. Its tasks are made by lathe_call (sql/006_hooks.sql) in the transaction
 * that ends the other task, and never by a caller, who could have anything signed. An item is {"id", "url", "event"}:
 * the event is what is sent, and every try of a delivery sends the same bytes under the same id.
 */
#include "handlers/webhook.h"

#include <inttypes.h>
#include <stdio.h>

#include "core/hmac.h"
#include "core/limits.h"
#include "handlers/registry.h"
#include "model/http.h"

#define SECRETS 2 /* the one in use, and the one before or after it */
#define ANSWER (64 * KIB)
#define LATER_MOST 3600 /* seconds that a receiver may put a delivery off at a time */

static struct {
    struct {
        char bytes[512];
        size_t len;
    } secrets[SECRETS];
    size_t count;
    int64_t timeout_ms;
} setup = {.timeout_ms = 10000};

static bool add_secret(struct span text)
{
    struct buf b CLEANUP(buf_release) = BUF_INIT(sizeof setup.secrets[0].bytes);
    bool coded = span_starts(text, "whsec_");
    if (coded)
        span_take(&text, strlen("whsec_"));
    if (coded && !base64_read(&b, text))
        return false;
    if (!coded)
        buf_span(&b, text);
    if (setup.count == SECRETS || b.failed || b.len == 0)
        return false;
    memcpy(setup.secrets[setup.count].bytes, b.ptr, b.len);
    setup.secrets[setup.count++].len = b.len;
    return true;
}

bool webhook_open(const char *secrets, int64_t timeout_ms, struct err *e)
{
    struct span rest = span_trim(span_of(secrets));
    setup.count = 0;
    setup.timeout_ms = timeout_ms;
    while (rest.len) {
        if (!add_secret(span_cut(&rest, ' ')))
            return err_set(
                e, ERR_CONFIG,
                "webhook.secret: one secret or two with a blank between, each whsec_ and base64, or any text");
        rest = span_trim(rest);
    }
    return true;
}

void webhook_sign(struct buf *out, struct span id, int64_t timestamp, struct span body)
{
    struct buf text CLEANUP(buf_release) = BUF_INIT(LIMIT_ITEM_INPUT + 256);
    unsigned char mac[HMAC_BYTES];
    buf_span(&text, id);
    buf_printf(&text, ".%" PRId64 ".", timestamp);
    buf_span(&text, body);
    for (size_t i = 0; i < setup.count; i++) {
        hmac_sha256((struct span){setup.secrets[i].bytes, setup.secrets[i].len}, buf_view(&text), mac);
        buf_puts(out, i > 0 ? " v1," : "v1,");
        base64_write(out, (struct span){(const char *)mac, sizeof mac});
    }
}

struct delivery {
    struct http_call *call;
    struct buf body;
};

static struct span text_member(const struct json *object, const char *key)
{
    const struct json *v = json_type(object) == JSON_OBJECT ? json_member(object, key) : NULL;
    return json_type(v) == JSON_TEXT ? json_as_text(v) : (struct span){NULL, 0};
}

static bool post(struct item *it, struct delivery *d, struct span id, struct span url)
{
    struct buf stamp CLEANUP(buf_release) = BUF_INIT(32), sign CLEANUP(buf_release) = BUF_INIT(256);
    int64_t now = clock_wall_us() / 1000000;
    buf_int(&stamp, now);
    webhook_sign(&sign, id, now, buf_view(&d->body));
    const struct http_header headers[] = {
        {SPAN("Content-Type"), SPAN("application/json")},
        {SPAN("webhook-id"), id},
        {SPAN("webhook-timestamp"), buf_view(&stamp)},
        {SPAN("webhook-signature"), buf_view(&sign)},
    };
    d->call = http_start(it, &(struct http_request){
                                 .method = SPAN("POST"),
                                 .url = url,
                                 .headers = headers,
                                 .header_count = COUNT_OF(headers) - (sign.len == 0),
                                 .body = buf_view(&d->body),
                                 .most = ANSWER,
                                 .timeout_ms = setup.timeout_ms,
                             });
    return d->call != NULL;
}

static bool begin(struct item *it, struct delivery *d)
{
    struct arena a CLEANUP(arena_release) = ARENA_INIT;
    const struct json *input = NULL;
    if (it->input.len && !json_read(&a, it->input, &input, &it->err))
        return false;
    struct span id = text_member(input, "id"), url = text_member(input, "url");
    if (id.len == 0 || url.len == 0) {
        err_set(&it->err, ERR_BAD_FIELD, "a delivery is an object with id, url and event");
        return false;
    }
    buf_init(&d->body, LIMIT_ITEM_INPUT);
    json_emit(&d->body, json_member(input, "event"));
    return post(it, d, id, url);
}

/* It says when it can: that is no failure of the delivery. */
static bool may_ask_for_time(const struct http_call *call)
{
    return call->err.code == ERR_NONE && call->retry_after > 0 &&
           (call->status == 429 || call->status == 503);
}

static enum step end(struct item *it, const struct http_call *call)
{
    bool taken = call->status >= 200 && call->status < 300; /* whatever else it says, and however much */
    if (taken && (call->err.code == ERR_NONE || call->err.code == ERR_ITEM_TOO_LARGE)) {
        buf_printf(&it->out, "{\"status\":%d}", call->status);
        return STEP_DONE;
    }
    if (may_ask_for_time(call)) {
        int64_t s = call->retry_after < LATER_MOST ? call->retry_after : LATER_MOST;
        item_log(it, "the receiver answered %d and asks for %" PRId64 " s", call->status, s);
        return item_snooze(it, s * 1000);
    }
    if (call->err.code != ERR_NONE)
        it->err = call->err;
    else if (http_mends(call->status))
        err_set(&it->err, ERR_UPSTREAM, "the receiver answered %d", call->status);
    else if (call->status < 400)
        err_set(&it->err, ERR_REJECTED, "the receiver answered %d: redirects are not followed", call->status);
    else
        err_set(&it->err, ERR_REJECTED, "the receiver answered %d, and will not take it another time",
                call->status);
    item_log(it, "%s", it->err.text);
    return STEP_FAIL;
}

static enum step step(struct item *it)
{
    struct delivery *d = it->state;
    if (!d->call && !begin(it, d))
        return STEP_FAIL;
    return d->call->done ? end(it, d->call) : item_wait_call(it);
}

static void drop(struct item *it)
{
    struct delivery *d = it->state;
    http_drop(d->call);
    buf_release(&d->body);
}

const struct handler handler_webhook = {
    .name = "webhook",
    .summary = "tells a receiver of the end of a task; made by a task's callback",
    .item = "object {id, url, event}",
    .state_size = sizeof(struct delivery),
    .step = step,
    .drop = drop,
    .internal = true,
    .unremembered = true,
};
