/*
 * front.h: the FastCGI front. One dispatcher thread holds every connection in epoll; a bounded queue feeds T threads on
 * which libfcgi reads the requests; answers are written from whichever thread has them, without waiting: what the socket
 * does not take at once the dispatcher writes when it can. So an idle kept connection, a request that waits for its task
 * and a slow reader each cost a descriptor and no thread. docs/fcgi.md tells how libfcgi is made to fit and what was
 * measured.
 *
 *     struct front *f;
 *     if (!front_new(&options, handle, api, &f, e)) …
 *     front_run(f);              // the dispatcher loop, on this thread, until front_stop
 *     front_free(f);
 */
#ifndef LATHE_FCGI_FRONT_H
#define LATHE_FCGI_FRONT_H

#include "api/call.h"

struct front;

struct front_options {
    int listen_fd; /* O_NONBLOCK, as from net_listen; one of systemd's is made so by the caller, whose it stays */
    int threads;      /* T */
    int queue;        /* requests that may wait for a thread; more are answered 503 + Retry-After */
    int64_t drain_ms; /* how long front_run waits, once stopped, for calls that were begun */

    /*
     * Whether handle() or the stream of the answer may wait for another server. At most T-1 threads (but 1 of 1) are in such
     * calls, so that the others are answered whatever that server does. More of them are held without a thread: as many
     * as `queue`, those without a body, for HELD_MS (front_in.h); beyond that it is 503. NULL: none.
     */
    bool (*waits)(void *arg, const struct call *);

    /*
     * The most bytes of a body that is given to handle() in pieces (struct pieces); 0: it is read before handle() is
     * called. Each such call has a thread of its own, `uploads` at most; more are answered 503 + Retry-After. NULL: none.
     */
    int64_t (*pieces)(void *arg, const struct call *);
    int uploads;
};

/* `handle` is called on one of the T threads with a filled call; see call.h for who owns it when. An answer that it gives
 * before it returns is sent when it returns. */
bool front_new(const struct front_options *o, void (*handle)(void *arg, struct call *), void *arg,
               struct front **ret, struct err *e) LATHE_CHECK;

/* True: every call that was begun has been answered. False: the drain ran out of time, or a second front_stop came. */
bool front_run(struct front *f);

/*
 * Any thread: what waits in the listener is accepted and then nothing more; idle connections are closed; begun calls are
 * answered, then front_run returns. A second call makes it return at once. To lose no request take the socket's name away
 * first (net_unlink), so that nobody connects to a listener that is about to go.
 */
void front_stop(struct front *f);

/* After front_run. Calls that api still holds must have been sent before (true from front_run says so): asserted. A
 * program whose drain ran out of time leaves by _exit instead. */
void front_free(struct front *f);

#endif
