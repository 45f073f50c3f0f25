#include "model/limit.h"

#include <stdio.h>

#define AT(member) .offset = offsetof(struct limit, member)

static const struct field fields[] = {
    {.name = "key",
     .type = FIELD_TEXT,
     AT(key),
     .max = LIMIT_KEY,
     .def_text = "",
     .summary = "who shares the limit: all tasks with the same key"},
    LIMIT_NUMBERS(struct limit, ),
};

const struct fields limit_fields = FIELDS(fields, struct limit);

bool limit_check(const struct limit *l, const char *at, struct err *e)
{
    char pointer[sizeof e->pointer];
    snprintf(pointer, sizeof pointer, "%s/per_s", at);
    return l->per_s >= 0.001 ||
           err_at(e, ERR_BAD_FIELD, pointer, "\"%s\" must be a number from 0.001 to %d: seconds", pointer,
                  LIMIT_DELAY_S);
}

bool limit_read(const struct json *json, struct limit *ret, struct err *e)
{
    struct limit l;
    if (!fields_read(&limit_fields, json, "/limit", &l, e) || !limit_check(&l, "/limit", e))
        return false;
    if (json_type(json) == JSON_NULL) {
        *ret = l;
        return true;
    }
    if (l.key[0] == '\0')
        return err_at(e, ERR_BAD_FIELD, "/limit/key",
                      "\"/limit/key\" must be a text of 1 to %u bytes: who shares the limit", LIMIT_KEY);
    if (l.concurrency == 0 && l.rate == 0)
        return err_at(e, ERR_BAD_FIELD, "/limit",
                      "\"/limit\" must have a concurrency or a rate of 1 or more");
    *ret = l;
    return true;
}

void limit_write(const struct limit *l, struct json_out *o)
{
    if (l->key[0] == '\0')
        return;
    json_key(o, "limit");
    json_open(o, '{');
    json_key(o, "key");
    json_put_str(o, l->key);
    if (l->concurrency > 0) {
        json_key(o, "concurrency");
        json_put_int(o, l->concurrency);
    }
    if (l->rate > 0) {
        json_key(o, "rate");
        json_put_int(o, l->rate);
        json_key(o, "per_s");
        json_put_num(o, l->per_s);
    }
    json_close(o, '}');
}

static void put_number(struct json_out *o, const char *key, bool given, double v)
{
    json_key(o, key);
    if (given)
        json_put_num(o, v);
    else
        json_put_null(o);
}

void limit_write_numbers(const struct limit *l, struct json_out *o)
{
    put_number(o, "concurrency", l->concurrency > 0, (double)l->concurrency);
    put_number(o, "rate", l->rate > 0, (double)l->rate);
    put_number(o, "per_s", l->rate > 0, l->per_s);
}
