/*
 * router.h: which route a method and a path mean. Pure; the table is an argument so that tests bring their own.
 */
#ifndef LATHE_API_ROUTER_H
#define LATHE_API_ROUTER_H

#include "api/call.h"

struct api;

enum {
    ROUTE_PLAIN = 0,
    ROUTE_EFFECTS = 1, /* a GET that begins work: it has no HEAD, which must have no effect */
    ROUTE_STORE = 2,   /* waits for the store on the thread that it is called on */
    ROUTE_PIECES = 4,  /* a body of type application/x-ndjson comes in pieces */
};

struct route {
    enum method method;
    unsigned flags;
    const char *path; /* template: "/api/v1/tasks/{id}" */
    void (*handle)(struct api *a, struct call *c, struct span parameter);
    const char *summary;
};

extern const struct route routes[]; /* routes.def */
extern const size_t routes_count;

struct route_match {
    const struct route *route; /* NULL: no route at this path (allowed is 0), or not with this method */
    const char *path;          /* template that the path has, NULL if none */
    struct span parameter;     /* what stood for {parameter}; borrowed from the path */
    unsigned allowed;          /* bit 1 << method for each that the path has, HEAD and OPTIONS included */
};

/* Exact: an empty segment, a slash at the end or one too many match nothing. */
struct route_match route_match(const struct route *table, size_t count, enum method method, struct span path);

#define ALLOW_TEXT 64
void allow_format(unsigned allowed, char text[ALLOW_TEXT]); /* "GET, HEAD, OPTIONS" */

const char *method_name(enum method m);

#endif
