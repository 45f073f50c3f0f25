/* Small readers of request headers. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "api/prefer.h"

/* Cuts the first element off a comma-separated list; commas in quoted strings do not count. */
static struct span cut_element(struct span *list)
{
    bool quoted = false;
    size_t n = 0;
    for (; n < list->len; n++) {
        if (list->ptr[n] == '"')
            quoted = !quoted;
        else if (list->ptr[n] == '\\' && quoted)
            n++;
        else if (list->ptr[n] == ',' && !quoted)
            break;
    }
    struct span element = span_take(list, n);
    span_take(list, 1);
    return span_trim(element);
}

static struct span unquote(struct span s)
{
    if (s.len >= 2 && s.ptr[0] == '"' && s.ptr[s.len - 1] == '"')
        return (struct span){s.ptr + 1, s.len - 2};
    return s;
}

struct prefer prefer_read(struct span header)
{
    struct prefer p = {.respond_async = false};
    while (header.len) {
        struct span element = cut_element(&header);
        struct span value = span_cut(&element, ';'); /* parameters of a preference: none that we know */
        struct span name = span_trim(span_cut(&value, '='));
        int64_t seconds;
        if (span_eq_nocase(name, "respond-async"))
            p.respond_async = true;
        else if (span_eq_nocase(name, "wait") && !p.has_wait &&
                 span_to_int(unquote(span_trim(value)), &seconds) && seconds >= 0) {
            p.has_wait = true;
            p.wait_s = seconds;
        }
    }
    return p;
}

int64_t prefer_wait_ms(const struct prefer *p, int64_t most)
{
    if (p->has_wait)
        return p->wait_s < most / 1000 ? p->wait_s * 1000 : most;
    return p->respond_async ? 0 : most;
}

void prefer_applied(const struct prefer *p, char text[PREFER_TEXT])
{
    text[0] = '\0';
    if (p->respond_async && p->has_wait)
        snprintf(text, PREFER_TEXT, "respond-async, wait=%" PRId64, p->wait_s);
    else if (p->respond_async)
        snprintf(text, PREFER_TEXT, "respond-async");
    else if (p->has_wait)
        snprintf(text, PREFER_TEXT, "wait=%" PRId64, p->wait_s);
}

struct span media_type(struct span header)
{
    return span_trim(span_cut(&header, ';'));
}

static double quality(struct span parameters)
{
    while (parameters.len) {
        struct span value = span_cut(&parameters, ';');
        struct span name = span_trim(span_cut(&value, '='));
        double q;
        if (span_eq_nocase(name, "q") && span_to_num(span_trim(value), &q))
            return q;
    }
    return 1;
}

/* How exactly a range of Accept names the type: 0 not, 1 by any, 2 by its first half, 3 in full. */
static int names_type(struct span range, const char *offer)
{
    if (span_eq_nocase(range, offer))
        return 3;
    if (span_is(range, "*/*"))
        return 1;
    size_t half = (size_t)(strchr(offer, '/') - offer) + 1;
    return range.len == half + 1 && range.ptr[half] == '*' && strncasecmp(range.ptr, offer, half) == 0 ? 2
                                                                                                       : 0;
}

static double accepted(struct span accept, const char *offer)
{
    double q = 0;
    int best = 0;
    while (accept.len) {
        struct span parameters = cut_element(&accept);
        struct span range = span_trim(span_cut(&parameters, ';'));
        int exact = names_type(range, offer);
        if (exact > best) {
            best = exact;
            q = quality(parameters);
        }
    }
    return q;
}

int media_choose(struct span accept, const char *const *offers, int count)
{
    if (span_trim(accept).len == 0)
        return 0;
    int best = -1;
    double most = 0;
    for (int i = 0; i < count; i++) {
        double q = accepted(accept, offers[i]);
        if (q > most) {
            most = q;
            best = i;
        }
    }
    return best;
}

bool etag_matches(struct span header, struct span tag)
{
    while (header.len) {
        struct span one = cut_element(&header);
        if (span_starts(one, "W/"))
            span_take(&one, 2);
        if (span_is(one, "*") || span_eq(one, tag))
            return true;
    }
    return false;
}
