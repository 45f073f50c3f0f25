/* sqlstate.h: what PostgreSQL's error codes mean to a caller. */
#ifndef LATHE_STORE_SQLSTATE_H
#define LATHE_STORE_SQLSTATE_H

#include <libpq-fe.h>
#include <stdbool.h>

#include "core/err.h"

/* Fills *e from an error result. True: the session is of no use any more. */
bool sqlstate_err(const PGresult *r, struct err *e);

#endif
