/* zone.c: time zones by RFC 9636: the listed transitions of a TZif file, and behind the last one its rule in the form of TZ. */
#include "model/zone.h"

#include <string.h>

#include "core/buf.h"
#include "core/file.h"
#include "core/when.h"

#define ZONE_DIR "/usr/share/zoneinfo/"
#define ZONE_FILE (64u << 10) /* bytes of a TZif file; the largest has 4 KiB */
#define DAY 86400

/* When in a year the clock is changed. */
struct change {
    char kind; /* 'M': day of the week in a month; 'J': day 1..365 without leap days; 'D': day 0..365 */
    int month, week, day; /* week 5: the last */
    int64_t time;         /* seconds after the midnight of that day */
};

struct zone {
    size_t n; /* listed transitions */
    const int64_t *times;
    const int *offsets; /* n + 1: before the first, and from each on */
    bool ruled, summer; /* behind the last one: standard, and with `summer` the other between start and end */
    int standard, other;
    struct change start, end;
};

/* ---- the rule ---- */

static bool number(struct span *s, int low, int high, int *ret)
{
    int v = 0;
    size_t n = 0;
    for (; s->len > 0 && *s->ptr >= '0' && *s->ptr <= '9' && n < 4; n++)
        v = v * 10 + (span_take(s, 1).ptr[0] - '0');
    *ret = v;
    return n > 0 && v >= low && v <= high;
}

static bool taken(struct span *s, char c)
{
    if (s->len == 0 || *s->ptr != c)
        return false;
    span_take(s, 1);
    return true;
}

static bool clock_of(struct span *s, int64_t *ret)
{
    int hours, minutes = 0, seconds = 0;
    bool minus = taken(s, '-');
    if (!minus)
        taken(s, '+');
    if (!number(s, 0, 167, &hours) ||
        (taken(s, ':') && (!number(s, 0, 59, &minutes) || (taken(s, ':') && !number(s, 0, 59, &seconds)))))
        return false;
    *ret = (hours * 3600 + minutes * 60 + seconds) * (minus ? -1 : 1);
    return true;
}

static bool zone_word(struct span *s)
{
    size_t n = 0;
    if (taken(s, '<')) {
        while (s->len > 0 && *s->ptr != '>')
            span_take(s, 1);
        return taken(s, '>');
    }
    for (; s->len > 0 && ((*s->ptr | 32) >= 'a' && (*s->ptr | 32) <= 'z'); n++)
        span_take(s, 1);
    return n >= 3;
}

static bool change_of(struct span *s, struct change *ret)
{
    struct change c = {.kind = 'D', .time = 7200};
    if (!taken(s, ','))
        return false;
    if (taken(s, 'M')) {
        c.kind = 'M';
        if (!number(s, 1, 12, &c.month) || !taken(s, '.') || !number(s, 1, 5, &c.week) || !taken(s, '.') ||
            !number(s, 0, 6, &c.day))
            return false;
    } else if (taken(s, 'J')) {
        c.kind = 'J';
        if (!number(s, 1, 365, &c.day))
            return false;
    } else if (!number(s, 0, 365, &c.day)) {
        return false;
    }
    *ret = c;
    return !taken(s, '/') || clock_of(s, &ret->time);
}

/* "CET-1CEST,M3.5.0,M10.5.0/3": offsets there are west of UTC. */
static bool read_rule(struct zone *z, struct span s)
{
    int64_t west;
    z->ruled = true;
    if (!zone_word(&s) || !clock_of(&s, &west))
        return false;
    z->standard = z->other = (int)-west;
    if (s.len == 0)
        return true;
    z->summer = true;
    z->other += 3600;
    if (!zone_word(&s))
        return false;
    if (s.len > 0 && *s.ptr != ',') {
        if (!clock_of(&s, &west))
            return false;
        z->other = (int)-west;
    }
    return change_of(&s, &z->start) && change_of(&s, &z->end) && s.len == 0;
}

