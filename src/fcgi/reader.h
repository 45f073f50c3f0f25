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
    READ_PIECES,  /* the same but for the body, which reader_piece() gives; then reader_end() */
    READ_REFUSED, /* *e is the answer; all input was taken */
    READ_LEFT,    /* *e is the answer; then close, for input is left */
    READ_BROKEN,  /* no answer is possible: close */
    READ_CLOSED,  /* libfcgi took it for broken and has closed the descriptor */
};

/* Which bodies are taken in pieces: the most bytes that this one may have; 0: it is taken whole. */
struct piecewise {
    int64_t (*most)(void *arg, const struct call *); /* NULL: none */
    void *arg;
};

/*
 * `fd` is blocking, with a receive time-out. Waits for the rest of a body until `deadline` and the time-out of one read.
 * The answer, if one is due, is for request f->id.
 */
enum read_result reader_read(struct reader *r, int fd, const struct arrival *f, struct piecewise pieces,
                             int64_t deadline, struct call *call, struct err *e);

/*
 * After READ_PIECES: what is there of the body, or else the first that comes of it. READ_OK: *ret_n bytes, 0 at the end;
 * READ_REFUSED: the body has ended and is not as long as it was to be; READ_LEFT: it is longer; READ_BROKEN as above.
 */
enum read_result reader_piece(struct reader *r, int64_t deadline, char *to, size_t room, size_t *ret_n,
                              struct err *e);
/* Throws away what there is of the body until its end, which is READ_OK, or until reader_piece() has nothing more. */
enum read_result reader_away(struct reader *r, int64_t deadline);
void reader_end(struct reader *r); /* the descriptor is the caller's again */

#endif
