/*
 * list.h: which tasks: the filters of a list, which also tell what to run again.
 */
#ifndef LATHE_API_LIST_H
#define LATHE_API_LIST_H

#include "api/inside.h"

enum { PAGE_MOST = 500, PAGE_USUAL = 50 };

struct list_query {
    char handler[LIMIT_NAME + 1], strategy[LIMIT_NAME + 1], queue[LIMIT_NAME + 1], state[16], error[33];
    char since[40], until[40], parent[UUID_TEXT];
    int64_t limit;
    char cursor[64];
};

#define LIST_TEXT(type_, at, field, summary_text)                                                        \
    {                                                                                                    \
        .name = #field, .type = FIELD_TEXT, .offset = offsetof(type_, at field),                         \
        .max = sizeof(((struct list_query *)NULL)->field) - 1, .def_text = "", .summary = (summary_text) \
    }

/* The rows of a table of fields, of a struct `type_` that has a list_query at `at` ("list.", or nothing). */
#define LIST_FIELDS(type_, at)                                                                \
    LIST_TEXT(type_, at, handler, "only of this handler"),                                    \
        LIST_TEXT(type_, at, strategy, "only under this strategy, or compare"),               \
        LIST_TEXT(type_, at, queue, "only of this queue"),                                    \
        LIST_TEXT(type_, at, state, "only in this state"),                                    \
        LIST_TEXT(type_, at, error, "only failed ones with this error: the end of its type"), \
        LIST_TEXT(type_, at, since, "only created at or after this time, RFC 3339"),          \
        LIST_TEXT(type_, at, until, "only created before this time, RFC 3339"),               \
        LIST_TEXT(type_, at, parent, "only children of this task"),                           \
        {.name = "limit",                                                                     \
         .type = FIELD_INT,                                                                   \
         .offset = offsetof(type_, at limit),                                                 \
         .min = 1,                                                                            \
         .max = PAGE_MOST,                                                                    \
         .def = PAGE_USUAL,                                                                   \
         .summary = "tasks in a page"},                                                       \
        LIST_TEXT(type_, at, cursor, "next_cursor of the page before")

/* limit is as asked for. *ret_filters: what a cursor is bound to; in the call's arena. */
bool list_filter(struct call *c, const struct list_query *l, struct task_filter *ret,
                 struct span *ret_filters, struct err *e) LATHE_CHECK;

#endif
