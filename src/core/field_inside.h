/* field_inside.h: between field.c, which finds, checks and sets, and field_refuse.c, which says what was wrong. */
#ifndef LATHE_CORE_FIELD_INSIDE_H
#define LATHE_CORE_FIELD_INSIDE_H

#include "core/field.h"

/* A field that is being set. */
struct field_setting {
    const struct field *field;
    const char *at;   /* the JSON pointer of its object; NULL: it is the parameter of a query, or an option */
    struct span name; /* as it was given */
    void *target;
    struct err *e;
};

/* What messages call a field. */
struct field_pointer {
    char text[sizeof((struct err *)0)->pointer];
};

/* at + "/" + the name with ~ and / escaped (RFC 6901), or the bare name; cut to its size. Only for messages: it takes its time. */
struct field_pointer field_pointer_to(const char *at, struct span name);

/* All return false: *e names the field, what it allows, and what was found. */
bool field_refuse_text(const struct field_setting *s, struct span text);
bool field_refuse_value(const struct field_setting *s, const struct json *v);
bool field_refuse_name(const struct fields *f, struct span name, const char *at, struct err *e);

#endif