/* In seconds of the local clock as it is before the change. */
static int64_t change_in(const struct change *c, int64_t year)
{
    int64_t day = when_days(year, 1, 1);
    if (c->kind == 'D') {
        day += c->day;
    } else if (c->kind == 'J') {
        day += c->day - 1 + (c->day >= 60 && when_month_days(year, 2) == 29);
    } else {
        day = when_days(year, c->month, 1);
        int first = (c->day - when_date(day).weekday + 7) % 7, last = when_month_days(year, c->month);
        int in_month = first + 7 * (c->week - 1);
        day += in_month < last ? in_month : in_month - 7;
    }
    return day * DAY + c->time;
}

/* ---- the file ---- */

static uint64_t big(const char *p, int bytes)
{
    uint64_t v = 0;
    for (int i = 0; i < bytes; i++)
        v = v << 8 | (unsigned char)p[i];
    return v;
}

enum { ISUT, ISSTD, LEAP, TIMES, TYPES, CHARS, COUNTS };
#define HEADER 44

struct block {
    uint32_t counts[COUNTS];
    char version;
    struct span body; /* what follows the header */
};

/* Cuts a header and its data off the file. */
static bool take_block(struct span *file, int time_bytes, struct block *ret)
{
    struct span head = span_take(file, HEADER);
    if (head.len < HEADER || memcmp(head.ptr, "TZif", 4) != 0)
        return false;
    ret->version = head.ptr[4];
    for (int i = 0; i < COUNTS; i++) {
        ret->counts[i] = (uint32_t)big(head.ptr + 20 + 4 * i, 4);
        if (ret->counts[i] > ZONE_FILE)
            return false;
    }
    const uint32_t *n = ret->counts;
    size_t size = n[TIMES] * (size_t)(time_bytes + 1) + n[TYPES] * 6u + n[CHARS] +
                  n[LEAP] * (size_t)(time_bytes + 4) + n[ISSTD] + n[ISUT];
    ret->body = span_take(file, size);
    return ret->body.len == size;
}

static bool read_times(struct arena *a, struct zone *z, const struct block *b)
{
    size_t n = b->counts[TIMES], types = b->counts[TYPES];
    const char *times = b->body.ptr, *kinds = times + n * 8, *infos = kinds + n;
    int64_t *at = arena_array(a, n + 1, sizeof *at);
    int *offsets = arena_array(a, n + 1, sizeof *offsets);
    if (types == 0 || b->counts[LEAP] > 0)
        return false;
    for (size_t i = 0; i <= n; i++) {
        size_t type = i == 0 ? 0 : (unsigned char)kinds[i - 1];
        if (type >= types)
            return false;
        offsets[i] = (int32_t)big(infos + type * 6, 4);
        if (offsets[i] < -26 * 3600 || offsets[i] > 26 * 3600)
            return false;
        if (i < n)
            at[i] = (int64_t)big(times + i * 8, 8);
        if (i > 0 && i < n && at[i] <= at[i - 1])
            return false;
    }
    z->n = n;
    z->times = at;
    z->offsets = offsets;
    return true;
}

bool zone_parse(struct arena *a, struct span file, const struct zone **ret, struct err *e)
{
    struct zone *z = arena_alloc(a, sizeof *z);
    struct block first, second;
    bool ok = take_block(&file, 4, &first) && first.version >= '2' && take_block(&file, 8, &second) &&
              read_times(a, z, &second) && taken(&file, '\n');
    struct span rule = span_cut(&file, '\n');
    if (!ok || (rule.len > 0 && !read_rule(z, rule)))
        return err_set(e, ERR_BAD_FIELD, "the file of the time zone cannot be used");
    *ret = z;
    return true;
}

static const struct zone *fixed(struct arena *a, int offset)
{
    struct zone *z = arena_alloc(a, sizeof *z);
    int *offsets = arena_array(a, 1, sizeof *offsets);
    offsets[0] = offset;
    z->offsets = offsets;
    return z;
}

