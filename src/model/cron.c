/* cron.c: reading expressions, and walking over days, and over stretches of one offset from UTC. */
#include "model/cron.h"

#include "core/when.h"

#define DAY 86400
#define CYCLE (146097 * (int64_t)DAY) /* 400 years: then dates and days of the week come again */

static const char *const month_names[] = {"jan", "feb", "mar", "apr", "may", "jun", "jul",
                                          "aug", "sep", "oct", "nov", "dec", NULL};
static const char *const weekday_names[] = {"sun", "mon", "tue", "wed", "thu", "fri", "sat", NULL};

static const struct part {
    const char *name;
    int low, high;
    const char *const *names; /* of low, low + 1, … */
} parts[] = {
    {"minute", 0, 59, NULL},
    {"hour", 0, 23, NULL},
    {"day of month", 1, 31, NULL},
    {"month", 1, 12, month_names},
    {"day of week", 0, 7, weekday_names},
};

/* ---- reading ---- */

static bool value_of(const struct part *p, struct span text, int *ret, struct err *e)
{
    int64_t v;
    for (int i = 0; p->names && p->names[i]; i++)
        if (span_eq_nocase(text, p->names[i])) {
            *ret = p->low + i;
            return true;
        }
    bool digits = text.len > 0 && text.len <= 4;
    for (size_t i = 0; i < text.len && digits; i++)
        digits = text.ptr[i] >= '0' && text.ptr[i] <= '9';
    if (!digits || !span_to_int(text, &v) || v < p->low || v > p->high)
        return err_set(e, ERR_BAD_FIELD, "the %s must be in %d-%d, not \"" SPAN_FMT "\"", p->name, p->low,
                       p->high, SPAN_ARG(text));
    *ret = (int)v;
    return true;
}

/* "*", "5", "1-5", "*" "/2", "1-5/2" */
static bool read_range(const struct part *p, struct span text, uint64_t *bits, struct err *e)
{
    struct span step = text, range = span_cut(&step, '/');
    struct span last = range, first = span_cut(&last, '-');
    bool stepped = range.len < text.len, ranged = first.len < range.len, star = span_is(range, "*");
    int low = p->low, high = p->high;
    int64_t by = 1;
    if (!star && (!value_of(p, first, &low, e) || (high = low, false)))
        return false;
    if (!star && ranged && !value_of(p, last, &high, e))
        return false;
    if (high < low)
        return err_set(e, ERR_BAD_FIELD, "the %s has a range that goes backwards: \"" SPAN_FMT "\"", p->name,
                       SPAN_ARG(range));
    if (stepped && !star && !ranged)
        return err_set(e, ERR_BAD_FIELD,
                       "the %s has a step behind a single value: \"" SPAN_FMT "\"; a step needs * or a range",
                       p->name, SPAN_ARG(text));
    if (stepped && (step.len > 4 || !span_to_int(step, &by) || by < 1))
        return err_set(e, ERR_BAD_FIELD, "the %s has a step that is no number from 1 on: \"" SPAN_FMT "\"",
                       p->name, SPAN_ARG(text));
    for (int64_t v = low; v <= high; v += by)
        *bits |= UINT64_C(1) << v;
    return true;
}

static bool read_part(const struct part *p, struct span text, uint64_t *ret, struct err *e)
{
    uint64_t bits = 0;
    struct span list = text;
    while (list.len > 0) {
        struct span one = span_cut(&list, ',');
        bool dangling = list.len == 0 && one.ptr + one.len < text.ptr + text.len;
        if (one.len == 0 || dangling)
            return err_set(e, ERR_BAD_FIELD, "the %s has an empty entry in its list", p->name);
        if (!read_range(p, one, &bits, e))
            return false;
    }
    *ret = bits;
    return true;
}

static struct span next_word(struct span *s)
{
    *s = span_trim(*s);
    size_t n = 0;
    while (n < s->len && s->ptr[n] != ' ' && s->ptr[n] != '\t')
        n++;
    return span_take(s, n);
}

static struct span long_form(struct span text)
{
    static const struct {
        const char *name, *means;
    } shorts[] = {{"@hourly", "0 * * * *"},  {"@daily", "0 0 * * *"},   {"@midnight", "0 0 * * *"},
                  {"@weekly", "0 0 * * 0"},  {"@monthly", "0 0 1 * *"}, {"@yearly", "0 0 1 1 *"},
                  {"@annually", "0 0 1 1 *"}};
    for (size_t i = 0; i < COUNT_OF(shorts); i++)
        if (span_eq_nocase(text, shorts[i].name))
            return span_of(shorts[i].means);
    return text;
}

static bool first_local(const struct cron *c, int64_t from, int64_t until, int64_t *ret);

