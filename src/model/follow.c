#include "model/follow.h"

#include <assert.h>
#include <stddef.h>
#include <stdio.h>

#include "core/field.h"
#include "model/callback.h"

/* ---- unique ---- */

static const char *const untils[] = {"unfinished", "queued", NULL};

static const struct field unique_list[] = {
    {.name = "key",
     .type = FIELD_TEXT,
     .offset = offsetof(struct unique, key),
     .given = offsetof(struct unique, given),
     .min = 1,
     .max = LIMIT_KEY,
     .def_text = "",
     .summary = "which work it is; each handler has keys of its own"},
    {.name = "for_s",
     .type = FIELD_NUM,
     .offset = offsetof(struct unique, for_s),
     .min = 0,
     .max = LIMIT_DELAY_S,
     .summary = "seconds from its submission in which it is not queued again, also when it is over"},
    {.name = "while",
     .type = FIELD_ENUM,
     .offset = offsetof(struct unique, until),
     .words = untils,
     .summary = "while the task is unfinished; or only while it is queued, and no worker has begun it"},
};
static const struct fields unique_fields = FIELDS(unique_list, struct unique);

static bool check_unique(struct follow *f, struct err *e)
{
    if (!fields_read(&unique_fields, f->unique_json, "/unique", &f->unique, e))
        return false;
    return json_type(f->unique_json) == JSON_NULL || f->unique.given ||
           err_at(e, ERR_BAD_FIELD, "/unique/key", "unique work needs a \"key\" that says which work it is");
}

/* ---- depends_on ---- */

static bool read_need(struct span text, const char *pointer, struct need *ret, struct err *e)
{
    if (text.len > 1 && span_starts(text, "#")) {
        span_take(&text, 1);
        ret->name = text;
        return true;
    }
    return uuid_parse(text, &ret->id) ||
           err_at(e, ERR_BAD_FIELD, pointer,
                  "\"%s\" must be the id of a task, or in a batch \"#\" and the name of a row", pointer);
}

static bool check_depends_on(struct arena *a, struct follow *f, struct err *e)
{
    enum json_type type = json_type(f->depends_on_json);
    char pointer[sizeof e->pointer];
    f->needs_n = 0;
    if (type == JSON_NULL)
        return true;
    size_t n = type == JSON_LIST ? json_len(f->depends_on_json) : 0;
    if (type != JSON_LIST || n > LIMIT_NEEDS)
        return err_at(e, ERR_BAD_FIELD, "/depends_on",
                      "\"/depends_on\" must be a list of up to %u ids of tasks", LIMIT_NEEDS);
    f->needs = arena_array(a, n, sizeof *f->needs);
    for (size_t i = 0; i < n; i++) {
        const struct json *v = json_at(f->depends_on_json, i);
        snprintf(pointer, sizeof pointer, "/depends_on/%zu", i);
        if (!read_need(json_type(v) == JSON_TEXT ? json_as_text(v) : SPAN(""), pointer, &f->needs[i], e))
            return false;
    }
    f->needs_n = n;
    return true;
}

/* ---- callback ---- */

static bool check_callback(struct follow *f, struct err *e)
{
    const struct json *tasks = NULL;
    f->callback_tasks = NULL;
    if (!callback_check(f->callback_json, &tasks, e))
        return false;
    if (json_type(tasks) == JSON_NULL)
        return true;
    if (json_type(tasks) != JSON_LIST || json_len(tasks) < 1 || json_len(tasks) > LIMIT_CALLBACKS)
        return err_at(e, ERR_BAD_FIELD, "/callback/tasks",
                      "\"/callback/tasks\" must be a list of 1 to %u submissions", LIMIT_CALLBACKS);
    f->callback_tasks = tasks;
    return true;
}

bool follow_check(struct arena *a, struct follow *f, struct err *e)
{
    return check_unique(f, e) && check_depends_on(a, f, e) && check_callback(f, e);
}

/* ---- as it is kept ---- */

static void write_unique(const struct unique *u, struct json_out *o)
{
    json_key(o, "unique");
    json_open(o, '{');
    json_key(o, "key");
    json_put_str(o, u->key);
    if (u->for_s > 0) {
        json_key(o, "for_s");
        json_put_num(o, u->for_s);
    }
    json_key(o, "while");
    json_put_str(o, untils[u->until]);
    json_close(o, '}');
}

static void write_id(struct json_out *o, struct uuid id)
{
    char text[UUID_TEXT];
    uuid_format(id, text);
    json_put_str(o, text);
}

static void write_needs(const struct follow *f, struct json_out *o)
{
    json_key(o, "depends_on");
    json_open(o, '[');
    for (size_t i = 0; i < f->needs_n; i++)
        write_id(o, f->needs[i].id);
    json_close(o, ']');
    if (f->depends_if == 1) {
        json_key(o, "depends_if");
        json_put_str(o, "end");
    }
}

void follow_write(const struct follow *f, struct json_out *o)
{
    if (f->unique.given)
        write_unique(&f->unique, o);
    if (f->needs_n > 0)
        write_needs(f, o);
    if (!uuid_is_nil(f->callback_of)) {
        json_key(o, "callback_of");
        write_id(o, f->callback_of);
    }
    callback_write(o, "callback", f->callback_json);
}
