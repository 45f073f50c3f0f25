/*
 * A thread that listens. Its life is a loop of connect, subscribe, receive; whatever goes wrong ends the connection and
 * a pause follows that grows while nothing works. It does not ask the breaker: trying once in some seconds is cheap, and
 * it is the listener that notices first when Redis is back.
 */
#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <stdatomic.h>

#include "cache/pool.h"
#include "core/clock.h"
#include "core/log.h"
#include "core/mem.h"
#include "core/net.h"

#define PAUSE_FIRST (50 * NS_PER_MS)
#define PAUSE_LONGEST (2000 * NS_PER_MS)
#define PING_EVERY (2 * NS_PER_S) /* finds a connection that is dead without saying so */
#define PONG_GRACE NS_PER_S       /* on top of cache.timeout */

struct cache_listener {
    struct cache *cache;
    struct cache_listener_calls calls;
    char names[CACHE_CHANNELS][CACHE_KEY]; /* with the prefix */
    size_t count, prefix;                  /* of names; bytes of "prefix:" */
    int bell;
    _Atomic bool stop;
    pthread_t thread;
};

/* Until `deadline` or the bell. True: the socket can be read. */
static bool wait_readable(struct cache_listener *l, int fd, int64_t deadline)
{
    struct pollfd p[] = {{.fd = l->bell, .events = POLLIN}, {.fd = fd, .events = POLLIN}};
    int n = poll(p, fd >= 0 ? 2 : 1, clock_poll_ms(deadline));
    return n > 0 && fd >= 0 && p[1].revents != 0;
}

static bool subscribe(struct cache_listener *l, int64_t deadline, redisContext **ret, struct err *e)
{
    redisContext *r = NULL;
    if (!conn_open(l->cache->conf, deadline, &r, e))
        return false;
    struct span words[1 + CACHE_CHANNELS] = {SPAN("SUBSCRIBE")};
    for (size_t i = 0; i < l->count; i++)
        words[1 + i] = span_of(l->names[i]);
    conn_add(r, words, 1 + l->count);
    if (!conn_exchange(r, l->count, deadline, NULL, NULL, e)) {
        conn_close(r);
        return false;
    }
    *ret = r;
    return true;
}

/* ["message", channel, text] is handed on; confirmations and pongs only show that Redis lives. */
static bool take(struct cache_listener *l, const redisReply *reply, struct err *e)
{
    if (reply->type == REDIS_REPLY_ERROR)
        return err_set(e, ERR_CACHE, "Redis: %.*s", (int)reply->len, reply->str);
    if (reply->type != REDIS_REPLY_ARRAY || reply->elements != 3)
        return true;
    const redisReply *kind = reply->element[0], *channel = reply->element[1], *text = reply->element[2];
    if (text->type != REDIS_REPLY_STRING || channel->len <= l->prefix ||
        !span_is((struct span){kind->str, kind->len}, "message"))
        return true;
    l->calls.on_message(l->calls.arg, (struct span){channel->str + l->prefix, channel->len - l->prefix},
                        (struct span){text->str, text->len});
    return true;
}

static bool take_all(struct cache_listener *l, redisContext *r, struct err *e)
{
    redisReply *reply = NULL;
    while (conn_next(r, &reply, e)) {
        if (reply == NULL)
            return true;
        bool ok = take(l, reply, e);
        freeReplyObject(reply);
        reply = NULL;
        if (!ok)
            return false;
    }
    return false;
}

static bool ping(redisContext *r, struct err *e)
{
    bool done = false;
    conn_add(r, (struct span[]){SPAN("PING")}, 1);
    return conn_flush(r, &done, e); /* some bytes into an idle socket: they fit, or the silence will tell */
}

/* Until the connection fails or the listener is to stop. */
static void receive(struct cache_listener *l, redisContext *r, struct err *e)
{
    int64_t next_ping = clock_now() + PING_EVERY, silent_until = CLOCK_NEVER;
    while (take_all(l, r, e) && !atomic_load(&l->stop)) {
        bool asked = silent_until != CLOCK_NEVER;
        if (wait_readable(l, r->fd, asked ? silent_until : next_ping)) {
            if (!conn_fill(r, e))
                return;
            silent_until = CLOCK_NEVER;
            continue;
        }
        if (asked && clock_now() >= silent_until) {
            (void)err_set(e, ERR_CACHE, "Redis: the subscription does not answer any more");
            return;
        }
        if (!asked && clock_now() >= next_ping) {
            if (!ping(r, e))
                return;
            next_ping = clock_now() + PING_EVERY;
            silent_until = cache_deadline(l->cache) + PONG_GRACE;
        }
    }
}

static void *listen_thread(void *arg)
{
    struct cache_listener *l = arg;
    int64_t pause = PAUSE_FIRST;
    while (!atomic_load(&l->stop)) {
        redisContext *r = NULL;
        struct err e = ERR_INIT;
        if (subscribe(l, cache_deadline(l->cache), &r, &e)) {
            pause = PAUSE_FIRST;
            l->calls.on_state(l->calls.arg, true);
            receive(l, r, &e);
            conn_close(r);
            l->calls.on_state(l->calls.arg, false);
        }
        if (atomic_load(&l->stop))
            break;
        log_at(LOG_DEBUG, "cache.listener", &e, "pause_ms=%lld", (long long)(pause / NS_PER_MS));
        (void)wait_readable(l, -1, clock_now() + clock_jitter(pause));
        pause = pause * 2 < PAUSE_LONGEST ? pause * 2 : PAUSE_LONGEST;
    }
    return NULL;
}

bool cache_listen(struct cache *c, const char *const *channels, struct cache_listener_calls calls,
                  struct cache_listener **ret, struct err *e)
{
    if (c == NULL)
        return err_set(e, ERR_CACHE, "there is no Redis (setting cache.url is empty)");
    struct cache_listener *l = mem_alloc(sizeof *l);
    *l = (struct cache_listener){
        .cache = c, .calls = calls, .prefix = strlen(c->conf->cache_prefix) + 1, .bell = -1};
    for (; channels[l->count] != NULL; l->count++) {
        assert(l->count < CACHE_CHANNELS);
        cache_key(c, channels[l->count], l->names[l->count]);
    }
    if (!net_bell(&l->bell, e)) {
        mem_free(l);
        return false;
    }
    errno = pthread_create(&l->thread, NULL, listen_thread, l);
    if (errno != 0) {
        (void)err_errno(e, "the thread that listens to Redis cannot be started");
        net_close(l->bell);
        mem_free(l);
        return false;
    }
    *ret = l;
    return true;
}

void cache_listener_free(struct cache_listener *l)
{
    if (l == NULL)
        return;
    atomic_store(&l->stop, true);
    net_ring(l->bell);
    pthread_join(l->thread, NULL);
    net_close(l->bell);
    mem_free(l);
}
