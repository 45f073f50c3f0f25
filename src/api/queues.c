/* Queues: what is in them, their limits, pausing. A queue needs no making: any name is one. */
#include "api/inside.h"
#include "api/queue_document.h"
#include "core/clock.h"

/* ---- the document ---- */

static void number(struct json_out *o, const char *key, int64_t v)
{
    json_key(o, key);
    json_put_int(o, v);
}

static void ids(struct json_out *o, const char *key, const struct uuid *list, size_t n)
{
    char id[UUID_TEXT];
    json_key(o, key);
    json_open(o, '[');
    for (size_t i = 0; i < n; i++) {
        uuid_format(list[i], id);
        json_put_str(o, id);
    }
    json_close(o, ']');
}

static void put_gate(const struct gate_info *g, struct json_out *o)
{
    struct span name = g->name, kind = span_cut(&name, '/');
    json_open(o, '{');
    json_key(o, "of"); /* "key" or "queue" */
    json_put_text(o, kind);
    json_key(o, "name");
    json_put_text(o, name);
    limit_write_numbers(&g->limit, o);
    number(o, "inside", g->inside);
    number(o, "waiting", g->waiting);
    ids(o, "holders", g->holders, g->holders_n);
    ids(o, "next", g->next, g->next_n);
    json_close(o, '}');
}

void queue_write(const struct queue_info *q, bool with_gates, struct json_out *o)
{
    char since[CLOCK_TEXT];
    json_open(o, '{');
    json_key(o, "name");
    json_put_text(o, q->name);
    number(o, "queued", q->queued);
    number(o, "waiting", q->waiting);
    number(o, "running", q->running);
    json_key(o, "at_least"); /* counting ended before the units did */
    json_put_bool(o, q->queued >= LIMIT_QUEUE_LOOK || q->waiting >= LIMIT_QUEUE_LOOK);
    json_key(o, "oldest_s");
    json_put_num(o, q->oldest_s);
    json_key(o, "paused");
    json_put_bool(o, q->paused);
    json_key(o, "reason");
    json_put_text(o, q->reason);
    json_key(o, "paused_at");
    if (q->paused_us > 0) {
        clock_format(q->paused_us, since);
        json_put_str(o, since);
    } else {
        json_put_null(o);
    }
    limit_write_numbers(&q->limit, o);
    if (with_gates) {
        json_key(o, "gates");
        json_open(o, '[');
        for (size_t i = 0; i < q->gates_n; i++)
            put_gate(&q->gates[i], o);
        json_close(o, ']');
    }
    json_close(o, '}');
}

/* ---- what a caller says ---- */

struct change {
    struct limit limit;
    char reason[LIMIT_REASON + 1];
    bool paused, paused_given;
};

#define AT(member) .offset = offsetof(struct change, member)

static const struct field change_list[] = {
    LIMIT_NUMBERS(struct change, limit.),
    {.name = "paused",
     .type = FIELD_BOOL,
     AT(paused),
     .given = offsetof(struct change, paused_given),
     .summary = "pause or resume it too"},
    {.name = "reason",
     .type = FIELD_TEXT,
     AT(reason),
     .max = LIMIT_REASON,
     .def_text = "",
     .summary = "why it is paused"},
};
static const struct fields change_fields = FIELDS(change_list, struct change);

static const struct field why_list[] = {
    {.name = "reason",
     .type = FIELD_TEXT,
     AT(reason),
     .max = LIMIT_REASON,
     .def_text = "",
     .summary = "why it is paused"},
};
static const struct fields why_fields = FIELDS(why_list, struct change);

bool queue_named(struct span name, struct err *e)
{
    return span_is_name(name) ||
           err_set(e, ERR_NO_ROUTE, "the name of a queue has 1 to %u letters, digits, '.', '_' and '-'",
                   LIMIT_NAME);
}

/* ---- the routes ---- */

static void answer_queue(struct api *a, struct call *c, struct span name)
{
    struct err e = ERR_INIT;
    struct queue_info q;
    if (!store_queue(a->store, &c->arena, name, &q, &e)) {
        answer_problem(c, &e);
        return;
    }
    struct json_out o = json_out(&c->res.body);
    queue_write(&q, true, &o);
    call_header(c, "Cache-Control", "no-cache");
    c->res.status = 200;
    call_send(c);
}

void queues_list(struct api *a, struct call *c, struct span parameter)
{
    (void)parameter;
    struct err e = ERR_INIT;
    struct queue_info *list;
    size_t n;
    if (!query_none(c, &e) || !store_queues(a->store, &c->arena, &list, &n, &e)) {
        answer_problem(c, &e);
        return;
    }
    struct json_out o = json_out(&c->res.body);
    json_open(&o, '{');
    json_key(&o, "queues");
    json_open(&o, '[');
    for (size_t i = 0; i < n; i++)
        queue_write(&list[i], false, &o);
    json_close(&o, ']');
    json_close(&o, '}');
    call_header(c, "Cache-Control", "no-cache");
    c->res.status = 200;
    call_send(c);
}

void queue_show(struct api *a, struct call *c, struct span parameter)
{
    struct err e = ERR_INIT;
    if (query_none(c, &e) && queue_named(parameter, &e))
        answer_queue(a, c, parameter);
    else
        answer_problem(c, &e);
}

void queue_limit(struct api *a, struct call *c, struct span parameter)
{
    struct err e = ERR_INIT;
    struct change *change = arena_alloc(&c->arena, sizeof *change);
    const struct json *body;
    if (query_none(c, &e) && queue_named(parameter, &e) && body_read(c, NULL, &body, &e) &&
        fields_read(&change_fields, body, "", change, &e) && limit_check(&change->limit, "", &e) &&
        store_limit_queue(a->store, parameter, &change->limit, &e) &&
        (!change->paused_given ||
         queue_pause(a->queue, parameter, change->paused, span_of(change->reason), &e))) {
        queue_look(a->queue, parameter);
        answer_queue(a, c, parameter);
    } else {
        answer_problem(c, &e);
    }
}

static void set_paused(struct api *a, struct call *c, struct span name, bool paused)
{
    struct err e = ERR_INIT;
    struct change *why = arena_alloc(&c->arena, sizeof *why);
    const struct json *body;
    if (query_none(c, &e) && queue_named(name, &e) && body_read(c, NULL, &body, &e) &&
        fields_read(&why_fields, body, "", why, &e) &&
        queue_pause(a->queue, name, paused, span_of(why->reason), &e))
        answer_queue(a, c, name);
    else
        answer_problem(c, &e);
}

void queue_rest(struct api *a, struct call *c, struct span parameter)
{
    set_paused(a, c, parameter, true);
}

void queue_resume(struct api *a, struct call *c, struct span parameter)
{
    set_paused(a, c, parameter, false);
}
