/*
 * sql_cancel.h: ends what a server is doing for us. libpq can ask for that only by a call that blocks, for as long as the
 * server likes: so a thread does it, which is there only while there is something to cancel. Any thread.
 */
#ifndef LATHE_STORE_SQL_CANCEL_H
#define LATHE_STORE_SQL_CANCEL_H

#include <libpq-fe.h>
#include <stdbool.h>
#include <stdint.h>

/* What the connection is executing; it may be closed meanwhile. */
void sql_cancel(PGconn *pg);

/* The same, and then closes it. Owns pg. */
void sql_cancel_and_close(PGconn *pg);

/* Waits until all that was asked for is done, or the deadline: then a server that hangs keeps the thread. */
void sql_cancel_wait(int64_t deadline);

#endif
