/* Writing JSON. json_put_value, which needs json-c's tree, is in json.c. */
#include <assert.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "core/json.h"
#include "core/utf8.h"

struct json_out json_out(struct buf *buf)
{
    return (struct json_out){.buf = buf};
}

/* What stands before a value or a key: the comma, if something went before. */
static inline void separate(struct json_out *o)
{
    if (o->comma)
        buf_char(o->buf, ',');
    o->comma = true;
}

void json_open(struct json_out *o, char bracket)
{
    assert(bracket == '{' || bracket == '[');
    assert(o->depth < 64);
    separate(o);
    buf_char(o->buf, bracket);
    o->comma = false;
    uint64_t bit = UINT64_C(1) << o->depth++;
    o->lists = bracket == '[' ? o->lists | bit : o->lists & ~bit;
}

void json_close(struct json_out *o, char bracket)
{
    assert(o->depth > 0);
    bool list = o->lists >> --o->depth & 1;
    assert(bracket == (list ? ']' : '}'));
    (void)list;
    buf_char(o->buf, bracket);
    o->comma = true;
}

void json_key(struct json_out *o, const char *key)
{
    size_t n = strlen(key);
    char *to = buf_reserve(o->buf, n + 4);
    if (!to)
        return;
    char *at = to;
    if (o->comma)
        *at++ = ',';
    *at++ = '"';
    memcpy(at, key, n);
    at += n;
    *at++ = '"';
    *at++ = ':';
    buf_advance(o->buf, (size_t)(at - to));
    o->comma = false;
}

static void put_escape(struct buf *b, unsigned char c)
{
    static const char letters[] = "btn\0fr"; /* from 8: \v has no letter */
    char letter = c == '"' || c == '\\' ? (char)c : c >= 8 && c <= 13 ? letters[c - 8] : '\0';
    if (letter) {
        char two[2] = {'\\', letter};
        buf_put(b, two, sizeof two);
    } else {
        buf_printf(b, "\\u%04x", c);
    }
}

/* A byte that is itself in a string, without a look at its neighbours. */
static inline bool is_plain(unsigned char c)
{
    return c >= 0x20 && c != '"' && c != '\\' && c < 0x7f;
}

/* How many bytes go out as they are, copied in one go. */
static size_t plain_run(struct span s)
{
    size_t run = 0;
    for (;;) {
        while (run < s.len && is_plain((unsigned char)s.ptr[run]))
            run++;
        if (run == s.len || (unsigned char)s.ptr[run] < 0x80)
            return run;
        size_t n = utf8_length((struct span){s.ptr + run, s.len - run});
        if (n == 0)
            return run;
        run += n;
    }
}

static void put_quoted(struct buf *b, struct span s)
{
    buf_char(b, '"');
    while (s.len) {
        buf_span(b, span_take(&s, plain_run(s)));
        if (s.len == 0)
            break;
        unsigned char c = (unsigned char)*span_take(&s, 1).ptr;
        if (c < 0x80)
            put_escape(b, c);
        else
            buf_puts(b, "\xef\xbf\xbd"); /* U+FFFD for each byte that is no UTF-8 */
    }
    buf_char(b, '"');
}

void json_key_span(struct json_out *o, struct span key)
{
    separate(o);
    put_quoted(o->buf, key);
    buf_char(o->buf, ':');
    o->comma = false;
}

void json_put_text(struct json_out *o, struct span s)
{
    separate(o);
    put_quoted(o->buf, s);
}

void json_put_str(struct json_out *o, const char *s)
{
    if (s)
        json_put_text(o, span_of(s));
    else
        json_put_null(o);
}

void json_put_int(struct json_out *o, int64_t v)
{
    separate(o);
    buf_int(o->buf, v);
}

/* printf's decimal point is the locale's; JSON's is not */
static void point_not_comma(char *text)
{
    for (; *text; text++)
        if (!strchr("0123456789-+e", *text))
            *text = '.';
}

void json_put_num(struct json_out *o, double v)
{
    if (!isfinite(v)) {
        json_put_null(o);
        return;
    }
    if (fabs(v) < 1e15 && v == (double)(int64_t)v) {
        json_put_int(o, (int64_t)v);
        return;
    }
    char text[40];
    double back;
    for (int digits = 15; digits <= 17; digits++) { /* 17 always read back; fewer look like what was meant */
        snprintf(text, sizeof text, "%.*g", digits, v);
        point_not_comma(text);
        if (span_to_num(span_of(text), &back) && back == v)
            break;
    }
    separate(o);
    buf_puts(o->buf, text);
}

void json_put_bool(struct json_out *o, bool v)
{
    separate(o);
    buf_puts(o->buf, v ? "true" : "false");
}

void json_put_null(struct json_out *o)
{
    separate(o);
    buf_puts(o->buf, "null");
}

void json_put_raw(struct json_out *o, struct span json)
{
    if (json.len == 0) {
        json_put_null(o);
        return;
    }
    separate(o);
    buf_span(o->buf, json);
}
