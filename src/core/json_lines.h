/*
 * json_lines.h: cuts a list out of an object's text and makes lines of it (NDJSON), for json.c.
 *
 *     {"handler":"echo","items":[1, {"a": 2}],"queue":"q"}     before: {"handler":"echo","items":
 *                                                              after:  ,"queue":"q"}
 *                                                              lines:  1\n{"a":2}\n
 */
#ifndef LATHE_CORE_JSON_LINES_H
#define LATHE_CORE_JSON_LINES_H

#include "core/arena.h"

struct json_cut {
    struct span before, after; /* of `text`: what stands around the list and its brackets */
    struct span lines; /* in the arena: each value without blanks between its parts, and a line feed */
};

/* False: the object has no such member whose name is written without escapes, or that is no list; or it is none. `text` has passed
 * json_check. */
bool json_lines_cut(struct arena *a, struct span text, const char *key, struct json_cut *ret);

#endif
