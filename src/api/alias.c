/*
 * Work under the names of other systems: alias.def. Their clients look at a few words of an answer, so it is brief: id, status,
 * progress, result and error.
 */
#include "api/alias.h"

#include <stdio.h>

#include "api/prefer.h"
#include "core/utf8.h"
#include "handlers/registry.h"
#include "model/strategy.h"

static const struct alias {
    const char *path, *handler;
    const struct strategy *strategy;
    const struct alias_form *form;
} aliases[] = {
#define ROUTE(...)
#define ALIAS(p, h, s, f, text) {.path = (p), .handler = (h), .strategy = &strategy_##s, .form = &form_##f},
#include "api/alias.def"
#undef ALIAS
#undef ROUTE
};

/* ---- the brief document */

/* What a line of the results has as its result; null for a failed item. */
static void put_result(struct call *c, struct span line, struct json_out *o)
{
    const struct json *v;
    if (json_read(&c->arena, line, &v, NULL) && json_type(v) == JSON_OBJECT)
        json_put_value(o, json_member(v, "result"));
    else
        json_put_null(o);
}

/* One item: its result; several: a list of the first ones. */
static void put_results(struct call *c, const struct task *t, struct json_out *o)
{
    struct span lines = t->results;
    json_key(o, "result");
    if (t->items_total == 1 || lines.len == 0) {
        put_result(c, span_cut(&lines, '\n'), o);
        return;
    }
    json_open(o, '[');
    while (lines.len > 0) {
        struct span line = span_cut(&lines, '\n');
        if (line.len > 0)
            put_result(c, line, o);
    }
    json_close(o, ']');
}

static void put_brief(struct call *c, const struct task *t, struct json_out *o)
{
    char id[UUID_TEXT];
    uuid_format(t->id, id);
    json_open(o, '{');
    json_key(o, "id");
    json_put_str(o, id);
    json_key(o, "task_id"); /* under this name most of them look for it */
    json_put_str(o, id);
    json_key(o, "status");
    json_put_str(o, state_name(t->state));
    json_key(o, "progress");
    json_put_num(o, t->progress);
    put_results(c, t, o);
    json_key(o, "error");
    json_put_str(o, t->err.code != ERR_NONE ? t->err.text : NULL);
    json_close(o, '}');
}

static void answer_brief(struct parked *p, bool store_ok)
{
    struct call *c = p->call;
    struct json_out o = json_out(&c->res.body);
    (void)store_ok;
    put_brief(c, &p->task, &o);
    if (state_final(p->task.state))
        c->res.status = 200;
    else
        accepted(c, p->task.id);
    call_send(c);
}

/* ---- submitting */

static const struct alias *alias_of(const char *path)
{
    const struct alias *row = aliases;
    while (strcmp(row->path, path) != 0) /* the router took it from the same table */
        row++;
    return row;
}

/* As text that is read again: a submission has one way in. */
static bool write_body(struct call *c, const struct alias *row, const void *values, const struct json **ret,
                       struct err *e)
{
    const struct alias_form *f = row->form;
    const char *named = f->handler ? f->handler(values) : "";
    struct buf b CLEANUP(buf_release) = BUF_INIT(LIMIT_BODY);
    struct json_out o = json_out(&b);
    json_open(&o, '{');
    json_key(&o, "handler");
    json_put_str(&o, named[0] ? named : row->handler);
    if (f->single) {
        json_key(&o, "on_item_error");
        json_put_str(&o, "fail");
    }
    if (!f->write(values, &o, e))
        return false;
    json_close(&o, '}');
    if (b.failed)
        return err_set(e, ERR_TOO_LARGE, "the body is larger than %u bytes", LIMIT_BODY);
    return json_read(&c->arena, arena_copy(&c->arena, buf_view(&b)), ret, e);
}

/* "/items/3" is what the caller called /urls/3. */
static void rename_items(const struct alias_form *f, struct err *e)
{
    char rest[sizeof e->pointer];
    if (!span_starts(span_of(e->pointer), "/items"))
        return;
    snprintf(rest, sizeof rest, "%s", f->single ? "" : e->pointer + strlen("/items"));
    snprintf(e->pointer, sizeof e->pointer, "%s%.40s", f->items, rest);
}

static bool read_alias(struct api *a, struct call *c, const struct alias *row, struct submission *ret,
                       struct err *e)
{
    const struct json *body;
    struct query q;
    void *values = arena_alloc(&c->arena, row->form->fields->size);
    if (!body_read(c, NULL, &body, e) || !query_read(c, &q, e) ||
        !fields_read(row->form->fields, body, "", values, e) ||
        !query_fields(&q, row->form->fields, values, e) || !write_body(c, row, values, &body, e))
        return false;
    if (submission_read(&c->arena, row->strategy, body, SPAN(""), handler_find, ret, e) &&
        queues_known(a->conf, ret, e))
        return true;
    rename_items(row->form, e);
    return false;
}

static void begin(struct api *a, struct call *c, const struct submission *s)
{
    int64_t wait = s->strategy->kind == STRATEGY_QUEUED ? 0 : conf_now(&a->conf->api_wait);
    put_and_wait(a, c, s, wait, NULL, answer_brief, NULL);
}

