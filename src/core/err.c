#include "core/err.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

struct row {
    const char *slug, *title;
    int status, exit;
    bool retryable;
};

static const struct row rows[ERR_COUNT] = {
#define ERR(name, slug, status, retryable, exit, title) [name] = {slug, title, status, exit, retryable},
#include "core/err.def"
#undef ERR
};

static const struct row *row_of(enum err_code code)
{
    return (unsigned)code < ERR_COUNT ? &rows[code] : &rows[ERR_INTERNAL];
}

/* Formats beside the error first: the arguments may well point into *e. */
static void fill(struct err *e, enum err_code code, const char *pointer, const char *format, va_list values)
    LATHE_PRINTF(4, 0);

static void fill(struct err *e, enum err_code code, const char *pointer, const char *format, va_list values)
{
    struct err made = {.code = code};
    snprintf(made.pointer, sizeof made.pointer, "%s", pointer);
    vsnprintf(made.text, sizeof made.text, format, values);
    *e = made;
}

bool err_set(struct err *e, enum err_code code, const char *format, ...)
{
    if (!e)
        return false;
    va_list values;
    va_start(values, format);
    fill(e, code, "", format, values);
    va_end(values);
    return false;
}

bool err_at(struct err *e, enum err_code code, const char *pointer, const char *format, ...)
{
    if (!e)
        return false;
    va_list values;
    va_start(values, format);
    fill(e, code, pointer, format, values);
    va_end(values);
    return false;
}

/* prefix, a colon and the tail as *e's text; what is too long loses its end */
static void join(struct err *e, const char *prefix, const char *tail)
{
    char text[sizeof e->text];
    size_t n = strlen(prefix);
    if (n > sizeof text - 1)
        n = sizeof text - 1;
    memcpy(text, prefix, n);
    snprintf(text + n, sizeof text - n, ": %s", tail);
    memcpy(e->text, text, sizeof text);
}

bool err_prefix(struct err *e, const char *format, ...)
{
    if (!e)
        return false;
    char prefix[sizeof e->text];
    va_list values;
    va_start(values, format);
    vsnprintf(prefix, sizeof prefix, format, values);
    va_end(values);
    join(e, prefix, e->text);
    return false;
}

bool err_errno(struct err *e, const char *format, ...)
{
    int number = errno;
    if (!e)
        return false;
    va_list values;
    va_start(values, format);
    fill(e, ERR_SYSTEM, "", format, values);
    va_end(values);
    char what[128], said[sizeof e->text];
    memcpy(said, e->text, sizeof said);
    join(e, said, strerror_r(number, what, sizeof what));
    errno = number;
    return false;
}

const char *err_slug(enum err_code code)
{
    return row_of(code)->slug;
}

const char *err_title(enum err_code code)
{
    return row_of(code)->title;
}

int err_status(enum err_code code)
{
    return row_of(code)->status;
}

bool err_retryable(enum err_code code)
{
    return row_of(code)->retryable;
}

int err_exit(enum err_code code)
{
    return row_of(code)->exit;
}

enum err_code err_by_slug(struct span slug)
{
    for (unsigned i = 0; i < ERR_COUNT; i++)
        if (span_is(slug, rows[i].slug))
            return (enum err_code)i;
    return ERR_INTERNAL;
}
