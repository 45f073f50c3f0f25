/*
 * places.h: the servers that this process calls, by scheme, host and port: a breaker each (core/breaker.h), and what the
 * settings say of their hosts. All threads of the process share them; children have their own. A table of LIMIT_ORIGINS:
 * what has not been called for longest, and works, makes room.
 */
#ifndef LATHE_EXEC_PLACES_H
#define LATHE_EXEC_PLACES_H

#include "core/conf.h"

/* Reads http.breaker_* and the sections [destination]; once at start, before there are threads and children. Borrowed. Before
 * it there are neither limits nor breakers. */
void places_open(const struct conf *c);

/* The limits of this host; NULL: it has none. */
const struct conf_destination *places_limits(const char *host);

struct place;

struct visit {
    struct place *place; /* NULL: nobody counts */
    unsigned turn;
};

enum visit_end { VISIT_OK, VISIT_FAILED, VISIT_UNKNOWN };

/* ERR_CIRCUIT_OPEN names the server and says when it is tried again. A visit that was begun is ended, once. */
bool places_visit(const char *origin, const char *host, struct visit *ret, struct err *e) LATHE_CHECK;
bool places_refuse(const char *origin, struct err *e); /* would it be refused now? *e says why */
void places_leave(struct visit *v, enum visit_end how);

#endif
