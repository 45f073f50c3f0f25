/*
 * callback.h: who is told of the end of a task (docs/webhooks.md). Kept in terms->'callback', where lathe_call
 * (sql/006_hooks.sql) finds it. The same field of a submission may hold tasks that follow: those are follow.h's.
 */
#ifndef LATHE_MODEL_CALLBACK_H
#define LATHE_MODEL_CALLBACK_H

#include "core/json.h"

/* The value of the submission's field, NULL or JSON_NULL: none. *ret_tasks: its tasks as they were given, unchecked; NULL:
 * none. Errors name the pointer under /callback. */
bool callback_check(const struct json *v, const struct json **ret_tasks, struct err *e) LATHE_CHECK;

/* Its object as it is kept, every field with the value in force; it has passed the check. Nothing where there is no URL. */
void callback_write(struct json_out *o, const char *key, const struct json *v);

#endif
