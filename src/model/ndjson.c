#include "model/ndjson.h"

#include <inttypes.h>
#include <string.h>

#include "core/json.h"
#include "core/limits.h"

void ndjson_init(struct ndjson *n, bool (*value)(void *arg, struct span value, struct err *e), void *arg)
{
    *n = (struct ndjson){.value = value, .arg = arg};
    buf_init(&n->begun, LIMIT_ITEM_INPUT + 1); /* with its CR */
}

void ndjson_release(struct ndjson *n)
{
    buf_release(&n->begun);
}

static bool too_long(const struct ndjson *n, struct err *e)
{
    return err_set(e, ERR_TOO_LARGE, "line %" PRId64 " has more than the %u bytes that an item may have",
                   n->line + 1, LIMIT_ITEM_INPUT);
}

/* The text of json_check is about a text of its own, which is always the first line of it. */
static bool not_json(const struct ndjson *n, const struct err *why, struct err *e)
{
    static const char own[] = "line 1, ";
    const char *text = why->text;
    if (strncmp(text, own, sizeof own - 1) == 0)
        text += sizeof own - 1;
    return err_set(e, why->code, "line %" PRId64 ", %s", n->line, text);
}

static bool take_line(struct ndjson *n, struct span line, struct err *e)
{
    struct err why = ERR_INIT;
    struct span value = line;
    if (value.len > 0 && value.ptr[value.len - 1] == '\r')
        value.len--;
    value = span_trim(value);
    if (line.len > n->begun.max || value.len > LIMIT_ITEM_INPUT) /* wherever the pieces were cut */
        return too_long(n, e);
    n->line++;
    if (value.len == 0)
        return true;
    return json_check(value, &why) ? n->value(n->arg, value, e) : not_json(n, &why, e);
}

bool ndjson_feed(struct ndjson *n, struct span piece, struct err *e)
{
    while (piece.len > 0) {
        const char *end = memchr(piece.ptr, '\n', piece.len);
        struct span part = span_take(&piece, end ? (size_t)(end - piece.ptr) : piece.len);
        bool whole = end && n->begun.len == 0;
        if (!whole) {
            buf_span(&n->begun, part);
            if (n->begun.failed)
                return too_long(n, e);
        }
        if (!end)
            return true;
        span_take(&piece, 1);
        if (!take_line(n, whole ? part : buf_view(&n->begun), e))
            return false;
        buf_clear(&n->begun);
    }
    return true;
}

bool ndjson_end(struct ndjson *n, struct err *e)
{
    return n->begun.len == 0 || take_line(n, buf_view(&n->begun), e);
}
