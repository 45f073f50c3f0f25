/* submission.c: what is made of the fields of a request for work (submission_fields.c). */
#include "model/submission.h"

#include <stdio.h>

#include "core/clock.h"

/* What submission_read works with, so that its parts are small. */
struct reader {
    struct arena *arena;
    const struct handler *(*lookup)(struct span name);
    struct submission *s;
    struct span (*pairs)[2]; /* of the query string: name, value */
    size_t pairs_n;
    struct err *e;
};

static bool given(const struct json *v)
{
    return json_type(v) != JSON_NULL;
}

static bool read_query(struct reader *r, struct span query)
{
    struct err bad = ERR_INIT;
    struct span pair[2];

    if (query.len == 0)
        return true;
    r->pairs = arena_array(r->arena, LIMIT_QUERY_PAIRS, sizeof *r->pairs);
    if (query.len > LIMIT_QUERY)
        return err_set(r->e, ERR_BAD_REQUEST, "the query string has %zu bytes; the limit is %u", query.len,
                       LIMIT_QUERY);
    while (query_next(r->arena, &query, &pair[0], &pair[1], &bad)) {
        if (r->pairs_n == LIMIT_QUERY_PAIRS)
            return err_set(r->e, ERR_BAD_REQUEST, "the query string has more than %u parameters",
                           LIMIT_QUERY_PAIRS);
        for (size_t i = 0; i < r->pairs_n; i++)
            if (span_eq(r->pairs[i][0], pair[0]))
                return err_set(r->e, ERR_BAD_REQUEST,
                               "the query string has a parameter twice: the %zu. and the %zu.", i + 1,
                               r->pairs_n + 1);
        r->pairs[r->pairs_n][0] = pair[0];
        r->pairs[r->pairs_n++][1] = pair[1];
    }
    return bad.code == ERR_NONE || err_set(r->e, bad.code, "%s", bad.text);
}

static bool for_handler(struct span name)
{
    return span_starts(name, "params.");
}

/* Everything but the handler's own params, which wait until the handler is known. */
static bool set_fields(struct reader *r)
{
    for (size_t i = 0; i < r->pairs_n; i++) {
        struct span name = r->pairs[i][0];

        if (!for_handler(name) && !span_is(name, "strategies") &&
            !fields_set(&submission_fields, name, r->pairs[i][1], r->s, r->e))
            return false;
    }
    return true;
}

/* Is the param itself in the query string? */
static bool has_long(const struct reader *r, const char *name)
{
    for (size_t i = 0; i < r->pairs_n; i++) {
        struct span full = r->pairs[i][0];

        if (for_handler(full) && (span_take(&full, strlen("params.")), span_is(full, name)))
            return true;
    }
    return false;
}

/* A field that stands for a param: refused by its own name where the handler has no such param. */
static bool set_short(struct reader *r, const char *name, bool value)
{
    const struct handler *h = r->s->handler;
    char pointer[sizeof r->e->pointer];

    snprintf(pointer, sizeof pointer, "/%s", name);
    if ((given(r->s->params_json) && json_member(r->s->params_json, name)) || has_long(r, name))
        return err_at(r->e, ERR_BAD_FIELD, pointer, "\"%s\" is given twice: here and in params", name);
    if (!fields_set(&h->params, span_of(name), value ? SPAN("true") : SPAN("false"), r->s->args, NULL))
        return err_at(r->e, ERR_UNKNOWN_FIELD, pointer, "the handler \"%s\" has no \"%s\"", h->name, name);
    return true;
}

static bool set_params(struct reader *r)
{
    struct submission *s = r->s;

    if (!fields_read(&s->handler->params, s->params_json, "/params", s->args, r->e))
        return false;
    if (s->db_delay_given && !set_short(r, "simulate_db_delay", s->simulate_db_delay))
        return false;
    if (s->redis_delay_given && !set_short(r, "simulate_redis_delay", s->simulate_redis_delay))
        return false;
    for (size_t i = 0; i < r->pairs_n; i++) {
        struct span name = r->pairs[i][0];

        if (!for_handler(name))
            continue;
        span_take(&name, strlen("params."));
        if (!fields_set(&s->handler->params, name, r->pairs[i][1], s->args, r->e))
            return err_prefix(r->e, "params");
    }
    return !s->handler->check || s->handler->check(s->args, r->e);
}

/* FNV-1a with a last stir. */
uint64_t submission_digest(const char *handler, struct span params)
{
    struct span parts[] = {span_of(handler), SPAN("\n"), params};
    uint64_t h = 0xcbf29ce484222325u;

    for (size_t p = 0; p < COUNT_OF(parts); p++)
        for (size_t i = 0; i < parts[p].len; i++)
            h = (h ^ (unsigned char)parts[p].ptr[i]) * 0x100000001b3u;
    h ^= h >> 33;
    h *= 0xff51afd7ed558ccdu;
    return h ^ (h >> 33);
}

