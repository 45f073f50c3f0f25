/* plugin.c: what a plug-in exports, looked through before it is used, and made into handlers of ours. */
#include <lathe/handler.h>
#include <stdalign.h>
#include <string.h>

#include "core/limits.h"
#include "core/mem.h"
#include "core/utf8.h"
#include "handlers/plugin.h"
#include "handlers/registry.h"

/* The sizes that the ABI began with. Where a struct has grown this becomes the offset of its first new member, and an
 * older plug-in has zeros from there on. */
enum {
    FIRST_PLUGIN = sizeof(struct lathe_plugin),
    FIRST_HANDLER = sizeof(struct lathe_handler),
    FIRST_FIELD = sizeof(struct lathe_field),
    FIRST_ITEM = sizeof(struct lathe_item),
    FIRST_HOST = sizeof(struct lathe_host),
};

#define KNOWN_FLAGS (LATHE_PROCESS_ONLY | LATHE_INDEXED | LATHE_NOT_CACHED)

/* A handler of a plug-in, as both sides know it. */
struct made {
    struct handler as;
    struct lathe_handler theirs;
    struct field *fields;
};

static bool refuse(struct err *e, const char *why)
{
    return err_set(e, ERR_CONFIG, "%s", why);
}

/* ---- is it a plug-in of our kind? */

static bool fits(const char *name, size_t theirs, size_t first, size_t ours, struct err *e)
{
    if (theirs > ours)
        return err_set(e, ERR_CONFIG,
                       "it was built with a newer lathe/handler.h: its struct %s has %zu bytes, that of this "
                       "Lathe %zu; install a newer Lathe, or build it anew",
                       name, theirs, ours);
    return theirs >= first ||
           err_set(e, ERR_CONFIG, "its struct %s has %zu bytes, and never had less than %zu; build it anew",
                   name, theirs, first);
}

static bool check_head(const struct lathe_plugin *p, struct err *e)
{
    if (p->magic != LATHE_MAGIC)
        return refuse(e, "what it exports as lathe_plugin is none: the first word is not LATHE_MAGIC");
    if (p->abi != LATHE_ABI)
        return err_set(e, ERR_CONFIG,
                       "it was built for ABI %u of lathe/handler.h, and this Lathe has %u; build it anew",
                       p->abi, LATHE_ABI);
    if (!fits("lathe_plugin", p->plugin_size, FIRST_PLUGIN, sizeof *p, e) ||
        !fits("lathe_handler", p->handler_size, FIRST_HANDLER, sizeof(struct lathe_handler), e) ||
        !fits("lathe_field", p->field_size, FIRST_FIELD, sizeof(struct lathe_field), e) ||
        !fits("lathe_item", p->item_size, FIRST_ITEM, sizeof(struct lathe_item), e) ||
        !fits("lathe_host", p->host_size, FIRST_HOST, sizeof(struct lathe_host), e))
        return false;
    if (!p->handlers || p->handlers_n == 0)
        return refuse(e, "it has no handlers");
    return p->handlers_n <= LIMIT_HANDLERS ||
           err_set(e, ERR_CONFIG, "it has %u handlers; the limit is %u", p->handlers_n, LIMIT_HANDLERS);
}

/* ---- a field of the params */

static bool one_line(const char *text)
{
    size_t n = text ? strnlen(text, LIMIT_PLUGIN_TEXT + 1) : 0;
    struct span rest = {text, n};
    if (n == 0 || n > LIMIT_PLUGIN_TEXT)
        return false;
    while (rest.len) {
        size_t length = utf8_length(rest);
        if (length == 0 || (unsigned char)*span_take(&rest, length).ptr < ' ')
            return false;
    }
    return true;
}

/* As they stand in JSON bodies, query strings and options. */
static bool is_field_name(const char *name)
{
    size_t n = name ? strnlen(name, LIMIT_NAME + 1) : 0;
    if (n == 0 || n > LIMIT_NAME || name[0] < 'a' || name[0] > 'z')
        return false;
    return strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_") == n;
}

static bool make_number(const struct lathe_field *f, struct field *r, struct err *e)
{
    if (f->min > f->max)
        return refuse(e, "its min is above its max");
    if (f->type == LATHE_INT)
        return (f->def >= f->min && f->def <= f->max) || refuse(e, "its default is outside min..max");
    if (!(f->def_num >= (double)f->min && f->def_num <= (double)f->max && f->def_num > -9e18 &&
          f->def_num < 9e18))
        return refuse(e, "its default is outside min..max");
    r->def = (int64_t)f->def_num;
    r->def_part = f->def_num - (double)r->def;
    return true;
}

