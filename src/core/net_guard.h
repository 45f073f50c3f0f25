/*
 * net_guard.h: which addresses an outgoing request may reach. What a stranger names must not lead into the house: loopback,
 * private and link-local networks, the metadata services of clouds, multicast, and whatever is none of the public Internet;
 * nor may the same in one of its IPv6 disguises (mapped, NAT64, 6to4, ISATAP). Looked at is the address that is really
 * connected to: a name may stand for another address each time that it is looked up.
 *
 * The setting http.allow opens some again: classes (loopback, private, shared, link-local), addresses, and networks.
 */
#ifndef LATHE_CORE_NET_GUARD_H
#define LATHE_CORE_NET_GUARD_H

#include <netinet/in.h>
#include <stdbool.h>
#include <sys/socket.h>

#include "core/err.h"

enum net_class {
    NET_PUBLIC,
    NET_LOOPBACK,
    NET_PRIVATE,    /* RFC 1918; unique-local and site-local of IPv6 */
    NET_SHARED,     /* between a provider and its customers, 100.64.0.0/10 */
    NET_LINK_LOCAL, /* without the metadata services */
    NET_METADATA,   /* where clouds tell a machine its credentials */
    NET_MULTICAST,
    NET_UNSPECIFIED, /* 0.0.0.0/8 and ::, which reach this machine */
    NET_RESERVED,    /* documentation, benchmarks, Teredo, and what is not handed out */
    NET_FOREIGN,     /* neither IPv4 nor IPv6 */
};

enum net_class net_classify(const struct sockaddr *a);
const char *net_class_name(enum net_class c); /* "private"; the words of http.allow */

/* Reads http.allow; once at start, before there are threads and children. ERR_CONFIG names what is wrong. */
bool net_guard_open(const char *allow, struct err *e) LATHE_CHECK;

/* ERR_FORBIDDEN_ADDRESS names the address and says what to do. Any thread. */
bool net_guard_check(const struct sockaddr *a, struct err *e) LATHE_CHECK;

/* An address written as a number, in any form that the resolver would take for one (127.1, 0x7f000001, [::1]). False: it
 * is a name. */
bool net_literal(struct span host, struct sockaddr_storage *ret);

#endif
