/*
 * http.h: outgoing HTTP for handlers. The engine that runs the item makes the call beside the other items of its thread, on
 * connections that are used again, and steps the item when the call is over.
 *
 *     static enum step step(struct item *it)
 *     {
 *         struct fetch *f = it->state;
 *         if (!f->call && !(f->call = http_start(it, &(struct http_request){.url = …, .most = 1 << 20, …})))
 *             return STEP_FAIL;
 *         if (!f->call->done)
 *             return item_wait_call(it);
 *         if (f->call->err.code != ERR_NONE) …
 *         … f->call->status, f->call->body …
 *     }
 *     static void drop(struct item *it) { http_drop(((struct fetch *)it->state)->call); }
 *
 * Only http and https; never through a proxy of the environment; and only to addresses that core/net_guard.h leaves open,
 * which is looked at on every connection, also of a redirect, by the address that it really goes to.
 */
#ifndef LATHE_MODEL_HTTP_H
#define LATHE_MODEL_HTTP_H

#include "model/port.h"

struct http_header {
    struct span name, value;
};

/* Everything is borrowed until http_start returns, but for the body: until http_drop. */
struct http_request {
    struct span method; /* empty: GET */
    struct span url;
    const struct http_header *headers;
    size_t header_count;
    struct span body;
    int64_t most; /* bytes that the body of the answer may have, unpacked */
    int64_t
        redirects; /* of GET and HEAD without a body, followed at most; else, and at 0, a redirect is the answer.
                        * The headers go to the origin (scheme, host, port) of `url` only */
    int64_t
        timeout_ms; /* from when it has one of the thread's LIMIT_HTTP_CALLS places; 0: none. The item's deadline
                         * counts too, also while it waits for a place */
    int64_t
        per_host; /* connections to one host at most, of this thread; 0: any number. The last request's counts */
    bool unpack; /* ask for compression, and undo it */
};

/* Made by the engine. What it points to lives until http_drop. */
struct http_call {
    bool done;
    struct err
        err;    /* there is no answer: UNREACHABLE, FORBIDDEN_ADDRESS, TIMEOUT, ITEM_TOO_LARGE, REJECTED */
    int status; /* of the last answer when redirects were followed */
    struct span head;    /* its header lines, "Name: value\r\n" each */
    struct span body;    /* unpacked */
    const char *url;     /* whose answer it is */
    int64_t bytes;       /* of the body as they came, packed */
    int64_t redirects;   /* that were followed */
    int64_t retry_after; /* seconds, of the header of this name, from now; 0: none */
    int version;         /* 10, 11, 20 */
};

extern const struct port_kind http_port; /* exec/http.c */

/* NULL with it->err set when it cannot even begin. */
struct http_call *http_start(struct item *it, const struct http_request *r);

/* Cancels it if it is under way. NULL is fine. */
void http_drop(struct http_call *c);

/* Is this status one that the same request may not get the next time? */
static inline bool http_mends(int status)
{
    return status == 408 || status == 425 || status == 429 || status >= 500;
}

/* The value of the first header of this name; false: there is none. */
bool http_find(struct span head, const char *name, struct span *ret);

/* An http or https URL with a host and without user and password, whose host, if it is written as an address, may be
 * reached. What a name stands for is looked at when it is connected to. ERR_BAD_FIELD or ERR_FORBIDDEN_ADDRESS, at the
 * pointer. */
bool http_check_url(struct span url, const char *pointer, struct err *e) LATHE_CHECK;

#endif
