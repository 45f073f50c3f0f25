/* What a request asks for: its query, its body, a submission made of both. */
#include <stdio.h>
#include <string.h>

#include "api/inside.h"
#include "api/prefer.h"
#include "handlers/registry.h"

static bool given_twice(const struct query *q, struct span name)
{
    for (size_t i = 0; i < q->count; i++)
        if (span_eq(q->list[i].name, name))
            return true;
    return false;
}

bool query_read(struct call *c, struct query *ret, struct err *e)
{
    struct query q = {.list = NULL};
    struct span rest = c->req.query, name, value;
    if (rest.len > 0)
        q.list = arena_array(&c->arena, LIMIT_QUERY_PAIRS, sizeof *q.list);
    struct err bad = ERR_INIT;
    for (struct span before = rest; query_next(&c->arena, &rest, &name, &value, &bad); before = rest) {
        if (q.count == LIMIT_QUERY_PAIRS)
            return err_set(e, ERR_TOO_LARGE, "a query may have %u parameters", LIMIT_QUERY_PAIRS);
        if (given_twice(&q, name))
            return err_at(e, ERR_BAD_FIELD, arena_text(&c->arena, name),
                          "the query has this parameter more than once");
        struct span raw = {before.ptr, before.len - rest.len};
        if (raw.len && raw.ptr[raw.len - 1] == '&')
            raw.len--;
        q.list[q.count++] = (struct query_pair){.name = name, .value = value, .raw = raw};
    }
    if (bad.code != ERR_NONE) {
        *e = bad;
        return false;
    }
    *ret = q;
    return true;
}

bool query_take(struct query *q, const char *name, struct span *ret_value)
{
    for (size_t i = 0; i < q->count; i++)
        if (!q->list[i].used && span_is(q->list[i].name, name)) {
            q->list[i].used = true;
            *ret_value = q->list[i].value;
            return true;
        }
    return false;
}

bool query_fields(const struct query *q, const struct fields *f, void *target, struct err *e)
{
    for (size_t i = 0; i < q->count; i++)
        if (!q->list[i].used && !fields_set(f, q->list[i].name, q->list[i].value, target, e))
            return false;
    return true;
}

struct span query_rest(struct call *c, const struct query *q)
{
    struct buf b CLEANUP(buf_release) = BUF_INIT(LIMIT_QUERY + LIMIT_QUERY_PAIRS);
    for (size_t i = 0; i < q->count; i++) {
        if (q->list[i].used)
            continue;
        if (b.len)
            buf_char(&b, '&');
        buf_span(&b, q->list[i].raw);
    }
    return arena_copy(&c->arena, buf_view(&b));
}

bool query_none(struct call *c, struct err *e)
{
    static const struct fields none = {NULL, 0, 0};
    struct query q;
    char nothing;
    return query_read(c, &q, e) && query_fields(&q, &none, &nothing, e);
}

bool id_of(struct span text, struct uuid *ret, struct err *e)
{
    if (!uuid_parse(text, ret))
        return err_set(e, ERR_NO_TASK, "a task's id is a UUID, as in 0199b7c2-0000-7000-8000-000000000000");
    return true;
}

bool is_ndjson(const struct call *c)
{
    return span_eq_nocase(media_type(c->req.content_type), "application/x-ndjson");
}

static bool has_body(const struct call *c)
{
    return (c->req.method == METHOD_POST || c->req.method == METHOD_PUT) && c->req.body.len > 0;
}

static bool body_is_json(struct call *c, struct err *e)
{
    struct span type = media_type(c->req.content_type);
    if (type.len == 0)
        return err_set(e, ERR_MEDIA_TYPE, "the body has no Content-Type; it must be application/json");
    if (!span_eq_nocase(type, "application/json"))
        return err_set(e, ERR_MEDIA_TYPE, "the body must be application/json, not %s",
                       arena_text(&c->arena, type));
    return true;
}

bool body_read(struct call *c, const char *lines, const struct json **ret, struct err *e)
{
    *ret = NULL;
    return !has_body(c) || (body_is_json(c, e) && json_read_lines(&c->arena, c->req.body, lines, ret, e));
}

