/* GET /api/v1/tasks/recommendations: from what is known, or after a probe. */
#include "api/inside.h"
#include "api/recommendation.h"

struct recommend_query {
    bool probe;
};

static const struct field probe_fields[] = {
    {.name = "probe",
     .type = FIELD_BOOL,
     .offset = offsetof(struct recommend_query, probe),
     .def = 0,
     .summary = "run some items first and measure them"},
};
static const struct fields probe_table = FIELDS(probe_fields, struct recommend_query);

static void answer_recommendation(struct api *a, struct call *c, const struct submission *s,
                                  const struct task *probe)
{
    struct err e = ERR_INIT;
    struct recommendation *r = arena_alloc(&c->arena, sizeof *r);
    if (!recommendation_make(&c->arena, a->store, s, probe, r, &e)) {
        answer_problem(c, &e);
        return;
    }
    struct json_out o = json_out(&c->res.body);
    recommendation_write(r, &o);
    c->res.status = 200;
    call_send(c);
}

/* The probe has ended, or outlasts the wait: then its task, and asking again later finds its measurement. */
static void answer_probe(struct parked *p, bool store_ok)
{
    if (store_ok && state_final(p->task.state))
        answer_recommendation(p->api, p->call, p->arg, &p->task);
    else
        answer_put(p, false);
}

static bool asks_when_over(const struct task *t)
{
    return state_final(t->state);
}

static bool read_probe(struct query *q, struct recommend_query *ret, struct err *e)
{
    struct span value;
    fields_defaults(&probe_table, ret);
    return !query_take(q, "probe", &value) || fields_set(&probe_table, SPAN("probe"), value, ret, e);
}

void recommend_get(struct api *a, struct call *c, struct span parameter)
{
    (void)parameter;
    struct submission *s = arena_alloc(&c->arena, 2 * sizeof *s);
    struct recommend_query asked;
    struct query q;
    struct err e = ERR_INIT;
    if (!query_read(c, &q, &e) || !read_probe(&q, &asked, &e) ||
        !submission_of(a, c, &strategy_auto, &q, s, &e)) {
        answer_problem(c, &e);
        return;
    }
    if (!asked.probe) {
        answer_recommendation(a, c, s, NULL);
        return;
    }
    s[1] = probe_of(s);
    put_and_wait(a, c, &s[1], conf_now(&a->conf->api_wait), asks_when_over, answer_probe, s);
}
