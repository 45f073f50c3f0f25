/* Zones against the C library's, expressions against a walk over every minute. */
#include <string.h>
#include <time.h>

#include "core/attr.h"
#include "core/when.h"
#include "model/cron.h"
#include "../lib/test.h"

#define DAY INT64_C(86400)

static int64_t at(const char *text)
{
    int64_t us;
    if (!when_read(span_of(text), &us))
        fail_msg("bad time in the test: %s", text);
    return us / 1000000;
}

static const struct zone *zone(struct arena *a, const char *name)
{
    const struct zone *z;
    struct err e = ERR_INIT;
    if (!zone_load(a, span_of(name), &z, &e))
        fail_msg("%s: %s", name, e.text);
    return z;
}

static void use_tz(const char *name)
{
    setenv("TZ", name, 1);
    tzset();
}

static long libc_offset(int64_t t)
{
    struct tm tm;
    time_t when = (time_t)t;
    assert_non_null(localtime_r(&when, &tm));
    return tm.tm_gmtoff;
}

/* Whole hours, half hours, no rule, a rule of the south, a day that was left out, Julian days, night before midnight. */
static const char *const zones[] = {"Europe/Berlin",     "America/New_York", "Australia/Lord_Howe",
                                    "Asia/Kolkata",      "Pacific/Apia",     "America/Santiago",
                                    "Africa/Casablanca", "Asia/Gaza",        "America/St_Johns",
                                    "America/Nuuk",      "Europe/Dublin",    "Etc/GMT+5"};

static void t01_dates(void **state)
{
    (void)state;
    struct when_date last = when_date(when_days(1599, 12, 31));
    for (int64_t d = when_days(1600, 1, 1); d < when_days(2101, 1, 1); d++) {
        struct when_date now = when_date(d);
        bool month_over = last.day == when_month_days(last.year, last.month);
        assert_int_equal(when_days(now.year, now.month, now.day), d);
        assert_int_equal(now.weekday, (last.weekday + 1) % 7);
        assert_int_equal(now.day, month_over ? 1 : last.day + 1);
        last = now;
    }
    assert_int_equal(when_date(0).weekday, 4);
    assert_int_equal(when_days(2025, 13, 1), when_days(2026, 1, 1));
}

static void t02_zones_are_those_of_the_system(void **state)
{
    (void)state;
    struct arena a CLEANUP(arena_release) = ARENA_INIT;
    for (size_t i = 0; i < COUNT_OF(zones); i++) {
        const struct zone *z = zone(&a, zones[i]);
        use_tz(zones[i]);
        for (int64_t t = 0; t < at("2100-01-01"); t += 5 * 3600 + 1700) {
            struct zone_span s = zone_at(z, t);
            if (s.offset != libc_offset(t) || s.from > t || s.until <= t)
                fail_msg("%s at %lld: %d instead of %ld", zones[i], (long long)t, s.offset, libc_offset(t));
        }
    }
}

static void t03_stretches_meet(void **state)
{
    (void)state;
    struct arena a CLEANUP(arena_release) = ARENA_INIT;
    for (size_t i = 0; i < COUNT_OF(zones); i++) {
        const struct zone *z = zone(&a, zones[i]);
        struct zone_span s = zone_at(z, at("2000-01-01"));
        use_tz(zones[i]);
        while (s.until < at("2060-01-01")) {
            struct zone_span next = zone_at(z, s.until);
            assert_int_equal(next.from, s.until);
            assert_int_equal(next.before, s.offset);
            assert_int_equal(next.offset, libc_offset(next.from));
            assert_int_equal(s.offset, libc_offset(next.from - 1));
            s = next;
        }
    }
}

static void t04_no_zones(void **state)
{
    (void)state;
    struct arena a CLEANUP(arena_release) = ARENA_INIT;
    static const char *const bad[] = {
        "",       "Mars/Base", "../../../etc/passwd", "/etc/localtime", "Europe", "+1:00",
        "+24:00", "+01:60",    "tzdata.zi",           "Europe/Berlin/", "A\nB"};
    const struct zone *z;
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        struct err e = ERR_INIT;
        if (zone_load(&a, span_of(bad[i]), &z, &e))
            fail_msg("\"%s\" was taken for a zone", bad[i]);
        assert_int_equal(e.code, ERR_BAD_FIELD);
    }
    assert_int_equal(zone_at(zone(&a, "-03:30"), 0).offset, -12600);
    assert_int_equal(zone_at(zone(&a, "UTC"), 0).until, INT64_MAX);
}

/* ---- expressions ---- */

static int number(const char *text)
{
    return (int)strtol(text, NULL, 10);
}

