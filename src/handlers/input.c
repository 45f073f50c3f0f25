/* input.c: an item's input as an integer or a string. */
#include "handlers/input.h"

#include <inttypes.h>

#include "core/json.h"

bool input_int(struct item *it, int64_t min, int64_t max, int64_t *v)
{
    int64_t n;

    if (it->input.len == 0)
        return true;
    if (!span_to_int(it->input, &n) || n < min || n > max) {
        return err_set(&it->err, ERR_BAD_FIELD, "the input must be an integer from %" PRId64 " to %" PRId64,
                       min, max);
    }
    *v = n;
    return true;
}

bool input_text(struct item *it, struct arena *a, struct span *v)
{
    const struct json *text;

    if (it->input.len == 0)
        return true;
    if (!json_read(a, it->input, &text, &it->err))
        return false;
    if (json_type(text) != JSON_TEXT) {
        return err_set(&it->err, ERR_BAD_FIELD, "the input must be a string, not %s",
                       json_type_name(json_type(text)));
    }
    *v = json_as_text(text);
    return true;
}