static bool make_text(const struct lathe_field *f, struct err *e)
{
    if (f->min < 0 || f->min > f->max || f->max >= LIMIT_PARAMS)
        return refuse(e, "its min and max are no lengths of a text");
    int64_t n = f->def_text ? (int64_t)strnlen(f->def_text, LIMIT_PARAMS) : 0;
    return (n >= f->min && n <= f->max) || refuse(e, "its default is shorter than min or longer than max");
}

static bool make_word(const struct lathe_field *f, struct err *e)
{
    int64_t n = 0;
    for (; f->words && n < LIMIT_PLUGIN_WORDS && f->words[n]; n++)
        if (!one_line(f->words[n]))
            return refuse(e, "one of its words is no text on one line");
    if (n == 0 || f->words[n])
        return err_set(e, ERR_CONFIG, "it must have 1 to %u words, and NULL behind them", LIMIT_PLUGIN_WORDS);
    return (f->def >= 0 && f->def < n) || refuse(e, "its default is none of its words");
}

/* What the type says of the struct's member, and the rest of *r. */
static bool make_type(const struct lathe_field *f, struct field *r, size_t *ret_size, size_t *ret_align,
                      struct err *e)
{
    switch (f->type) {
    case LATHE_INT:
    case LATHE_NUM:
        r->type = f->type == LATHE_INT ? FIELD_INT : FIELD_NUM;
        *ret_size = sizeof(int64_t);
        *ret_align = alignof(int64_t);
        return make_number(f, r, e);
    case LATHE_BOOL:
        r->type = FIELD_BOOL;
        *ret_size = *ret_align = sizeof(bool);
        return f->def == 0 || f->def == 1 || refuse(e, "its default is neither 0 nor 1");
    case LATHE_TEXT:
        r->type = FIELD_TEXT;
        *ret_size = (size_t)f->max + 1;
        *ret_align = 1;
        return make_text(f, e);
    case LATHE_WORD:
        r->type = FIELD_ENUM;
        *ret_size = sizeof(int);
        *ret_align = alignof(int);
        return make_word(f, e);
    }
    return refuse(e, "its type is none that this Lathe knows");
}

/* Where a field lies in the params struct: `to` is the first byte behind it. */
struct extent {
    size_t from, to;
};

static bool make_field(const struct lathe_field *f, size_t params_size, struct field *r, struct extent *x,
                       struct err *e)
{
    size_t size = 0, align = 1;
    *r = (struct field){.name = f->name,
                        .summary = f->summary,
                        .offset = f->offset,
                        .min = f->min,
                        .max = f->max,
                        .def = f->def,
                        .def_text = f->def_text,
                        .words = f->words};
    if (!one_line(f->summary))
        return refuse(e, "it has no summary on one line");
    if (!make_type(f, r, &size, &align, e))
        return false;
    if (f->offset > params_size || size > params_size - f->offset)
        return refuse(e, "it does not lie inside the params struct (offset, params_size)");
    *x = (struct extent){f->offset, f->offset + size};
    return f->offset % align == 0 || refuse(e, "its offset is not aligned for its type");
}

static bool apart(const struct made *m, const struct extent *x, uint32_t i, struct err *e)
{
    for (uint32_t k = 0; k < i; k++) {
        if (strcmp(m->fields[k].name, m->fields[i].name) == 0)
            return refuse(e, "there is another field of this name");
        if (x[k].from < x[i].to && x[i].from < x[k].to)
            return err_set(e, ERR_CONFIG, "it lies over the field %s in the params struct",
                           m->fields[k].name);
    }
    return true;
}

