/*
 * The only file that sees json-c. Its tree is handed out as `const struct json *`: the pointer is json-c's own, but for
 * null, which json-c keeps as a NULL pointer and we as a value, so that "absent" and "null" can be told apart.
 */
#include "core/json.h"

#include <assert.h>
#include <string.h>

#define json_type json_c_type /* json-c has an enum of our function's name */
#include <json-c/json_object.h>
#include <json-c/json_tokener.h>
#include <json-c/linkhash.h>
#undef json_type

#include "core/json_lines.h"
#include "core/limits.h"

struct json {
    char unused;
};

static const struct json null_value;

static const struct json *from_c(struct json_object *o)
{
    return o ? (const void *)o : &null_value;
}

/* json-c takes no const pointers, although what is called here changes nothing */
static struct json_object *to_c(const struct json *v)
{
    union {
        const struct json *ours;
        struct json_object *theirs;
    } u = {.ours = v == &null_value ? NULL : v};
    return u.theirs;
}

static void put_object(void *o)
{
    json_object_put(o);
}

static void free_tokener(struct json_tokener **t)
{
    json_tokener_free(*t);
}

/* Of a text that has passed json_check. */
static bool build(struct arena *a, struct span text, struct json_object **ret, struct err *e)
{
    while (text.len &&
           char_is_space(text.ptr[text.len - 1])) /* strict json-c takes blanks behind a value for a fault */
        text.len--;
    struct json_tokener *t CLEANUP(free_tokener) = json_tokener_new_ex((int)LIMIT_JSON_DEPTH + 2);
    if (!t)
        return err_set(e, ERR_INTERNAL, "json-c gave no tokener");
    json_tokener_set_flags(t, JSON_TOKENER_STRICT | JSON_TOKENER_VALIDATE_UTF8);
    struct json_object *tree = json_tokener_parse_ex(t, text.ptr, (int)text.len);
    if (json_tokener_get_error(t) == json_tokener_continue)
        tree = json_tokener_parse_ex(t, "",
                                     1); /* a number is over only when something comes after it: the NUL */
    enum json_tokener_error fault = json_tokener_get_error(t);
    if (fault != json_tokener_success)
        return err_set(e, ERR_BAD_JSON, "%s", json_tokener_error_desc(fault));
    if (tree)
        arena_defer(a, put_object, tree);
    *ret = tree;
    return true;
}

bool json_read(struct arena *a, struct span text, const struct json **ret, struct err *e)
{
    return json_read_lines(a, text, NULL, ret, e);
}

/* The tree has a string in the list's place, with where the lines are. */
bool json_read_lines(struct arena *a, struct span text, const char *key, const struct json **ret,
                     struct err *e)
{
    struct json_cut cut;
    struct json_object *tree = NULL;
    if (!json_check(text, e))
        return false;
    bool found = key && json_lines_cut(a, text, key, &cut);
    if (found) {
        struct buf rest = BUF_INIT(LIMIT_BODY);
        buf_span(&rest, cut.before);
        buf_puts(&rest, "\"\"");
        buf_span(&rest, cut.after);
        text = arena_copy(a, buf_view(&rest));
        buf_release(&rest);
    }
    if (!build(a, text, &tree, e))
        return false;
    if (found) {
        struct span *lines = arena_alloc(a, sizeof *lines);
        *lines = cut.lines;
        json_object_set_userdata(json_object_object_get(tree, key), lines, NULL);
    }
    *ret = from_c(tree);
    return true;
}

enum json_type json_type(const struct json *v)
{
    switch (json_object_get_type(to_c(v))) {
    case json_type_boolean:
        return JSON_BOOL;
    case json_type_int:
        return JSON_INT;
    case json_type_double:
        return JSON_NUM;
    case json_type_string:
        return json_object_get_userdata(to_c(v)) ? JSON_LINES : JSON_TEXT;
    case json_type_array:
        return JSON_LIST;
    case json_type_object:
        return JSON_OBJECT;
    case json_type_null:
        break;
    }
    return JSON_NULL;
}