static bool read_handler(struct reader *r, const struct handler *(*lookup)(struct span name))
{
    struct submission *s = r->s;
    struct buf text CLEANUP(buf_release) = BUF_INIT(LIMIT_PARAMS);
    struct json_out out = json_out(&text);

    s->handler = lookup(span_of(s->handler_name));
    if (!s->handler || s->handler->internal)
        return err_at(r->e, ERR_NO_HANDLER, "/handler",
                      "there is no handler \"%s\"; GET /api/v1/handlers lists them", s->handler_name);
    s->args = arena_alloc(r->arena, s->handler->params.size > 0 ? s->handler->params.size : 1);
    if (!set_params(r))
        return false;
    fields_write(&s->handler->params, s->args, &out);
    if (text.failed)
        return err_at(r->e, ERR_TOO_LARGE, "/params", "params have more than %u bytes", LIMIT_PARAMS);
    s->params = arena_copy(r->arena, buf_view(&text));
    s->digest = submission_digest(s->handler->name, s->params);
    return true;
}

static void release_text(void *text)
{
    buf_release(text);
}

/* The list as lines, whichever way it was read. */
static bool lines_of(struct arena *a, const struct json *list, struct span *ret, struct err *e)
{
    if (json_type(list) == JSON_LINES) {
        *ret = json_as_lines(list);
        return true;
    }
    struct buf *text = arena_alloc(a, sizeof *text);
    buf_init(text, LIMIT_ITEMS_TEXT);
    arena_defer(a, release_text, text);
    for (size_t i = 0, n = json_len(list); i < n; i++) {
        json_emit(text, json_at(list, i));
        buf_char(text, '\n');
    }
    *ret = buf_view(text);
    return !text->failed ||
           err_at(e, ERR_TOO_LARGE, "/items", "the items together have more than %u bytes", LIMIT_ITEMS_TEXT);
}

static bool count_items(struct reader *r)
{
    struct submission *s = r->s;
    char pointer[sizeof r->e->pointer];
    struct span rest = s->lines;
    for (s->items = 0; rest.len > 0; s->items++)
        if (span_cut(&rest, '\n').len > LIMIT_ITEM_INPUT) {
            snprintf(pointer, sizeof pointer, "/items/%lld", (long long)s->items);
            return err_at(r->e, ERR_TOO_LARGE, pointer, "an item has more than %u bytes", LIMIT_ITEM_INPUT);
        }
    return (s->items >= 1 && s->items <= (int64_t)LIMIT_ITEMS) ||
           err_at(r->e, ERR_BAD_FIELD, "/items", "\"/items\" must hold 1 to %u items, not %lld", LIMIT_ITEMS,
                  (long long)s->items);
}

static bool read_items(struct reader *r)
{
    struct submission *s = r->s;
    enum json_type type = json_type(s->items_json);
    s->items = s->items_count;
    s->lines = (struct span){NULL, 0};
    if (!given(s->items_json)) {
        s->items_json = NULL;
        return true;
    }
    if (type != JSON_LIST && type != JSON_LINES)
        return err_at(r->e, ERR_BAD_FIELD, "/items", "\"/items\" must be a list, not %s",
                      json_type_name(type));
    if (s->items_count_given)
        return err_at(r->e, ERR_BAD_FIELD, "/items_count", "give items or items_count, not both");
    return lines_of(r->arena, s->items_json, &s->lines, r->e) && count_items(r);
}

static bool read_shape(struct reader *r)
{
    struct submission *s = r->s;

    if (!given(s->shape_json))
        return true;
    if (!s->strategy)
        return err_at(r->e, ERR_BAD_FIELD, "/shape",
                      "compare gives each strategy its own shape; there is none to set");
    s->has_shape = true;
    return fields_read(&shape_fields, s->shape_json, "/shape", &s->shape, r->e);
}

static bool read_inner(struct reader *r)
{
    struct submission *s = r->s;
    bool has_units = !s->strategy || s->strategy->kind == STRATEGY_QUEUED;

    if (s->inner_given && !has_units)
        return err_at(r->e, ERR_BAD_FIELD, "/inner",
                      "only background has units that run under another strategy, and %s has none",
                      s->strategy->name);
    if (!has_units)
        return true;
    s->inner = strategy_find(span_of(s->inner_name));
    if (!s->inner || s->inner->kind == STRATEGY_QUEUED)
        return err_at(r->e, ERR_BAD_FIELD, "/inner",
                      "\"/inner\" must be the name of a strategy with a shape, or auto, not \"%s\"",
                      s->inner_name);
    return true;
}

