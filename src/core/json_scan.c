/*
 * The strict pass: RFC 8259 and nothing besides, with the additions that keep two readers from understanding one text
 * differently: no key twice, no lone surrogates, no NUL, integers in 64 bits, finite decimals. It builds nothing.
 */
#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/json.h"
#include "core/limits.h"
#include "core/mem.h"
#include "core/utf8.h"

struct key {
    struct span name; /* decoded: in the text itself, or in scratch if it had escapes */
    const char *at;
};

struct scan {
    const char *start, *p, *end;
    unsigned depth;
    struct key *keys; /* of all open objects, the innermost last */
    size_t key_count, key_room;
    struct arena scratch;
    json_plain_each *each; /* NULL: nobody wants the members */
    void *arg;
    struct err *e;
};

static bool scan_value(struct scan *s);
static bool scan_bare_value(struct scan *s);

static bool fail(const struct scan *s, const char *at, const char *format, ...) LATHE_PRINTF(3, 4);

static bool fail(const struct scan *s, const char *at, const char *format, ...)
{
    char what[200];
    va_list values;
    va_start(values, format);
    vsnprintf(what, sizeof what, format, values);
    va_end(values);
    size_t line = 1, column = 1;
    for (const char *c = s->start; c < at; c++) {
        if (*c == '\n') {
            line++;
            column = 1;
        } else if (((unsigned char)*c & 0xc0) != 0x80) { /* characters, not bytes */
            column++;
        }
    }
    return err_set(s->e, ERR_BAD_JSON, "line %zu, column %zu: %s", line, column, what);
}

static bool fail_expected(const struct scan *s, const char *expected)
{
    struct span rest = {s->p, (size_t)(s->end - s->p)};
    if (rest.len == 0)
        return fail(s, s->p, "expected %s, but the text ends here", expected);
    size_t n = utf8_length(rest);
    unsigned char c = (unsigned char)*s->p;
    if (n == 0 || c < 0x20 || c == 0x7f)
        return fail(s, s->p, "expected %s, found the byte 0x%02x", expected, c);
    return fail(s, s->p, "expected %s, found '" SPAN_FMT "'", expected, (int)n, s->p);
}

static void skip_blanks(struct scan *s)
{
    while (s->p < s->end && (*s->p == ' ' || *s->p == '\t' || *s->p == '\n' || *s->p == '\r'))
        s->p++;
}

static bool next_is(struct scan *s, char c)
{
    if (s->p == s->end || *s->p != c)
        return false;
    s->p++;
    return true;
}

/* Four hexadecimal digits at `p`, or -1. */
static int32_t hex4(const char *p, const char *end)
{
    if (end - p < 4)
        return -1;
    int32_t v = 0;
    for (int i = 0; i < 4; i++) {
        char c = p[i];
        int digit = c >= '0' && c <= '9'   ? c - '0'
                    : c >= 'a' && c <= 'f' ? c - 'a' + 10
                    : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                           : -1;
        if (digit < 0)
            return -1;
        v = v * 16 + digit;
    }
    return v;
}

static bool is_high(int32_t unit)
{
    return unit >= 0xd800 && unit <= 0xdbff;
}

static bool is_low(int32_t unit)
{
    return unit >= 0xdc00 && unit <= 0xdfff;
}

/* s->p is behind "\u" */
static bool scan_unicode_escape(struct scan *s)
{
    const char *at = s->p - 2;
    int32_t unit = hex4(s->p, s->end);
    if (unit < 0)
        return fail(s, at, "expected four hexadecimal digits after \\u");
    if (unit == 0)
        return fail(s, at, "the character NUL (\\u0000) is not allowed");
    s->p += 4;
    if (is_low(unit))
        return fail(s, at, "a low surrogate without a high one before it");
    if (!is_high(unit))
        return true;
    if (s->end - s->p < 6 || s->p[0] != '\\' || s->p[1] != 'u' || !is_low(hex4(s->p + 2, s->end)))
        return fail(s, at, "a high surrogate without a low one after it");
    s->p += 6;
    return true;
}

/* s->p is behind the backslash */
static bool scan_escape(struct scan *s)
{
    if (s->p == s->end)
        return fail_expected(s, "an escape");
    if (*s->p == 'u') {
        s->p++;
        return scan_unicode_escape(s);
    }
    if (*s->p == '\0' || !strchr("\"\\/bfnrt", *s->p))
        return fail_expected(s, "one of \" \\ / b f n r t u after a backslash");
    s->p++;
    return true;
}

