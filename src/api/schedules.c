/* Schedules: tasks that come by the clock. */
#include "api/schedule.h"

#include <stdio.h>

#include "api/inside.h"
#include "core/when.h"
#include "handlers/registry.h"

/* ---- the document ---- */

struct document {
    char name[LIMIT_NAME + 1], cron[CRON_TEXT + 1], run_at[TERMS_TIME + 1], timezone[ZONE_NAME + 1];
    int64_t every_s;
    int missed;
    bool paused;
    const struct json *task;
};

#define AT(member) .offset = offsetof(struct document, member)

static const struct field document_fields[] = {
    {.name = "name",
     .type = FIELD_TEXT,
     AT(name),
     .min = 0,
     .max = LIMIT_NAME,
     .def_text = "",
     .summary = "which it is; letters, digits, '.', '_' and '-'"},
    {.name = "cron",
     .type = FIELD_TEXT,
     AT(cron),
     .max = CRON_TEXT,
     .def_text = "",
     .summary = "minute hour day-of-month month day-of-week, or @hourly and the like"},
    {.name = "every_s",
     .type = FIELD_INT,
     AT(every_s),
     .min = 0,
     .max = LIMIT_EVERY_S,
     .summary = "instead of cron: each so many seconds, counted from 1970"},
    {.name = "run_at",
     .type = FIELD_TEXT,
     AT(run_at),
     .max = TERMS_TIME,
     .def_text = "",
     .summary = "instead of cron: once, at this time"},
    {.name = "timezone",
     .type = FIELD_TEXT,
     AT(timezone),
     .min = 1,
     .max = ZONE_NAME,
     .def_text = "UTC",
     .summary = "whose clock cron goes by: UTC, +01:00, Europe/Berlin"},
    {.name = "missed",
     .type = FIELD_ENUM,
     AT(missed),
     .def = MISSED_ONCE,
     .words = missed_names,
     .summary = "what becomes of times at which no worker was there"},
    {.name = "paused", .type = FIELD_BOOL, AT(paused), .summary = "it is there, but does not fire"},
    {.name = "task", .type = FIELD_JSON, AT(task), .summary = "object: a submission, and its strategy"},
};
static const struct fields document_table = FIELDS(document_fields, struct document);

bool schedule_named(struct span name, struct err *e)
{
    return span_is_name(name) ||
           err_set(e, ERR_NO_SCHEDULE, "the name of a schedule has 1 to %u letters, digits, '.', '_' and '-'",
                   LIMIT_NAME);
}

static bool check_name(struct span name, struct err *e)
{
    return span_is_name(name) ||
           err_at(e, ERR_BAD_FIELD, "/name", "\"/name\" must be 1 to %u letters, digits, '.', '_' and '-'",
                  LIMIT_NAME);
}

static bool put_member(struct span key, const struct json *value, void *arg)
{
    if (span_is(key, "strategy"))
        return true;
    json_key_span(arg, key);
    json_put_value(arg, value);
    return true;
}

/* The submission is checked as if it were submitted now, and kept without its strategy. */
static bool read_task(struct arena *a, const struct conf *conf, const struct json *task, struct schedule *s,
                      struct err *e)
{
    struct buf b CLEANUP(buf_release) = BUF_INIT(LIMIT_SCHEDULE);
    struct json_out o = json_out(&b);
    struct submission *submission = arena_alloc(a, sizeof *submission);
    const struct json *name, *body;
    struct err why = ERR_INIT;
    if (json_type(task) != JSON_OBJECT)
        return err_at(e, ERR_BAD_FIELD, "/task",
                      "\"/task\" must be an object: a submission, and its strategy");
    name = json_member(task, "strategy");
    const struct strategy *strategy = json_type(name) == JSON_TEXT ? strategy_find(json_as_text(name)) : NULL;
    if (strategy == NULL)
        return err_at(e, ERR_BAD_FIELD, "/task/strategy",
                      "\"/task/strategy\" must be the name of a strategy; see /api/v1/strategies");
    json_open(&o, '{');
    json_each(task, put_member, &o);
    json_close(&o, '}');
    if (b.failed)
        return err_at(e, ERR_TOO_LARGE, "/task", "the task has more than %u bytes", LIMIT_SCHEDULE);
    s->strategy = span_of(strategy->name);
    s->body = arena_copy(a, buf_view(&b));
    if (json_read(a, s->body, &body, &why) &&
        submission_read(a, strategy, body, SPAN(""), handler_find, submission, &why) &&
        (conf == NULL || queues_known(conf, submission, &why)))
        return true;
    return err_at(e, why.code, arena_printf(a, "/task%s", why.pointer), "%s", why.text);
}

