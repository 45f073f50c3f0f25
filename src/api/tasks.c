/* One task: GET, with ETag and long-poll, and DELETE, which cancels. */
#include "api/inside.h"
#include "api/prefer.h"
#include "core/log.h"
#include "model/strategy.h"

struct get_query {
    int64_t wait;
};

static const struct field get_fields[] = {
    {.name = "wait",
     .type = FIELD_INT,
     .offset = offsetof(struct get_query, wait),
     .min = 0,
     .max = 86400,
     .def = 0,
     .summary = "seconds to wait for the task's end, at most what the server allows"},
};
static const struct fields get_table = FIELDS(get_fields, struct get_query);

/* A path that names a strategy where an id belongs has the method wrong, not the id. */
static bool task_id(struct call *c, struct span parameter, struct uuid *ret, struct err *e)
{
    if (!strategy_find(parameter))
        return id_of(parameter, ret, e);
    call_header(c, "Allow", "POST, OPTIONS");
    return err_set(e, ERR_METHOD, "a strategy has the method POST only");
}

/* Of a task that goes on the queue knows the live progress, where the waiting saw only what is stored. */
static bool get_asks(const struct task *t)
{
    return !state_final(t->state) || document_asks(t);
}

static void answer_get(struct parked *p, bool store_ok)
{
    struct call *c = p->call;
    struct task live;
    if (store_ok && p->waited && !state_final(p->task.state) &&
        queue_get(p->api->queue, &c->arena, p->task.id, &live, NULL))
        p->task = live;
    struct err e = ERR_INIT;
    struct json_out o = json_out(&c->res.body);
    if (!document_write(p->api, c, &p->task, store_ok, &o, &e) && e.code != ERR_NONE)
        answer_problem(c, &e);
    else
        answer_tagged(c);
}

void task_get(struct api *a, struct call *c, struct span parameter)
{
    struct err e = ERR_INIT;
    struct query q;
    struct get_query get;
    struct parked *p = arena_alloc(&c->arena, sizeof *p);
    *p = (struct parked){.api = a, .call = c, .answer = answer_get};
    struct uuid id;
    fields_defaults(&get_table, &get);
    if (!task_id(c, parameter, &id, &e) || !query_read(c, &q, &e) ||
        !query_fields(&q, &get_table, &get, &e) || !queue_get(a->queue, &c->arena, id, &p->task, &e)) {
        answer_problem(c, &e);
        return;
    }
    int64_t most = conf_now(&a->conf->api_wait), ms = get.wait * 1000 < most ? get.wait * 1000 : most;
    if (get.wait == 0) {
        struct prefer prefer = preferred(c, most);
        ms = prefer.has_wait ? prefer_wait_ms(&prefer, most) : 0;
    }
    if (ms == 0 || state_final(p->task.state)) {
        answer_get(p, true);
        return;
    }
    p->asks_store = get_asks;
    p->waited = true;
    park(p, ms);
}

void task_cancel(struct api *a, struct call *c, struct span parameter)
{
    struct err e = ERR_INIT;
    struct uuid id;
    struct task t;
    if (!task_id(c, parameter, &id, &e) || !query_none(c, &e) ||
        !queue_cancel(a->queue, &c->arena, id, &t, &e)) {
        answer_problem(c, &e);
        return;
    }
    if (state_final(t.state))
        c->res.status = 200;
    else
        accepted(c, id);
    struct json_out o = json_out(&c->res.body);
    if (!document_write(a, c, &t, true, &o, &e)) /* it is cancelled nevertheless */
        log_warn_err("http.no_comparison", &e, "request=" SPAN_FMT, SPAN_ARG(c->req.request_id));
    call_send(c);
}
