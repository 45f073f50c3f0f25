/* query.c: the pairs of a query string, application/x-www-form-urlencoded. */
#include "model/submission.h"

static int hex(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

/* A percent sign must be followed by two digits, and NUL is in no text of ours. */
static bool decode(struct arena *a, struct span in, struct span *ret, struct err *e)
{
    char *out = arena_alloc(a, in.len + 1);
    size_t n = 0;

    for (size_t i = 0; i < in.len; i++) {
        char c = in.ptr[i];

        if (c == '+') {
            c = ' ';
        } else if (c == '%') {
            int high = in.len - i > 2 ? hex(in.ptr[i + 1]) : -1;
            int low = in.len - i > 2 ? hex(in.ptr[i + 2]) : -1;

            if (high < 0 || low < 0)
                return err_set(e, ERR_BAD_REQUEST,
                               "the query string has a '%%' that is not followed by two hexadecimal digits");
            c = (char)(high * 16 + low);
            i += 2;
        }
        if (c == '\0')
            return err_set(e, ERR_BAD_REQUEST, "the query string holds a NUL byte");
        out[n++] = c;
    }
    *ret = (struct span){out, n};
    return true;
}

bool query_next(struct arena *a, struct span *query, struct span *ret_name, struct span *ret_value,
                struct err *e)
{
    while (query->len > 0) {
        struct span value = span_cut(query, '&');

        if (value.len == 0)
            continue;

        struct span name = span_cut(&value, '=');
        struct span plain_name, plain_value;

        if (!decode(a, name, &plain_name, e) || !decode(a, value, &plain_value, e))
            return false;
        *ret_name = plain_name;
        *ret_value = plain_value;
        return true;
    }
    return false;
}
