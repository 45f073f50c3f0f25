/* The sections that have names: the tables, and their lists in struct conf. */
#include "core/conf_sections.h"

#include <stddef.h>
#include <string.h>

#include "core/limits.h"

#define REQUIRED_yes true
#define REQUIRED_no false

/* Not with the kind as an argument: a `bool` that goes through two macros is no word of ours any more. */
#define ROW(name_, type_, def_, min_, max_, required_, text_) \
    {.name = #name_,                                          \
     .type = CONF_##type_,                                    \
     .offset = offsetof(OF, name_),                           \
     CONF_DEFAULT_##type_(def_),                              \
     .min = (min_),                                           \
     .max = (max_),                                           \
     .required = REQUIRED_##required_,                        \
     .text = (text_)},

/* clang-format off */
static const struct conf_row command_rows[] = {
#define OF struct conf_command
#define COMMAND ROW
#include "core/sections.def"
#undef OF
};
static const struct conf_row database_rows[] = {
#define OF struct conf_database
#define DATABASE ROW
#include "core/sections.def"
#undef OF
};
static const struct conf_row query_rows[] = {
#define OF struct conf_query
#define QUERY ROW
#include "core/sections.def"
#undef OF
};
static const struct conf_row destination_rows[] = {
#define OF struct conf_destination
#define DESTINATION ROW
#include "core/sections.def"
#undef OF
};
/* clang-format on */