void alias_run(struct api *a, struct call *c, struct span parameter)
{
    struct err e = ERR_INIT;
    struct submission *s = arena_alloc(&c->arena, sizeof *s);
    (void)parameter;
    if (read_alias(a, c, alias_of(c->route), s, &e))
        begin(a, c, s);
    else
        answer_problem(c, &e);
}

/* ---- GET /{word} */

/* What browsers, crawlers and people ask for that know other services. They are not words here, so that asking for a page
 * that is not there begins no work; nor is anything with other characters than letters. */
static const char *const no_words[] = {
    "admin",  "api",     "app",       "assets",  "celery",  "console", "cpu",     "db",     "docs",
    "events", "fastapi", "favicon",   "help",    "home",    "hybrid",  "index",   "info",   "io",
    "jobs",   "live",    "login",     "logout",  "openapi", "ping",    "process", "queues", "ready",
    "redoc",  "robots",  "schedules", "server",  "sitemap", "static",  "stats",   "status", "swagger",
    "tasks",  "test",    "ui",        "version", "web",     "workers"};

/* ASCII letters, and whatever is not ASCII. */
static bool is_word(struct span s)
{
    size_t n;
    if (s.len > LIMIT_NAME)
        return false;
    for (struct span rest = s; rest.len > 0; span_take(&rest, n)) {
        char low = (char)(rest.ptr[0] | 0x20);
        n = utf8_length(rest);
        if (n == 0 || (n == 1 && (low < 'a' || low > 'z')))
            return false;
    }
    for (size_t i = 0; i < COUNT_OF(no_words); i++)
        if (span_eq_nocase(s, no_words[i]))
            return false;
    return true;
}

static bool read_word(struct api *a, struct call *c, struct span word, struct submission *s, struct err *e)
{
    struct buf b CLEANUP(buf_release) = BUF_INIT(LIMIT_PARAMS);
    struct json_out o = json_out(&b);
    const struct json *body;
    if (!is_word(word))
        return err_set(e, ERR_NO_ROUTE, "there is nothing at this path, and it is no word: letters only");
    json_open(&o, '{');
    json_key(&o, "handler");
    json_put_str(&o, "word");
    json_key(&o, "items");
    json_open(&o, '[');
    json_put_text(&o, word);
    json_close(&o, ']');
    json_close(&o, '}');
    return query_none(c, e) && json_read(&c->arena, arena_copy(&c->arena, buf_view(&b)), &body, e) &&
           submission_read(&c->arena, &strategy_background, body, SPAN(""), handler_find, s, e) &&
           queues_known(a->conf, s, e);
}

void word_begin(struct api *a, struct call *c, struct span parameter)
{
    struct err e = ERR_INIT;
    struct submission *s = arena_alloc(&c->arena, sizeof *s);
    if (read_word(a, c, parameter, s, &e))
        begin(a, c, s);
    else
        answer_problem(c, &e);
}

/* ---- looking */

void brief_get(struct api *a, struct call *c, struct span parameter)
{
    struct err e = ERR_INIT;
    struct uuid id;
    struct task t;
    if (!id_of(parameter, &id, &e) || !query_none(c, &e) || !queue_get(a->queue, &c->arena, id, &t, &e)) {
        answer_problem(c, &e);
        return;
    }
    struct json_out o = json_out(&c->res.body);
    put_brief(c, &t, &o);
    answer_tagged(c);
}

void brief_cancel(struct api *a, struct call *c, struct span parameter)
{
    struct err e = ERR_INIT;
    struct uuid id;
    struct parked p = {.api = a, .call = c};
    if (!id_of(parameter, &id, &e) || !query_none(c, &e) ||
        !queue_cancel(a->queue, &c->arena, id, &p.task, &e))
        answer_problem(c, &e);
    else
        answer_brief(&p, true);
}

/* Workers process what was created; whoever asks for it waits for that. */
struct processing {
    char job_id[UUID_TEXT];
};

static const struct field process_list[] = {
    {.name = "job_id",
     .type = FIELD_TEXT,
     .offset = offsetof(struct processing, job_id),
     .max = UUID_TEXT - 1,
     .def_text = "",
     .summary = "id of a task"},
};
static const struct fields process_fields = FIELDS(process_list, struct processing);

void job_process(struct api *a, struct call *c, struct span parameter)
{
    struct err e = ERR_INIT;
    const struct json *body;
    struct processing values;
    struct uuid id;
    struct parked *p = arena_alloc(&c->arena, sizeof *p);
    (void)parameter;
    *p = (struct parked){.api = a, .call = c, .answer = answer_brief, .waited = true};
    bool ok = query_none(c, &e) && body_read(c, NULL, &body, &e) &&
              fields_read(&process_fields, body, "", &values, &e);
    if (ok && !uuid_parse(span_of(values.job_id), &id))
        ok = err_at(&e, ERR_BAD_FIELD, "/job_id", "\"/job_id\" must be the id of a task, a UUID");
    if (!ok || !queue_get(a->queue, &c->arena, id, &p->task, &e)) {
        answer_problem(c, &e);
        return;
    }
    int64_t most = conf_now(&a->conf->api_wait);
    struct prefer prefer = preferred(c, most);
    if (state_final(p->task.state))
        answer_brief(p, true);
    else
        park(p, prefer_wait_ms(&prefer, most));
}