static bool add_compared(struct reader *r, struct span name, const char *pointer)
{
    const struct strategy **list = r->s->compared, *found = strategy_find(name);
    size_t n = 0;

    if (!found)
        return err_at(r->e, ERR_BAD_FIELD, pointer, "\"%s\" must be the name of a strategy", pointer);
    for (; list[n]; n++)
        if (list[n] == found)
            return err_at(r->e, ERR_BAD_FIELD, pointer, "the strategy %s is named twice", found->name);
    if (n + 1 == COUNT_OF(r->s->compared))
        return err_at(r->e, ERR_BAD_FIELD, pointer, "too many strategies");
    list[n] = found;
    return true;
}

static bool read_compared_list(struct reader *r, const struct json *list)
{
    char pointer[sizeof r->e->pointer];

    if (json_type(list) != JSON_LIST || json_len(list) == 0)
        return err_at(r->e, ERR_BAD_FIELD, "/strategies",
                      "\"/strategies\" must be a list of names of strategies");
    for (size_t i = 0; i < json_len(list); i++) {
        const struct json *name = json_at(list, i);

        snprintf(pointer, sizeof pointer, "/strategies/%zu", i);
        if (!add_compared(r, json_type(name) == JSON_TEXT ? json_as_text(name) : SPAN(""), pointer))
            return false;
    }
    return true;
}

static bool read_compared(struct reader *r)
{
    struct submission *s = r->s;
    struct span names = SPAN("");
    bool in_query = false;

    for (size_t i = 0; i < r->pairs_n; i++)
        if (span_is(r->pairs[i][0], "strategies")) {
            names = r->pairs[i][1];
            in_query = true;
        }
    if (s->strategy) {
        if (in_query || given(s->strategies_json))
            return err_at(r->e, ERR_UNKNOWN_FIELD, in_query ? "strategies" : "/strategies",
                          "\"strategies\" belongs to compare; this runs %s", s->strategy->name);
        return true;
    }
    if (in_query) {
        do
            if (!add_compared(r, span_trim(span_cut(&names, ',')), "strategies"))
                return false;
        while (names.len > 0);
        return true;
    }
    if (given(s->strategies_json))
        return read_compared_list(r, s->strategies_json);
    for (size_t i = 0; strategies[i]; i++)
        s->compared[i] = strategies[i];
    return true;
}

static bool read_labels(struct reader *r)
{
    const struct json *tags = r->s->tags, *meta = r->s->meta;
    struct buf text CLEANUP(buf_release) = BUF_INIT(LIMIT_PARAMS);
    char pointer[sizeof r->e->pointer];

    if (!given(tags))
        r->s->tags = NULL;
    else if (json_type(tags) != JSON_LIST || json_len(tags) > LIMIT_TAGS)
        return err_at(r->e, ERR_BAD_FIELD, "/tags", "\"/tags\" must be a list of up to %u strings",
                      LIMIT_TAGS);
    for (size_t i = 0; r->s->tags && i < json_len(tags); i++) {
        const struct json *tag = json_at(tags, i);

        if (json_type(tag) == JSON_TEXT && json_as_text(tag).len > 0 && json_as_text(tag).len <= LIMIT_NAME)
            continue;
        snprintf(pointer, sizeof pointer, "/tags/%zu", i);
        return err_at(r->e, ERR_BAD_FIELD, pointer, "a tag must be a string of 1 to %u bytes", LIMIT_NAME);
    }
    if (!given(meta)) {
        r->s->meta = NULL;
        return true;
    }
    if (json_type(meta) != JSON_OBJECT)
        return err_at(r->e, ERR_BAD_FIELD, "/meta", "\"/meta\" must be an object, not %s",
                      json_type_name(json_type(meta)));
    json_emit(&text, meta);
    return !text.failed || err_at(r->e, ERR_TOO_LARGE, "/meta", "meta has more than %u bytes", LIMIT_PARAMS);
}

static bool read_queue(struct reader *r)
{
    return span_is_name(span_of(r->s->queue)) ||
           err_at(r->e, ERR_BAD_FIELD, "/queue",
                  "the name of a queue has only letters, digits, '.', '_' and '-'");
}

/* A callback's one need is what it is the callback of: it is given when that has its id. */
static bool read_callback(struct reader *r, size_t i)
{
    struct submission *c = &r->s->callbacks[i];
    const struct json *row = json_at(r->s->terms.follow.callback_tasks, i);
    char pointer[sizeof r->e->pointer], full[2 * sizeof pointer];

    if (submission_row(r->arena, NULL, row, r->lookup, c, r->e)) {
        if (c->terms.follow.needs_n == 0 && c->name[0] == '\0')
            return true;
        err_at(r->e, ERR_BAD_FIELD, c->name[0] ? "/name" : "/depends_on",
               "a callback depends on the task that it follows, and nothing on it; more takes a batch");
    }
    snprintf(pointer, sizeof pointer, "%s", r->e->pointer);
    snprintf(full, sizeof full, "/callback/tasks/%zu%s", i, pointer);
    snprintf(r->e->pointer, sizeof r->e->pointer, "%.*s", (int)sizeof r->e->pointer - 1, full);
    return false;
}

