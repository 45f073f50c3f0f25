/* GET /api/v1/stats: figures over the tasks of a window of time. */
#include "api/inside.h"
#include "core/clock.h"
#include "store/records.h"

struct asked {
    int64_t window_s;
};

static const struct field asked_list[] = {
    {.name = "window_s",
     .type = FIELD_INT,
     .offset = offsetof(struct asked, window_s),
     .min = 1,
     .max = LIMIT_DELAY_S,
     .def = 3600,
     .summary = "of tasks submitted in the last so many seconds"},
};
static const struct fields asked_fields = FIELDS(asked_list, struct asked);

static void put_time(struct json_out *o, const char *key, int64_t us)
{
    char text[CLOCK_TEXT];
    clock_format(us, text);
    json_key(o, key);
    json_put_str(o, text);
}

static void put_pair(struct json_out *o, const char *key, double p50, double p95)
{
    json_key(o, key);
    json_open(o, '{');
    json_key(o, "p50");
    json_put_num(o, (double)(int64_t)(p50 * 1e6) / 1e3);
    json_key(o, "p95");
    json_put_num(o, (double)(int64_t)(p95 * 1e6) / 1e3);
    json_close(o, '}');
}

static void put_members(struct json_out *o, const struct figures *f, double seconds)
{
    int64_t over = 0;
    json_key(o, "tasks");
    json_put_int(o, f->tasks);
    json_key(o, "states");
    json_open(o, '{');
    for (int i = 0; i < TASK_STATES; i++) {
        json_key(o, state_name((enum task_state)i));
        json_put_int(o, f->states[i]);
        over += state_final((enum task_state)i) ? f->states[i] : 0;
    }
    json_close(o, '}');
    json_key(o, "items");
    json_open(o, '{');
    json_key(o, "done");
    json_put_int(o, f->items_done);
    json_key(o, "failed");
    json_put_int(o, f->items_failed);
    json_close(o, '}');
    json_key(o, "per_s");
    json_open(o, '{');
    json_key(o, "submitted");
    json_put_num(o, seconds > 0 ? (double)f->tasks / seconds : 0);
    json_key(o, "finished");
    json_put_num(o, seconds > 0 ? (double)over / seconds : 0);
    json_close(o, '}');
    json_key(o, "failure_rate");
    json_put_num(o, over > 0 ? (double)f->states[TASK_failed] / (double)over : 0);
    put_pair(o, "run_ms", f->run_p50, f->run_p95);
    put_pair(o, "wait_ms", f->wait_p50, f->wait_p95);
}

static void put_groups(struct json_out *o, const struct task_figures *t, double seconds)
{
    json_key(o, "groups");
    json_open(o, '[');
    for (size_t i = 0; i < t->groups_n; i++) {
        json_open(o, '{');
        json_key(o, "handler");
        json_put_text(o, t->groups[i].handler);
        json_key(o, "queue");
        json_put_text(o, t->groups[i].queue);
        put_members(o, &t->groups[i], seconds);
        json_close(o, '}');
    }
    json_close(o, ']');
}

static void put_errors(struct json_out *o, const struct task_figures *t)
{
    json_key(o, "errors");
    json_open(o, '[');
    for (size_t i = 0; i < t->errors_n; i++) {
        json_open(o, '{');
        json_key(o, "code");
        json_put_text(o, t->errors[i].code);
        json_key(o, "tasks");
        json_put_int(o, t->errors[i].count);
        json_close(o, '}');
    }
    json_close(o, ']');
}

void stats_get(struct api *a, struct call *c, struct span parameter)
{
    (void)parameter;
    struct err e = ERR_INIT;
    struct asked asked;
    struct query q;
    struct task_figures t;
    fields_defaults(&asked_fields, &asked);
    if (!query_read(c, &q, &e) || !query_fields(&q, &asked_fields, &asked, &e) ||
        !store_figures(a->store, &c->arena, asked.window_s, &t, &e)) {
        answer_problem(c, &e);
        return;
    }
    double seconds = (double)(t.to_us - t.from_us) / 1e6;
    struct json_out o = json_out(&c->res.body);
    json_open(&o, '{');
    put_time(&o, "from", t.from_us);
    put_time(&o, "to", t.to_us);
    json_key(&o, "whole");
    json_put_bool(&o, t.whole);
    put_members(&o, &t.all, seconds);
    put_groups(&o, &t, seconds);
    put_errors(&o, &t);
    json_close(&o, '}');
    call_header(c, "Cache-Control", "no-cache");
    c->res.status = 200;
    call_send(c);
}
