/*
 * conn.h: one connection to Redis, for one thread at a time, and the only way in which bytes go over it. The socket does
 * not block and hiredis knows it; conn_exchange waits by poll(2), so that a deadline holds for the whole exchange and
 * not, as with hiredis' own time-outs, for each read. After any failure the connection is good for nothing: close it.
 */
#ifndef LATHE_CACHE_CONN_H
#define LATHE_CACHE_CONN_H

#include <hiredis/hiredis.h>

#include "core/conf.h"
#include "core/err.h"
#include "core/span.h"
#include "model/redis.h"

#define CONN_CONNECT_MS 100
#define CONN_WORDS REDIS_WORDS /* most words of one command */

/* Makes a connected socket, or one that is about to be, one of hiredis'. NULL: it could not be set up. */
redisContext *conn_wrap(int fd);

/* Connects, authenticates and selects the database. */
bool conn_open(const struct conf *conf, int64_t deadline, redisContext **ret, struct err *e) LATHE_CHECK;
void conn_close(redisContext *r); /* NULL is fine */

/* A connection at rest has nothing to read: if it does, Redis has closed it. One system call. */
bool conn_alive(const redisContext *r);

/* Puts a command in the output buffer; words may hold any byte. */
void conn_add(redisContext *r, const struct span *words, size_t n);

/* Sends what was added and reads `replies` replies. each (may be NULL) sees them in order. An error reply fails it. */
bool conn_exchange(redisContext *r, size_t replies, int64_t deadline,
                   void (*each)(void *arg, size_t index, const redisReply *reply), void *arg,
                   struct err *e) LATHE_CHECK;

/* Reads what has come, without waiting: *ret is the next reply, to be freed, or NULL when there is no whole one. */
bool conn_next(redisContext *r, redisReply **ret, struct err *e) LATHE_CHECK;
/* Takes what the socket holds into the reader. */
bool conn_fill(redisContext *r, struct err *e) LATHE_CHECK;
/* Sends what the socket takes of the output buffer. */
bool conn_flush(redisContext *r, bool *ret_done, struct err *e) LATHE_CHECK;

#endif
