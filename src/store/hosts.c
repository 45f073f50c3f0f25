#include "store/hosts.h"

#include <arpa/inet.h>
#include <libpq-fe.h>
#include <stdlib.h>
#include <string.h>

#include "core/clock.h"
#include "core/mem.h"

static const char *option(const PQconninfoOption *list, const char *keyword)
{
    for (; list->keyword; list++)
        if (strcmp(list->keyword, keyword) == 0)
            return list->val && list->val[0] ? list->val : NULL;
    return NULL;
}

static char *copy(const char *text)
{
    if (!text)
        return NULL;
    char *own = mem_alloc(strlen(text) + 1);
    memcpy(own, text, strlen(text));
    return own;
}

/* The parts of a list, which is cut at its commas. How many; more than there is room for: one too many. */
static size_t cut(char *list, const char **ret)
{
    size_t n = 0;
    for (char *at = list; at && n <= HOSTS_MOST; n++) {
        char *comma = strchr(at, ',');
        if (n < HOSTS_MOST)
            ret[n] = at;
        if (comma)
            *comma++ = '\0';
        at = comma;
    }
    return n;
}

/* One part for each host, one for all, or none. */
static bool fits(size_t n, size_t hosts, bool one_for_all)
{
    return n == 0 || n == hosts || (one_for_all && n == 1);
}

/* A path, or an address: nobody is asked for what a name means. */
static bool at_hand(const char *name, const char *address)
{
    struct in6_addr any;
    return (address && address[0]) || !name || name[0] == '/' || name[0] == '@' ||
           inet_pton(AF_INET, name, &any) == 1 || inet_pton(AF_INET6, name, &any) == 1;
}

static void spread(struct hosts *h)
{
    const char *names[HOSTS_MOST], *addresses[HOSTS_MOST], *ports[HOSTS_MOST];
    size_t names_n = cut(h->names, names), addresses_n = cut(h->addresses, addresses);
    size_t ports_n = cut(h->ports, ports), n = names_n > addresses_n ? names_n : addresses_n;
    h->at_hand = n < 2 && at_hand(h->names, h->addresses);
    if (n < 2 && !h->at_hand)
        h->list[0].unknown = h->names;
    if (n < 2 || n > HOSTS_MOST || !fits(names_n, n, false) || !fits(addresses_n, n, false) ||
        !fits(ports_n, n, true))
        return; /* as it stands, or libpq says what is wrong with it */
    h->count = n;
    for (size_t i = 0; i < n; i++)
        h->list[i] = (struct pg_host){
            .name = names_n ? names[i] : NULL,
            .address = addresses_n ? addresses[i] : NULL,
            .port = ports_n == n ? ports[i] : NULL,
            .unknown =
                at_hand(names_n ? names[i] : NULL, addresses_n ? addresses[i] : NULL) ? NULL : names[i]};
    h->at_hand = at_hand(h->list[0].name, h->list[0].address);
}

/* Of a service file, or of PGHOSTADDR: it may have addresses for what is a name here. */
static void leave_to_libpq(struct hosts *h)
{
    for (size_t i = 0; i < h->count; i++)
        h->list[i].unknown = NULL;
}

void hosts_read(struct hosts *h, const char *url)
{
    *h = (struct hosts){.count = 1};
    PQconninfoOption *given = PQconninfoParse(url, NULL), *usual = PQconndefaults();
    if (given && usual) {
        const char *name = option(given, "host"), *address = option(given, "hostaddr");
        const char *port = option(given, "port"), *timeout = option(given, "connect_timeout");
        h->names = copy(name || address ? name : option(usual, "host")); /* PGHOST */
        h->addresses = copy(name || address ? address : option(usual, "hostaddr"));
        h->ports = copy(port ? port : option(usual, "port"));
        h->each_ms = timeout ? strtol(timeout, NULL, 10) * 1000 : 0;
        spread(h);
        if (option(given, "service"))
            h->at_hand = false;
        if (option(given, "service") || option(usual, "service") || (!address && option(usual, "hostaddr")))
            leave_to_libpq(h);
    }
    PQconninfoFree(given);
    PQconninfoFree(usual);
}

void hosts_release(struct hosts *h)
{
    mem_free(h->names);
    mem_free(h->addresses);
    mem_free(h->ports);
}

int64_t hosts_deadline(const struct hosts *h, size_t i, int64_t deadline)
{
    int64_t now = clock_now(), share = deadline;
    if (deadline != CLOCK_NEVER && h->count > 1)
        share = now + (deadline - now) / (int64_t)(h->count - i);
    int64_t most = h->each_ms > 0 ? clock_after_ms(h->each_ms) : CLOCK_NEVER;
    return most < share ? most : share;
}
