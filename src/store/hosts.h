/*
 * hosts.h: the hosts that a connection string names. libpq tries them one after the other within one deadline, so that a
 * first host that swallows what is sent to it leaves no time for the others. So each is tried by itself, with its share:
 *
 *     struct hosts h CLEANUP(hosts_release);
 *     hosts_read(&h, url);
 *     for (size_t i = 0; i < h.count; i++)
 *         … PQconnectStartParams with what hosts_at says, behind `dbname` = url; until hosts_deadline(&h, i, deadline)
 */
#ifndef LATHE_STORE_HOSTS_H
#define LATHE_STORE_HOSTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HOSTS_MOST 16

/* What one of them has: host, hostaddr, port; NULL: as the string says. */
struct pg_host {
    const char *name, *address, *port;
    const char *
        unknown; /* the name whose address must be looked up first (lookup.h); NULL: none must, or libpq knows the name (a service) */
};

struct hosts {
    struct pg_host list[HOSTS_MOST];
    size_t count; /* 1 with nothing set: there is one, or the string is libpq's to refuse */
    char *names, *addresses, *ports; /* owned */
    int64_t each_ms;                 /* connect_timeout of the string; 0: none */
    bool at_hand;                    /* the first is no name that would have to be looked up */
};

void hosts_read(struct hosts *h, const char *url);
void hosts_release(struct hosts *h);

/* Until when host `i` may be tried: an equal share of what is left, and no longer than connect_timeout. */
int64_t hosts_deadline(const struct hosts *h, size_t i, int64_t deadline);

#endif
