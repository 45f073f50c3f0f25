#include "fcgi/reader.h"

#include <assert.h>
#include <fcgiapp.h>
#include <pthread.h>
#include <signal.h>

#include "core/clock.h"
#include "core/limits.h"
#include "core/mem.h"
#include "fcgi/params.h"

/*
 * fcgiapp.h says of some of these members not to use them; they are the same from 2.4.2 to 2.4.7. A library in which one
 * is missing or of another type does not compile here.
 */
#define MEMBER_IS(type, member, wanted) \
    _Static_assert(_Generic(((type *)NULL)->member, wanted : 1, default : 0), #type "." #member " changed")
MEMBER_IS(FCGX_Request, in, FCGX_Stream *);
MEMBER_IS(FCGX_Request, envp, char **);
MEMBER_IS(FCGX_Request, ipcFd, int);
MEMBER_IS(FCGX_Request, keepConnection, int);
MEMBER_IS(FCGX_Request, detached, int);
MEMBER_IS(FCGX_Stream, rdNext, unsigned char *);
MEMBER_IS(FCGX_Stream, stop, unsigned char *);

struct reader {
    FCGX_Request request;
    size_t length, taken; /* of a body in pieces */
};

/* FCGX_Init takes SIGPIPE, SIGUSR1 and SIGTERM where nobody did; ours are put back. */
static void library_init(void)
{
    static const int taken[] = {SIGPIPE, SIGUSR1, SIGTERM};
    struct sigaction ours[COUNT_OF(taken)];
    for (size_t i = 0; i < COUNT_OF(taken); i++)
        sigaction(taken[i], NULL, &ours[i]);
    int failed = FCGX_Init();
    assert(failed == 0);
    for (size_t i = 0; i < COUNT_OF(taken); i++)
        sigaction(taken[i], &ours[i], NULL);
}

struct reader *reader_new(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, library_init);
    struct reader *r = mem_alloc(sizeof *r);
    FCGX_InitRequest(&r->request, -1, FCGI_FAIL_ACCEPT_ON_INTR);
    return r;
}

void reader_free(struct reader *r)
{
    mem_free(r);
}

/*
 * FCGX_Accept_r first ends the request before: with keepConnection 0 it would close the descriptor that it was just
 * given. If it finds no request there it closes the descriptor (without the two seconds of waiting for the other side
 * that `detached` saves), tries to accept another from listener -1, and fails.
 */
static bool attach(FCGX_Request *q, int fd)
{
    q->ipcFd = fd;
    q->keepConnection = 1;
    q->detached = 1;
    return FCGX_Accept_r(q) == 0;
}

static void detach(FCGX_Request *q)
{
    FCGX_Free(q, 0);
    q->ipcFd = -1;
}

enum input { INPUT_ENDED, INPUT_BROKEN, INPUT_LONGER };

/*
 * What is there, or else the first that comes; 0 at the end, and when it is broken. FCGX_GetChar reads at most once from
 * the socket and what it read is then taken in one piece.
 */
static size_t take_some(FCGX_Stream *in, char *to, size_t room)
{
    int c = FCGX_GetChar(in);
    if (c == EOF)
        return 0;
    *to = (char)c;
    size_t ready = (size_t)(in->stop - in->rdNext);
    if (ready > room - 1)
        ready = room - 1;
    return 1 + (ready ? (size_t)FCGX_GetStr(to + 1, (int)ready, in) : 0);
}

static enum input ended(FCGX_Stream *in)
{
    return FCGX_GetError(in) == 0 ? INPUT_ENDED : INPUT_BROKEN;
}

/* Takes input into `room`, or away when that is NULL, up to `most` bytes and the end. The deadline is looked at between
 * reads. */
static enum input take_input(FCGX_Stream *in, char *room, size_t most, int64_t deadline, size_t *ret_taken)
{
    char away[8192];
    for (size_t n = 0;;) {
        size_t left = most - n;
        bool keep = room && left > 0; /* beyond the most only whether there is more */
        size_t got = take_some(in, keep ? room + n : away, keep ? left : sizeof away);
        if (got == 0) {
            *ret_taken = n;
            return ended(in);
        }
        if (got > left)
            return INPUT_LONGER;
        n += got;
        if (clock_now() > deadline)
            return INPUT_BROKEN;
    }
}