/* "+01:00" */
static bool is_offset(struct span s, int *ret)
{
    int hours, minutes;
    bool minus = span_starts(s, "-");
    if (s.len != 6 || (!taken(&s, '+') && !taken(&s, '-')) || !number(&s, 0, 23, &hours) || !taken(&s, ':') ||
        !number(&s, 0, 59, &minutes))
        return false;
    *ret = (hours * 3600 + minutes * 60) * (minus ? -1 : 1);
    return s.len == 0;
}

/* Nothing that leads out of the folder: no dot, no slash in front. */
static bool plain_name(struct span s)
{
    for (size_t i = 0; i < s.len; i++) {
        char c = s.ptr[i], low = (char)(c | 32);
        if (!(low >= 'a' && low <= 'z') && !(c >= '0' && c <= '9') && (c == '\0' || !strchr("_+-/", c)))
            return false;
    }
    return s.len > 0 && s.len <= ZONE_NAME && *s.ptr != '/';
}

bool zone_load(struct arena *a, struct span name, const struct zone **ret, struct err *e)
{
    struct buf file CLEANUP(buf_release) = BUF_INIT(ZONE_FILE);
    int offset = 0;
    if (span_is(name, "UTC") || is_offset(name, &offset)) {
        *ret = fixed(a, offset);
        return true;
    }
    if (plain_name(name) && file_read(arena_printf(a, ZONE_DIR SPAN_FMT, SPAN_ARG(name)), &file, NULL) &&
        zone_parse(a, buf_view(&file), ret, NULL))
        return true;
    return err_set(e, ERR_BAD_FIELD,
                   "this host has no such time zone in " ZONE_DIR
                   "; UTC, an offset like +01:00 and names like Europe/Berlin are zones");
}

/* ---- looking ---- */

/* Behind the listed times, with two changes a year. */
static struct zone_span by_rule(const struct zone *z, int64_t t)
{
    int64_t year = when_date(t / DAY - (t % DAY < 0)).year;
    struct zone_span s = {
        .from = INT64_MIN, .until = INT64_MAX, .offset = z->standard, .before = z->standard};
    for (int64_t y = year - 2; y <= year + 2; y++) {
        struct {
            int64_t at;
            int offset;
        } c[2] = {{change_in(&z->start, y) - z->standard, z->other},
                  {change_in(&z->end, y) - z->other, z->standard}};
        int first = c[0].at > c[1].at;
        for (int k = 0; k < 2; k++) {
            int64_t at = c[first ^ k].at;
            int offset = c[first ^ k].offset;
            if (at > t) {
                s.until = at < s.until ? at : s.until;
            } else {
                s.before = at > s.from ? s.offset : s.before;
                s.from = at;
                s.offset = offset;
            }
        }
    }
    return s;
}

static struct zone_span listed(const struct zone *z, int64_t t)
{
    size_t low = 0, high = z->n; /* how many are not after t */
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (z->times[middle] <= t)
            low = middle + 1;
        else
            high = middle;
    }
    return (struct zone_span){
        .from = low > 0 ? z->times[low - 1] : INT64_MIN,
        .until = low < z->n ? z->times[low] : INT64_MAX,
        .offset = z->offsets[low],
        .before = z->offsets[low > 0 ? low - 1 : 0],
    };
}

struct zone_span zone_at(const struct zone *z, int64_t t)
{
    struct zone_span s = listed(z, t);
    if (s.until != INT64_MAX || !z->ruled)
        return s;
    if (!z->summer) {
        s.offset = z->standard;
        return s;
    }
    struct zone_span r = by_rule(z, t);
    if (r.from > s.from)
        return r;
    s.until = r.until; /* the last listed change is the latest: the rule says the same of what follows it */
    s.offset = r.offset;
    return s;
}
