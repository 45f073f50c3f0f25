/* RFC 3339, by hand: strptime knows neither fractions nor whether a date exists. */
#include <string.h>

#include "core/when.h"

/* Exactly n digits off the front. */
static bool digits(struct span *s, size_t n, int64_t low, int64_t high, int64_t *ret)
{
    struct span d = span_take(s, n);
    int64_t v = 0;
    if (d.len != n)
        return false;
    for (size_t i = 0; i < n; i++) {
        if (d.ptr[i] < '0' || d.ptr[i] > '9')
            return false;
        v = v * 10 + (d.ptr[i] - '0');
    }
    *ret = v;
    return v >= low && v <= high;
}

static bool mark(struct span *s, const char *either)
{
    struct span m = span_take(s, 1);
    return m.len == 1 && strchr(either, *m.ptr) && *m.ptr != '\0';
}

int when_month_days(int64_t year, int month)
{
    static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    return days[month - 1] + (month == 2 && leap);
}

static int64_t floor_div(int64_t a, int64_t b)
{
    return a / b - (a % b < 0);
}

/* Years that begin in March, so that the leap day is the last one; 400 of them are 146,097 days. */
int64_t when_days(int64_t year, int64_t month, int64_t day)
{
    year += (month - 1) / 12;
    month = (month - 1) % 12 + 1;
    year -= month <= 2;
    int64_t shifted = (month + 9) % 12;
    return 365 * year + floor_div(year, 4) - floor_div(year, 100) + floor_div(year, 400) +
           (153 * shifted + 2) / 5 + day - 1 - 719468;
}

struct when_date when_date(int64_t days)
{
    int64_t shifted = days + 719468, era = floor_div(shifted, 146097), in_era = shifted - era * 146097;
    int64_t year = (in_era - in_era / 1460 + in_era / 36524 - in_era / 146096) / 365;
    int64_t in_year = in_era - (365 * year + year / 4 - year / 100);
    int64_t month = (5 * in_year + 2) / 153;
    return (struct when_date){
        .year = year + era * 400 + (month >= 10),
        .month = (int)(month < 10 ? month + 3 : month - 9),
        .day = (int)(in_year - (153 * month + 2) / 5 + 1),
        .weekday = (int)(days + 4 - floor_div(days + 4, 7) * 7),
    };
}

static int64_t fraction_us(struct span *s)
{
    int64_t us = 0, scale = 100000;
    while (s->len && s->ptr[0] >= '0' && s->ptr[0] <= '9') {
        us += (span_take(s, 1).ptr[0] - '0') * scale;
        scale /= 10;
    }
    return us;
}

static bool zone(struct span *s, int64_t *ret_s)
{
    struct span sign = span_take(s, 1);
    int64_t hours, minutes;
    *ret_s = 0;
    if (sign.len == 0)
        return false;
    if (*sign.ptr == 'Z' || *sign.ptr == 'z')
        return true;
    if (!strchr("+- ", *sign.ptr) || !digits(s, 2, 0, 23, &hours) || !mark(s, ":") ||
        !digits(s, 2, 0, 59, &minutes))
        return false;
    *ret_s = (hours * 3600 + minutes * 60) * (*sign.ptr == '-' ? -1 : 1);
    return true;
}

bool when_read(struct span s, int64_t *ret_us)
{
    int64_t year, month, day, hour = 0, minute = 0, second = 0, us = 0, offset = 0;
    if (!digits(&s, 4, 1970, 9999, &year) || !mark(&s, "-") || !digits(&s, 2, 1, 12, &month) ||
        !mark(&s, "-") || !digits(&s, 2, 1, when_month_days(year, (int)month), &day))
        return false;
    if (s.len) {
        if (!mark(&s, "Tt ") || !digits(&s, 2, 0, 23, &hour) || !mark(&s, ":") ||
            !digits(&s, 2, 0, 59, &minute) || !mark(&s, ":") || !digits(&s, 2, 0, 60, &second))
            return false;
        if (span_starts(s, ".")) {
            span_take(&s, 1);
            if (!s.len || s.ptr[0] < '0' || s.ptr[0] > '9')
                return false;
            us = fraction_us(&s);
        }
        if (!zone(&s, &offset) || s.len)
            return false;
    }
    int64_t seconds = when_days(year, month, day) * 86400 + hour * 3600 + minute * 60 + second - offset;
    *ret_us = seconds * 1000000 + us;
    return true;
}
