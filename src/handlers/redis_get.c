/*
 * redis_get.c: an item is a key; its result is what Redis has there. What a stranger asks for comes out of somebody's Redis, so
 * nothing may be read until redis.allow says what; and where that is the Redis that Lathe itself uses, its own keys only if
 * redis.allow names them.
 */
#include "handlers/redis_get.h"

#include "core/hmac.h"
#include "core/json.h"
#include "core/limits.h"
#include "handlers/registry.h"
#include "model/redis.h"

enum keep { KEEP_TEXT, KEEP_BASE64 };

struct args {
    int keep;
};

struct look {
    struct redis_call *call;
};

/* An item as an object. */
struct wish {
    char key[LIMIT_REDIS_KEY + 1], field[LIMIT_REDIS_KEY + 1];
};

static const struct field wish_list[] = {
    {.name = "key",
     .type = FIELD_TEXT,
     .offset = offsetof(struct wish, key),
     .max = LIMIT_REDIS_KEY,
     .def_text = "",
     .summary = "the key"},
    {.name = "field",
     .type = FIELD_TEXT,
     .offset = offsetof(struct wish, field),
     .max = LIMIT_REDIS_KEY,
     .def_text = "",
     .summary = "of the hash that is at the key; empty: the key is a string"},
};
static const struct fields wish_fields = FIELDS(wish_list, struct wish);

/* ---- what may be read */

static struct {
    const char *allow;
    bool shared; /* the Redis is Lathe's own */
    const char *prefix;
} setup = {.allow = "", .prefix = "lathe"};

void redis_get_open(const struct conf *c)
{
    setup.allow = c->redis_allow;
    setup.shared = c->redis_url[0] == '\0' || strcmp(c->redis_url, c->cache_url) == 0;
    setup.prefix = c->cache_prefix;
}

static bool is_own(struct span key)
{
    size_t len = strlen(setup.prefix);
    return setup.shared && span_starts(key, setup.prefix) && key.len > len && key.ptr[len] == ':';
}

/* Does the word name Lathe's own keys, and not just something that they happen to begin with? */
static bool names_own(struct span word)
{
    return word.len > strlen(setup.prefix) && span_starts(word, setup.prefix);
}

static bool opens(struct span word, struct span key)
{
    if (word.len == 0 || (is_own(key) && !names_own(word)))
        return false;
    return span_is(word, "*") || (key.len >= word.len && memcmp(key.ptr, word.ptr, word.len) == 0);
}

bool redis_get_may(struct span key, struct err *e)
{
    struct span rest = span_of(setup.allow);
    while (rest.len)
        if (opens(span_trim(span_cut(&rest, ',')), key))
            return true;
    return err_set(e, ERR_FORBIDDEN_KEY, "the key \"%.*s\" may not be read; redis.allow opens some",
                   (int)(key.len < 64 ? key.len : 64), key.len ? key.ptr : "");
}

/* ---- an item */

static bool read_wish(struct arena *a, struct item *it, struct wish *w)
{
    const struct json *input = NULL;
    fields_defaults(&wish_fields, w);
    if (it->input.len && !json_read(a, it->input, &input, &it->err))
        return false;
    if (json_type(input) == JSON_OBJECT) {
        if (!fields_read(&wish_fields, input, "", w, &it->err))
            return false;
    } else if (json_type(input) == JSON_TEXT) {
        struct span key = json_as_text(input);
        if (key.len > LIMIT_REDIS_KEY || memchr(key.ptr, '\0', key.len))
            return err_set(&it->err, ERR_BAD_FIELD, "a key has at most %u bytes", LIMIT_REDIS_KEY);
        memcpy(w->key, key.ptr, key.len);
    }
    return w->key[0] != '\0' || err_set(&it->err, ERR_BAD_FIELD,
                                        "an item must be a key, or an object with one: {\"key\", \"field\"}");
}

static bool ask(struct item *it, struct look *l)
{
    struct arena a CLEANUP(arena_release) = ARENA_INIT;
    struct wish w;
    if (!read_wish(&a, it, &w) || !redis_get_may(span_of(w.key), &it->err))
        return false;
    bool hash = w.field[0] != '\0';
    struct span words[] = {hash ? SPAN("HGET") : SPAN("GET"), span_of(w.key), span_of(w.field)};
    l->call = redis_start(it, &redis_port, words, hash ? 3 : 2);
    return l->call != NULL;
}

static void put_value(struct json_out *o, const struct redis_call *c, int keep)
{
    struct buf coded CLEANUP(buf_release) = BUF_INIT(LIMIT_ITEM_RESULT);
    if (c->type == REDIS_NOTHING) {
        json_put_null(o);
    } else if (keep == KEEP_TEXT) {
        json_put_text(o, c->text);
    } else {
        base64_write(&coded, c->text);
        json_put_text(o, buf_view(&coded));
        o->buf->failed |= coded.failed;
    }
}

/* The key as it was asked for. */
static void put_key(struct item *it, struct json_out *o)
{
    struct arena a CLEANUP(arena_release) = ARENA_INIT;
    struct wish w;
    bool ok = read_wish(&a, it, &w);
    json_key(o, "key");
    json_put_str(o, ok ? w.key : "");
    if (ok && w.field[0] != '\0') {
        json_key(o, "field");
        json_put_str(o, w.field);
    }
}

static enum step answer(struct item *it, const struct redis_call *c)
{
    const struct args *args = it->args;
    struct json_out o = json_out(&it->out);
    if (c->err.code != ERR_NONE) {
        it->err = c->err;
        return STEP_FAIL;
    }
    json_open(&o, '{');
    put_key(it, &o);
    json_key(&o, "value");
    put_value(&o, c, args->keep);
    json_key(&o, "found");
    json_put_bool(&o, c->type != REDIS_NOTHING);
    json_close(&o, '}');
    return STEP_DONE;
}

static enum step step(struct item *it)
{
    struct look *l = it->state;
    if (!l->call && !ask(it, l))
        return STEP_FAIL;
    return l->call->done ? answer(it, l->call) : item_wait_call(it);
}

static void drop(struct item *it)
{
    struct look *l = it->state;
    redis_drop(l->call);
    l->call = NULL;
}

static const char *const keeps[] = {"text", "base64", NULL};

static const struct field fields[] = {
    {.name = "value",
     .type = FIELD_ENUM,
     .offset = offsetof(struct args, keep),
     .words = keeps,
     .summary = "how the result has it: text (UTF-8, what is none is replaced) or base64"},
};

const struct handler handler_redis_get = {
    .name = "redis.get",
    .summary = "reads a key of Redis, or a field of a hash; all items of a thread in one round trip",
    .item = "a key, or an object {key, field}",
    .params = FIELDS(fields, struct args),
    .state_size = sizeof(struct look),
    .step = step,
    .drop = drop,
};
