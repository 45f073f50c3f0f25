/*
 * http_server.h: an HTTP server in the test's own process that misbehaves as it is asked to, by the path:
 *
 *     /echo            200, the request as it came, its body behind it
 *     /status/NNN      that status, Retry-After: 7
 *     /soon            503, Retry-After: 1
 *     /later?TEXT      503, Retry-After: TEXT
 *     /to?URL          302 to the rest of the line
 *     /to/NNN?URL      that status instead
 *     /loop            302 to itself
 *     /hang            takes the request and says nothing until the other side goes
 *     /reset           closes at once
 *     /endless         a body without an end, in chunks
 *     /long?N          says that N bytes come, and sends them
 *     /heads           headers without an end
 *     /garbage         no HTTP
 *     /gzip            a small body, packed
 *     /bomb?N          N bytes of nothing, packed to a thousandth
 *     /again?FORM      503 the first time, then 200; Retry-After is 1 (FORM 1), a date two seconds on (date) or long gone (past)
 *
 * A thread a connection; connections and requests are counted.
 */
#ifndef LATHE_TEST_HTTP_SERVER_H
#define LATHE_TEST_HTTP_SERVER_H

#include "test.h"

#include "core/clock.h"

#include <arpa/inet.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>
#include <zlib.h>

struct http_server {
    int fd, port;
    pthread_t thread;
    _Atomic int connections, requests, open;
    _Atomic int64_t due, date; /* of /again: what was told, as clock_now() or time(); 0: nothing yet */
    _Atomic bool early;        /* it was asked again before */
};

struct http_guest {
    struct http_server *server;
    int fd;
};

static inline bool http_send(int fd, const char *bytes, size_t n, int flags)
{
    while (n > 0) {
        ssize_t sent = send(fd, bytes, n, MSG_NOSIGNAL | flags);
        if (sent <= 0)
            return false;
        bytes += sent;
        n -= (size_t)sent;
    }
    return true;
}

static inline bool http_say(int fd, const char *bytes, size_t n)
{
    return http_send(fd, bytes, n, 0);
}

/* In one piece, as far as the kernel can: whether an answer that began has ended too shall not be the machine's mood. */
static inline bool http_answer(int fd, const char *status, const char *headers, const char *body, size_t n)
{
    char head[4096];
    int len = snprintf(head, sizeof head, "HTTP/1.1 %s\r\nContent-Length: %zu\r\n%s\r\n", status, n, headers);
    return http_send(fd, head, (size_t)len, n > 0 ? MSG_MORE : 0) && http_say(fd, body, n);
}

/* Until the other side goes. */
static inline bool http_hang(int fd)
{
    char byte;
    while (recv(fd, &byte, 1, 0) > 0)
        continue;
    return false;
}

static inline bool http_pour(int fd, const char *start, const char *more)
{
    bool ok = http_say(fd, start, strlen(start));
    while (ok)
        ok = http_say(fd, more, strlen(more));
    return false;
}

static inline bool http_bomb(int fd, size_t len)
{
    unsigned char *body = calloc(1, len), *packed = malloc(compressBound(len) + 32);
    z_stream z = {.next_in = body,
                  .avail_in = (uInt)len,
                  .next_out = packed,
                  .avail_out = (uInt)compressBound(len) + 32};
    assert_true(body && packed);
    assert_int_equal(deflateInit2(&z, 9, Z_DEFLATED, 15 + 16, 9, Z_DEFAULT_STRATEGY), Z_OK); /* 16: gzip */
    assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
    bool ok = http_answer(fd, "200 OK", "Content-Encoding: gzip\r\n", (const char *)packed, z.total_out);
    deflateEnd(&z);
    free(packed);
    free(body);
    return ok;
}

static inline bool http_again(struct http_server *s, int fd, const char *form)
{
    char text[64] = "Retry-After: 1\r\n";
    if (s->due || s->date) {
        s->early = s->due ? clock_now() < s->due : time(NULL) < s->date;
        return http_answer(fd, "200 OK", "", "late", 4);
    }
    if (form[0] == '1') {
        s->due = clock_now() + NS_PER_S;
    } else {
        time_t at = strncmp(form, "date", 4) == 0 ? time(NULL) + 2 : 1;
        struct tm tm;
        s->date = at;
        strftime(text, sizeof text, "Retry-After: %a, %d %b %Y %H:%M:%S GMT\r\n", gmtime_r(&at, &tm));
    }
    return http_answer(fd, "503 Again", text, "", 0);
}

/* `path` is behind "/to". */
static inline bool http_redirect(int fd, const char *request, const char *path)
{
    const char *body = strncmp(request, "HEAD ", 5) == 0 ? "" : "gone";
    char status[16] = "302 Found", location[1100];
    if (path[0] == '/')
        snprintf(status, sizeof status, "%.3s Moved", path + 1);
    const char *to = strchr(path, '?') + 1;
    snprintf(location, sizeof location, "Location: %.*s\r\n", (int)strcspn(to, " "), to);
    return http_answer(fd, status, location, body, strlen(body));
}

