#include "core/span.h"

#include <locale.h>
#include <math.h>
#include <pthread.h>
#include <stdlib.h>

#include "core/attr.h"
#include "core/limits.h"

struct span span_take(struct span *s, size_t n)
{
    if (n > s->len)
        n = s->len;
    struct span front = {s->ptr, n};
    if (n > 0)
        s->ptr += n;
    s->len -= n;
    return front;
}

struct span span_cut(struct span *s, char mark)
{
    const char *found = s->len ? memchr(s->ptr, mark, s->len) : NULL;
    if (!found)
        return span_take(s, s->len);
    struct span front = span_take(s, (size_t)(found - s->ptr));
    span_take(s, 1);
    return front;
}

struct span span_lines(struct span *s, int64_t n)
{
    struct span all = *s;
    while (n-- > 0 && s->len > 0)
        span_cut(s, '\n');
    return (struct span){all.ptr, all.len - s->len};
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

bool span_is_name(struct span s)
{
    for (size_t i = 0; i < s.len; i++) {
        char c = s.ptr[i];
        if (!(c >= 'a' && c <= 'z') && !(c >= 'A' && c <= 'Z') && !(c >= '0' && c <= '9') && c != '.' &&
            c != '_' && c != '-')
            return false;
    }
    return s.len > 0 && s.len <= LIMIT_NAME;
}

struct span span_trim(struct span s)
{
    while (s.len && is_blank(s.ptr[0]))
        span_take(&s, 1);
    while (s.len && is_blank(s.ptr[s.len - 1]))
        s.len--;
    return s;
}

bool span_starts(struct span s, const char *prefix)
{
    size_t n = strlen(prefix);
    return s.len >= n && span_eq((struct span){s.ptr, n}, (struct span){prefix, n});
}

static char ascii_lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c + ('a' - 'A')) : c;
}

bool span_eq_nocase(struct span s, const char *text)
{
    struct span t = span_of(text);
    if (s.len != t.len)
        return false;
    for (size_t i = 0; i < s.len; i++)
        if (ascii_lower(s.ptr[i]) != ascii_lower(t.ptr[i]))
            return false;
    return true;
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

bool span_to_int(struct span s, int64_t *ret)
{
    bool negative = s.len > 0 && s.ptr[0] == '-';
    if (negative)
        span_take(&s, 1);
    if (s.len == 0)
        return false;
    int64_t value = 0; /* counted down, because the range below zero is the larger one */
    for (size_t i = 0; i < s.len; i++) {
        if (!is_digit(s.ptr[i]) || __builtin_mul_overflow(value, 10, &value) ||
            __builtin_sub_overflow(value, s.ptr[i] - '0', &value))
            return false;
    }
    if (!negative && value == INT64_MIN)
        return false;
    *ret = negative ? value : -value;
    return true;
}

static size_t skip_digits(struct span *s)
{
    size_t n = 0;
    while (n < s->len && is_digit(s->ptr[n]))
        n++;
    span_take(s, n);
    return n;
}

/* digits, then maybe .digits, then maybe an exponent: no "inf", no hexadecimal, no blanks, which strtod would take */
static bool is_decimal(struct span s)
{
    if (s.len && s.ptr[0] == '-')
        span_take(&s, 1);
    if (skip_digits(&s) == 0)
        return false;
    if (s.len && s.ptr[0] == '.') {
        span_take(&s, 1);
        if (skip_digits(&s) == 0)
            return false;
    }
    if (s.len && (s.ptr[0] == 'e' || s.ptr[0] == 'E')) {
        span_take(&s, 1);
        if (s.len && (s.ptr[0] == '+' || s.ptr[0] == '-'))
            span_take(&s, 1);
        if (skip_digits(&s) == 0)
            return false;
    }
    return s.len == 0;
}

static locale_t c_locale;

static void make_c_locale(void)
{
    c_locale = newlocale(LC_ALL_MASK, "C", (locale_t)0);
}

bool span_to_num(struct span s, double *ret)
{
    char text[1024]; /* no double needs more than 800 digits; longer ones are refused */
    if (s.len == 0 || s.len >= sizeof text || !is_decimal(s))
        return false;
    memcpy(text, s.ptr, s.len);
    text[s.len] = '\0';
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, make_c_locale);
    double value = c_locale ? strtod_l(text, NULL, c_locale) : strtod(text, NULL);
    if (!isfinite(value))
        return false;
    *ret = value;
    return true;
}