static bool read_callbacks(struct reader *r)
{
    struct submission *s = r->s;
    const struct json *list = s->terms.follow.callback_tasks;

    s->callbacks_n = list ? json_len(list) : 0;
    s->callbacks = list ? arena_array(r->arena, s->callbacks_n, sizeof *s->callbacks) : NULL;
    for (size_t i = 0; i < s->callbacks_n; i++)
        if (!read_callback(r, i))
            return false;
    return true;
}

/* What only rows have. */
static bool read_path(struct reader *r)
{
    const struct submission *s = r->s;

    if (s->strategy_name[0])
        return err_at(r->e, ERR_UNKNOWN_FIELD, "/strategy",
                      "the strategy of a single task stands in the path");
    if (s->name[0])
        return err_at(r->e, ERR_UNKNOWN_FIELD, "/name", "only the rows of a batch have names");
    for (size_t i = 0; i < s->terms.follow.needs_n; i++)
        if (s->terms.follow.needs[i].name.len > 0) {
            char pointer[sizeof r->e->pointer];

            snprintf(pointer, sizeof pointer, "/depends_on/%zu", i);
            return err_at(r->e, ERR_BAD_FIELD, pointer, "only the rows of a batch have names");
        }
    return true;
}

static bool read_terms(struct reader *r)
{
    struct submission *s = r->s;

    if (s->terms.cache_ttl_s > 0 && s->handler->unremembered)
        return err_at(r->e, ERR_BAD_FIELD, "/cache_ttl_s",
                      "what \"%s\" comes to is not remembered: it is there for what it does",
                      s->handler->name);

    if (!terms_check(&s->terms, clock_shared_us(), r->e) || !follow_check(r->arena, &s->terms.follow, r->e) ||
        !read_callbacks(r))
        return false;
    if (!s->strategy &&
        (s->terms.run_at_us > 0 || s->callbacks_n > 0 || terms_write(r->arena, &s->terms).len > 0))
        return err_at(
            r->e, ERR_BAD_FIELD, "/run_at",
            "a comparison begins at once and has no terms: its runs must not wait for anything else");
    return true;
}

static bool read_rest(struct reader *r)
{
    return read_queue(r) && read_handler(r, r->lookup) && read_items(r) && read_shape(r) && read_inner(r) &&
           read_compared(r) && read_labels(r) && read_terms(r);
}

bool submission_read(struct arena *a, const struct strategy *strategy, const struct json *body,
                     struct span query, const struct handler *(*lookup)(struct span name),
                     struct submission *ret, struct err *e)
{
    struct submission s;
    struct err ours = ERR_INIT;
    struct reader r = {.arena = a, .lookup = lookup, .s = &s, .e = e ? e : &ours};

    if (!fields_read(&submission_fields, body, "", &s, r.e))
        return false;
    s.strategy = strategy;
    if (!read_query(&r, query) || !set_fields(&r) || !read_rest(&r) || !read_path(&r))
        return false;
    *ret = s;
    return true;
}

bool submission_defaults(const struct json *object, struct submission *ret, struct err *e)
{
    return fields_read(&submission_fields, object, "/defaults", ret, e);
}

bool submission_row(struct arena *a, const struct submission *defaults, const struct json *row,
                    const struct handler *(*lookup)(struct span name), struct submission *ret, struct err *e)
{
    struct submission s;
    struct err ours = ERR_INIT;
    struct reader r = {.arena = a, .lookup = lookup, .s = &s, .e = e ? e : &ours};

    if (defaults)
        s = *defaults;
    else
        fields_defaults(&submission_fields, &s);
    if (json_type(row) != JSON_OBJECT)
        return err_at(r.e, ERR_BAD_FIELD, "", "a task must be an object, not %s",
                      json_type_name(json_type(row)));
    if (defaults && given(json_member(row, "items")))
        s.items_count_given = false; /* that of the defaults */
    if (!fields_update(&submission_fields, row, "", &s, r.e))
        return false;
    s.strategy =
        s.strategy_name[0] ? strategy_find(span_of(s.strategy_name)) : strategy_find(SPAN("background"));
    if (!s.strategy)
        return err_at(r.e, ERR_BAD_FIELD, "/strategy", "there is no strategy \"%s\"", s.strategy_name);
    if (!read_rest(&r))
        return false;
    *ret = s;
    return true;
}
