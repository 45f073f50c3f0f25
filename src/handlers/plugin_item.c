/* plugin_item.c: an item between the engine and the step of a plug-in. What the plug-in says is not believed. */
#include <lathe/handler.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "core/json.h"
#include "core/limits.h"
#include "core/utf8.h"
#include "handlers/input.h"
#include "handlers/plugin.h"

/* One call of a step. The plug-in sees the first member, and gives it back. */
struct visit {
    struct lathe_item seen;
    struct item *it;
    bool waits, snoozes;
};

static struct visit *visit(struct lathe_item *seen)
{
    return (struct visit *)(void *)seen;
}

static struct item *item(struct lathe_item *seen)
{
    return visit(seen)->it;
}

/* Its words go into logs and the database: UTF-8 on one line. */
static void tidy(char *text)
{
    struct span rest = span_of(text);
    char *at = text;
    while (rest.len) {
        size_t n = utf8_length(rest);
        if (n == 0)
            *at = '?';
        else if (n == 1 && (unsigned char)*at < ' ')
            *at = ' ';
        at += span_take(&rest, n ? n : 1).len;
    }
}

static int64_t now(void)
{
    return clock_now();
}

static bool stopping(const struct lathe_item *seen)
{
    return item_stopping(((const struct visit *)(const void *)seen)->it);
}

static bool read_int(struct lathe_item *seen, int64_t min, int64_t max, int64_t *value)
{
    return input_int(item(seen), min, max, value);
}

static bool read_text(struct lathe_item *seen, char *text, size_t room)
{
    struct arena a CLEANUP(arena_release) = ARENA_INIT;
    struct item *it = item(seen);
    struct span found;
    if (it->input.len == 0)
        return true;
    if (!input_text(it, &a, &found))
        return false;
    if (found.len >= room)
        return err_set(&it->err, ERR_BAD_FIELD, "the input must be a string of at most %zu bytes, not %zu",
                       room > 0 ? room - 1 : 0, found.len);
    if (found.len > 0)
        memcpy(text, found.ptr, found.len);
    text[found.len] = '\0';
    return true;
}

static void write_bytes(struct lathe_item *seen, const void *bytes, size_t n)
{
    buf_put(&item(seen)->out, bytes, n);
}

static LATHE_PRINTF(2, 3) void print(struct lathe_item *seen, const char *format, ...)
{
    struct buf *out = &item(seen)->out;
    va_list args, again;
    char brief[256];
    va_start(args, format);
    va_copy(again, args);
    int n = vsnprintf(brief, sizeof brief, format, args);
    if (n >= (int)sizeof brief) {
        char *room = buf_reserve(out, (size_t)n + 1);
        if (room) {
            vsnprintf(room, (size_t)n + 1, format, again);
            buf_advance(out, (size_t)n);
        }
    } else if (n > 0) {
        buf_put(out, brief, (size_t)n);
    }
    va_end(again);
    va_end(args);
}

static void write_text(struct lathe_item *seen, const char *text, size_t n)
{
    struct json_out o = json_out(&item(seen)->out);
    json_put_text(&o, (struct span){text, n});
}

static void progress(struct lathe_item *seen, double part)
{
    if (part >= 0 && part <= 1)
        item(seen)->progress = part;
}

static LATHE_PRINTF(2, 3) void log_text(struct lathe_item *seen, const char *format, ...)
{
    char text[LIMIT_LOG_TEXT];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    tidy(text);
    item_log(item(seen), "%s", text);
}

static enum err_code code_of(enum lathe_failure why)
{
    switch (why) {
    case LATHE_UNREACHABLE:
        return ERR_UNREACHABLE;
    case LATHE_BAD_INPUT:
        return ERR_BAD_FIELD;
    case LATHE_REJECTED:
        return ERR_REJECTED;
    case LATHE_FAILED:
        break;
    }
    return ERR_ITEM_FAILED;
}

static LATHE_PRINTF(3, 4) enum lathe_step
    fail_item(struct lathe_item *seen, enum lathe_failure why, const char *format, ...)
{
    struct err *e = &item(seen)->err;
    char text[sizeof e->text];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    tidy(text);
    err_set(e, code_of(why), "%s", text);
    return LATHE_FAIL;
}

static enum lathe_step wait_fd(struct lathe_item *seen, int fd, int events, int64_t until)
{
    item_wait_fd(item(seen), fd < 0 ? -1 : fd, events, until);
    visit(seen)->waits = fd >= 0 || until != CLOCK_NEVER;
    return LATHE_WAIT;
}

static enum lathe_step wait_until(struct lathe_item *seen, int64_t when)
{
    return wait_fd(seen, -1, 0, when);
}

static enum lathe_step snooze(struct lathe_item *seen, int64_t ms)
{
    item_snooze(item(seen), ms);
    visit(seen)->snoozes = true;
    return LATHE_SNOOZE;
}

static const struct lathe_host host = {
    .version = PACKAGE_VERSION,
    .now = now,
    .stopping = stopping,
    .input_int = read_int,
    .input_text = read_text,
    .write = write_bytes,
    .print = print,
    .text = write_text,
    .progress = progress,
    .log = log_text,
    .fail_item = fail_item,
    .wait_until = wait_until,
    .wait_fd = wait_fd,
    .snooze = snooze,
};

/* Results are lines of JSON that nobody parses again before they are with the caller. Outside of strings a line's end is a
 * blank like any other; inside there is none in well-formed JSON. */
static enum step done(struct item *it)
{
    struct err bad = ERR_INIT;
    if (it->out.failed || it->out.len == 0)
        return STEP_DONE;
    if (!json_check(buf_view(&it->out), &bad))
        return item_fail(it, "the result that the handler wrote is not JSON: %s", bad.text);
    for (size_t i = 0; i < it->out.len; i++)
        if (it->out.ptr[i] == '\n' || it->out.ptr[i] == '\r')
            it->out.ptr[i] = ' ';
    return STEP_DONE;
}

static struct visit begin(struct item *it)
{
    return (struct visit){.seen = {.host = &host,
                                   .index = it->index,
                                   .input = it->input.ptr,
                                   .input_n = it->input.len,
                                   .params = it->args,
                                   .state = it->state,
                                   .tries = it->tries},
                          .it = it};
}

enum step plugin_step(struct item *it)
{
    const struct lathe_handler *h = it->handler->own;
    struct visit v = begin(it);
    int said = (int)h->step(&v.seen);
    if (said == LATHE_DONE)
        return done(it);
    if (said == LATHE_FAIL)
        return STEP_FAIL;
    if (said == LATHE_WAIT && v.waits)
        return STEP_WAIT;
    if (said == LATHE_SNOOZE && v.snoozes)
        return STEP_SNOOZE;
    if (said == LATHE_WAIT || said == LATHE_SNOOZE)
        return item_fail(it, "the handler waits, and has not said for what");
    return item_fail(it, "the handler answered %d, which is no step", said);
}

void plugin_drop(struct item *it)
{
    const struct lathe_handler *h = it->handler->own;
    struct visit v = begin(it);
    if (h->drop)
        h->drop(&v.seen);
}
