/* Templates against paths. */
#include <stdio.h>
#include <string.h>

#include "api/router.h"

static const char *const method_names[] = {
    [METHOD_GET] = "GET",       [METHOD_HEAD] = "HEAD",       [METHOD_POST] = "POST",   [METHOD_PUT] = "PUT",
    [METHOD_DELETE] = "DELETE", [METHOD_OPTIONS] = "OPTIONS", [METHOD_OTHER] = "OTHER",
};

const char *method_name(enum method m)
{
    return method_names[m];
}

/*
 * How literally the template takes the path: 0 if not at all, else a bit a segment from the left, 1 for a literal one, so
 * that of two templates that fit the larger number is the one to use.
 */
static unsigned fit(const char *template, struct span path, struct span *ret_parameter)
{
    unsigned score = 1;
    struct span parameter = {NULL, 0};
    const char *t = template, *p = path.ptr, *end = p + path.len;
    while (*t == '/') {
        if (p == end || *p != '/')
            return 0;
        t++;
        const char *first = ++p;
        bool literal = *t != '{';
        for (; literal && *t && *t != '/'; t++, p++)
            if (p == end || *p != *t)
                return 0;
        for (; !literal && p < end && *p != '/'; p++)
            ;
        if (p == first || (p < end && *p != '/'))
            return 0;
        for (; !literal && *t && *t != '/'; t++)
            ;
        if (!literal)
            parameter = (struct span){first, (size_t)(p - first)};
        score = score << 1 | literal;
    }
    if (p != end)
        return 0;
    *ret_parameter = parameter;
    return score;
}

static unsigned methods_of(const struct route *r)
{
    unsigned bits = 1u << r->method | 1u << METHOD_OPTIONS;
    return r->method == METHOD_GET && !(r->flags & ROUTE_EFFECTS) ? bits | 1u << METHOD_HEAD : bits;
}

struct route_match route_match(const struct route *table, size_t count, enum method method, struct span path)
{
    struct route_match m = {.route = NULL};
    enum method wanted = method == METHOD_HEAD ? METHOD_GET : method;
    unsigned best = 0;
    for (size_t i = 0; i < count; i++) {
        struct span parameter;
        unsigned score = fit(table[i].path, path, &parameter);
        if (score == 0 || score < best)
            continue;
        if (score > best)
            m = (struct route_match){.path = table[i].path, .parameter = parameter};
        best = score;
        m.allowed |= methods_of(&table[i]);
        if (table[i].method == wanted && methods_of(&table[i]) & 1u << method)
            m.route = &table[i];
    }
    return m;
}

void allow_format(unsigned allowed, char text[ALLOW_TEXT])
{
    size_t used = 0;
    text[0] = '\0';
    for (enum method m = METHOD_GET; m < METHOD_OTHER; m++)
        if (allowed & 1u << m)
            used +=
                (size_t)snprintf(text + used, ALLOW_TEXT - used, "%s%s", used ? ", " : "", method_names[m]);
}
