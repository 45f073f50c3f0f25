#include "worker/diary.h"

#include <inttypes.h>
#include <stdio.h>

#include "core/clock.h"
#include "core/json.h"
#include "core/limits.h"
#include "worker/again.h"

#define OWN \
    (8u * KIB) /* on top of LIMIT_RUN_LOG: for the worker's own lines; a text may become six times as long */

static void begin(struct diary *d)
{
    if (d->text.max == 0)
        buf_init(&d->text, LIMIT_RUN_LOG + OWN);
}

static void put_line(struct diary *d, int64_t index, struct span text)
{
    char at[CLOCK_TEXT];
    struct json_out o = json_out(&d->text);
    clock_format(clock_shared_us(), at);
    json_open(&o, '{');
    json_key(&o, "at");
    json_put_str(&o, at);
    json_key(&o, "unit");
    json_put_int(&o, d->unit->seq);
    json_key(&o, "try");
    json_put_int(&o, d->unit->tries + 1);
    if (index >= 0) {
        json_key(&o, "index");
        json_put_int(&o, index);
    }
    json_key(&o, "text");
    json_put_text(&o, text);
    json_close(&o, '}');
    buf_char(&d->text, '\n');
}

void diary_add(struct diary *d, int64_t index, struct span text)
{
    begin(d);
    size_t before = d->text.len;
    if (d->dropped == 0)
        put_line(d, index, text);
    if (d->dropped == 0 && d->text.len <= LIMIT_RUN_LOG)
        return;
    if (d->text.len > before)
        d->text.len = before; /* whole lines, and what follows them would be too many as well */
    d->dropped++;
}

static void put_own(struct diary *d, const char *text)
{
    begin(d);
    put_line(d, -1, span_of(text));
}

static void put_end(struct diary *d, int64_t retries, const struct finish *f)
{
    char text[2 * sizeof f->err.text];
    int n = 0;
    if (f->again && !f->counts) {
        snprintf(text, sizeof text, "put off for %.1f s", (double)f->again_ms / 1e3);
    } else {
        if (retries > 0)
            n = snprintf(text, sizeof text, "try %d of %" PRId64 " ", f->unit->tries + 1, retries + 1);
        n +=
            snprintf(text + n, sizeof text - (size_t)n, "failed: %s: %s", err_slug(f->err.code), f->err.text);
        if (f->again && n < (int)sizeof text)
            snprintf(text + n, sizeof text - (size_t)n, "; next in %.1f s", (double)f->again_ms / 1e3);
    }
    put_own(d, text);
}

void diary_end(struct diary *d, int64_t retries, struct finish *f)
{
    char text[96];
    if (d->dropped > 0) {
        snprintf(text, sizeof text, "%" PRId64 " more lines were dropped: a run keeps %u KiB", d->dropped,
                 LIMIT_RUN_LOG / KIB);
        put_own(d, text);
    }
    if (again_failed(f))
        put_end(d, retries, f);
    f->log = buf_view(&d->text);
    f->logged_us = clock_shared_us();
}

void diary_release(struct diary *d)
{
    buf_release(&d->text);
}
