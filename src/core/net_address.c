#include "core/net_address.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

#include "core/span.h"

const char *net_unix_path(const char *address)
{
    if (span_starts(span_of(address), "unix:"))
        return address + strlen("unix:");
    return address[0] == '/' ? address : NULL;
}

static bool parse_unix(const char *path, struct net_address *ret, struct err *e)
{
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    size_t length = strlen(path);
    if (length == 0 || length >= sizeof un.sun_path)
        return err_set(e, ERR_CONFIG,
                       "the path of a unix socket must have 1 to %zu bytes, \"%.120s\" has %zu",
                       sizeof un.sun_path - 1, path, length);
    memcpy(un.sun_path, path, length + 1);
    memcpy(&ret->socket, &un, sizeof un);
    ret->length = sizeof un;
    return true;
}

static bool parse_host(struct span host, uint16_t port, struct net_address *ret)
{
    char text[INET6_ADDRSTRLEN];
    bool six = host.len >= 2 && host.ptr[0] == '[' && host.ptr[host.len - 1] == ']';
    if (six)
        host = (struct span){host.ptr + 1, host.len - 2};
    if (host.len == 0 || host.len >= sizeof text)
        return false;
    memcpy(text, host.ptr, host.len);
    text[host.len] = '\0';
    if (six) {
        struct sockaddr_in6 in6 = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
        if (inet_pton(AF_INET6, text, &in6.sin6_addr) != 1)
            return false;
        memcpy(&ret->socket, &in6, sizeof in6);
        ret->length = sizeof in6;
    } else {
        struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons(port)};
        if (inet_pton(AF_INET, text, &in.sin_addr) != 1)
            return false;
        memcpy(&ret->socket, &in, sizeof in);
        ret->length = sizeof in;
    }
    return true;
}

bool net_parse(const char *address, struct net_address *ret, struct err *e)
{
    *ret = (struct net_address){0};
    const char *path = net_unix_path(address);
    if (path)
        return parse_unix(path, ret, e);
    const char *colon = strrchr(address, ':');
    int64_t port;
    if (!colon || !span_to_int(span_of(colon + 1), &port) || port < 0 || port > 65535 ||
        !parse_host((struct span){address, (size_t)(colon - address)}, (uint16_t)port, ret))
        return err_set(
            e, ERR_CONFIG,
            "\"%.120s\" is not an address: write unix:/path, 127.0.0.1:9000 or [::1]:9000 (no names)",
            address);
    return true;
}
