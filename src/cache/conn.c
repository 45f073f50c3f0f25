#include "cache/conn.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>

#include "core/clock.h"
#include "core/mem.h"
#include "core/net.h"

static bool failed(const redisContext *r, struct err *e, const char *what)
{
    return err_set(e, ERR_CACHE, "Redis: %s: %s", what, r->errstr);
}

redisContext *conn_wrap(int fd)
{
    int on = 1;
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on,
                     sizeof on); /* a unix socket refuses it, and needs it not */
    int flags = fcntl(fd, F_GETFL);
    if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0)
        return NULL;
    redisContext *r = redisConnectFd(fd);
    if (r != NULL)
        r->flags &= ~REDIS_BLOCK; /* EAGAIN means "later" and not "broken" */
    return r;
}

static bool greet(redisContext *r, const struct conf *conf, int64_t deadline, struct err *e)
{
    size_t replies = 0;
    if (conf->cache_password[0] != '\0') {
        conn_add(r, (struct span[]){SPAN("AUTH"), span_of(conf->cache_password)}, 2);
        replies++;
    }
    if (conf->cache_db != 0) {
        char db[24];
        (void)snprintf(db, sizeof db, "%lld", (long long)conf->cache_db);
        conn_add(r, (struct span[]){SPAN("SELECT"), span_of(db)}, 2);
        replies++;
    }
    return conn_exchange(r, replies, deadline, NULL, NULL, e);
}

bool conn_open(const struct conf *conf, int64_t deadline, redisContext **ret, struct err *e)
{
    int fd = -1;
    int64_t connect = clock_after_ms(CONN_CONNECT_MS);
    if (!net_connect(conf->cache_url, connect < deadline ? connect : deadline, &fd, e)) {
        if (e != NULL)
            e->code = ERR_CACHE;
        return err_prefix(e, "Redis");
    }
    redisContext *r = conn_wrap(fd);
    if (r == NULL) {
        net_close(fd);
        return err_set(e, ERR_CACHE, "Redis: the socket could not be set up");
    }
    if (!greet(r, conf, deadline, e)) {
        conn_close(r);
        return false;
    }
    *ret = r;
    return true;
}

void conn_close(redisContext *r)
{
    if (r != NULL)
        redisFree(r);
}

bool conn_alive(const redisContext *r)
{
    struct pollfd p = {.fd = r->fd, .events = POLLIN};
    return poll(&p, 1, 0) == 0;
}

void conn_add(redisContext *r, const struct span *words, size_t n)
{
    const char *argv[CONN_WORDS];
    size_t lengths[CONN_WORDS];
    assert(n > 0 && n <= CONN_WORDS);
    for (size_t i = 0; i < n; i++) {
        argv[i] = words[i].ptr != NULL ? words[i].ptr : "";
        lengths[i] = words[i].len;
    }
    /* Fails only out of memory; the exchange then finds r->err set. */
    (void)redisAppendCommandArgv(r, (int)n, argv, lengths);
}

bool conn_flush(redisContext *r, bool *ret_done, struct err *e)
{
    int done = 0;
    if (r->err != 0 || redisBufferWrite(r, &done) != REDIS_OK)
        return failed(r, e, "writing");
    *ret_done = done != 0;
    return true;
}

bool conn_fill(redisContext *r, struct err *e)
{
    return redisBufferRead(r) == REDIS_OK || failed(r, e, "reading");
}

bool conn_next(redisContext *r, redisReply **ret, struct err *e)
{
    void *reply = NULL;
    if (redisReaderGetReply(r->reader, &reply) != REDIS_OK)
        return err_set(e, ERR_CACHE, "Redis: the answer is not understood: %s", r->reader->errstr);
    *ret = reply;
    return true;
}

static bool wait_for(redisContext *r, short events, int64_t deadline, struct err *e)
{
    struct pollfd p = {.fd = r->fd, .events = events};
    for (;;) {
        int n = poll(&p, 1, clock_poll_ms(deadline));
        if (n > 0)
            return true;
        if (n == 0)
            return err_set(e, ERR_CACHE, "Redis: no answer in time");
        if (errno != EINTR) {
            (void)err_errno(e, "Redis: poll");
            if (e != NULL)
                e->code = ERR_CACHE;
            return false;
        }
    }
}

static bool send_all(redisContext *r, int64_t deadline, struct err *e)
{
    for (;;) {
        bool done = false;
        if (!conn_flush(r, &done, e))
            return false;
        if (done)
            return true;
        if (!wait_for(r, POLLOUT, deadline, e))
            return false;
    }
}

static bool read_one(redisContext *r, int64_t deadline, redisReply **ret, struct err *e)
{
    for (;;) {
        redisReply *reply = NULL;
        if (!conn_next(r, &reply, e))
            return false;
        if (reply != NULL) {
            *ret = reply;
            return true;
        }
        if (!wait_for(r, POLLIN, deadline, e) || !conn_fill(r, e))
            return false;
    }
}

bool conn_exchange(redisContext *r, size_t replies, int64_t deadline,
                   void (*each)(void *arg, size_t index, const redisReply *reply), void *arg, struct err *e)
{
    if (replies == 0)
        return true;
    if (!send_all(r, deadline, e))
        return false;
    for (size_t i = 0; i < replies; i++) {
        redisReply *reply = NULL;
        if (!read_one(r, deadline, &reply, e))
            return false;
        bool ok = reply->type != REDIS_REPLY_ERROR;
        if (!ok)
            (void)err_set(e, ERR_CACHE, "Redis: %.*s", (int)reply->len, reply->str);
        else if (each != NULL)
            each(arg, i, reply);
        freeReplyObject(reply);
        if (!ok)
            return false;
    }
    return true;
}