/* s->p is behind the opening quote; *raw becomes what stands between the quotes */
static bool scan_string(struct scan *s, struct span *raw, bool *escaped)
{
    const char *open = s->p - 1;
    *escaped = false;
    while (s->p < s->end && *s->p != '"') {
        unsigned char c = (unsigned char)*s->p;
        if (c == '\\') {
            *escaped = true;
            s->p++;
            if (!scan_escape(s))
                return false;
        } else if (c < 0x20) {
            return fail(s, s->p, "the control character 0x%02x must be escaped in a string", c);
        } else {
            size_t n = utf8_length((struct span){s->p, (size_t)(s->end - s->p)});
            if (n == 0)
                return fail(s, s->p, "the byte 0x%02x is not UTF-8", c);
            s->p += n;
        }
    }
    if (s->p == s->end)
        return fail(s, open, "this string has no closing quote");
    *raw = (struct span){open + 1, (size_t)(s->p - open - 1)};
    s->p++;
    return true;
}

/* A checked string without its escapes, in scratch. */
static struct span decode(struct scan *s, struct span raw)
{
    char *text = arena_alloc(&s->scratch, raw.len), *to = text;
    for (const char *p = raw.ptr, *end = raw.ptr + raw.len; p < end;) {
        if (*p != '\\') {
            *to++ = *p++;
        } else if (p[1] == 'u') {
            uint32_t point = (uint32_t)hex4(p + 2, end);
            p += 6;
            if (is_high((int32_t)point)) {
                point = 0x10000 + ((point - 0xd800) << 10) + ((uint32_t)hex4(p + 2, end) - 0xdc00);
                p += 6;
            }
            to += utf8_encode(point, to);
        } else {
            static const char letters[] = "bfnrt", meant[] = "\b\f\n\r\t";
            const char *letter = strchr(letters, p[1]);
            *to++ = letter ? meant[letter - letters] : p[1];
            p += 2;
        }
    }
    return (struct span){text, (size_t)(to - text)};
}

static void skip_digits(struct scan *s)
{
    while (s->p < s->end && *s->p >= '0' && *s->p <= '9')
        s->p++;
}

static bool scan_digits(struct scan *s)
{
    const char *first = s->p;
    skip_digits(s);
    return s->p > first || fail_expected(s, "a digit");
}

static bool scan_number(struct scan *s)
{
    const char *first = s->p;
    bool whole = true;
    next_is(s, '-');
    if (next_is(s, '0')) {
        if (s->p < s->end && *s->p >= '0' && *s->p <= '9')
            return fail(s, first, "a number must not begin with 0");
    } else if (!scan_digits(s)) {
        return false;
    }
    if (next_is(s, '.')) {
        whole = false;
        if (!scan_digits(s))
            return false;
    }
    if (next_is(s, 'e') || next_is(s, 'E')) {
        whole = false;
        if (!next_is(s, '+'))
            next_is(s, '-');
        if (!scan_digits(s))
            return false;
    }
    struct span text = {first, (size_t)(s->p - first)};
    int64_t integer;
    double number;
    if (whole && !span_to_int(text, &integer))
        return fail(s, first, "this integer does not fit 64 bits");
    if (!whole && !span_to_num(text, &number))
        return fail(s, first, "this number is too large or has too many digits");
    return true;
}

static bool scan_word(struct scan *s, const char *word)
{
    struct span rest = {s->p, (size_t)(s->end - s->p)};
    if (!span_starts(rest, word))
        return fail_expected(s, "a value");
    s->p += strlen(word);
    return true;
}

static bool go_deeper(struct scan *s)
{
    if (++s->depth > LIMIT_JSON_DEPTH)
        return fail(s, s->p - 1, "lists and objects are nested deeper than %u", LIMIT_JSON_DEPTH);
    return true;
}

static bool scan_list(struct scan *s)
{
    if (!go_deeper(s))
        return false;
    skip_blanks(s);
    if (!next_is(s, ']')) {
        do {
            if (!scan_value(s))
                return false;
        } while (next_is(s, ','));
        if (!next_is(s, ']'))
            return fail_expected(s, "',' or ']'");
    }
    s->depth--;
    return true;
}

/* Of a number or a word that is well formed. */
static enum json_type plain_type(struct span value)
{
    char c = *value.ptr;
    if (c == 't' || c == 'f')
        return JSON_BOOL;
    if (c == 'n')
        return JSON_NULL;
    for (size_t i = 0; i < value.len; i++)
        if (value.ptr[i] == '.' || value.ptr[i] == 'e' || value.ptr[i] == 'E')
            return JSON_NUM;
    return JSON_INT;
}

static int compare_keys(const void *a, const void *b)
{
    const struct key *x = a, *y = b;
    if (x->name.len != y->name.len)
        return x->name.len < y->name.len ? -1 : 1;
    int order = x->name.len ? memcmp(x->name.ptr, y->name.ptr, x->name.len) : 0;
    if (order)
        return order;
    return x->at < y->at ? -1 : x->at > y->at;
}

