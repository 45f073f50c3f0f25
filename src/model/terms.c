#include "model/terms.h"

#include "core/limits.h"
#include "core/when.h"

/* ---- what a caller asks for ---- */

static bool check_run_at(struct terms *t, int64_t now_us, struct err *e)
{
    if (t->run_at[0] != '\0' && t->delay > 0)
        return err_at(e, ERR_BAD_FIELD, "/delay", "give run_at or delay, not both");
    if (t->run_at[0] != '\0' && !when_read(span_of(t->run_at), &t->run_at_us))
        return err_at(e, ERR_BAD_FIELD, "/run_at",
                      "\"/run_at\" must be a time as in 2026-11-21T03:14:05Z, not \"%s\"", t->run_at);
    if (t->delay > 0)
        t->run_at_us = now_us + (int64_t)(t->delay * 1e6);
    if (t->run_at_us <= now_us)
        t->run_at_us = 0;
    return true;
}

/* A time, or seconds from now. */
static bool read_expires(struct terms *t, int64_t now_us, struct err *e)
{
    enum json_type type = json_type(t->expires_json);
    double s = type == JSON_INT || type == JSON_NUM ? json_as_num(t->expires_json) : 0;
    t->expires_us = 0;
    if (type == JSON_NULL)
        return true;
    if (s > 0 && s <= LIMIT_DELAY_S) {
        t->expires_us = now_us + (int64_t)(s * 1e6);
        return true;
    }
    if (type == JSON_TEXT && when_read(json_as_text(t->expires_json), &t->expires_us))
        return true;
    return err_at(
        e, ERR_BAD_FIELD, "/expires",
        "\"/expires\" must be a time as in 2026-11-21T03:14:05Z, or seconds from now: more than 0, %d "
        "at most",
        LIMIT_DELAY_S);
}

static bool check_expires(struct terms *t, int64_t now_us, struct err *e)
{
    if (!read_expires(t, now_us, e))
        return false;
    if (t->expires_us != 0 && t->expires_us <= now_us)
        return err_at(e, ERR_BAD_FIELD, "/expires", "\"/expires\" is past: the task could never begin");
    if (t->expires_us != 0 && t->expires_us <= t->run_at_us)
        return err_at(e, ERR_BAD_FIELD, "/expires",
                      "\"/expires\" is not after run_at (or delay): the task could never begin");
    return true;
}

bool terms_check(struct terms *t, int64_t now_us, struct err *e)
{
    return check_run_at(t, now_us, e) && check_expires(t, now_us, e) &&
           fields_read(&backoff_fields, t->backoff_json, "/backoff", &t->backoff, e) &&
           limit_read(t->limit_json, &t->limit, e);
}

/* ---- as it is kept ---- */

static void write_number(struct json_out *o, const char *key, int64_t v)
{
    if (v == 0)
        return;
    json_key(o, key);
    json_put_int(o, v);
}

struct span terms_write(struct arena *a, const struct terms *t)
{
    struct buf b CLEANUP(buf_release) = BUF_INIT(LIMIT_PARAMS);
    struct json_out o = json_out(&b);
    json_open(&o, '{');
    write_number(&o, "retries", t->retries);
    write_number(&o, "item_retries", t->item_retries);
    if (t->retries + t->item_retries > 0) {
        json_key(&o, "backoff");
        fields_write(&backoff_fields, &t->backoff, &o);
    }
    write_number(&o, "expires_us", t->expires_us);
    write_number(&o, "cache_ttl_s", t->cache_ttl_s);
    limit_write(&t->limit, &o);
    if (t->tenant[0] != '\0') {
        json_key(&o, "tenant");
        json_put_str(&o, t->tenant);
    }
    follow_write(&t->follow, &o);
    json_close(&o, '}');
    return b.len > 2 ? arena_copy(a, buf_view(&b)) : SPAN("");
}

static int64_t read_number(const struct json *object, const char *key)
{
    const struct json *v = object != NULL ? json_member(object, key) : NULL;
    return json_type(v) == JSON_INT ? json_as_int(v) : 0;
}

bool terms_read(struct arena *a, struct span json, struct terms *ret, struct err *e)
{
    const struct json *object = NULL;
    struct terms t = {.retries = 0};
    if (json.len > 0 && !json_read(a, json, &object, e))
        return false;
    if (json_type(object) != JSON_OBJECT)
        object = NULL;
    if (!fields_read(&backoff_fields, object != NULL ? json_member(object, "backoff") : NULL,
                     "/terms/backoff", &t.backoff, e))
        return false;
    t.retries = read_number(object, "retries");
    t.item_retries = read_number(object, "item_retries");
    t.expires_us = read_number(object, "expires_us");
    t.cache_ttl_s = read_number(object, "cache_ttl_s");
    *ret = t;
    return true;
}
