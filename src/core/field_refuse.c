/* What messages say of a field that cannot be set, and of a name that is none. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "core/buf.h"
#include "core/field_inside.h"
#include "core/utf8.h"

#define TEXT_MOST 256u

/* What the field allows, in words. */
static void describe(const struct field *f, struct buf *b)
{
    switch (f->type) {
    case FIELD_INT:
        buf_printf(b, "an integer from %" PRId64 " to %" PRId64, f->min, f->max);
        break;
    case FIELD_NUM:
        buf_printf(b, "a number from %" PRId64 " to %" PRId64, f->min, f->max);
        break;
    case FIELD_BOOL:
        buf_puts(b, "true or false");
        break;
    case FIELD_TEXT:
        buf_printf(b, "a string of %" PRId64 " to %" PRId64 " bytes without control characters", f->min,
                   f->max);
        break;
    case FIELD_ENUM:
        buf_puts(b, "one of");
        for (size_t i = 0; f->words[i]; i++)
            buf_printf(b, "%s \"%s\"", i ? "," : "", f->words[i]);
        break;
    case FIELD_JSON:
        buf_puts(b, "any JSON value");
        break;
    }
}

struct field_pointer field_pointer_to(const char *at, struct span name)
{
    struct buf b CLEANUP(buf_release) = BUF_INIT(4096);
    struct field_pointer p;
    if (at)
        buf_printf(&b, "%s/", at);
    for (struct span rest = utf8_clip(name, 512); rest.len;) {
        char c = *span_take(&rest, 1).ptr;
        if (at && (c == '~' || c == '/'))
            buf_puts(&b, c == '~' ? "~0" : "~1");
        else
            buf_char(&b, c);
    }
    snprintf(p.text, sizeof p.text, SPAN_FMT, SPAN_ARG(utf8_clip(buf_view(&b), sizeof p.text - 1)));
    return p;
}

static bool refuse(const struct field_setting *s, const char *found)
{
    struct buf allowed CLEANUP(buf_release) = BUF_INIT(TEXT_MOST);
    struct field_pointer p = field_pointer_to(s->at, s->name);
    describe(s->field, &allowed);
    return err_at(s->e, ERR_BAD_FIELD, p.text, "\"%s\" must be " SPAN_FMT ", not %s", p.text,
                  SPAN_ARG(buf_view(&allowed)), found);
}

void field_show(struct span text, struct buf *b)
{
    struct json_out o = json_out(b);
    json_put_text(&o, utf8_clip(text, 40));
    if (text.len > 40)
        buf_printf(b, "… (%zu bytes)", text.len);
}

bool field_refuse_text(const struct field_setting *s, struct span text)
{
    struct buf found CLEANUP(buf_release) = BUF_INIT(2 * TEXT_MOST);
    field_show(text, &found);
    buf_char(&found, '\0');
    return refuse(s, found.ptr);
}

bool field_refuse_value(const struct field_setting *s, const struct json *v)
{
    struct buf found CLEANUP(buf_release) = BUF_INIT(2 * TEXT_MOST);
    enum json_type type = json_type(v);
    if (type == JSON_TEXT) {
        buf_puts(&found, "the string ");
        field_show(json_as_text(v), &found);
    } else if (type == JSON_LIST || type == JSON_OBJECT) {
        buf_puts(&found, json_type_name(type));
    } else {
        if (type == JSON_NUM && s->field->type == FIELD_INT)
            buf_puts(&found, "the decimal number ");
        struct buf number CLEANUP(buf_release) = BUF_INIT(2048);
        json_emit(&number, v);
        struct span shown = span_take(&(struct span){number.ptr, number.len}, 40);
        buf_span(&found, shown);
    }
    buf_char(&found, '\0');
    return refuse(s, found.ptr);
}

/* Changes needed to turn one word into the other, at most `most` + 1 of them counted; both are short. */
static size_t distance(struct span a, struct span b)
{
    size_t row[65];
    if (a.len > 64 || b.len > 64)
        return 65;
    for (size_t j = 0; j <= b.len; j++)
        row[j] = j;
    for (size_t i = 1; i <= a.len; i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= b.len; j++) {
            size_t change = diagonal + (a.ptr[i - 1] != b.ptr[j - 1]);
            diagonal = row[j];
            size_t shorter = (row[j] < row[j - 1] ? row[j] : row[j - 1]) + 1;
            row[j] = change < shorter ? change : shorter;
        }
    }
    return row[b.len];
}

static const char *nearest(const struct fields *f, struct span name)
{
    const char *best = NULL;
    size_t least = 3; /* two slips are a slip, three are another word */
    for (size_t i = 0; i < f->count; i++) {
        size_t d = distance(name, span_of(f->list[i].name));
        if (d < least && d < strlen(f->list[i].name)) {
            least = d;
            best = f->list[i].name;
        }
    }
    return best;
}

bool field_refuse_name(const struct fields *f, struct span name, const char *at, struct err *e)
{
    struct field_pointer p = field_pointer_to(at, name);
    const char *pointer = p.text;
    struct buf known CLEANUP(buf_release) = BUF_INIT(4096),
                     shown CLEANUP(buf_release) = BUF_INIT(2 * TEXT_MOST);
    field_show(name, &shown);
    const char *near = nearest(f, name);
    if (near)
        return err_at(e, ERR_UNKNOWN_FIELD, pointer, "there is no field " SPAN_FMT "; did you mean \"%s\"?",
                      SPAN_ARG(buf_view(&shown)), near);
    for (size_t i = 0; i < f->count; i++)
        buf_printf(&known, "%s%s", i ? ", " : "", f->list[i].name);
    if (f->count == 0)
        buf_puts(&known, "none");
    return err_at(e, ERR_UNKNOWN_FIELD, pointer, "there is no field " SPAN_FMT "; the fields are: " SPAN_FMT,
                  SPAN_ARG(buf_view(&shown)), SPAN_ARG(buf_view(&known)));
}
