/*
 * fetch.h: an item that is a request, for every handler that begins with one. What the item may be, the params that say how it
 * is made, when a server that says so is asked again, and which answers fail the item stand here; what is done with the
 * answer is the handler's.
 *
 *     struct args { struct fetch_args fetch; … };
 *     struct state { struct fetch fetch; … };
 *
 *     static enum step step(struct item *it)
 *     {
 *         const struct args *args = it->args;
 *         struct state *s = it->state;
 *         enum step got = fetch_step(it, &args->fetch, &s->fetch);
 *         if (got != STEP_DONE)
 *             return got;
 *         … s->fetch.call->body …                     // until fetch_drop
 *     }
 *     static void drop(struct item *it) { fetch_drop(&((struct state *)it->state)->fetch); }
 *     static const struct field fields[] = {FETCH_FIELDS(struct args, fetch), {.name = …}};
 */
#ifndef LATHE_HANDLERS_FETCH_H
#define LATHE_HANDLERS_FETCH_H

#include "core/hmac.h"
#include "core/json.h"
#include "model/http.h"

/* Plain bytes, inside the handler's params. */
struct fetch_args {
    int64_t timeout_ms, redirects, max_bytes, per_host, later;
    bool any_status;
};

/* Zeroed before the first step. */
struct fetch {
    struct http_call *call;            /* after STEP_DONE: what was answered */
    struct buf body;                   /* of the request */
    int64_t began, ended;              /* of the last call; ended: 0 while it is under way */
    int64_t until;                     /* nothing is asked before */
    int64_t later;                     /* how often it was told to come back */
    char digest[8 + 2 * SHA256_BYTES]; /* after STEP_DONE: "sha256:…" of the body */
};

/* What `item` of the handler says. */
#define FETCH_ITEM "a URL, or an object {url, method, headers, body}"

/* Makes the item's request. STEP_DONE: there is an answer that is to be used (below 400, or any with any_status); asked again it
 * says the same. STEP_FAIL: it->err says why. */
enum step fetch_step(struct item *it, const struct fetch_args *a, struct fetch *f);

/* Also half-way; harmless when nothing was begun. */
void fetch_drop(struct fetch *f);

/* handler.remembers: only what asks, and changes nothing. */
bool fetch_remembers(const struct item *it);

/* After STEP_DONE: the members url, status, bytes, digest, type, redirects, http and ms of the open object. */
void fetch_write(struct json_out *o, const struct fetch *f);

/* Rows of a handler's table of params: target is its struct, member the fetch_args in it. */
/* clang-format off */
#define FETCH_FIELDS(target, member)                                                                                     \
    FETCH_INT(target, member, timeout_ms, "timeout_ms", 1, 3600000, 30000,                                               \
              "time limit of a request with its redirects, milliseconds"),                                               \
    FETCH_INT(target, member, redirects, "redirects", 0, 20, 5, "how many are followed at most"),                        \
    FETCH_INT(target, member, max_bytes, "max_bytes", 1, FETCH_MOST_BYTES, 1048576,                                      \
              "an answer whose body is larger, unpacked, fails the item"),                                               \
    {.name = "any_status", .type = FIELD_BOOL, .offset = offsetof(target, member.any_status),                            \
     .summary = "statuses from 400 on are results too, and fail no item"},                                               \
    FETCH_INT(target, member, per_host, "per_host", 0, 100000, 0,                                                        \
              "connections to one host at most, on each thread; 0: as many as items are in flight"),                     \
    FETCH_INT(target, member, later, "retry_after", 0, 100, 3,                                                           \
              "how often a server that names a time (Retry-After) is asked again then")

#define FETCH_INT(target, member, part, called, least, most, usual, text)                                                \
    {.name = called, .type = FIELD_INT, .offset = offsetof(target, member.part), .min = least, .max = most, .def = usual,\
     .summary = text}
/* clang-format on */

#define FETCH_MOST_BYTES (64 * 1024 * 1024)

#endif
