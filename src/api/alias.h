/*
 * alias.h: work under the names of other systems (alias.def): what their bodies hold, and what is made of it.
 */
#ifndef LATHE_API_ALIAS_H
#define LATHE_API_ALIAS_H

#include "api/inside.h"

/* What a body holds is read into a struct by a table as everywhere; `write` then writes the members of a submission that
 * are made of it: items, params and so on. */
struct alias_form {
    const struct fields *fields;
    const char *
        items; /* the pointer of the field whose value becomes the items; what is wrong with them is said of it */
    bool (*write)(const void *values, struct json_out *o, struct err *e);
    const char *(*handler)(const void *values); /* NULL, or "" of it: the row's */
    bool single;                                /* one item, and the task fails with it */
};

/* alias_forms.c, alias_users.c */
extern const struct alias_form form_job, form_url, form_urls, form_seconds, form_number, form_text,
    form_either, form_user, form_users;

#endif