static bool make_fields(struct made *m, size_t stride, struct err *e)
{
    const struct lathe_handler *h = &m->theirs;
    struct extent x[LIMIT_PLUGIN_FIELDS];
    if (h->fields_n > LIMIT_PLUGIN_FIELDS || (h->fields_n > 0 && !h->fields))
        return err_set(e, ERR_CONFIG, "it has %u fields%s; the limit is %u", h->fields_n,
                       h->fields ? "" : " and no table of them", LIMIT_PLUGIN_FIELDS);
    m->fields = mem_array(h->fields_n + 1, sizeof *m->fields);
    for (uint32_t i = 0; i < h->fields_n; i++) {
        struct lathe_field f = {0};
        memcpy(&f, (const char *)h->fields + i * stride, stride);
        if (!is_field_name(f.name))
            return err_set(
                e, ERR_CONFIG,
                "field %u: its name is none: small letters, digits and '_', a letter first, %u at most", i,
                LIMIT_NAME);
        if (!make_field(&f, h->params_size, &m->fields[i], &x[i], e) || !apart(m, x, i, e))
            return err_prefix(e, "field %s", f.name);
    }
    m->as.params = (struct fields){m->fields, h->fields_n, h->params_size};
    return true;
}

/* Nothing of what the tables say is left that would be refused later: the defaults, given by a caller. */
static bool check_defaults(const struct made *m, struct err *e)
{
    struct arena a CLEANUP(arena_release) = ARENA_INIT;
    struct buf text CLEANUP(buf_release) = BUF_INIT(LIMIT_PARAMS);
    struct json_out o = json_out(&text);
    const struct json *object;
    void *args = arena_alloc(&a, m->as.params.size + 1);
    fields_defaults(&m->as.params, args);
    fields_write(&m->as.params, args, &o);
    if (text.failed)
        return err_set(e, ERR_CONFIG, "its params have more than %u bytes", LIMIT_PARAMS);
    if (json_read(&a, buf_view(&text), &object, e) && fields_read(&m->as.params, object, "", args, e))
        return true;
    e->code = ERR_CONFIG;
    e->pointer[0] = '\0';
    return err_prefix(e, "its defaults are refused");
}

/* ---- a handler */

static bool check_handler(const struct lathe_handler *h, struct err *e)
{
    if (!one_line(h->summary))
        return refuse(e, "it has no summary on one line");
    if (h->item && !one_line(h->item))
        return refuse(e, "what it says of its items is not on one line");
    if (!h->step)
        return refuse(e, "it has no step");
    if (h->flags & ~KNOWN_FLAGS)
        return refuse(e, "its flags are none that this Lathe knows");
    if (h->params_size > LIMIT_PARAMS || h->state_size > LIMIT_PLUGIN_STATE)
        return err_set(e, ERR_CONFIG, "its params or state are larger than %u and %u bytes", LIMIT_PARAMS,
                       LIMIT_PLUGIN_STATE);
    return true;
}

static bool make_handler(struct made *m, size_t stride, struct err *e)
{
    const struct lathe_handler *h = &m->theirs;
    m->as = (struct handler){.name = h->name,
                             .summary = h->summary,
                             .item = h->item,
                             .state_size = h->state_size,
                             .step = plugin_step,
                             .drop = plugin_drop,
                             .version = h->version,
                             .indexed = h->flags & LATHE_INDEXED,
                             .unremembered = h->flags & LATHE_NOT_CACHED,
                             .process_only = h->flags & LATHE_PROCESS_ONLY,
                             .own = h};
    return check_handler(h, e) && make_fields(m, stride, e) && check_defaults(m, e);
}

static void discard(struct made *m, size_t n)
{
    for (size_t i = 0; i < n; i++)
        mem_free(m[i].fields);
    mem_free(m);
}

static bool make_all(const struct lathe_plugin *p, struct made *m, struct err *e)
{
    for (uint32_t i = 0; i < p->handlers_n; i++) {
        memcpy(&m[i].theirs, (const char *)p->handlers + (size_t)i * p->handler_size, p->handler_size);
        const char *name = m[i].theirs.name;
        if (!make_handler(&m[i], p->field_size, e))
            return name && *name ? err_prefix(e, "handler %.*s", (int)LIMIT_NAME, name)
                                 : err_prefix(e, "handler %u", i);
    }
    return true;
}

bool plugin_add(const struct lathe_plugin *p, struct err *e)
{
    if (!check_head(p, e))
        return false;
    struct made *m = mem_array(p->handlers_n, sizeof *m);
    if (!make_all(p, m, e)) {
        discard(m, p->handlers_n);
        return false;
    }
    for (uint32_t i = 0; i < p->handlers_n; i++)
        if (!handlers_add(&m[i].as, e)) {
            if (i == 0) /* from the first that is added on they stay */
                discard(m, p->handlers_n);
            return false;
        }
    return true;
}