/* Does the value fit this field? Written anew, from the text each time. */
static bool fits(const char *field, int value, int low, int high)
{
    char copy[64], *rest = copy, *one;
    snprintf(copy, sizeof copy, "%s", field);
    while ((one = strsep(&rest, ","))) {
        char *range = one, *step = one;
        range = strsep(&step, "/");
        int from = low, to = high, by = step ? number(step) : 1;
        if (*range != '*') {
            char *end = range;
            range = strsep(&end, "-");
            from = number(range);
            to = end ? number(end) : from;
        }
        if (value >= from && value <= to && (value - from) % by == 0)
            return true;
    }
    return false;
}

struct expression {
    const char *parts[5];
};

/* A minute of the local clock, counted from 1970. */
static bool shows(const struct expression *x, int64_t minute)
{
    time_t t = (time_t)(minute * 60);
    struct tm tm;
    gmtime_r(&t, &tm);
    if (!fits(x->parts[0], tm.tm_min, 0, 59) || !fits(x->parts[1], tm.tm_hour, 0, 23) ||
        !fits(x->parts[3], tm.tm_mon + 1, 1, 12))
        return false;
    bool day = fits(x->parts[2], tm.tm_mday, 1, 31);
    bool weekday = fits(x->parts[4], tm.tm_wday, 0, 7) || (tm.tm_wday == 0 && fits(x->parts[4], 7, 0, 7));
    return x->parts[2][0] == '*' || x->parts[4][0] == '*' ? day && weekday : day || weekday;
}

static const struct expression expressions[] = {
    {{"*", "*", "*", "*", "*"}},
    {{"30", "2", "*", "*", "*"}},
    {{"*/15", "*", "*", "*", "*"}},
    {{"0", "0", "*", "*", "*"}},
    {{"15,45", "1-3", "*", "*", "*"}},
    {{"0", "*/2", "*", "*", "*"}},
    {{"*/10", "2", "*", "*", "*"}},
    {{"5", "3", "13", "*", "5"}},
    {{"5", "3", "*/2", "*", "1"}},
    {{"0", "12", "*", "3,10", "0"}},
    {{"0", "12", "*", "*", "7"}},
    {{"59", "23", "28-31", "*", "*"}},
    {{"0-30/7", "0-6/3", "1-7", "*", "*"}},
    {{"0", "2", "*", "*", "6-7"}},
    {{"1", "1", "1", "1", "*"}},
};

/* What the contract says, by the latest minute that the clock has shown. */
static void walk(const char *name, const struct expression *x, int64_t from, int64_t until)
{
    struct arena a CLEANUP(arena_release) = ARENA_INIT;
    const struct zone *z = zone(&a, name);
    struct cron c;
    char text[CRON_TEXT];
    snprintf(text, sizeof text, "%s %s %s %s %s", x->parts[0], x->parts[1], x->parts[2], x->parts[3],
             x->parts[4]);
    assert_true(cron_read(span_of(text), &c, NULL));
    bool passing = x->parts[0][0] == '*' || x->parts[1][0] == '*';
    int64_t shown = INT64_MIN, next = from - 1, last = -1;
    for (int64_t t = from - DAY; t < until; t += 60) {
        int64_t minute = (t + libc_offset(t)) / 60;
        bool fires = shows(x, minute);
        if (!passing) {
            fires = fires && minute > shown;
            for (int64_t m = shown + 1; shown != INT64_MIN && m < minute; m++)
                fires = fires || shows(x, m);
        }
        shown = minute > shown ? minute : shown;
        if (!fires || t < from)
            continue;
        last = t;
        if (!cron_next(&c, z, next, &next) || next != t)
            fail_msg("\"%s\" in %s fires at %lld, but %lld was said", text, name, (long long)t,
                     (long long)next);
    }
    int64_t found = -1;
    assert_int_equal(cron_last(&c, z, from, until - 1, &found), last >= 0);
    assert_int_equal(found, last);
}

static void t05_every_minute(void **state)
{
    (void)state;
    static const char *const days[] = {"2026-03-07", "2026-03-27", "2026-04-03",
                                       "2026-10-02", "2026-10-23", "2026-10-30"};
    for (size_t i = 0; i < COUNT_OF(zones); i++) {
        use_tz(zones[i]);
        for (size_t d = 0; d < COUNT_OF(days); d++)
            for (size_t k = 0; k < COUNT_OF(expressions); k++)
                walk(zones[i], &expressions[k], at(days[d]), at(days[d]) + 3 * DAY);
    }
    use_tz("Pacific/Apia"); /* had no 30th of December in 2011 */
    for (size_t k = 0; k < COUNT_OF(expressions); k++)
        walk("Pacific/Apia", &expressions[k], at("2011-12-29"), at("2012-01-02"));
}

