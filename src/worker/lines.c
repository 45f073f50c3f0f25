#include "worker/lines.h"

#include <assert.h>

#include "core/json.h"
#include "core/limits.h"
#include "core/mem.h"

/* Room that an error line may take; err.text is capped, escapes make it at most six times as long. */
#define LINE_OVERHEAD 2600

void lines_init(struct lines *l, int64_t first, int64_t count)
{
    *l = (struct lines){.first = first, .count = count, .next = 0};
    buf_init(&l->text, LIMIT_UNIT_RESULT + (size_t)count * 128 + LINE_OVERHEAD);
    l->places = mem_array((size_t)count, sizeof *l->places);
}

void lines_release(struct lines *l)
{
    buf_release(&l->text);
    mem_free(l->places);
    l->places = NULL;
}

static void write_failure(struct json_out *o, const struct err *e)
{
    json_key(o, "state");
    json_put_str(o, "failed");
    json_key(o, "error");
    json_open(o, '{');
    json_key(o, "type");
    json_put_str(o, err_slug(e->code));
    json_key(o, "detail");
    json_put_str(o, e->text);
    json_close(o, '}');
}

static void write_line(struct buf *text, const struct outcome *o)
{
    struct json_out out = json_out(text);
    json_open(&out, '{');
    json_key(&out, "index");
    json_put_int(&out, o->index);
    if (o->tries > 0) {
        json_key(&out, "tries");
        json_put_int(&out, o->tries);
    }
    if (o->cached) {
        json_key(&out, "cached");
        json_put_bool(&out, true);
    }
    if (o->kind == OUTCOME_FAILED) {
        write_failure(&out, o->err);
    } else {
        json_key(&out, "state");
        json_put_str(&out, o->kind == OUTCOME_OK ? "succeeded" : "cancelled");
        if (o->kind == OUTCOME_OK) {
            json_key(&out, "result");
            json_put_raw(&out, o->result);
        }
    }
    json_close(&out, '}');
    buf_char(text, '\n');
}

bool lines_add(struct lines *l, const struct outcome *o)
{
    int64_t at = o->index - l->first;
    assert(at >= 0 && at < l->count && l->places[at].len == 0);
    bool fits = l->text.len + o->result.len + LINE_OVERHEAD <= LIMIT_UNIT_RESULT;
    size_t before = l->text.len;

    if (fits) {
        write_line(&l->text, o);
    } else if (o->kind == OUTCOME_OK) {
        static const struct err too_large = {.code = ERR_ITEM_TOO_LARGE,
                                             .text = "the unit's results are full"};
        struct outcome replaced = {.index = o->index, .kind = OUTCOME_FAILED, .err = &too_large};
        write_line(&l->text, &replaced);
        l->too_large++;
    } else {
        /* Past the limit only short lines are written, so that every item still has its own. */
        struct err brief = {.code = o->err ? o->err->code : ERR_CANCELLED};
        struct outcome replaced = {.index = o->index, .kind = o->kind, .err = &brief};
        write_line(&l->text, &replaced);
    }
    assert(!l->text.failed);
    l->places[at].offset = (uint32_t)before;
    l->places[at].len = (uint32_t)(l->text.len - before);
    l->next = l->next == at ? at + 1 : -1;
    return fits || o->kind != OUTCOME_OK;
}

struct span lines_in_order(struct lines *l)
{
    if (l->next >= 0)
        return buf_view(&l->text);
    struct buf ordered;
    buf_init(&ordered, l->text.len);
    if (buf_reserve(&ordered, l->text.len) == NULL)
        return (struct span){NULL, 0}; /* nothing was written at all */
    for (int64_t i = 0; i < l->count; i++)
        if (l->places[i].len > 0)
            buf_put(&ordered, l->text.ptr + l->places[i].offset, l->places[i].len);
    buf_release(&l->text);
    l->text = ordered;
    l->next = 0;
    return buf_view(&l->text);
}
