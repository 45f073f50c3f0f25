/*
 * http.h: outgoing HTTP of one reactor, on libcurl's multi interface: the port of model/http.h. A client has one descriptor, an
 * epoll set of curl's own sockets and its timer: who watches it and calls http_drive needs to know nothing else. Clients outlive
 * the reactors that use them, and so do their connections: the next run on any thread takes up where one left off.
 *
 * The only door to libcurl. One thread at a time a client; http_open, http_close and http_release: any thread.
 */
#ifndef LATHE_EXEC_HTTP_H
#define LATHE_EXEC_HTTP_H

#include "model/http.h"

struct http;

/* What `http_port` is made of; a client is a struct http. */
bool http_open(void **ret, struct err *e) LATHE_CHECK;
void http_close(void *client); /* NULL is fine */
void http_release(void);
int http_descriptor(const void *client);
void http_drive(void *client);

/* Reads http.ca_file; once at start, before there are threads and children. Empty: the system's certificates. Borrowed. ERR_CONFIG:
 * it cannot be read, or holds no certificate. */
bool http_trust(const char *ca_file, struct err *e) LATHE_CHECK;

/* So many calls can be in progress on one thread, and three quarters of the process's descriptors on all of them together. */
int64_t http_most_calls(void);

/* A call without an item, which the limits of hosts are nothing to. over(arg) comes at most once, from http_drive. */
bool http_begin(struct http *h, const struct http_request *r, void (*over)(void *arg), void *arg,
                struct http_call **ret, struct err *e) LATHE_CHECK;

#endif
