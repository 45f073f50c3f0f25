/*
 * http_call.h: an HTTP client and one of its calls, between http_client.c, which makes and keeps clients, http.c, which drives their
 * calls, and http_call.c, which tells curl what is asked and what may be. For these three files only.
 */
#ifndef LATHE_EXEC_HTTP_CALL_H
#define LATHE_EXEC_HTTP_CALL_H

#include <curl/curl.h>

#include "core/buf.h"
#include "core/limits.h"
#include "exec/gate.h"
#include "exec/http.h"
#include "exec/places.h"
#include "model/outgoing.h"

struct line {
    struct call *first, *last;
};

struct http {
    CURLM *multi;
    int sockets, alarm; /* an epoll set, and a timerfd in it */
    int64_t due,
        armed; /* clock_now(): when curl wants to be called, and when the alarm rings; CLOCK_NEVER: not */
    int64_t per_host;
    int64_t calls, most_calls; /* in progress, LIMIT_HTTP_CALLS at most; and at once so far */
    int64_t ended;             /* calls that left a connection which none may have taken since */
    int64_t answers;           /* that began in this look, and will leave one */
    int64_t resolving;         /* of them: that may have a resolver's thread, LIMIT_HTTP_RESOLVING at most */
    struct line lines[2];      /* that wait for a place: of addresses, and of names */
    int later;                 /* a timerfd for the gates */
    struct gate **gates;       /* of this run, to hosts that have limits */
    size_t gates_n;
    struct http *next; /* idle */
};

struct call {
    struct http_call shown;
    struct http *client;
    struct call *next, *prev; /* while it waits for a place */
    bool waits;
    bool name;      /* its host is no address */
    bool resolving; /* counted as one that may have a resolver's thread */
    bool moving;    /* curl has it */
    bool keeps;     /* its connection, for others; known from its answer on */
    bool beginning; /* http_begin has not returned: what ends is not told */
    char where[LIMIT_ORIGIN],
        host[LIMIT_ORIGIN]; /* of the URL that was asked for; redirects count there too */
    struct visit visit;
    struct pass pass;
    CURL *easy;
    struct curl_slist *headers, *plain; /* with the caller's own, and without */
    struct buf origin;                  /* of the first request; what the caller's headers are for */
    struct buf head, body;
    bool too_large;
    struct err refusal; /* the address that was refused */
    char error[CURL_ERROR_SIZE];
    struct outgoing noted; /* for the log of outgoing calls; without a task: it is not wanted */
    char method[24];
    int64_t began;
    void (*over)(void *arg);
    void *arg;
};

/* Sets all of c->easy by the request: its URL, method, headers and body, its limits, and whom it may connect to. */
bool call_set(struct call *c, const struct http_request *r, struct err *e) LATHE_CHECK;

/* What the host stands for is known, or nobody has to ask: another may have a resolver's thread. In curl's callbacks too. */
void http_resolved(struct call *c);

/* An answer has begun, of which there may be several (redirects). In curl's callbacks. */
void http_answers(struct call *c);

/* A resolver is about to be started. False: there are too many of them: redirects to ever other names make no threads without end. */
bool http_resolves(struct call *c);

/* The alarm can be read. True: curl's time has come. */
bool http_alarm_due(struct http *h);

/* The file of http_trust; NULL: the system's. Any thread. */
const char *http_ca_file(void);

/* Without calls: kept for the next run, or freed. */
void http_put_away(struct http *h);

/* Calls in progress, of all threads of the process: whether there may be more; and how many more there are now. Any thread. */
bool http_process_room(void);
void http_process_count(int more);

#endif
