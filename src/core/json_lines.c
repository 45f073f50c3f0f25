/* A long list on its way from one text to another, without a tree between. */
#include "core/json_lines.h"

#include <string.h>

/* The text is well-formed, so that there is an end to everything that begins. */
static const char *skip_blanks(const char *p, const char *end)
{
    while (p < end && char_is_space(*p))
        p++;
    return p;
}

/* From a quote to behind the one that closes it. */
static const char *skip_string(const char *p)
{
    for (p++; *p != '"'; p++)
        p += *p == '\\';
    return p + 1;
}

static const char *skip_value(const char *p, const char *end)
{
    for (int depth = 0; p < end;) {
        char c = *p;
        if (c == '"') {
            p = skip_string(p);
        } else if (depth == 0 && (c == ',' || c == '}' || c == ']' || char_is_space(c))) {
            return p; /* behind a number or a word */
        } else {
            depth += c == '{' || c == '[';
            depth -= c == '}' || c == ']';
            p++;
        }
        if (depth == 0 && (p[-1] == '"' || p[-1] == '}' || p[-1] == ']'))
            return p;
    }
    return p;
}

static char *put(char *to, const char *from, const char *until)
{
    memcpy(to, from, (size_t)(until - from));
    return to + (until - from);
}

/* From behind a '[' to behind its ']'. Runs are copied; what is left out are the blanks between them. */
static const char *write_lines(const char *p, char **to)
{
    const char *run = p;
    bool any = false;
    for (int depth = 0;;) {
        char c = *p;
        if (c == '"') {
            p = skip_string(p);
        } else if (char_is_space(c)) {
            *to = put(*to, run, p++);
            run = p;
            continue;
        } else if (depth == 0 && (c == ',' || c == ']')) {
            *to = put(*to, run, p++);
            run = p;
            if (any)
                *(*to)++ = '\n';
            if (c == ']')
                return p;
            continue;
        } else {
            depth += c == '{' || c == '[';
            depth -= c == '}' || c == ']';
            p++;
        }
        any = true;
    }
}

bool json_lines_cut(struct arena *a, struct span text, const char *key, struct json_cut *ret)
{
    const char *end = text.ptr + text.len, *p = skip_blanks(text.ptr, end);
    if (p == end || *p != '{')
        return false;
    for (p = skip_blanks(p + 1, end); *p != '}'; p = skip_blanks(p + (*p == ','), end)) {
        const char *name = p + 1;
        p = skip_string(p);
        bool is_key = span_eq((struct span){name, (size_t)(p - 1 - name)}, span_of(key));
        p = skip_blanks(skip_blanks(p, end) + 1, end); /* the colon */
        if (is_key && *p == '[') {
            /* enough: a line feed stands for a comma or the bracket */
            char *room = arena_alloc(a, (size_t)(end - p)), *to = room;
            ret->before = (struct span){text.ptr, (size_t)(p - text.ptr)};
            p = write_lines(p + 1, &to);
            ret->after = (struct span){p, (size_t)(end - p)};
            ret->lines = (struct span){room, (size_t)(to - room)};
            return true;
        }
        p = skip_blanks(skip_value(p, end), end);
    }
    return false;
}
