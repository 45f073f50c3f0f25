#include "core/log.h"

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "core/buf.h"
#include "core/clock.h"
#include "core/conf.h"
#include "core/json.h"
#include "core/limits.h"
#include "core/utf8.h"

#define CONTEXT_MOST 8
#define VALUE_MOST 1024u
#define FORMAT_MOST 512u

const char *const log_level_words[] = {"debug", "info", "warn", "error", NULL};
const char *const log_format_words[] = {"auto", "logfmt", "json", NULL};

_Atomic(enum log_level) log_threshold = LOG_INFO;
static _Atomic(bool) as_json;
static char role[32];

struct context {
    const char *key;
    char value[64];
};

static _Thread_local struct context contexts[CONTEXT_MOST];
static _Thread_local unsigned context_count;

void log_setup(enum log_level level, enum log_format format, const char *name)
{
    if (name)
        snprintf(role, sizeof role, "%s", name);
    as_json = format == LOG_JSON || (format == LOG_AUTO && !isatty(STDERR_FILENO));
    log_threshold = level;
}

static int place_of(const char *word, const char *const *words)
{
    int i = 0;
    while (strcmp(words[i], word) != 0) {
        i++;
        assert(words[i] && "conf takes no other");
    }
    return i;
}

void log_apply(const struct conf *c, const char *name)
{
    log_setup((enum log_level)place_of(conf_now(&c->log_level), log_level_words),
              (enum log_format)place_of(conf_now(&c->log_format), log_format_words), name);
}

void log_push(const char *key, struct span value)
{
    if (context_count < CONTEXT_MOST) {
        struct context *c = &contexts[context_count];
        struct span clipped = utf8_clip(value, sizeof c->value - 1);
        c->key = key;
        if (clipped.len)
            memcpy(c->value, clipped.ptr, clipped.len);
        c->value[clipped.len] = '\0';
    }
    context_count++;
}

void log_pop(void)
{
    assert(context_count > 0);
    context_count--;
}

/* A line in the making. Pairs that no longer fit are left out, and the line says so. */
struct line {
    struct buf buf;
    struct json_out json;
    bool json_form, cut;
};

static bool needs_quotes(struct span s)
{
    if (s.len == 0)
        return true;
    for (size_t i = 0; i < s.len; i++) {
        unsigned char c = (unsigned char)s.ptr[i];
        if (c <= ' ' || c == '"' || c == '=' || c == '\\' || c >= 0x7f)
            return true;
    }
    return false;
}

static void put_pair(struct line *l, struct span key, struct span value, bool number)
{
    value = utf8_clip(value, VALUE_MOST);
    /* the worst of an escape is six bytes for one; what is behind is kept free for the mark and the line's end */
    if (l->buf.len + key.len + 6 * value.len + 64 > LIMIT_LOG_LINE) {
        l->cut = true;
        return;
    }
    if (!l->json_form) {
        if (l->buf.len)
            buf_char(&l->buf, ' ');
        buf_span(&l->buf, key);
        buf_char(&l->buf, '=');
        l->json.comma = false; /* logfmt quotes as JSON does, but has no commas */
    } else {
        json_key_span(&l->json, key);
    }
    if (number || (!l->json_form && !needs_quotes(value)))
        json_put_raw(&l->json, value);
    else
        json_put_text(&l->json, value);
}

static void put_text(struct line *l, const char *key, const char *value)
{
    put_pair(l, span_of(key), span_of(value), false);
}

/* Where the next "key=" begins in the format, or its end. */
static const char *next_pair(const char *format)
{
    for (const char *p = format; *p; p++) {
        if (*p != ' ')
            continue;
        size_t word = strspn(p + 1, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.");
        if (word > 0 && p[1 + word] == '=')
            return p;
    }
    return format + strlen(format);
}

/* Is the pair's value one conversion of a number and nothing else? */
static bool is_number_format(const char *value, const char *end)
{
    return value < end && *value == '%' && strchr("diufg", end[-1]) &&
           !memchr(value + 1, '%', (size_t)(end - value - 1)) &&
           strspn(value + 1, "0123456789.lhjztdiufg") == (size_t)(end - value - 1);
}

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral" /* the fronts of a format that was checked as a whole */

/*
 * The values are found by formatting ever longer fronts of the format: the text that the n-th pair adds is the n-th pair,
 * whatever blanks, quotes or equals signs a value brings along.
 */
static void put_values(struct line *l, const char *format, va_list values)
{
    char front[FORMAT_MOST], text[4 * VALUE_MOST];
    size_t before = 0;
    for (const char *pair = format, *end; *pair; pair = end) {
        end = next_pair(pair + 1);
        size_t n = (size_t)(end - format);
        if (n >= sizeof front) {
            l->cut = true;
            return;
        }
        memcpy(front, format, n);
        front[n] = '\0';
        va_list copy;
        va_copy(copy, values);
        int made = vsnprintf(text, sizeof text, front, copy);
        va_end(copy);
        size_t length = made < 0 ? before : (size_t)made < sizeof text ? (size_t)made : sizeof text - 1;
        struct span piece = {text + before, length > before ? length - before : 0};
        before = length;
        while (piece.len && *piece.ptr == ' ')
            span_take(&piece, 1);
        if (piece.len == 0)
            continue;
        struct span key = span_cut(&piece, '=');
        const char *equals = memchr(pair, '=', (size_t)(end - pair));
        double unused;
        put_pair(l, key, piece, equals && is_number_format(equals + 1, end) && span_to_num(piece, &unused));
    }
}

#pragma GCC diagnostic pop

static void put_head(struct line *l, enum log_level level, const char *event)
{
    char stamp[CLOCK_TEXT], pid[16];
    clock_format(clock_wall_us(), stamp);
    snprintf(pid, sizeof pid, "%d", (int)getpid());
    put_text(l, "ts", stamp);
    put_text(l, "level", log_level_words[level]);
    if (role[0])
        put_text(l, "role", role);
    put_pair(l, SPAN("pid"), span_of(pid), true);
    put_text(l, "event", event);
    for (unsigned i = 0; i < context_count && i < CONTEXT_MOST; i++)
        put_text(l, contexts[i].key, contexts[i].value);
}

static void write_line(struct line *l)
{
    if (l->cut)
        buf_puts(&l->buf, l->json_form ? ",\"cut\":true" : " cut=true");
    buf_puts(&l->buf, l->json_form ? "}\n" : "\n");
    ssize_t written;
    do
        written =
            write(STDERR_FILENO, l->buf.ptr, l->buf.len); /* one call: lines of several threads do not mix */
    while (written < 0 && errno == EINTR);
}

static void release_line(struct line *l)
{
    buf_release(&l->buf);
}

void log_line(enum log_level level, const char *event, const struct err *e, const char *format, ...)
{
    int saved = errno; /* a log line never disturbs its caller */
    struct line l CLEANUP(release_line) = {.buf = BUF_INIT(LIMIT_LOG_LINE), .json_form = as_json};
    l.json = json_out(&l.buf);
    if (l.json_form)
        json_open(&l.json, '{');
    put_head(&l, level, event);
    va_list values;
    va_start(values, format);
    put_values(&l, format, values);
    va_end(values);
    if (e) {
        put_text(&l, "error", err_slug(e->code));
        if (e->pointer[0])
            put_text(&l, "pointer", e->pointer);
        put_text(&l, "detail", e->text);
    }
    write_line(&l);
    errno = saved;
}
