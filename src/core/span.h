/*
 * span.h: a borrowed run of bytes. Never owns, never ends with NUL, may hold any byte.
 *
 *     struct span name = SPAN("echo");
 *     log_info("handler", "name=" SPAN_FMT, SPAN_ARG(name));
 */
#ifndef LATHE_CORE_SPAN_H
#define LATHE_CORE_SPAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct span {
    const char *ptr; /* may be NULL only when len is 0 */
    size_t len;
};

#define SPAN(literal) ((struct span){"" literal, sizeof(literal) - 1})
#define SPAN_FMT "%.*s"
#define SPAN_ARG(s) (int)(s).len, (s).ptr

/* The bytes of a C string without its NUL; NULL gives the empty span. */
static inline struct span span_of(const char *text)
{
    return (struct span){text, text ? strlen(text) : 0};
}

static inline bool span_eq(struct span a, struct span b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.ptr, b.ptr, a.len) == 0);
}

static inline bool span_is(struct span a, const char *text)
{
    return span_eq(a, span_of(text));
}

/* The first `n` bytes cut off the front of *s (fewer if it is shorter). */
struct span span_take(struct span *s, size_t n);

/* Cuts off and returns what stands before the first `mark`, which is dropped; the whole rest if there is none. */
struct span span_cut(struct span *s, char mark);

/* Cuts off and returns the first `n` lines with their line feeds; all there are if these are fewer. */
struct span span_lines(struct span *s, int64_t n);

/* White space as the C locale has it, line ends included; the locale of the process changes nothing. */
static inline bool char_is_space(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

struct span span_trim(struct span s); /* without blanks and tabs at both ends */
bool span_starts(struct span s, const char *prefix);
bool span_eq_nocase(struct span s, const char *text); /* ASCII only, for header names */

/* The name of a queue or a schedule: letters, digits, '.', '_' and '-', 1 to LIMIT_NAME of them. */
bool span_is_name(struct span s);

/* Whole decimal numbers only: "12", "-3". False on anything else, also on overflow. */
bool span_to_int(struct span s, int64_t *ret);
bool span_to_num(struct span s, double *ret); /* finite decimal, '.' whatever the locale */

#endif