/* Sorted rather than hashed: no choice of keys makes it slow. Few keys, the usual case, are compared as they stand. */
static bool check_unique(struct scan *s, size_t first)
{
    size_t n = s->key_count - first;
    if (n < 2) /* also while there is no s->keys yet */
        return true;
    struct key *keys = s->keys + first;
    bool few = n <= 8;
    if (!few)
        qsort(keys, n, sizeof *keys, compare_keys);
    for (size_t i = 1; i < n; i++)
        for (size_t j = few ? 0 : i - 1; j < i; j++)
            if (span_eq(keys[i].name, keys[j].name)) {
                struct span shown = utf8_clip(keys[i].name, 64);
                return fail(s, keys[i].at, "the key \"" SPAN_FMT "\" is in this object twice",
                            SPAN_ARG(shown));
            }
    return true;
}

/* A value that is a string, a number or a word, and the blanks around it. */
static bool give_member(struct scan *s, struct span key)
{
    skip_blanks(s);
    const char *first = s->p;
    struct span value;
    bool escaped;
    if (s->p == s->end || *first == '{' || *first == '[')
        return false;
    if (next_is(s, '"')) {
        if (!scan_string(s, &value, &escaped) ||
            !s->each(key, JSON_TEXT, escaped ? decode(s, value) : value, s->arg))
            return false;
    } else {
        if (!scan_bare_value(s))
            return false;
        value = (struct span){first, (size_t)(s->p - first)};
        if (!s->each(key, plain_type(value), value, s->arg))
            return false;
    }
    skip_blanks(s);
    return true;
}

static bool scan_member(struct scan *s)
{
    if (s->each && s->key_count == s->key_room)
        return false;
    skip_blanks(s);
    const char *at = s->p;
    if (!next_is(s, '"'))
        return fail_expected(s, "a key in double quotes");
    struct span raw;
    bool escaped;
    if (!scan_string(s, &raw, &escaped))
        return false;
    s->keys = mem_room(s->keys, &s->key_room, s->key_count + 1, sizeof *s->keys);
    s->keys[s->key_count++] = (struct key){escaped ? decode(s, raw) : raw, at};
    skip_blanks(s);
    if (!next_is(s, ':'))
        return fail_expected(s, "':'");
    return s->each ? give_member(s, s->keys[s->key_count - 1].name) : scan_value(s);
}

static bool scan_object(struct scan *s)
{
    if (!go_deeper(s))
        return false;
    size_t first = s->key_count;
    skip_blanks(s);
    if (!next_is(s, '}')) {
        do {
            if (!scan_member(s))
                return false;
        } while (next_is(s, ','));
        if (!next_is(s, '}'))
            return fail_expected(s, "',' or '}'");
    }
    if (!check_unique(s, first))
        return false;
    s->key_count = first;
    s->depth--;
    return true;
}

static bool scan_bare_value(struct scan *s)
{
    struct span raw;
    bool escaped;
    if (next_is(s, '{'))
        return scan_object(s);
    if (next_is(s, '['))
        return scan_list(s);
    if (next_is(s, '"'))
        return scan_string(s, &raw, &escaped);
    if (s->p == s->end)
        return fail_expected(s, "a value");
    switch (*s->p) {
    case 't':
        return scan_word(s, "true");
    case 'f':
        return scan_word(s, "false");
    case 'n':
        return scan_word(s, "null");
    case '-':
    case '0' ... '9':
        return scan_number(s);
    default:
        return fail_expected(s, "a value");
    }
}

/* A value and the blanks around it. */
static bool scan_value(struct scan *s)
{
    skip_blanks(s);
    if (!scan_bare_value(s))
        return false;
    skip_blanks(s);
    return true;
}

bool json_plain(struct span text, json_plain_each *each, void *arg)
{
    struct key keys[JSON_PLAIN];
    struct scan s = {.start = text.ptr,
                     .p = text.ptr,
                     .end = text.ptr,
                     .keys = keys,
                     .key_room = JSON_PLAIN,
                     .each = each,
                     .arg = arg};
    if (text.len > LIMIT_BODY)
        return false;
    if (text.len)
        s.end += text.len;
    skip_blanks(&s);
    bool good = next_is(&s, '{') && scan_object(&s);
    skip_blanks(&s);
    arena_release(&s.scratch);
    return good && s.p == s.end;
}

bool json_check(struct span text, struct err *e)
{
    if (text.len > LIMIT_BODY)
        return err_set(e, ERR_TOO_LARGE, "the JSON text has %zu bytes; the limit is %u", text.len,
                       LIMIT_BODY);
    struct scan s = {.start = text.ptr, .p = text.ptr, .end = text.ptr, .e = e};
    if (text.len)
        s.end += text.len;
    bool good = scan_value(&s) && (s.p == s.end || fail_expected(&s, "nothing more after the value"));
    mem_free(s.keys);
    arena_release(&s.scratch);
    return good;
}
