/*
 * reply.h: what goes over the wire for an answered call: the header lines, and which calls have a body at all.
 */
#ifndef LATHE_FCGI_REPLY_H
#define LATHE_FCGI_REPLY_H

#include "api/call.h"

/* An answer larger than its limits becomes a problem document. */
void reply_head(struct call *c, struct buf *out);

/* HEAD, 204 and 304 have none, whatever the call says. */
bool reply_has_body(const struct call *c);

/*
 * Writes a streamed answer to request `id`, head and all, waiting for the client whenever it is slow. False: the answer
 * is unfinished and the connection must be closed, which is how the client learns of it.
 */
bool reply_stream(struct call *c, struct span head, int fd, uint16_t id, struct err *e) LATHE_CHECK;

#endif
