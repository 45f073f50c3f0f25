#include "core/conf_table.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "core/log.h"

#define CONF_RELOAD_yes true
#define CONF_RELOAD_no false

/* What the table's columns cannot say, found by the setting's name. */
#define SECRET(name) (__builtin_strcmp(#name, "password") == 0 || __builtin_strcmp(#name, "secret") == 0)

const struct conf_row conf_rows[] = {
#define SETTING(section_, name_, type_, def_, min_, max_, reload_, text_)                    \
    {.section = #section_,                                                                   \
     .name = #name_,                                                                         \
     .type = CONF_##type_,                                                                   \
     .offset = offsetof(struct conf, section_##_##name_),                                    \
     CONF_DEFAULT_##type_(def_),                                                             \
     .min = (min_),                                                                          \
     .max = (max_),                                                                          \
     .reload = CONF_RELOAD_##reload_,                                                        \
     .secret = SECRET(name_),                                                                \
     .text = (text_),                                                                        \
     .words = __builtin_strcmp(#section_ "." #name_, "log.level") == 0    ? log_level_words  \
              : __builtin_strcmp(#section_ "." #name_, "log.format") == 0 ? log_format_words \
                                                                          : NULL},
#include "core/settings.def"
#undef SETTING
};
const size_t conf_row_count = COUNT_OF(conf_rows);

const struct conf_row *conf_find(struct span section, struct span name)
{
    for (size_t i = 0; i < conf_row_count; i++)
        if (span_is(section, conf_rows[i].section) && span_is(name, conf_rows[i].name))
            return &conf_rows[i];
    return NULL;
}

static void *member(const void *base, const struct conf_row *row)
{
    union {
        const void *given;
        char *bytes;
    } u = {.given = base};
    return u.bytes + row->offset;
}

void conf_put_default(void *base, const struct conf_row *row)
{
    if (conf_is_text(row))
        *(const char **)member(base, row) = row->required ? "" : row->word;
    else if (row->type == CONF_bool)
        *(bool *)member(base, row) = row->number != 0;
    else
        *(int64_t *)member(base, row) = row->number;
}

void conf_set_defaults(struct conf *c)
{
    for (size_t i = 0; i < conf_row_count; i++)
        conf_put_default(c, &conf_rows[i]);
}

static bool parse_bool(struct span s, bool *ret)
{
    static const char *const words[] = {"false", "true", "no", "yes", "off", "on", "0", "1"};
    for (size_t i = 0; i < COUNT_OF(words); i++)
        if (span_eq_nocase(s, words[i])) {
            *ret = i % 2 == 1;
            return true;
        }
    return false;
}

struct unit {
    const char *suffix;
    int64_t factor;
};

static const struct unit ms_units[] = {{"ms", 1},      {"s", 1000},     {"m", 60000},
                                       {"h", 3600000}, {"d", 86400000}, {NULL, 0}};
static const struct unit size_units[] = {{"K", 1 << 10},
                                         {"M", 1 << 20},
                                         {"G", 1 << 30},
                                         {"T", INT64_C(1) << 40},
                                         {NULL, 0}};
static const struct unit no_units[] = {{NULL, 0}};

static bool parse_number(struct span s, const struct unit *units, int64_t *ret)
{
    int64_t factor = 1;
    for (; units->suffix; units++) {
        size_t n = strlen(units->suffix);
        bool digit_before = s.len > n && s.ptr[s.len - n - 1] >= '0' && s.ptr[s.len - n - 1] <= '9';
        if (digit_before && span_is((struct span){s.ptr + s.len - n, n}, units->suffix)) {
            factor = units->factor;
            s.len -= n;
            break;
        }
    }
    int64_t number;
    return span_to_int(s, &number) && !__builtin_mul_overflow(number, factor, ret);
}

/* Octal as everywhere, and with its zero: a number without it is more likely to be a mistake than meant. */
static bool parse_mode(struct span s, int64_t *ret)
{
    int64_t mode = 0;
    if (s.len < 2 || s.len > 5 || s.ptr[0] != '0')
        return false;
    for (size_t i = 0; i < s.len; i++) {
        if (s.ptr[i] < '0' || s.ptr[i] > '7')
            return false;
        mode = mode * 8 + (s.ptr[i] - '0');
    }
    *ret = mode;
    return true;
}

/* May the text stand here? Control characters would reach connection strings, socket paths and logs. */
static bool is_allowed_text(const struct conf_row *row, struct span value)
{
    for (size_t i = 0; i < value.len; i++) {
        bool space = row->type == CONF_lines && (value.ptr[i] == '\n' || value.ptr[i] == '\t');
        if (((unsigned char)value.ptr[i] < 0x20 && !space) || value.ptr[i] == 0x7f)
            return false;
    }
    if ((int64_t)value.len < row->min || (int64_t)value.len > row->max)
        return false;
    for (const char *const *w = row->words; w; w++) {
        if (!*w)
            return false;
        if (span_is(value, *w))
            break;
    }
    return true;
}

bool conf_put(struct arena *a, void *base, const struct conf_row *row, struct span value)
{
    bool truth = false;
    int64_t number = 0;
    if (conf_is_text(row)) {
        if (!is_allowed_text(row, value))
            return false;
        *(const char **)member(base, row) = arena_text(a, value);
        return true;
    }
    if (row->type == CONF_bool) {
        if (!parse_bool(value, &truth))
            return false;
        *(bool *)member(base, row) = truth;
        return true;
    }
    const struct unit *units = row->type == CONF_ms     ? ms_units
                               : row->type == CONF_size ? size_units
                                                        : no_units;
    if (!(row->type == CONF_mode ? parse_mode(value, &number) : parse_number(value, units, &number)) ||
        number < row->min || number > row->max)
        return false;
    *(int64_t *)member(base, row) = number;
    return true;
}

bool conf_refuse(const struct conf_row *row, const char *label, struct span value, const char *origin,
                 struct err *e)
{
    struct buf range CLEANUP(buf_release) = BUF_INIT(256);
    conf_put_range(&range, row);
    /* a url may hold a password as well */
    if (row->secret || strcmp(row->name, "url") == 0)
        return err_set(e, ERR_CONFIG, "%s: %s must be " SPAN_FMT, origin, label, SPAN_ARG(buf_view(&range)));
    struct span shown = {value.ptr, value.len < 40 ? value.len : 40};
    return err_set(e, ERR_CONFIG, "%s: %s must be " SPAN_FMT ", not \"" SPAN_FMT "\"", origin, label,
                   SPAN_ARG(buf_view(&range)), SPAN_ARG(shown));
}

bool conf_set(struct conf *c, const struct conf_row *row, struct span value, const char *origin,
              struct err *e)
{
    char label[80];
    if (conf_put(&c->arena, c, row, value))
        return true;
    snprintf(label, sizeof label, "%s.%s", row->section, row->name);
    return conf_refuse(row, label, value, origin, e);
}

bool conf_same(const struct conf_row *row, const void *a, const void *b)
{
    if (conf_is_text(row))
        return strcmp(*(const char **)member(a, row), *(const char **)member(b, row)) == 0;
    if (row->type == CONF_bool)
        return *(bool *)member(a, row) == *(bool *)member(b, row);
    return *(int64_t *)member(a, row) == *(int64_t *)member(b, row);
}

void conf_take(const struct conf_row *row, struct conf *to, const struct conf *from)
{
    if (row->type == CONF_text) {
        const char *copy = arena_text(&to->arena, span_of(*(const char **)member(from, row)));
        __atomic_store_n((const char **)member(to, row), copy, __ATOMIC_RELEASE);
    } else if (row->type == CONF_bool) {
        __atomic_store_n((bool *)member(to, row), *(bool *)member(from, row), __ATOMIC_RELAXED);
    } else {
        __atomic_store_n((int64_t *)member(to, row), *(int64_t *)member(from, row), __ATOMIC_RELAXED);
    }
}
