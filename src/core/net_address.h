/*
 * net_address.h: an address as text made into one for the kernel. For net.c only.
 */
#ifndef LATHE_CORE_NET_ADDRESS_H
#define LATHE_CORE_NET_ADDRESS_H

#include <stdbool.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "core/err.h"

struct net_address {
    struct sockaddr_storage socket;
    socklen_t length;
};

/* The path of "unix:/path" or "/path"; NULL if it is no unix address. */
const char *net_unix_path(const char *address);

/* Numeric addresses only: looking up names would wait without a deadline. ERR_CONFIG otherwise. */
bool net_parse(const char *address, struct net_address *ret, struct err *e) LATHE_CHECK;

#endif