#define KIND(kind, plural, example, text)                                                           \
    _Static_assert(COUNT_OF(kind##_rows) <= SECTION_FIELDS_MOST, "the reader keeps so many lines"); \
    _Static_assert(offsetof(struct conf_##kind, name) == offsetof(struct section_head, name) &&     \
                       offsetof(struct conf_##kind, line) == offsetof(struct section_head, line),   \
                   "every section begins alike");                                                   \
    const struct conf_##kind *conf_##kind(const struct conf *c, struct span name)                   \
    {                                                                                               \
        for (size_t i = 0; i < c->kind##_count; i++)                                                \
            if (span_is(name, c->plural[i].name))                                                   \
                return &c->plural[i];                                                               \
        return NULL;                                                                                \
    }
#include "core/sections.def"

const struct conf_kind conf_kinds[] = {
#define KIND(kind, plural, example, text) \
    {#kind,                               \
     (example),                           \
     (text),                              \
     sizeof(struct conf_##kind),          \
     offsetof(struct conf, plural),       \
     offsetof(struct conf, kind##_count), \
     kind##_rows,                         \
     COUNT_OF(kind##_rows)},
#include "core/sections.def"
};
const size_t conf_kind_count = COUNT_OF(conf_kinds);

const struct conf_kind *section_kind(struct span name)
{
    for (size_t i = 0; i < conf_kind_count; i++)
        if (span_is(name, conf_kinds[i].name))
            return &conf_kinds[i];
    return NULL;
}

const struct conf_row *section_row(const struct conf_kind *kind, struct span name)
{
    for (size_t i = 0; i < kind->row_count; i++)
        if (span_is(name, kind->rows[i].name))
            return &kind->rows[i];
    return NULL;
}

size_t section_count(const struct conf *c, const struct conf_kind *kind)
{
    size_t n;
    memcpy(&n, (const char *)c + kind->count_at, sizeof n);
    return n;
}

static char *list_of(const struct conf *c, const struct conf_kind *kind)
{
    char *list;
    memcpy(&list, (const char *)c + kind->list_at, sizeof list);
    return list;
}

struct section_head *section_at(const struct conf *c, const struct conf_kind *kind, size_t i)
{
    return (void *)(list_of(c, kind) + i * kind->size);
}

struct section_head *section_find(const struct conf *c, const struct conf_kind *kind, struct span name)
{
    for (size_t i = 0; i < section_count(c, kind); i++)
        if (span_is(name, section_at(c, kind, i)->name))
            return section_at(c, kind, i);
    return NULL;
}

/* It is full whenever the count is a power of two. */
static void make_room(struct conf *c, const struct conf_kind *kind, size_t count)
{
    char *old = list_of(c, kind);
    if (count & (count - 1))
        return;
    char *list = arena_array(&c->arena, count ? 2 * count : 1, kind->size);
    if (count)
        memcpy(list, old, count * kind->size);
    memcpy((char *)c + kind->list_at, &list, sizeof list);
}

struct section_head *section_add(struct conf *c, const struct conf_kind *kind, struct span name, int64_t line,
                                 const char *origin, struct err *e)
{
    size_t count = section_count(c, kind);
    struct span shown = {name.ptr, name.len < 80 ? name.len : 80};
    if (!span_is_name(name)) {
        err_set(e, ERR_CONFIG, "%s: [%s " SPAN_FMT "]: a name has 1 to %u letters, digits, points, - and _",
                origin, kind->name, SPAN_ARG(shown), LIMIT_NAME);
        return NULL;
    }
    const struct section_head *there = section_find(c, kind, name);
    if (there) {
        err_set(e, ERR_CONFIG, "%s: [%s " SPAN_FMT "] is there already, in line %lld", origin, kind->name,
                SPAN_ARG(shown), (long long)there->line);
        return NULL;
    }
    if (count >= LIMIT_SECTIONS) {
        err_set(e, ERR_CONFIG, "%s: there are more than %u sections [%s]", origin, LIMIT_SECTIONS,
                kind->name);
        return NULL;
    }
    make_room(c, kind, count);
    struct section_head *s = section_at(c, kind, count++);
    memcpy((char *)c + kind->count_at, &count, sizeof count);
    s->name = arena_text(&c->arena, name);
    s->line = line;
    for (size_t i = 0; i < kind->row_count; i++)
        conf_put_default(s, &kind->rows[i]);
    return s;
}

static bool check_one(const struct conf *c, const struct conf_kind *kind, const struct section_head *s,
                      const char *path, struct err *e)
{
    for (size_t i = 0; i < kind->row_count; i++) {
        const struct conf_row *row = &kind->rows[i];
        const struct conf_kind *other = section_kind(span_of(row->name));
        if (!other || row->type != CONF_text)
            continue;
        const char *name = *(const char *const *)(const void *)((const char *)s + row->offset);
        if (!section_find(c, other, span_of(name)))
            return err_set(e, ERR_CONFIG, "%.200s line %lld: [%s %s]: there is no [%s %s]", path,
                           (long long)s->line, kind->name, s->name, other->name, name);
    }
    return true;
}

bool sections_check(const struct conf *c, const char *path, struct err *e)
{
    for (size_t k = 0; k < conf_kind_count; k++)
        for (size_t i = 0; i < section_count(c, &conf_kinds[k]); i++)
            if (!check_one(c, &conf_kinds[k], section_at(c, &conf_kinds[k], i), path, e))
                return false;
    return true;
}

static bool is_same(const struct conf_kind *kind, const struct section_head *a, const struct section_head *b)
{
    for (size_t i = 0; i < kind->row_count; i++)
        if (!conf_same(&kind->rows[i], a, b))
            return false;
    return true;
}

void sections_differ(const struct conf *a, const struct conf *b, const char *separator, struct buf *out)
{
    for (size_t k = 0; k < conf_kind_count; k++) {
        const struct conf_kind *kind = &conf_kinds[k];
        size_t before = section_count(a, kind), after = section_count(b, kind);
        for (size_t i = 0; i < before + after; i++) {
            bool old = i < before;
            const struct section_head *s = old ? section_at(a, kind, i) : section_at(b, kind, i - before);
            const struct section_head *other = section_find(old ? b : a, kind, span_of(s->name));
            if (other && (!old || is_same(kind, s, other))) /* what differs was named with the old ones */
                continue;
            buf_printf(out, "%s[%s %s]", separator, kind->name, s->name);
            separator = ",";
        }
    }
}
