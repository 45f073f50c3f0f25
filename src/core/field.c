/* What is in a table of fields: finding one, checking and setting a value. Schema and output are in field_out.c, messages in
 * field_refuse.c. */
#include <assert.h>
#include <string.h>

#include "core/buf.h"
#include "core/field_inside.h"
#include "core/utf8.h"

static void *member(const struct field_setting *s)
{
    return (char *)s->target + s->field->offset;
}

static void put_text(const struct field *f, void *to, struct span text)
{
    assert(text.len <= (size_t)f->max);
    memset(to, 0, (size_t)f->max + 1);
    if (text.len)
        memcpy(to, text.ptr, text.len);
}

const struct field fields_any[1] = {{.name = "any"}};

static void set_default(const struct field *f, void *to)
{
    switch (f->type) {
    case FIELD_INT:
        *(int64_t *)to = f->def;
        break;
    case FIELD_NUM:
        *(double *)to = (double)f->def + f->def_part;
        break;
    case FIELD_BOOL:
        *(bool *)to = f->def != 0;
        break;
    case FIELD_TEXT:
        put_text(f, to, span_of(f->def_text));
        break;
    case FIELD_ENUM:
        *(int *)to = (int)f->def;
        break;
    case FIELD_JSON:
        *(const struct json **)to = NULL;
        break;
    }
}

void fields_defaults(const struct fields *f, void *target)
{
    if (f->list == fields_any) {
        struct fields_free *kept = target;
        kept->len = 2;
        memcpy(kept->text, "{}", 3);
        return;
    }
    memset(target, 0, f->size);
    for (size_t i = 0; i < f->count; i++)
        set_default(&f->list[i], (char *)target + f->list[i].offset);
}

static const struct field *find(const struct fields *f, struct span name)
{
    for (size_t i = 0; i < f->count; i++)
        if (name.len > 0 && *name.ptr == *f->list[i].name && span_is(name, f->list[i].name))
            return &f->list[i];
    return NULL;
}

static bool has_control(struct span text)
{
    for (size_t i = 0; i < text.len; i++)
        if ((unsigned char)text.ptr[i] < 0x20 || text.ptr[i] == 0x7f)
            return true;
    return false;
}

static bool is_utf8(struct span text)
{
    while (text.len) {
        size_t n = utf8_length(text);
        if (n == 0)
            return false;
        span_take(&text, n);
    }
    return true;
}

/* These check the range and set the member; false if the value is not allowed. */
static bool set_int(const struct field_setting *s, int64_t v)
{
    if (v < s->field->min || v > s->field->max)
        return false;
    *(int64_t *)member(s) = v;
    return true;
}

static bool set_num(const struct field_setting *s, double v)
{
    if (!(v >= (double)s->field->min && v <= (double)s->field->max))
        return false;
    *(double *)member(s) = v;
    return true;
}

static bool set_bool(const struct field_setting *s, bool v)
{
    *(bool *)member(s) = v;
    return true;
}

/* Of a text that is UTF-8. */
static bool set_text(const struct field_setting *s, struct span v)
{
    if ((int64_t)v.len < s->field->min || (int64_t)v.len > s->field->max || has_control(v))
        return false;
    put_text(s->field, member(s), v);
    return true;
}

static bool set_word(const struct field_setting *s, struct span v)
{
    for (int i = 0; s->field->words[i]; i++)
        if (span_is(v, s->field->words[i])) {
            *(int *)member(s) = i;
            return true;
        }
    return false;
}

static bool set_json(const struct field_setting *s, const struct json *v)
{
    *(const struct json **)member(s) = v;
    return true;
}

static void mark_given(const struct field_setting *s)
{
    if (s->field->given)
        *(bool *)((char *)s->target + s->field->given) = true;
}

static bool set_value(const struct field_setting *s, const struct json *v)
{
    enum json_type type = json_type(v);
    bool good = false;
    switch (s->field->type) {
    case FIELD_INT:
        good = type == JSON_INT && set_int(s, json_as_int(v));
        break;
    case FIELD_NUM:
        good = (type == JSON_INT || type == JSON_NUM) && set_num(s, json_as_num(v));
        break;
    case FIELD_BOOL:
        good = type == JSON_BOOL && set_bool(s, json_as_bool(v));
        break;
    case FIELD_TEXT:
        good = type == JSON_TEXT && set_text(s, json_as_text(v)); /* what json_read has read is UTF-8 */
        break;
    case FIELD_ENUM:
        good = type == JSON_TEXT && set_word(s, json_as_text(v));
        break;
    case FIELD_JSON:
        good = set_json(s, v);
        break;
    }
    if (!good)
        return field_refuse_value(s, v);
    mark_given(s);
    return true;
}

struct reading {
    const struct fields *fields;
    const char *at;
    void *target;
    struct err *e;
};