static void t06_by_hand(void **state)
{
    (void)state;
    static const struct {
        const char *text, *zone, *after, *next;
    } cases[] = {
        {"0 0 29 2 *", "UTC", "2096-02-29", "2104-02-29"},
        {"0 0 29 2 */7", "UTC", "2026-01-01", "2032-02-29"}, /* a Sunday as well */
        {"@yearly", "UTC", "2026-01-01", "2027-01-01"},
        {"@HOURLY", "+05:30", "2026-01-01T00:00:00Z", "2026-01-01T00:30:00Z"},
        {"@weekly", "UTC", "2026-11-21", "2026-11-22"},
        {" 0\t9 *  jan-MAR,Dec  mon-fri ", "UTC", "2026-04-01", "2026-12-01T09:00:00Z"},
        {"0 0 13 * fri", "UTC", "2026-11-13", "2026-11-20"}, /* either is enough */
        {"30 2 * * *", "Europe/Berlin", "2026-03-28T12:00:00Z",
         "2026-03-29T01:00:00Z"}, /* left out: at the change */
        {"30 2 * * *", "Europe/Berlin", "2026-03-29T01:00:00Z", "2026-03-30T00:30:00Z"},
        {"30 2 * * *", "Europe/Berlin", "2026-10-24T12:00:00Z",
         "2026-10-25T00:30:00Z"}, /* twice: the first */
        {"30 2 * * *", "Europe/Berlin", "2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z"},
        {"30 * * * *", "Europe/Berlin", "2026-10-25T00:30:00Z",
         "2026-10-25T01:30:00Z"}, /* an hour has passed */
        {"30 * * * *", "Europe/Berlin", "2026-03-29T00:30:00Z", "2026-03-29T01:30:00Z"},
    };
    struct arena a CLEANUP(arena_release) = ARENA_INIT;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct cron c;
        struct err e = ERR_INIT;
        int64_t next = 0;
        if (!cron_read(span_of(cases[i].text), &c, &e))
            fail_msg("\"%s\": %s", cases[i].text, e.text);
        assert_true(cron_next(&c, zone(&a, cases[i].zone), at(cases[i].after), &next));
        if (next != at(cases[i].next))
            fail_msg("\"%s\" after %s: %lld", cases[i].text, cases[i].after, (long long)next);
    }
}

static void t07_refused(void **state)
{
    (void)state;
    static const struct {
        const char *text, *word;
    } cases[] = {
        {"", "minute is missing"},
        {"* * * *", "day of week is missing"},
        {"* * * * * *", "more than five"},
        {"60 * * * *", "0-59"},
        {"* 24 * * *", "0-23"},
        {"* * 0 * *", "1-31"},
        {"* * * 13 *", "1-12"},
        {"* * * * 8", "0-7"},
        {"* * * foo *", "month"},
        {"5-1 * * * *", "backwards"},
        {"*/0 * * * *", "step"},
        {"5/2 * * * *", "single"},
        {", * * * *", "empty"},
        {"1, * * * *", "empty"},
        {"1,,2 * * * *", "empty"},
        {"0 0 30 2 *", "never fire"},
        {"0 0 31 4,6,9,11 *", "never fire"},
        {"@reboot", "@hourly"},
        {"-1 * * * *", "minute"},
        {"1- * * * *", "minute"},
        {"*/x * * * *", "step"},
        {"+1 * * * *", "minute"},
        {"*-5 * * * *", "minute"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct cron c;
        struct err e = ERR_INIT;
        if (cron_read(span_of(cases[i].text), &c, &e))
            fail_msg("\"%s\" was taken for an expression", cases[i].text);
        assert_int_equal(e.code, ERR_BAD_FIELD);
        if (!strstr(e.text, cases[i].word))
            fail_msg("\"%s\": \"%s\" does not say %s", cases[i].text, e.text, cases[i].word);
    }
}

/* The latest of a long time is found without a walk over all of it. */
static void t08_last(void **state)
{
    (void)state;
    struct arena a CLEANUP(arena_release) = ARENA_INIT;
    struct cron c;
    int64_t last = 0;
    assert_true(cron_read(SPAN("* * * * *"), &c, NULL));
    assert_true(cron_last(&c, zone(&a, "UTC"), 0, at("2026-11-21T03:14:05Z"), &last));
    assert_int_equal(last, at("2026-11-21T03:14:00Z"));
    assert_true(cron_read(SPAN("@yearly"), &c, NULL));
    assert_true(cron_last(&c, zone(&a, "UTC"), 0, at("2026-11-21T03:14:05Z"), &last));
    assert_int_equal(last, at("2026-01-01"));
    assert_false(cron_last(&c, zone(&a, "UTC"), at("2026-01-01") + 1, at("2026-11-21"), &last));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(t01_dates),          cmocka_unit_test(t02_zones_are_those_of_the_system),
        cmocka_unit_test(t03_stretches_meet), cmocka_unit_test(t04_no_zones),
        cmocka_unit_test(t05_every_minute),   cmocka_unit_test(t06_by_hand),
        cmocka_unit_test(t07_refused),        cmocka_unit_test(t08_last),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
