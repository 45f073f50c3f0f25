/*
 * http_call.h: one call of an HTTP client, between http.c, which has the clients and drives them, and http_call.c, which tells curl
 * what is asked and what may be. For these two files only.
 */
#ifndef LATHE_EXEC_HTTP_CALL_H
#define LATHE_EXEC_HTTP_CALL_H

#include <curl/curl.h>

#include "core/buf.h"
#include "core/limits.h"
#include "exec/gate.h"
#include "exec/http.h"
#include "model/outgoing.h"
#include "exec/places.h"

struct call {
    struct http_call shown;
    struct http *client;
    struct call *next, *prev; /* while it waits for a place */
    bool waits;
    bool name;      /* its host is no address */
    bool resolving; /* counted as one that may have a resolver's thread */
    bool moving;    /* curl has it */
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

/* A resolver is about to be started. False: there are too many of them: redirects to ever other names make no threads without end. */
bool http_resolves(struct call *c);

#endif
