/*
 * field.h: one table describes the fields of an object: the reader, the JSON Schema, `--help` and the pages are all made
 * from it. Used for handlers' params, for the submission body and for query strings, so that unknown fields, types,
 * ranges and messages are the same everywhere.
 *
 *     struct nap { int64_t ms; };
 *     static const struct field nap_fields[] = {
 *         {.name = "ms", .type = FIELD_INT, .offset = offsetof(struct nap, ms), .min = 0, .max = 3600000, .def = 100,
 *          .summary = "how long each item sleeps"},
 *     };
 *
 * The target struct is zeroed and then given every default; where a target holds no pointers (FIELD_JSON is the only
 * type that makes one) it may be copied between processes.
 */
#ifndef LATHE_CORE_FIELD_H
#define LATHE_CORE_FIELD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/arena.h"
#include "core/err.h"
#include "core/json.h"
#include "core/limits.h"
#include "core/span.h"

enum field_type {
    FIELD_INT,  /* int64_t; min..max; def */
    FIELD_NUM,  /* double; min..max; def + def_part */
    FIELD_BOOL, /* bool; def 0 or 1 */
    FIELD_TEXT, /* char[max + 1], NUL-terminated; at least min bytes; def_text; no control characters */
    FIELD_ENUM, /* int (index into .words); def */
    FIELD_JSON, /* const struct json *, any value, borrowed; NULL if absent */
};

struct field {
    const char *name;
    enum field_type type;
    size_t offset;
    int64_t min, max, def;
    double def_part; /* FIELD_NUM: what is not whole of the default */
    const char *def_text;
    const char *const *words; /* NULL-terminated, FIELD_ENUM */
    const char *summary;      /* one line: what it means and its unit */
    size_t given;             /* if not 0: offset of a bool that is set when the caller gave the field */
};

struct fields {
    const struct field *list;
    size_t count;
    size_t size; /* of the target struct */
};

/* FIELDS_FREE takes any object: the target is a struct fields_free. */
extern const struct field fields_any[];

/* An object that is kept as its JSON text, on one line, "{}" if there was none. Plain bytes, as every target. */
struct fields_free {
    int64_t len;
    char text[LIMIT_PARAMS];
};

/* clang-format off */
#define FIELDS(table, type) {(table), COUNT_OF(table), sizeof(type)}
#define FIELDS_FREE {fields_any, 0, sizeof(struct fields_free)}
/* clang-format on */

/* A stranger's text as messages show it: quoted, escaped, on one line, 40 bytes of it at most; 300 bytes. */
void field_show(struct span text, struct buf *b);

void fields_defaults(const struct fields *f, void *target);

/* From a JSON object (NULL or JSON_NULL gives the defaults). `at` is the object's own JSON pointer, "" for the body.
 * ERR_UNKNOWN_FIELD or ERR_BAD_FIELD name the pointer, the allowed range and what was found. */
bool fields_read(const struct fields *f, const struct json *object, const char *at, void *target,
                 struct err *e) LATHE_CHECK;

/* For items, of which there are many: json_read, which must find an object, and fields_read. Of one without lists and objects no tree is built. */
bool fields_read_text(const struct fields *f, struct arena *a, struct span text, void *target,
                      struct err *e) LATHE_CHECK;

/* The same as fields_read over what is in the target already: only what is in the object is set. */
bool fields_update(const struct fields *f, const struct json *object, const char *at, void *target,
                   struct err *e) LATHE_CHECK;

/* One field from text, as in a query string or on a command line ("true", "12", "word"). FIELD_JSON is refused. */
bool fields_set(const struct fields *f, struct span name, struct span text, void *target,
                struct err *e) LATHE_CHECK;

/* A JSON Schema 2020-12 object: {"type":"object","additionalProperties":false,"properties":{…}}. */
void fields_schema(const struct fields *f, struct json_out *o);

/* The target as a JSON object, every field, in table order: what was really used. */
void fields_write(const struct fields *f, const void *target, struct json_out *o);

#endif
