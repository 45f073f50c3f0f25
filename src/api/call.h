/*
 * call.h: one HTTP call between the front (fcgi/) and its meaning (api/). The front fills `req`, calls api_handle(), and
 * api answers with call_send(): at once, or later from any thread while nothing but a descriptor is held.
 *
 * Life: the front makes a call; from api_handle() on api owns it until it calls call_send() exactly once; then the front
 * owns it again, sends, and releases the arena. Everything of the call lives in its arena, one thread at a time: whoever
 * parks a call hands it over with a lock or a queue.
 *
 *     call->res.status = 202;
 *     call_header(call, "Location", "/api/v1/tasks/%s", id);
 *     buf_puts(&call->res.body, "{}");
 *     call_send(call);
 */
#ifndef LATHE_API_CALL_H
#define LATHE_API_CALL_H

#include <stdatomic.h>
#include <stdbool.h>

#include "core/arena.h"
#include "core/buf.h"
#include "core/err.h"
#include "core/json.h"
#include "core/span.h"

enum method { METHOD_GET, METHOD_HEAD, METHOD_POST, METHOD_PUT, METHOD_DELETE, METHOD_OPTIONS, METHOD_OTHER };

/*
 * A body that is not held in memory: `read` waits for some of it, at most `room` bytes, and sets *ret_n to 0 at its end. On the
 * thread of api_handle and before that returns: either to the end, or the call is answered before. False: it broke off, or
 * took too long.
 */
struct pieces {
    bool (*read)(void *arg, char *to, size_t room, size_t *ret_n, struct err *e); /* NULL: there is none */
    void *arg;
};

struct request {
    enum method method;
    struct span path;         /* decoded, as nginx gives DOCUMENT_URI; begins with '/' */
    struct span query;        /* raw, without '?' */
    struct span body;         /* whole; nginx buffers it */
    struct pieces pieces;     /* instead of body, where api_uploads said so */
    struct span content_type; /* as sent, "" if absent */
    struct span accept;
    struct span prefer;
    struct span if_none_match;
    struct span request_id; /* nginx's $request_id */
};

/*
 * A streamed body: the front calls `more` until it sets *ret_end, each time with an empty `out` of at most
 * LIMIT_STREAM_CHUNK, on the thread that called call_send(), and waits for the client in between (with a deadline).
 * False ends the answer unfinished, so that the client sees a broken answer and not a short one.
 */
struct stream {
    bool (*more)(void *arg, struct buf *out, bool *ret_end, struct err *e); /* NULL: not streamed */
    void *arg;
};

struct response {
    int status;
    const char *content_type; /* static text; NULL: application/json */
    struct buf headers;       /* "Name: value\r\n" lines, by call_header */
    struct buf body;          /* at most LIMIT_RESPONSE */
    struct stream stream;     /* instead of body */
};

struct call {
    struct arena arena;
    struct request req;
    struct response res;
    int64_t started;   /* clock_now() when it was read */
    const char *route; /* template of the route, for metrics and logs; set by api */
    atomic_bool gone;  /* the client hung up: an answer is still due but nobody will read it */

    /* Set by the front. */
    void (*send)(struct call *);
    void *front;
};

/* Hands the answer over. Any thread, once; the call must not be touched afterwards. */
static inline void call_send(struct call *c)
{
    c->send(c);
}

/* Adds a header line; CR and LF in the value are dropped. */
void call_header(struct call *c, const char *name, const char *format, ...) LATHE_PRINTF(3, 4);

/* Answers with the problem document (RFC 9457) of `e` and sends. Headers set so far stay (Allow of a 405), a body does not. */
void call_problem(struct call *c, const struct err *e);

/* The same document as a value. request_id "": without. */
void problem_write(struct json_out *o, const struct err *e, struct span request_id);

/* The same without sending. */
void call_fill_problem(struct call *c, const struct err *e);

#endif