static inline bool http_serve(struct http_server *s, int fd, const char *request, size_t n)
{
    static const char gzipped[] =
        "\x1f\x8b\x08\x00\x00\x00\x00\x00\x02\x03\xcb\x48\xcd\xc9\xc9\x07\x00\x86\xa6\x10\x36\x05\x00\x00\x00";
    const char *path = strchr(request, ' ') + 1;
    char text[1100] = "";
    if (strncmp(path, "/echo", 5) == 0)
        return http_answer(fd, "200 OK", "X-Test: yes\r\n", request, n);
    if (strncmp(path, "/status/", 8) == 0) {
        snprintf(text, sizeof text, "%.3s Said", path + 8);
        return http_answer(fd, text, "Retry-After: 7\r\n", "said", strncmp(text, "204", 3) == 0 ? 0 : 4);
    }
    if (strncmp(path, "/soon", 5) == 0)
        return http_answer(fd, "503 Soon", "Retry-After: 1\r\n", "", 0);
    if (strncmp(path, "/later?", 7) == 0) {
        snprintf(text, sizeof text, "Retry-After: %.*s\r\n", (int)strcspn(path + 7, " "), path + 7);
        return http_answer(fd, "503 Later", text, "", 0);
    }
    if (strncmp(path, "/to?", 4) == 0 || strncmp(path, "/to/", 4) == 0)
        return http_redirect(fd, request, path + 3);
    if (strncmp(path, "/loop", 5) == 0)
        return http_redirect(fd, request, "?/loop ");
    if (strncmp(path, "/hang", 5) == 0)
        return http_hang(fd);
    if (strncmp(path, "/endless", 8) == 0)
        return http_pour(fd, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "4\r\nmore\r\n");
    if (strncmp(path, "/heads", 6) == 0)
        return http_pour(fd, "HTTP/1.1 200 OK\r\n", "X-More: and more\r\n");
    if (strncmp(path, "/garbage", 8) == 0)
        return http_say(fd, "+PONG\r\n", 7) && false;
    if (strncmp(path, "/gzip", 5) == 0)
        return http_answer(fd, "200 OK", "Content-Encoding: gzip\r\n", gzipped, sizeof gzipped - 1);
    if (strncmp(path, "/bomb?", 6) == 0)
        return http_bomb(fd, strtoul(path + 6, NULL, 10));
    if (strncmp(path, "/again?", 7) == 0)
        return http_again(s, fd, path + 7);
    if (strncmp(path, "/long?", 6) == 0) {
        size_t len = strtoul(path + 6, NULL, 10);
        char *body = calloc(1, len + 1);
        bool head = strncmp(request, "HEAD ", 5) == 0; /* says how long it would be */
        snprintf(text, sizeof text, "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n\r\n", len);
        bool ok = http_say(fd, text, strlen(text)) && (head || http_say(fd, body, len));
        free(body);
        return ok;
    }
    return false;
}

/* Reads one request; its length, 0: there is none. */
static inline size_t http_receive(int fd, char *request, size_t room)
{
    size_t n = 0, whole = 0;
    while (whole == 0 || n < whole) {
        ssize_t got = recv(fd, request + n, room - 1 - n, 0);
        if (got <= 0)
            return 0;
        n += (size_t)got;
        request[n] = '\0';
        const char *end = strstr(request, "\r\n\r\n"), *len = strcasestr(request, "\r\ncontent-length:");
        if (end)
            whole = (size_t)(end + 4 - request) + (len && len < end ? strtoul(len + 17, NULL, 10) : 0);
    }
    return n;
}

static inline void *http_connection(void *arg)
{
    struct http_guest *g = arg;
    char request[8192];
    for (size_t n; (n = http_receive(g->fd, request, sizeof request)) > 0;) {
        atomic_fetch_add(&g->server->requests, 1);
        if (!http_serve(g->server, g->fd, request, n))
            break;
    }
    close(g->fd);
    atomic_fetch_sub(&g->server->open, 1);
    free(g);
    return NULL;
}

static inline void *http_listen(void *arg)
{
    struct http_server *s = arg;
    for (int fd; (fd = accept(s->fd, NULL, NULL)) >= 0;) {
        struct http_guest *g = malloc(sizeof *g);
        pthread_t thread;
        *g = (struct http_guest){s, fd};
        atomic_fetch_add(&s->connections, 1);
        atomic_fetch_add(&s->open, 1);
        assert_int_equal(pthread_create(&thread, NULL, http_connection, g), 0);
        pthread_detach(thread);
    }
    return NULL;
}

/* On that address. Its port is known from here on; it answers after http_server_run. */
static inline void http_server_open_at(struct http_server *s, const char *address)
{
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = inet_addr(address)};
    socklen_t len = sizeof in;
    *s = (struct http_server){.fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
    assert_int_equal(bind(s->fd, (struct sockaddr *)&in, sizeof in), 0);
    assert_int_equal(listen(s->fd, 128), 0);
    assert_int_equal(getsockname(s->fd, (struct sockaddr *)&in, &len), 0);
    s->port = ntohs(in.sin_port);
}

static inline void http_server_open(struct http_server *s)
{
    http_server_open_at(s, "127.0.0.1");
}

static inline void http_server_run(struct http_server *s)
{
    assert_int_equal(pthread_create(&s->thread, NULL, http_listen, s), 0);
}

static inline void http_server_stop(struct http_server *s)
{
    shutdown(s->fd, SHUT_RDWR);
    pthread_join(s->thread, NULL);
    close(s->fd);
}

#endif
