/*
 * reader.h: reads one request from a connection with libfcgi. This is the only file that knows fcgiapp.h. libfcgi wants
 * to own a connection: to accept it, to answer on it, to wait in read(2) for the next request. Here it is given a
 * descriptor on which arrival_scan() saw a request, reads that request, and the descriptor is taken away again; it never
 * writes (docs/fcgi.md).
 */
#ifndef LATHE_FCGI_READER_H
#define LATHE_FCGI_READER_H

#include "api/call.h"
#include "fcgi/arrival.h"

struct reader; /* one a thread */

struct reader *reader_new(void);
void reader_free(struct reader *r);

enum read_result {
    READ_OK,      /* call->req is filled; all input was taken */
    READ_REFUSED, /* *e is the answer; all input was taken */
    READ_LEFT,    /* *e is the answer; then close, for input is left */
    READ_BROKEN,  /* no answer is possible: close */
    READ_CLOSED,  /* libfcgi took it for broken and has closed the descriptor */
};

/*
 * `fd` is blocking, with a receive time-out. Waits for the rest of a body until `deadline` and the time-out of one read.
 * The answer, if one is due, is for request f->id.
 */
enum read_result reader_read(struct reader *r, int fd, const struct arrival *f, int64_t deadline,
                             struct call *call, struct err *e);

#endif