const char *json_type_name(enum json_type t)
{
    static const char *const names[] = {"null",     "true or false", "an integer", "a number",
                                        "a string", "a list",        "an object",  "a list"};
    assert((unsigned)t < COUNT_OF(names));
    return names[t];
}

bool json_as_bool(const struct json *v)
{
    assert(json_type(v) == JSON_BOOL);
    return json_object_get_boolean(to_c(v));
}

int64_t json_as_int(const struct json *v)
{
    assert(json_type(v) == JSON_INT);
    return json_object_get_int64(to_c(v));
}

double json_as_num(const struct json *v)
{
    assert(json_type(v) == JSON_NUM || json_type(v) == JSON_INT);
    return json_object_get_double(to_c(v));
}

struct span json_as_text(const struct json *v)
{
    assert(json_type(v) == JSON_TEXT);
    struct json_object *o = to_c(v);
    return (struct span){json_object_get_string(o), (size_t)json_object_get_string_len(o)};
}

struct span json_as_lines(const struct json *v)
{
    assert(json_type(v) == JSON_LINES);
    return *(struct span *)json_object_get_userdata(to_c(v));
}

size_t json_len(const struct json *v)
{
    struct json_object *o = to_c(v);
    if (json_type(v) == JSON_OBJECT)
        return (size_t)json_object_object_length(o);
    assert(json_type(v) == JSON_LIST);
    return json_object_array_length(o);
}

const struct json *json_at(const struct json *list, size_t i)
{
    assert(i < json_len(list) && json_type(list) == JSON_LIST);
    return from_c(json_object_array_get_idx(to_c(list), i));
}

const struct json *json_member(const struct json *object, const char *key)
{
    assert(json_type(object) == JSON_OBJECT);
    struct json_object *found;
    return json_object_object_get_ex(to_c(object), key, &found) ? from_c(found) : NULL;
}

bool json_each(const struct json *object, bool (*each)(struct span key, const struct json *value, void *arg),
               void *arg)
{
    assert(json_type(object) == JSON_OBJECT);
    for (struct lh_entry *m = json_object_get_object(to_c(object))->head; m; m = m->next) {
        struct json_object *value = lh_entry_v(m);
        if (!each(span_of(lh_entry_k(m)), from_c(value), arg))
            return false;
    }
    return true;
}

/* A decimal as it was written: 1.0 stays 1.0, which json_put_num would shorten to the integer 1. */
static void put_decimal(struct json_out *o, const struct json *v)
{
    const char *as_read = json_object_get_userdata(to_c(v));
    if (as_read)
        json_put_raw(o, span_of(as_read));
    else
        json_put_num(o, json_as_num(v));
}

static void put_lines(struct json_out *o, struct span lines)
{
    json_open(o, '[');
    while (lines.len)
        json_put_raw(o, span_cut(&lines, '\n'));
    json_close(o, ']');
}

static bool put_member(struct span key, const struct json *value, void *out)
{
    json_key_span(out, key);
    json_put_value(out, value);
    return true;
}

void json_put_value(struct json_out *o, const struct json *v)
{
    switch (json_type(v)) {
    case JSON_NULL:
        json_put_null(o);
        break;
    case JSON_BOOL:
        json_put_bool(o, json_as_bool(v));
        break;
    case JSON_INT:
        json_put_int(o, json_as_int(v));
        break;
    case JSON_NUM:
        put_decimal(o, v);
        break;
    case JSON_TEXT:
        json_put_text(o, json_as_text(v));
        break;
    case JSON_LIST:
        json_open(o, '[');
        for (size_t i = 0, n = json_len(v); i < n; i++)
            json_put_value(o, json_at(v, i));
        json_close(o, ']');
        break;
    case JSON_LINES:
        put_lines(o, json_as_lines(v));
        break;
    case JSON_OBJECT:
        json_open(o, '{');
        json_each(v, put_member, o);
        json_close(o, '}');
        break;
    }
}

void json_emit(struct buf *out, const struct json *v)
{
    struct json_out o = json_out(out);
    json_put_value(&o, v);
}