bool schedule_read(struct arena *a, const struct conf *conf, const struct json *body, struct schedule *ret,
                   struct err *e)
{
    struct document *d = arena_alloc(a, sizeof *d);
    struct schedule_clock clock;
    if (!fields_read(&document_table, body, "", d, e) || !check_name(span_of(d->name), e))
        return false;
    struct schedule s = {
        .name = span_of(d->name),
        .cron = span_of(d->cron),
        .timezone = span_of(d->timezone),
        .every_s = d->every_s,
        .missed = d->missed,
        .paused = d->paused,
    };
    if (d->run_at[0] != '\0' && !when_read(span_of(d->run_at), &s.run_at_us))
        return err_at(e, ERR_BAD_FIELD, "/run_at",
                      "\"/run_at\" must be a time as in 2026-11-21T03:14:05Z, not \"%s\"", d->run_at);
    if (!schedule_clock(a, &s, &clock, e) || !read_task(a, conf, d->task, &s, e))
        return false;
    *ret = s;
    return true;
}

/* ---- the routes ---- */

static void answer_schedule(struct call *c, const struct schedule *s, int status)
{
    struct json_out o = json_out(&c->res.body);
    schedule_write(s, &o);
    call_header(c, "Cache-Control", "no-cache");
    c->res.status = status;
    call_send(c);
}

void schedule_put(struct api *a, struct call *c, struct span parameter)
{
    (void)parameter;
    struct err e = ERR_INIT;
    struct schedule s;
    const struct json *body;
    bool is_new;
    if (!query_none(c, &e) || !body_read(c, NULL, &body, &e) ||
        !schedule_read(&c->arena, a->conf, body, &s, &e) ||
        !store_put_schedule(a->store, &c->arena, &s, &s, &is_new, &e)) {
        answer_problem(c, &e);
        return;
    }
    if (is_new)
        call_header(c, "Location", "/api/v1/schedules/" SPAN_FMT, SPAN_ARG(s.name));
    answer_schedule(c, &s, is_new ? 201 : 200);
}

void schedule_get(struct api *a, struct call *c, struct span parameter)
{
    struct err e = ERR_INIT;
    struct schedule s;
    if (!query_none(c, &e) || !schedule_named(parameter, &e) ||
        !store_get_schedule(a->store, &c->arena, parameter, &s, &e))
        answer_problem(c, &e);
    else
        answer_schedule(c, &s, 200);
}

static void set_paused(struct api *a, struct call *c, struct span name, bool paused)
{
    struct err e = ERR_INIT;
    struct schedule s;
    if (!query_none(c, &e) || !schedule_named(name, &e) ||
        !store_pause_schedule(a->store, &c->arena, name, paused, &s, &e))
        answer_problem(c, &e);
    else
        answer_schedule(c, &s, 200);
}

void schedule_pause(struct api *a, struct call *c, struct span parameter)
{
    set_paused(a, c, parameter, true);
}

void schedule_resume(struct api *a, struct call *c, struct span parameter)
{
    set_paused(a, c, parameter, false);
}

void schedule_delete(struct api *a, struct call *c, struct span parameter)
{
    struct err e = ERR_INIT;
    if (!query_none(c, &e) || !schedule_named(parameter, &e) ||
        !store_drop_schedule(a->store, parameter, &e)) {
        answer_problem(c, &e);
        return;
    }
    c->res.status = 204;
    call_send(c);
}

struct list_query {
    int64_t limit;
    char after[LIMIT_NAME + 1];
};

static const struct field list_fields[] = {
    {.name = "limit",
     .type = FIELD_INT,
     .offset = offsetof(struct list_query, limit),
     .min = 1,
     .max = LIMIT_SCHEDULES_PAGE,
     .def = 100,
     .summary = "schedules in a page"},
    {.name = "after",
     .type = FIELD_TEXT,
     .offset = offsetof(struct list_query, after),
     .max = LIMIT_NAME,
     .def_text = "",
     .summary = "only behind this name: next_after of the page before"},
};
static const struct fields list_table = FIELDS(list_fields, struct list_query);

void schedules_list(struct api *a, struct call *c, struct span parameter)
{
    (void)parameter;
    struct err e = ERR_INIT;
    struct query q;
    struct list_query l;
    struct schedule *list;
    size_t n;
    fields_defaults(&list_table, &l);
    if (!query_read(c, &q, &e) || !query_fields(&q, &list_table, &l, &e) ||
        !store_list_schedules(a->store, &c->arena, span_of(l.after), (int)l.limit + 1, &list, &n, &e)) {
        answer_problem(c, &e);
        return;
    }
    bool more = n > (size_t)l.limit;
    n -= more;
    struct json_out o = json_out(&c->res.body);
    json_open(&o, '{');
    json_key(&o, "schedules");
    json_open(&o, '[');
    for (size_t i = 0; i < n; i++)
        schedule_write(&list[i], &o);
    json_close(&o, ']');
    json_key(&o, "next_after");
    if (more)
        json_put_text(&o, list[n - 1].name);
    else
        json_put_null(&o);
    json_close(&o, '}');
    c->res.status = 200;
    call_send(c);
}
