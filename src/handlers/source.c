#include "handlers/source.h"

#include "core/hmac.h"
#include "core/json.h"
#include "core/limits.h"

enum encoding { PLAIN, BASE64 };

/* An item as an object. */
struct given {
    const struct json *data;
    int encoding;
    int64_t bytes, seed;
    bool has_bytes, has_encoding, has_seed;
};

static const char *const encodings[] = {"text", "base64", NULL};

static const struct field given_list[] = {
    {.name = "data", .type = FIELD_JSON, .offset = offsetof(struct given, data), .summary = "a string"},
    {.name = "encoding",
     .type = FIELD_ENUM,
     .offset = offsetof(struct given, encoding),
     .words = encodings,
     .given = offsetof(struct given, has_encoding),
     .summary = "of data"},
    {.name = "bytes",
     .type = FIELD_INT,
     .offset = offsetof(struct given, bytes),
     .max = SOURCE_MOST,
     .given = offsetof(struct given, has_bytes),
     .summary = "of filler text"},
    {.name = "seed",
     .type = FIELD_INT,
     .offset = offsetof(struct given, seed),
     .max = INT64_MAX,
     .given = offsetof(struct given, has_seed),
     .summary = "which text"},
};
static const struct fields given_fields = FIELDS(given_list, struct given);

void source_of(struct source *s, struct span bytes)
{
    *s = (struct source){.rest = bytes, .size = (int64_t)bytes.len};
}

static bool set_bytes(struct source *s, struct span bytes)
{
    source_of(s, bytes);
    return true;
}

static bool set_filler(struct source *s, struct arena *a, int64_t bytes, uint64_t seed)
{
    s->made = arena_alloc(a, SOURCE_PIECE + FILLER_SLACK);
    s->size = s->left = bytes;
    filler_begin(&s->filler, seed);
    return true;
}

static bool set_base64(struct source *s, struct arena *a, struct span text, struct err *e)
{
    struct buf b CLEANUP(buf_release) = BUF_INIT(LIMIT_ITEM_INPUT);
    if (!base64_read(&b, text) || b.failed)
        return err_at(e, ERR_BAD_FIELD, "/data", "\"/data\" must be base64");
    return set_bytes(s, arena_copy(a, buf_view(&b)));
}

static bool set_object(struct source *s, struct arena *a, const struct json *object, struct err *e)
{
    struct given g;
    if (!fields_read(&given_fields, object, "", &g, e))
        return false;
    if (g.data ? g.has_bytes || g.has_seed : g.has_encoding || !g.has_bytes)
        return err_set(e, ERR_BAD_FIELD,
                       "an item has either data, with its encoding, or bytes, with its seed");
    if (!g.data)
        return set_filler(s, a, g.bytes, (uint64_t)g.seed);
    if (json_type(g.data) != JSON_TEXT)
        return err_at(e, ERR_BAD_FIELD, "/data", "\"/data\" must be a string");
    struct span text = json_as_text(g.data);
    return g.encoding == BASE64 ? set_base64(s, a, text, e) : set_bytes(s, text);
}

bool source_open(struct source *s, struct arena *a, struct item *it, const struct source_args *args)
{
    const struct json *input;
    *s = (struct source){0};
    if (it->input.len == 0)
        return set_filler(s, a, args->bytes, (uint64_t)args->seed + (uint64_t)it->index);
    if (!json_read(a, it->input, &input, &it->err))
        return false;
    if (json_type(input) == JSON_TEXT)
        return set_bytes(s, json_as_text(input));
    if (json_type(input) == JSON_OBJECT)
        return set_object(s, a, input, &it->err);
    return err_set(&it->err, ERR_BAD_FIELD, "an item must be a string or an object, not %s",
                   json_type_name(json_type(input)));
}

struct span source_next(struct source *s)
{
    if (!s->made)
        return span_take(&s->rest, SOURCE_PIECE);
    size_t n = s->left < SOURCE_PIECE ? (size_t)s->left : SOURCE_PIECE;
    filler_take(&s->filler, s->made, n);
    s->left -= (int64_t)n;
    return (struct span){s->made, n};
}
