/* sqlstate.h: what PostgreSQL's error codes mean to a caller. */
#ifndef LATHE_STORE_SQLSTATE_H
#define LATHE_STORE_SQLSTATE_H

#include <libpq-fe.h>
#include <stdbool.h>

#include "core/err.h"
#include "core/span.h"

/* Fills *e from an error result. True: the session is of no use any more. */
bool sqlstate_err(const PGresult *r, struct err *e);

/* Why a connection failed: the last line of libpq's message, without the address and the user before it. As long as that message stands. */
struct span sqlstate_reason(const PGconn *c);

/* Of such an error: was there no more to it than that something took too long, a lock that another holds above all? */
bool sqlstate_was_slow(const struct err *e);

/* Did it not get a lock, for want of time or because others waited for it? */
bool sqlstate_was_locked(const struct err *e);

#endif
