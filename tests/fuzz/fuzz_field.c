/* core/field.h: an object, and behind a line end name=value&name=value; what is accepted lies in its range. */
#include "fuzz/replay.h"

#include <stddef.h>

#include "core/field.h"

struct target {
    int64_t count;
    double ratio;
    bool loud, given;
    char name[9];
    int mode;
    const struct json *extra;
    char guard[8];
};

static const char *const modes[] = {"slow", "fast", NULL};
static const struct field table[] = {
    {.name = "count",
     .type = FIELD_INT,
     .offset = offsetof(struct target, count),
     .min = -5,
     .max = 1000,
     .def = 3,
     .given = offsetof(struct target, given)},
    {.name = "ratio", .type = FIELD_NUM, .offset = offsetof(struct target, ratio), .min = -1, .max = 9},
    {.name = "loud", .type = FIELD_BOOL, .offset = offsetof(struct target, loud)},
    {.name = "name",
     .type = FIELD_TEXT,
     .offset = offsetof(struct target, name),
     .min = 1,
     .max = 8,
     .def_text = "x"},
    {.name = "mode", .type = FIELD_ENUM, .offset = offsetof(struct target, mode), .words = modes},
    {.name = "extra", .type = FIELD_JSON, .offset = offsetof(struct target, extra)},
};
static const struct fields fields = FIELDS(table, struct target);

static void check(const struct target *t)
{
    static const char zeros[8];
    MUST(t->count >= -5 && t->count <= 1000);
    MUST(t->ratio >= -1 && t->ratio <= 9);
    MUST(memchr(t->name, '\0', sizeof t->name) && t->name[0]);
    MUST(t->mode == 0 || t->mode == 1);
    MUST(memcmp(t->guard, zeros, sizeof zeros) == 0);
}

static void read_object(struct span text)
{
    struct arena a CLEANUP(arena_release) = ARENA_INIT;
    struct buf b CLEANUP(buf_release) = BUF_INIT(16u << 20);
    struct err e = ERR_INIT;
    struct target t, u;
    const struct json *v, *again;
    if (!json_read(&a, text, &v, NULL))
        return;
    if (!fields_read(&fields, v, "", &t, &e)) {
        MUST(e.code == ERR_UNKNOWN_FIELD || e.code == ERR_BAD_FIELD);
        MUST(e.text[0]);
        return;
    }
    check(&t);
    struct json_out o = json_out(&b);
    fields_write(&fields, &t, &o);
    MUST(json_read(&a, buf_view(&b), &again, NULL));
    MUST(fields_read(&fields, again, "", &u, NULL));
    MUST(t.count == u.count && t.ratio == u.ratio && t.loud == u.loud && t.mode == u.mode);
    MUST(strcmp(t.name, u.name) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct span rest = {(const char *)data, size};
    read_object(span_cut(&rest, '\n'));
    struct target t;
    fields_defaults(&fields, &t);
    while (rest.len) {
        struct span value = span_cut(&rest, '&'), name = span_cut(&value, '=');
        struct err e = ERR_INIT;
        MUST(fields_set(&fields, name, value, &t, &e) == (e.code == ERR_NONE));
        check(&t);
    }
    return 0;
}

FUZZ_MAIN("field")