static bool read_member(struct span key, const struct json *value, void *arg)
{
    const struct reading *r = arg;
    const struct field *f = find(r->fields, key);
    if (!f)
        return field_refuse_name(r->fields, key, r->at, r->e);
    return set_value(&(struct field_setting){f, r->at, key, r->target, r->e}, value);
}

bool fields_read(const struct fields *f, const struct json *object, const char *at, void *target,
                 struct err *e)
{
    fields_defaults(f, target);
    return fields_update(f, object, at, target, e);
}

static bool keep_text(const struct json *object, const char *at, struct fields_free *kept, struct err *e)
{
    struct buf text CLEANUP(buf_release) = BUF_INIT(sizeof kept->text);
    json_emit(&text, object);
    if (text.failed)
        return err_at(e, ERR_BAD_FIELD, at, "\"%s\" must be an object of at most %zu bytes", at,
                      sizeof kept->text);
    memcpy(kept->text, text.ptr, text.len);
    kept->len = (int64_t)text.len;
    return true;
}

bool fields_update(const struct fields *f, const struct json *object, const char *at, void *target,
                   struct err *e)
{
    enum json_type type = json_type(object);
    if (type == JSON_NULL)
        return true;
    if (type != JSON_OBJECT)
        return err_at(e, ERR_BAD_FIELD, at, "%s%s%s must be an object, not %s", *at ? "\"" : "",
                      *at ? at : "the body", *at ? "\"" : "", json_type_name(type));
    if (f->list == fields_any)
        return keep_text(object, at, target, e);
    struct reading r = {f, at, target, e};
    return json_each(object, read_member, &r);
}

/* As set_value, of a value of which there is no tree; what it refuses is for that to explain. */
static bool set_plain(struct span key, enum json_type type, struct span value, void *arg)
{
    const struct reading *r = arg;
    const struct field *f = find(r->fields, key);
    const struct field_setting s = {f, r->at, key, r->target, r->e};
    int64_t integer = 0;
    double number = 0;
    bool good = false;
    if (!f)
        return false;
    switch (f->type) {
    case FIELD_INT:
        good = type == JSON_INT && span_to_int(value, &integer) && set_int(&s, integer);
        break;
    case FIELD_NUM:
        good = (type == JSON_INT && span_to_int(value, &integer) && set_num(&s, (double)integer)) ||
               (type == JSON_NUM && span_to_num(value, &number) && set_num(&s, number));
        break;
    case FIELD_BOOL:
        good = type == JSON_BOOL && set_bool(&s, *value.ptr == 't');
        break;
    case FIELD_TEXT:
        good = type == JSON_TEXT && set_text(&s, value);
        break;
    case FIELD_ENUM:
        good = type == JSON_TEXT && set_word(&s, value);
        break;
    case FIELD_JSON:
        break; /* it would be a tree */
    }
    if (good)
        mark_given(&s);
    return good;
}

bool fields_read_text(const struct fields *f, struct arena *a, struct span text, void *target, struct err *e)
{
    struct reading r = {f, "", target, NULL};
    const struct json *object;
    if (f->list != fields_any) {
        fields_defaults(f, target);
        if (json_plain(text, set_plain, &r))
            return true;
    }
    if (!json_read(a, text, &object, e))
        return false;
    if (json_type(object) != JSON_OBJECT)
        return err_set(e, ERR_BAD_FIELD, "an item must be an object, not %s",
                       json_type_name(json_type(object)));
    return fields_read(f, object, "", target, e);
}

static bool set_from_text(const struct field_setting *s, struct span text)
{
    int64_t integer;
    double number;
    switch (s->field->type) {
    case FIELD_INT:
        return span_to_int(text, &integer) && set_int(s, integer);
    case FIELD_NUM:
        return span_to_num(text, &number) && set_num(s, number);
    case FIELD_BOOL:
        if (span_is(text, "true") || span_is(text, "1"))
            return set_bool(s, true);
        return (span_is(text, "false") || span_is(text, "0")) && set_bool(s, false);
    case FIELD_TEXT:
        return is_utf8(text) && set_text(s, text);
    case FIELD_ENUM:
        return set_word(s, text);
    case FIELD_JSON:
        break;
    }
    return false;
}

bool fields_set(const struct fields *f, struct span name, struct span text, void *target, struct err *e)
{
    const struct field *found = find(f, name);
    if (f->list == fields_any)
        return err_at(e, ERR_BAD_FIELD, field_pointer_to(NULL, name).text,
                      "these can only be given in a JSON body, all of them together");
    if (!found)
        return field_refuse_name(f, name, NULL, e);
    struct field_setting s = {found, NULL, name, target, e};
    if (found->type == FIELD_JSON) {
        struct field_pointer p = field_pointer_to(NULL, name);
        return err_at(e, ERR_BAD_FIELD, p.text, "\"%s\" can only be given in a JSON body", p.text);
    }
    if (!set_from_text(&s, text))
        return field_refuse_text(&s, text);
    mark_given(&s);
    return true;
}
