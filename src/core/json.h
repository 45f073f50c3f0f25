/*
 * json.h: reading JSON from strangers, and writing it. The only door to json-c.
 *
 * Reading: one strict pass over the bytes refuses what json-c 0.16 lets through (NaN and Infinity, integers outside
 * int64, duplicate keys, NUL and other control characters in strings, invalid UTF-8, anything after the value, too deep,
 * too large), then json-c builds the tree. A `const struct json *` is borrowed from the arena that it was read into; one
 * thread at a time (json-c's reference counts are not atomic).
 *
 *     const struct json *body;
 *     if (!json_read(arena, text, &body, e)) return false;       // ERR_BAD_JSON with line and column, or ERR_TOO_LARGE
 *     const struct json *items = json_member(body, "items");     // NULL if there is none
 */
#ifndef LATHE_CORE_JSON_H
#define LATHE_CORE_JSON_H

#include <stdbool.h>
#include <stdint.h>

#include "core/arena.h"
#include "core/buf.h"
#include "core/err.h"
#include "core/span.h"

struct json;

enum json_type {
    JSON_NULL,
    JSON_BOOL,
    JSON_INT,
    JSON_NUM,
    JSON_TEXT,
    JSON_LIST,
    JSON_OBJECT,
    JSON_LINES /* a list of which no tree was built: json_read_lines */
};

/* Depth and size are bounded by LIMIT_JSON_DEPTH and LIMIT_BODY. Empty text is ERR_BAD_JSON. */
bool json_read(struct arena *a, struct span text, const struct json **ret, struct err *e) LATHE_CHECK;

/* The same, but where the outermost object has a list under `key`, this becomes JSON_LINES: its values as text. A long list
 * costs a tenth of what its tree would. (One whose key is written with escapes stays a JSON_LIST; NULL: each list does.) */
bool json_read_lines(struct arena *a, struct span text, const char *key, const struct json **ret,
                     struct err *e) LATHE_CHECK;

/* The strict pass alone: is this one well-formed value by our rules? For NDJSON lines and stored values. */
bool json_check(struct span text, struct err *e) LATHE_CHECK;

/* The members of an object that is plain, in their order, without a tree: texts decoded, other values as they stand; none is a list or an
 * object. False: it is something else, has more than JSON_PLAIN members, is not well formed, or `each` said so; the rest was not looked at. Who
 * wants to know why asks json_read. The texts live until `each` returns. */
#define JSON_PLAIN 16
typedef bool json_plain_each(struct span key, enum json_type type, struct span value, void *arg);
bool json_plain(struct span text, json_plain_each *each, void *arg) LATHE_CHECK;

enum json_type json_type(const struct json *v); /* NULL pointer is JSON_NULL */
const char *json_type_name(enum json_type t);   /* "an integer", "a string", … for messages */

bool json_as_bool(const struct json *v); /* each asserts its type; json_as_num takes JSON_INT too */
int64_t json_as_int(const struct json *v);
double json_as_num(const struct json *v);
struct span json_as_text(const struct json *v);

struct span json_as_lines(const struct json *v); /* of JSON_LINES: a line each value, with its line feed */

size_t json_len(const struct json *v); /* of a list or an object */
const struct json *json_at(const struct json *list, size_t i);
const struct json *json_member(const struct json *object,
                               const char *key); /* NULL if absent; JSON_NULL value if null */

/* Calls each(key, value, arg) in document order until it returns false; returns whether all were visited. */
bool json_each(const struct json *object, bool (*each)(struct span key, const struct json *value, void *arg),
               void *arg);

void json_emit(struct buf *out, const struct json *v); /* compact text on one line; NULL writes null */

/*
 * Writing: a sticky builder over a buf. Commas and quoting are its business; nesting is asserted.
 *
 *     struct json_out o = json_out(&buf);
 *     json_open(&o, '{');
 *     json_key(&o, "id");  json_put_text(&o, SPAN("0199"));
 *     json_close(&o, '}');
 */
struct json_out {
    struct buf *buf;
    bool comma;     /* the next value or key needs one before it */
    int depth;      /* at most 64 */
    uint64_t lists; /* a bit for each open bracket: 1 for '[' */
};

struct json_out json_out(struct buf *buf);
void json_open(struct json_out *o, char bracket);        /* '{' or '[' */
void json_close(struct json_out *o, char bracket);       /* '}' or ']' */
void json_key(struct json_out *o, const char *key);      /* keys are our own words, written as they are */
void json_key_span(struct json_out *o, struct span key); /* foreign keys, escaped */
void json_put_text(struct json_out *o,
                   struct span s); /* invalid UTF-8 is replaced, control characters escaped */
void json_put_str(struct json_out *o, const char *s); /* NULL writes null */
void json_put_int(struct json_out *o, int64_t v);
void json_put_num(struct json_out *o,
                  double v); /* shortest form that reads back the same; non-finite writes null */
void json_put_bool(struct json_out *o, bool v);
void json_put_null(struct json_out *o);
void json_put_raw(struct json_out *o, struct span json); /* JSON that is already text; empty writes null */
void json_put_value(struct json_out *o, const struct json *v);

#endif
