/* POST /api/v1/tasks:batch: many tasks in one commit, each accepted or refused by itself. */
#include "api/inside.h"
#include "api/prefer.h"
#include "handlers/registry.h"
#include "model/batch.h"

struct batch {
    const struct conf *conf;
    struct call *call;
    struct batch_row *rows;
    size_t count;
};

/* ---- reading ---- */

static bool too_many(struct err *e)
{
    return err_set(e, ERR_TOO_LARGE, "a batch has more than %u tasks: send several", LIMIT_BATCH);
}

static void refuse(struct batch *b, struct batch_row *row, const struct err *why)
{
    struct err *e = arena_alloc(&b->call->arena, sizeof *e);
    *e = *why;
    row->s = NULL;
    row->refused = e;
}

static void read_row(struct batch *b, struct batch_row *row, const struct submission *defaults,
                     const struct json *object)
{
    struct err e = ERR_INIT;
    row->s = arena_alloc(&b->call->arena, sizeof *row->s);
    if (!submission_row(&b->call->arena, defaults, object, handler_find, row->s, &e) ||
        !queues_known(b->conf, row->s, &e))
        refuse(b, row, &e);
}

struct body {
    const struct json *tasks, *defaults;
};

static const struct field body_list[] = {
    {.name = "tasks",
     .type = FIELD_JSON,
     .offset = offsetof(struct body, tasks),
     .summary = "list of submissions"},
    {.name = "defaults",
     .type = FIELD_JSON,
     .offset = offsetof(struct body, defaults),
     .summary = "object: fields of those that have none of their own"},
};
static const struct fields body_fields = FIELDS(body_list, struct body);

static bool read_json(struct batch *b, struct err *e)
{
    struct arena *a = &b->call->arena;
    const struct json *json;
    struct body body;
    struct submission *defaults = arena_alloc(a, sizeof *defaults);
    if (!json_read(a, b->call->req.body, &json, e) || !fields_read(&body_fields, json, "", &body, e) ||
        !submission_defaults(body.defaults, defaults, e))
        return false;
    if (json_type(body.tasks) != JSON_LIST || json_len(body.tasks) == 0)
        return err_at(e, ERR_BAD_FIELD, "/tasks", "\"/tasks\" must be a list of 1 to %u submissions",
                      LIMIT_BATCH);
    b->count = json_len(body.tasks);
    if (b->count > LIMIT_BATCH)
        return too_many(e);
    b->rows = arena_array(a, b->count, sizeof *b->rows);
    for (size_t i = 0; i < b->count; i++)
        read_row(b, &b->rows[i], defaults, json_at(body.tasks, i));
    return true;
}

/* A submission a line; empty lines are none. */
static bool read_lines(struct batch *b, struct err *e)
{
    struct arena *a = &b->call->arena;
    b->rows = arena_array(a, LIMIT_BATCH, sizeof *b->rows);
    for (struct span rest = b->call->req.body; rest.len > 0;) {
        struct span line = span_trim(span_cut(&rest, '\n'));
        struct err bad = ERR_INIT;
        const struct json *object;
        if (line.len == 0)
            continue;
        if (b->count == LIMIT_BATCH)
            return too_many(e);
        struct batch_row *row = &b->rows[b->count++];
        if (json_read(a, line, &object, &bad))
            read_row(b, row, NULL, object);
        else
            refuse(b, row, &bad);
    }
    return b->count > 0 || err_set(e, ERR_BAD_REQUEST, "the body has no line with a task");
}

static bool read_batch(struct batch *b, struct err *e)
{
    struct span type = media_type(b->call->req.content_type);
    if (span_eq_nocase(type, "application/x-ndjson"))
        return read_lines(b, e);
    if (span_eq_nocase(type, "application/json"))
        return read_json(b, e);
    return err_set(e, ERR_MEDIA_TYPE, "the body must be application/json or application/x-ndjson");
}

/* ---- the answer ---- */

static void write_accepted(struct json_out *o, const struct put_result *r)
{
    char id[UUID_TEXT];
    uuid_format(r->id, id);
    json_open(o, '{');
    json_key(o, "id");
    json_put_str(o, id);
    json_key(o, "state");
    json_put_str(o, state_name(r->state));
    if (r->existing) {
        json_key(o, "existing");
        json_put_bool(o, true);
    }
    json_close(o, '}');
}

/* `results` are of the rows that were put, in their order; NULL: none was. */
static void answer(struct batch *b, const struct put_result *results)
{
    struct json_out o = json_out(&b->call->res.body);
    size_t accepted = 0;
    static const struct put_result none;
    const struct put_result *put = results ? results : &none;
    json_open(&o, '{');
    json_key(&o, "results");
    json_open(&o, '[');
    for (size_t i = 0; i < b->count; i++) {
        const struct err *refused = b->rows[i].refused;
        bool was_put = !refused;
        if (was_put && put->refused)
            refused = put->refused;
        if (refused)
            problem_write(&o, refused, SPAN(""));
        else
            write_accepted(&o, put);
        accepted += !refused;
        put += was_put;
    }
    json_close(&o, ']');
    json_key(&o, "accepted");
    json_put_int(&o, (int64_t)accepted);
    json_key(&o, "refused");
    json_put_int(&o, (int64_t)(b->count - accepted));
    json_close(&o, '}');
    b->call->res.status = 200;
    call_send(b->call);
}

static void on_put(void *arg, const struct put_result *results, size_t n, const struct err *e)
{
    struct batch *b = arg;
    (void)n;
    if (e)
        answer_problem(b->call, e);
    else
        answer(b, results);
}

/* ---- the route ---- */

static void put_accepted(struct api *a, struct batch *b)
{
    struct arena *arena = &b->call->arena;
    struct err e = ERR_INIT;
    const struct submission **list = arena_array(arena, b->count, sizeof *list);
    size_t n = 0;
    for (size_t i = 0; i < b->count; i++)
        if (!b->rows[i].refused)
            list[n++] = b->rows[i].s;
    if (n == 0)
        answer(b, NULL);
    else if (!queue_put_many(a->queue, arena, list, n, on_put, b, &e))
        answer_problem(b->call, &e);
}

void batch_put(struct api *a, struct call *c, struct span parameter)
{
    (void)parameter;
    struct err e = ERR_INIT;
    struct batch *b = arena_alloc(&c->arena, sizeof *b);
    b->call = c;
    b->conf = a->conf;
    if (!query_none(c, &e) || !read_batch(b, &e)) {
        answer_problem(c, &e);
        return;
    }
    batch_link(&c->arena, b->rows, b->count);
    put_accepted(a, b);
}
