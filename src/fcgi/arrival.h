/*
 * arrival.h: looks at bytes that wait in a connection's socket, before anybody reads them: is a whole FastCGI request there?
 * The dispatcher asks this of every connection that became readable, and only what is ARRIVAL_READY is given to a thread
 * and to libfcgi. So a request that comes in drips costs a descriptor and not a thread, and libfcgi never sees the
 * records that it does not take well (management records, a second request, absurd lengths).
 *
 * Pure: no state, no I/O. The bytes are a stranger's.
 */
#ifndef LATHE_FCGI_ARRIVAL_H
#define LATHE_FCGI_ARRIVAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* With its parameters complete and this much of it there, a request is given to a thread, which reads the rest. */
#define ARRIVAL_ENOUGH (16u * 1024)

enum arrival_verdict {
    ARRIVAL_MORE, /* good so far; look again when there is more */
    ARRIVAL_READY,
    ARRIVAL_BAD, /* not a request that we speak: close the connection */
};

struct arrival {
    uint16_t id;
    bool keep;  /* FCGI_KEEP_CONN: the connection is used again */
    bool nul;   /* a parameter holds a NUL byte, which libfcgi would hide */
    bool whole; /* the request ends with the last of the bytes */
};

/* `n` at LIMIT_FCGI_HEAD means that there may be more behind. *ret is filled only when ARRIVAL_READY. */
enum arrival_verdict arrival_scan(const uint8_t *bytes, size_t n, struct arrival *ret);

#endif