static bool put_member(struct span key, const struct json *value, void *arg)
{
    json_key_span(arg, key);
    json_put_value(arg, value);
    return true;
}

/* The body with a member from the query, where it is JSON text. */
static bool add_member(struct call *c, const struct json **body, const char *name, struct span text,
                       struct err *e)
{
    struct err bad = ERR_INIT;
    if (!json_check(text, &bad))
        return err_at(e, ERR_BAD_FIELD, name, "%s in the query must be JSON: %s", name, bad.text);
    if (*body && json_type(*body) != JSON_OBJECT)
        return true; /* refused as a body soon */
    if (*body && json_member(*body, name))
        return err_at(e, ERR_BAD_FIELD, name, "%s stands in the query and in the body", name);
    struct buf b CLEANUP(buf_release) = BUF_INIT(LIMIT_BODY);
    struct json_out o = json_out(&b);
    json_open(&o, '{');
    if (*body)
        json_each(*body, put_member, &o);
    json_key(&o, name);
    json_put_raw(&o, text);
    json_close(&o, '}');
    if (b.failed)
        return err_set(e, ERR_TOO_LARGE, "body and query together are larger than %u bytes", LIMIT_BODY);
    return json_read_lines(&c->arena, arena_copy(&c->arena, buf_view(&b)), "items", body, e);
}

/* The fields that are objects or lists, but for the items, whose place is a body; and for the list of strategies, which has a form
 * of its own. */
static bool add_members(struct call *c, const struct json **body, struct query *q, struct err *e)
{
    struct span text;
    for (size_t i = 0; i < submission_fields.count; i++) {
        const struct field *f = &submission_fields.list[i];
        bool may =
            f->type == FIELD_JSON && strcmp(f->name, "items") != 0 && strcmp(f->name, "strategies") != 0;
        if (may && query_take(q, f->name, &text) && !add_member(c, body, f->name, text, e))
            return false;
    }
    return true;
}

bool submission_of(const struct api *a, struct call *c, const struct strategy *strategy, struct query *q,
                   struct submission *ret, struct err *e)
{
    const struct json *body; /* its items are stored as the text that they came as */
    if (!body_read(c, "items", &body, e) || !add_members(c, &body, q, e))
        return false;
    return submission_read(&c->arena, strategy, body, query_rest(c, q), handler_find, ret, e) &&
           queues_known(a->conf, ret, e);
}

static bool queue_known(struct span all, struct span name, const char *pointer, struct err *e)
{
    for (struct span rest = all; rest.len > 0;)
        if (span_eq(span_trim(span_cut(&rest, ',')), name))
            return true;
    return err_at(e, ERR_BAD_FIELD, pointer, "there is no queue \"" SPAN_FMT "\"; there are " SPAN_FMT,
                  SPAN_ARG(name), SPAN_ARG(all));
}

static bool all_known(struct span all, const struct submission *s, struct err *e)
{
    struct err why = ERR_INIT;
    const struct json *callback = s->terms.follow.callback_json;
    struct span delivery = SPAN(""); /* as a rule the task's own */
    if (json_type(callback) == JSON_OBJECT && json_type(json_member(callback, "queue")) == JSON_TEXT)
        delivery = json_as_text(json_member(callback, "queue"));
    if (!queue_known(all, span_of(s->queue), "/queue", e) ||
        (delivery.len > 0 && !queue_known(all, delivery, "/callback/queue", e)))
        return false;
    for (size_t i = 0; i < s->callbacks_n; i++)
        if (!all_known(all, &s->callbacks[i], &why)) {
            char pointer[sizeof why.pointer + 40];
            snprintf(pointer, sizeof pointer, "/callback/tasks/%zu%s", i, why.pointer);
            return err_at(e, why.code, pointer, "%s", why.text);
        }
    return true;
}

bool queues_known(const struct conf *c, const struct submission *s, struct err *e)
{
    struct span all = span_of(conf_now(&c->api_queues));
    return all.len == 0 || all_known(all, s, e);
}
