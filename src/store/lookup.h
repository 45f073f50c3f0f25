/*
 * lookup.h: the addresses of a host's name, by a deadline. getaddrinfo knows none, and libpq calls it before it returns from
 * PQconnectStart; a name server that does not answer would hold a loop for half a minute, and a stop as long. So a thread of its own asks. One
 * that is late is left to itself; who asks for the same name again, with the same pointer, waits for that one, so that it is one thread however
 * often it is tried.
 *
 *     struct lookup *under_way = NULL;
 *     struct lookup_found found;
 *     if (lookup_begin(&under_way, "db.example.net", e))
 *         … wait until lookup_fd(under_way) is readable, and then
 *         lookup_end(&under_way, &found, e)
 *     lookup_leave(&under_way);
 */
#ifndef LATHE_STORE_LOOKUP_H
#define LATHE_STORE_LOOKUP_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>

#include "core/attr.h"
#include "core/err.h"

#define LOOKUP_MOST 8 /* addresses of a name that are tried */

struct lookup;

struct lookup_found {
    char list
        [LOOKUP_MOST]
        [INET6_ADDRSTRLEN +
         16]; /* as numbers, with the scope where there is one; in the order in which they are to be tried */
    size_t count;
};

/* Goes on with what is under way there if it is for this name; what it came to since, while nobody waited, may be long past and is
 * asked for anew. ERR_STORE: there is no thread, or no descriptor. */
bool lookup_begin(struct lookup **under_way, const char *name, struct err *e) LATHE_CHECK;

/* Readable when it is over; of the lookup. */
int lookup_fd(const struct lookup *l);
bool lookup_over(const struct lookup *l);
bool lookup_is_for(const struct lookup *l, const char *name);

/* Of one that is over, which it releases. False: there is no such name, or the name server could not say. */
bool lookup_end(struct lookup **under_way, struct lookup_found *ret, struct err *e) LATHE_CHECK;

void lookup_leave(struct lookup **under_way); /* as if nobody had asked; NULL: nothing is under way */

#endif
