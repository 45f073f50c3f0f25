#include "model/http.h"

#include "core/limits.h"
#include "core/net_guard.h"

bool http_find(struct span head, const char *name, struct span *ret)
{
    while (head.len) {
        struct span line = span_cut(&head, '\n'), value = line;
        struct span key = span_cut(&value, ':');
        if (key.len < line.len && span_eq_nocase(key, name)) {
            if (value.len && value.ptr[value.len - 1] == '\r')
                value.len--;
            *ret = span_trim(value);
            return true;
        }
    }
    return false;
}

static bool is_printable(struct span s)
{
    for (size_t i = 0; i < s.len; i++)
        if (s.ptr[i] <= ' ' || s.ptr[i] > '~' || s.ptr[i] == '\\')
            return false;
    return true;
}

/* Without its scheme: "host:port" of "https://host:port/path?query". */
static bool cut_authority(struct span *url)
{
    struct span rest = *url, scheme = span_cut(&rest, ':');
    if (!span_eq_nocase(scheme, "http") && !span_eq_nocase(scheme, "https"))
        return false;
    if (!span_starts(rest, "//"))
        return false;
    span_take(&rest, 2);
    size_t n = 0;
    while (n < rest.len && !memchr("/?#", rest.ptr[n], 3))
        n++;
    *url = (struct span){rest.ptr, n};
    return true;
}

/* Cuts off ":port". */
static bool cut_port(struct span *host)
{
    size_t n = host->len;
    while (n > 0 && host->ptr[n - 1] != ':' && host->ptr[n - 1] != ']')
        n--;
    if (n == 0 || host->ptr[n - 1] == ']')
        return true;
    int64_t port;
    struct span digits = {host->ptr + n, host->len - n};
    host->len = n - 1;
    return digits.len == 0 || (span_to_int(digits, &port) && port >= 1 && port <= 65535);
}

static bool is_host(struct span host)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_[]:";
    for (size_t i = 0; i < host.len; i++)
        if (!memchr(letters, host.ptr[i], sizeof letters - 1))
            return false;
    return host.len > 0;
}

/* The name that every resolver knows. */
static bool is_localhost(struct span host)
{
    if (host.len && host.ptr[host.len - 1] == '.')
        host.len--;
    struct span tail = host;
    if (host.len > 9)
        span_take(&tail, host.len - 10);
    return span_eq_nocase(host, "localhost") || span_eq_nocase(tail, ".localhost");
}

bool http_check_url(struct span url, const char *pointer, struct err *e)
{
    struct span host = url;
    struct sockaddr_storage a;
    if (url.len > LIMIT_URL || !is_printable(url))
        return err_at(e, ERR_BAD_FIELD, pointer,
                      "\"%s\" must be a URL of at most %u printable ASCII characters", pointer, LIMIT_URL);
    if (!cut_authority(&host))
        return err_at(e, ERR_BAD_FIELD, pointer, "\"%s\" must begin with http:// or https://", pointer);
    if (memchr(host.len ? host.ptr : "", '@', host.len))
        return err_at(e, ERR_BAD_FIELD, pointer, "\"%s\" must not hold a user or a password", pointer);
    if (!cut_port(&host) || !is_host(host))
        return err_at(e, ERR_BAD_FIELD, pointer, "\"%s\" has no host, or a port that is none", pointer);
    if (is_localhost(host))
        host = SPAN("127.0.0.1");
    if (net_literal(host, &a) && !net_guard_check((const struct sockaddr *)&a, e)) {
        err_at(e, ERR_FORBIDDEN_ADDRESS, pointer,
               "\"%s\" is a %s address, which may not be reached from here", pointer,
               net_class_name(net_classify((const struct sockaddr *)&a)));
        return false;
    }
    return true;
}