/* The request is refused: its input is taken away, so that the connection can be used again, if it is not endless. */
static enum read_result refuse(FCGX_Stream *in, int64_t deadline)
{
    size_t taken = 0;
    switch (take_input(in, NULL, 2 * LIMIT_BODY, deadline, &taken)) {
    case INPUT_ENDED:
        return READ_REFUSED;
    case INPUT_LONGER:
        return READ_LEFT;
    case INPUT_BROKEN:
        break;
    }
    return READ_BROKEN;
}

static bool longer(size_t length, struct err *e)
{
    return err_at(e, ERR_BAD_REQUEST, "CONTENT_LENGTH", "the body is longer than its Content-Length of %zu",
                  length);
}

static bool shorter(size_t taken, size_t length, struct err *e)
{
    return err_at(e, ERR_BAD_REQUEST, "CONTENT_LENGTH",
                  "the body has %zu bytes and its Content-Length is %zu", taken, length);
}

static enum read_result read_body(FCGX_Stream *in, size_t length, int64_t deadline, struct call *call,
                                  struct err *e)
{
    char *room = arena_alloc(&call->arena, length + 1);
    size_t taken = 0;
    switch (take_input(in, room, length, deadline, &taken)) {
    case INPUT_BROKEN:
        return READ_BROKEN;
    case INPUT_LONGER:
        longer(length, e);
        return refuse(in, deadline);
    case INPUT_ENDED:
        break;
    }
    if (taken < length) {
        shorter(taken, length, e);
        return READ_REFUSED;
    }
    call->req.body = (struct span){room, length};
    return READ_OK;
}

static enum read_result read_request(struct reader *r, const struct arrival *f, struct piecewise pieces,
                                     int64_t deadline, struct call *call, struct err *e)
{
    FCGX_Request *q = &r->request;
    int64_t length = 0;
    if (!params_read(q->envp, &call->arena, &call->req, &length, e))
        return refuse(q->in, deadline);
    if (f->nul) {
        err_set(e, ERR_BAD_REQUEST, "a parameter of the request holds a NUL byte");
        return refuse(q->in, deadline);
    }
    int64_t most = pieces.most ? pieces.most(pieces.arg, call) : 0;
    if (length > (most > 0 ? most : LIMIT_BODY)) {
        err_set(e, ERR_TOO_LARGE, "the body has %lld bytes, more than the %lld that are allowed",
                (long long)length, (long long)(most > 0 ? most : LIMIT_BODY));
        return refuse(q->in, deadline);
    }
    if (most == 0)
        return read_body(q->in, (size_t)length, deadline, call, e);
    r->length = (size_t)length;
    r->taken = 0;
    return READ_PIECES;
}

enum read_result reader_read(struct reader *r, int fd, const struct arrival *f, struct piecewise pieces,
                             int64_t deadline, struct call *call, struct err *e)
{
    FCGX_Request *q = &r->request;
    if (!attach(q, fd)) {
        q->ipcFd = -1;
        return READ_CLOSED;
    }
    enum read_result result = read_request(r, f, pieces, deadline, call, e);
    if (result != READ_PIECES)
        detach(q);
    return result;
}

enum read_result reader_piece(struct reader *r, int64_t deadline, char *to, size_t room, size_t *ret_n,
                              struct err *e)
{
    FCGX_Stream *in = r->request.in;
    *ret_n = 0;
    if (clock_now() > deadline)
        return READ_BROKEN;
    size_t n = take_some(in, to, room);
    if (n > r->length - r->taken) {
        longer(r->length, e);
        return READ_LEFT;
    }
    r->taken += n;
    *ret_n = n;
    if (n > 0)
        return READ_OK;
    if (ended(in) != INPUT_ENDED)
        return READ_BROKEN;
    if (r->taken == r->length)
        return READ_OK;
    shorter(r->taken, r->length, e);
    return READ_REFUSED;
}

enum read_result reader_away(struct reader *r, int64_t deadline)
{
    char away[8192];
    struct err e = ERR_INIT;
    size_t n;
    enum read_result got = READ_OK;
    do
        got = reader_piece(r, deadline, away, sizeof away, &n, &e);
    while (got == READ_OK && n > 0);
    return got;
}

void reader_end(struct reader *r)
{
    detach(&r->request);
}
