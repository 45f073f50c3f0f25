/* A table of fields, and a struct that it describes, as JSON. */
#include <string.h>

#include "core/field.h"

static void put_range(const struct field *f, struct json_out *o, const char *type, const char *low,
                      const char *high)
{
    json_put_str(o, type);
    json_key(o, low);
    json_put_int(o, f->min);
    json_key(o, high);
    json_put_int(o, f->max);
}

static void put_words(const struct field *f, struct json_out *o)
{
    json_put_str(o, "string");
    json_key(o, "enum");
    json_open(o, '[');
    for (size_t i = 0; f->words[i]; i++)
        json_put_str(o, f->words[i]);
    json_close(o, ']');
}

static void put_type(const struct field *f, struct json_out *o)
{
    if (f->type == FIELD_JSON)
        return;
    json_key(o, "type");
    switch (f->type) {
    case FIELD_INT:
        put_range(f, o, "integer", "minimum", "maximum");
        break;
    case FIELD_NUM:
        put_range(f, o, "number", "minimum", "maximum");
        break;
    case FIELD_BOOL:
        json_put_str(o, "boolean");
        break;
    case FIELD_TEXT:
        put_range(f, o, "string", "minLength", "maxLength");
        break;
    case FIELD_ENUM:
        put_words(f, o);
        break;
    case FIELD_JSON:
        break;
    }
}

static void put_default(const struct field *f, struct json_out *o)
{
    if (f->type == FIELD_JSON)
        return;
    json_key(o, "default");
    switch (f->type) {
    case FIELD_INT:
        json_put_int(o, f->def);
        break;
    case FIELD_NUM:
        json_put_num(o, (double)f->def + f->def_part);
        break;
    case FIELD_BOOL:
        json_put_bool(o, f->def != 0);
        break;
    case FIELD_TEXT:
        json_put_str(o, f->def_text ? f->def_text : "");
        break;
    case FIELD_ENUM:
        json_put_str(o, f->words[f->def]);
        break;
    case FIELD_JSON:
        break;
    }
}

static void put_property(const struct field *f, struct json_out *o)
{
    json_key(o, f->name);
    json_open(o, '{');
    put_type(f, o);
    put_default(f, o);
    if (f->summary) {
        json_key(o, "description");
        json_put_str(o, f->summary);
    }
    json_close(o, '}');
}

void fields_schema(const struct fields *f, struct json_out *o)
{
    json_open(o, '{');
    json_key(o, "type");
    json_put_str(o, "object");
    json_key(o, "additionalProperties");
    json_put_bool(o, f->list == fields_any);
    json_key(o, "properties");
    json_open(o, '{');
    for (size_t i = 0; i < f->count; i++)
        put_property(&f->list[i], o);
    json_close(o, '}');
    json_close(o, '}');
}

static void put_member(const struct field *f, const void *from, struct json_out *o)
{
    switch (f->type) {
    case FIELD_INT:
        json_put_int(o, *(const int64_t *)from);
        break;
    case FIELD_NUM:
        json_put_num(o, *(const double *)from);
        break;
    case FIELD_BOOL:
        json_put_bool(o, *(const bool *)from);
        break;
    case FIELD_TEXT:
        json_put_str(o, from);
        break;
    case FIELD_ENUM:
        json_put_str(o, f->words[*(const int *)from]);
        break;
    case FIELD_JSON:
        json_put_value(o, *(const struct json *const *)from);
        break;
    }
}

void fields_write(const struct fields *f, const void *target, struct json_out *o)
{
    if (f->list == fields_any) {
        const struct fields_free *kept = target;
        json_put_raw(o, (struct span){kept->text, (size_t)kept->len});
        return;
    }
    json_open(o, '{');
    for (size_t i = 0; i < f->count; i++) {
        json_key(o, f->list[i].name);
        put_member(&f->list[i], (const char *)target + f->list[i].offset, o);
    }
    json_close(o, '}');
}