bool cron_read(struct span text, struct cron *ret, struct err *e)
{
    uint64_t bits[COUNT_OF(parts)] = {0};
    bool star[COUNT_OF(parts)];
    struct span rest = long_form(span_trim(text));
    int64_t any;
    if (span_starts(rest, "@"))
        return err_set(
            e, ERR_BAD_FIELD,
            "of the names with @ there are @hourly, @daily, @midnight, @weekly, @monthly, @yearly and @annually");
    for (size_t i = 0; i < COUNT_OF(parts); i++) {
        struct span word = next_word(&rest);
        if (word.len == 0)
            return err_set(e, ERR_BAD_FIELD, "the %s is missing: there are five fields, as in \"0 3 * * *\"",
                           parts[i].name);
        star[i] = *word.ptr == '*';
        if (!read_part(&parts[i], word, &bits[i], e))
            return false;
    }
    if (span_trim(rest).len > 0)
        return err_set(e, ERR_BAD_FIELD, "there are more than five fields; every_s repeats in seconds");
    struct cron c = {.minutes = bits[0],
                     .hours = (uint32_t)bits[1],
                     .days = (uint32_t)bits[2],
                     .months = (uint32_t)bits[3],
                     .weekdays = (uint32_t)((bits[4] | bits[4] >> 7) & 0x7f),
                     .any_day = star[2],
                     .any_weekday = star[4],
                     .passing = star[0] || star[1]};
    if (!first_local(&c, 0, CYCLE, &any))
        return err_set(e, ERR_BAD_FIELD, "it would never fire: no month that it names has such a day");
    *ret = c;
    return true;
}

/* ---- the local clock ---- */

static int64_t floor_div(int64_t a, int64_t b)
{
    return a / b - (a % b < 0);
}

static bool day_fits(const struct cron *c, const struct when_date *d)
{
    bool day = c->days >> d->day & 1, weekday = c->weekdays >> d->weekday & 1;
    return c->any_day || c->any_weekday ? day && weekday : day || weekday;
}

/* The first minute of a day from `minute` on; -1: none. */
static int first_minute(const struct cron *c, int minute)
{
    for (int hour = minute / 60, m = minute % 60; hour < 24; hour++, m = 0) {
        uint64_t left = c->minutes >> m;
        if ((c->hours >> hour & 1) && left)
            return hour * 60 + m + __builtin_ctzll(left);
    }
    return -1;
}

/* The first in [from, until) of the local clock. */
static bool first_local(const struct cron *c, int64_t from, int64_t until, int64_t *ret)
{
    int64_t minute = floor_div(from + 59, 60), day = floor_div(minute, DAY / 60);
    int in_day = (int)(minute - day * (DAY / 60));
    for (; day * DAY < until; in_day = 0) {
        struct when_date d = when_date(day);
        if (!(c->months >> d.month & 1)) {
            day = when_days(d.year, d.month + 1, 1);
            continue;
        }
        int found = day_fits(c, &d) ? first_minute(c, in_day) : -1;
        if (found >= 0) {
            *ret = day * DAY + found * 60;
            return *ret < until;
        }
        day++;
    }
    return false;
}

/* ---- and the world's ---- */

/* The first in [from, s->until), where `from` lies in the stretch s. */
static bool first_in(const struct cron *c, const struct zone_span *s, int64_t from, int64_t end, int64_t *ret)
{
    int64_t until = s->until < end ? s->until : end, local = from + s->offset;
    int64_t skipped;
    if (!c->passing && s->offset > s->before && from == s->from &&
        first_local(c, s->from + s->before, s->from + s->offset, &skipped)) {
        *ret = s->from;
        return true;
    }
    if (!c->passing && s->offset < s->before && local < s->from + s->before)
        local = s->from + s->before; /* what the clock has shown already */
    if (!first_local(c, local, until + s->offset, ret))
        return false;
    *ret -= s->offset;
    return true;
}

bool cron_next(const struct cron *c, const struct zone *z, int64_t after_s, int64_t *ret_s)
{
    int64_t end = after_s + CYCLE;
    for (int64_t from = after_s + 1; from < end;) {
        struct zone_span s = zone_at(z, from);
        if (first_in(c, &s, from, end, ret_s))
            return true;
        from = s.until;
    }
    return false;
}

/* Looks at the end first and then further back, each time twice as far. */
bool cron_last(const struct cron *c, const struct zone *z, int64_t from_s, int64_t to_s, int64_t *ret_s)
{
    int64_t at;
    bool found = false;
    for (int64_t back = 64; !found; back *= 2) {
        bool all = back > to_s - from_s;
        int64_t after = all ? from_s - 1 : to_s - back;
        while (cron_next(c, z, after, &at) && at <= to_s) {
            *ret_s = after = at;
            found = true;
        }
        if (all)
            break;
    }
    return found;
}
