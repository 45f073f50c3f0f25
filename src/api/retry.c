/* Running again what is over: one task, and all that a filter finds. */
#include <stdio.h>

#include "api/cursor.h"
#include "api/inside.h"
#include "api/list.h"

struct one {
    bool failed_only;
};

static const struct field one_fields[] = {
    {.name = "failed_only",
     .type = FIELD_BOOL,
     .offset = offsetof(struct one, failed_only),
     .summary = "only the units in which not every item succeeded"},
};
static const struct fields one_table = FIELDS(one_fields, struct one);

void task_retry(struct api *a, struct call *c, struct span parameter)
{
    struct err e = ERR_INIT;
    struct uuid id;
    struct one one;
    struct task t;
    const struct json *body;
    if (!id_of(parameter, &id, &e) || !query_none(c, &e) || !body_read(c, NULL, &body, &e) ||
        !fields_read(&one_table, body, "", &one, &e) || !queue_retry(a->queue, id, one.failed_only, &e) ||
        !queue_get(a->queue, &c->arena, id, &t, &e)) {
        answer_problem(c, &e);
        return;
    }
    struct json_out o = json_out(&c->res.body);
    accepted(c, id);
    task_write(&t, &o);
    call_send(c);
}

struct some {
    struct list_query list;
    bool failed_only;
};

static const struct field some_fields[] = {
    LIST_FIELDS(struct some, list.),
    {.name = "failed_only",
     .type = FIELD_BOOL,
     .offset = offsetof(struct some, failed_only),
     .summary = "only the units in which not every item succeeded"},
};
static const struct fields some_table = FIELDS(some_fields, struct some);

/* What a list takes from its query stands in the body here. */
static bool read_filter(struct call *c, struct some *s, struct task_filter *f, struct span *ret_filters,
                        struct err *e)
{
    const struct json *body;
    struct err why = ERR_INIT;
    if (!query_none(c, e) || !body_read(c, NULL, &body, e) || !fields_read(&some_table, body, "", s, e))
        return false;
    if (s->list.state[0] == '\0')
        snprintf(s->list.state, sizeof s->list.state, "failed");
    if (!list_filter(c, &s->list, f, ret_filters, &why))
        return err_at(e, why.code, arena_printf(&c->arena, "/%s", why.pointer), "%s", why.text);
    if (!state_final(f->state))
        return err_at(e, ERR_BAD_FIELD, "/state",
                      "\"/state\" must be failed, cancelled or succeeded: others are not over");
    return true;
}

void tasks_retry(struct api *a, struct call *c, struct span parameter)
{
    (void)parameter;
    struct err e = ERR_INIT;
    struct some *s = arena_alloc(&c->arena, sizeof *s);
    struct span filters;
    struct task_filter f;
    struct retried r;
    char next[CURSOR_TEXT];
    if (!read_filter(c, s, &f, &filters, &e) ||
        !queue_retry_all(a->queue, &c->arena, &f, s->failed_only, &r, &e)) {
        answer_problem(c, &e);
        return;
    }
    if (!uuid_is_nil(r.next))
        cursor_write(r.next, filters, next);
    struct json_out o = json_out(&c->res.body);
    json_open(&o, '{');
    json_key(&o, "retried");
    json_put_int(&o, r.count);
    json_key(&o, "refused");
    json_put_int(&o, r.refused);
    json_key(&o, "refusal");
    json_put_str(&o, r.refused > 0 ? r.why.text : NULL);
    json_key(&o, "next_cursor");
    json_put_str(&o, uuid_is_nil(r.next) ? NULL : next);
    json_close(&o, '}');
    c->res.status = 200;
    call_send(c);
}
