#include "model/callback.h"

#include "core/limits.h"
#include "model/http.h"
#include "model/retry.h"

struct callback {
    char url[LIMIT_URL + 1];
    char queue[LIMIT_NAME + 1];
    int64_t retries;
    const struct json *backoff_json, *tasks;
};

#define AT(member) .offset = offsetof(struct callback, member)

/* Together with the back-off's base of 5 s and its factor of 2.5 the twelve tries take about 15 hours. */
static const struct field list[] = {
    {.name = "url",
     .type = FIELD_TEXT,
     AT(url),
     .max = LIMIT_URL,
     .def_text = "",
     .summary = "http or https: is told of the end by a signed POST"},
    {.name = "queue",
     .type = FIELD_TEXT,
     AT(queue),
     .max = LIMIT_NAME,
     .def_text = "",
     .summary = "the queue of the delivery; default the task's own"},
    {.name = "retries",
     .type = FIELD_INT,
     AT(retries),
     .min = 0,
     .max = LIMIT_RETRIES,
     .def = 12,
     .summary = "how often a delivery that failed is tried again"},
    {.name = "backoff",
     .type = FIELD_JSON,
     AT(backoff_json),
     .summary = "object {base_ms, factor, max_ms, jitter}: the waits between tries"},
    {.name = "tasks",
     .type = FIELD_JSON,
     AT(tasks),
     .summary = "list: submissions of what is to be run after it"},
};
static const struct fields fields = FIELDS(list, struct callback);

static bool read_backoff(const struct callback *c, struct backoff *ret, struct err *e)
{
    if (!fields_read(&backoff_fields, c->backoff_json, "/callback/backoff", ret, e))
        return false;
    if (json_type(c->backoff_json) == JSON_NULL)
        *ret = (struct backoff){.base_ms = 5000, .factor = 2.5, .max_ms = 4 * 3600 * 1000, .jitter = 0.5};
    return true;
}

bool callback_check(const struct json *v, const struct json **ret_tasks, struct err *e)
{
    struct callback c;
    struct backoff b;
    if (json_type(v) == JSON_NULL)
        return true;
    if (!fields_read(&fields, v, "/callback", &c, e) || !read_backoff(&c, &b, e))
        return false;
    if (c.queue[0] && !span_is_name(span_of(c.queue)))
        return err_at(e, ERR_BAD_FIELD, "/callback/queue",
                      "\"/callback/queue\" must be made of letters, digits, '.', '_' and '-'");
    *ret_tasks = c.tasks;
    if (c.url[0] == '\0' && json_type(c.tasks) != JSON_NULL)
        return true;
    return http_check_url(span_of(c.url), "/callback/url", e);
}

void callback_write(struct json_out *o, const char *key, const struct json *v)
{
    struct callback c;
    struct backoff b;
    if (json_type(v) == JSON_NULL || !fields_read(&fields, v, "/callback", &c, NULL) ||
        !read_backoff(&c, &b, NULL) || c.url[0] == '\0')
        return;
    json_key(o, key);
    json_open(o, '{');
    json_key(o, "url");
    json_put_str(o, c.url);
    if (c.queue[0]) {
        json_key(o, "queue");
        json_put_str(o, c.queue);
    }
    json_key(o, "retries");
    json_put_int(o, c.retries);
    json_key(o, "backoff");
    fields_write(&backoff_fields, &b, o);
    json_close(o, '}');
}
