#include "cache/client.h"

#include <stdio.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "cache/conn.h"
#include "core/clock.h"
#include "core/limits.h"
#include "core/log.h"
#include "core/mem.h"
#include "core/net.h"

#define SEND_BYTES (64u * KIB) /* gathered: more is sent without waiting for the thread to run dry */

/* ---- the breaker, which all threads share */

static bool enter(struct client *c, struct err *e)
{
    struct target *t = c->target;
    pthread_mutex_lock(&t->lock);
    bool ok = breaker_enter(&t->breaker, clock_now(), &c->turn);
    pthread_mutex_unlock(&t->lock);
    if (ok)
        c->left = false;
    return ok || err_set(e, ERR_CACHE, "Redis (%s) is left alone for a while after failures", t->name);
}

static void leave(struct client *c, bool ok, const struct err *why)
{
    struct target *t = c->target;
    pthread_mutex_lock(&t->lock);
    enum breaker_move move = breaker_leave(&t->breaker, c->turn, ok, clock_now());
    pthread_mutex_unlock(&t->lock);
    if (move == BREAKER_OPENED)
        log_warn_err("redis.lost", why, "setting=%s meaning=items do without it or fail until it is back",
                     t->name);
    if (move == BREAKER_CLOSED)
        log_info("redis.back", "setting=%s", t->name);
}

/* Nobody knows how its calls go. Who finds out later tells it all the same: it is one outcome for one entry. */
static void leave_unknown(struct client *c)
{
    struct target *t = c->target;
    pthread_mutex_lock(&t->lock);
    breaker_forget(&t->breaker, c->turn);
    pthread_mutex_unlock(&t->lock);
    c->left = true;
}

/* ---- the connection */

static void watch(struct client *c, int how, bool room)
{
    struct epoll_event ev = {.events = EPOLLIN | (room ? EPOLLOUT : 0u), .data.fd = c->redis->fd};
    epoll_ctl(c->set, how, c->redis->fd, &ev);
    c->blocked = room;
}

static void hang_up(struct client *c)
{
    if (c->redis)
        conn_close(c->redis); /* which takes the socket out of the set */
    c->redis = NULL;
    c->deadline = 0;
    c->greetings = c->bytes = 0;
    c->blocked = false;
}

static void greet(struct client *c)
{
    const struct target *t = c->target;
    char db[24];
    c->greetings = 0;
    if (t->password[0] != '\0') {
        conn_add(c->redis, (struct span[]){SPAN("AUTH"), span_of(t->password)}, 2);
        c->greetings++;
    }
    if (t->db != 0) {
        (void)snprintf(db, sizeof db, "%lld", (long long)t->db);
        conn_add(c->redis, (struct span[]){SPAN("SELECT"), span_of(db)}, 2);
        c->greetings++;
    }
}

static bool dial(struct client *c, struct err *e)
{
    int fd = -1;
    if (!net_connect_begin(c->target->url, &fd, e)) {
        if (e)
            e->code = ERR_CACHE;
        return err_prefix(e, "Redis");
    }
    c->redis = conn_wrap(fd);
    if (!c->redis) {
        net_close(fd);
        return err_set(e, ERR_CACHE, "Redis: the socket could not be set up");
    }
    watch(c, EPOLL_CTL_ADD, false);
    greet(c);
    return true;
}

bool client_ready(struct client *c, struct err *e)
{
    if (c->waiting > 0 && !c->redis) /* lose() is telling those that waited */
        return err_set(e, ERR_CACHE, "Redis (%s) was lost just now", c->target->name);
    if (c->waiting > 0 && !c->left)
        return true;
    if (!enter(c, e))
        return false;
    if (c->waiting > 0) /* of the run before */
        return true;
    if (c->redis && !conn_alive(c->redis))
        hang_up(c); /* it was closed while it had nothing to do: no failure */
    struct err why = ERR_INIT;
    if (c->redis || dial(c, &why))
        return true;
    leave(c, false, &why);
    if (e)
        *e = why;
    return false;
}

/* ---- what comes back */

static void over(struct call *k)
{
    k->shown.done = true;
    if (k->over)
        k->over(k->arg);
    else
        call_free(k);
}

static void put_out(struct client *c, struct call *k, const struct span *words, size_t n)
{
    calls_add(&c->sent, k);
    c->waiting++;
    conn_add(c->redis, words, n);
    for (size_t i = 0; i < n; i++)
        c->bytes += words[i].len + 1;
}

/* Those that are held, but for as many as `most` are under way then. */
static void send_held(struct client *c, size_t most)
{
    while (c->held.first && c->waiting < most) {
        struct call *k = calls_take(&c->held);
        put_out(c, k, k->kept->words, k->kept->n);
        mem_free(k->kept);
        k->kept = NULL;
    }
}

static struct call *next_answered(struct client *c)
{
    struct call *k = calls_take(&c->sent);
    c->waiting--;
    send_held(c, LIMIT_REDIS_CALLS);
    return k;
}

/* The next of all. While there are others, ready() knows that they are being lost. */
static struct call *next_lost(struct client *c)
{
    struct call *k = calls_take(c->sent.first ? &c->sent : &c->held);
    if (!c->sent.first)
        c->waiting = c->held.first != NULL;
    return k;
}

/* The connection is lost with all that it was asked. If it was closed while nobody drove it, that is no failure. */
static void lose(struct client *c, const struct err *why)
{
    hang_up(c);
    if (c->waiting == 0)
        return;
    if (!c->left)
        leave(c, false, why);
    for (bool more = true; more;) {
        struct call *k = next_lost(c);
        more = c->waiting > 0; /* the last may ask for more, of a new connection */
        k->shown.err = *why;
        k->shown.err.code = ERR_CACHE;
        over(k);
    }
}

/* False: one of them refuses us. */
static bool greeted(struct client *c, redisReply *r, struct err *e)
{
    bool ok = r->type != REDIS_REPLY_ERROR;
    if (!ok)
        err_set(e, ERR_CACHE, "Redis: %.*s", (int)r->len, r->str);
    freeReplyObject(r);
    c->greetings--;
    return ok;
}

static bool take_replies(struct client *c, struct err *e)
{
    redisReply *r = NULL;
    for (;;) {
        if (!conn_next(c->redis, &r, e))
            return false;
        if (!r)
            return true;
        c->deadline = clock_after_ms(conf_now(c->target->timeout));
        if (c->greetings > 0) {
            if (!greeted(c, r, e))
                return false;
            continue;
        }
        if (c->waiting == 0) {
            freeReplyObject(r);
            return err_set(e, ERR_CACHE, "Redis: an answer to nothing that was asked");
        }
        struct call *k = next_answered(c);
        if (c->waiting == 0) {
            c->deadline = 0;
            leave(c, true, NULL);
        }
        call_answer(k, r);
        over(k);
        if (!c->redis) /* who heard of it asked for more, and the connection was lost over that */
            return true;
    }
}

/* ---- sending, and what time it has */

static void set_alarm(struct client *c, int64_t at)
{
    struct itimerspec t = {.it_value = {.tv_sec = at / NS_PER_S, .tv_nsec = at % NS_PER_S}};
    timerfd_settime(c->alarm, TFD_TIMER_ABSTIME, &t, NULL);
    c->alarm_at = at;
}

static bool send_some(struct client *c, struct err *e)
{
    bool done = false;
    if (!conn_flush(c->redis, &done, e))
        return false;
    c->bytes = 0;
    if (c->blocked == done)
        watch(c, EPOLL_CTL_MOD, !done);
    if (c->deadline == 0)
        c->deadline = clock_after_ms(conf_now(c->target->timeout));
    if (c->alarm_at == 0)
        set_alarm(c, c->deadline); /* one that is set already comes sooner, and looks then */
    return true;
}

void client_flush(struct client *c)
{
    struct err e = ERR_INIT;
    if (c->redis && c->bytes > 0 && !send_some(c, &e))
        lose(c, &e);
}

void client_add(struct client *c, struct call *k, const struct span *words, size_t n)
{
    if (c->waiting >= LIMIT_REDIS_CALLS) {
        k->kept = words_keep(words, n);
        calls_add(&c->held, k);
        return;
    }
    put_out(c, k, words, n);
    if (c->bytes >= SEND_BYTES)
        client_flush(c);
}

static bool move(struct client *c, bool *ret_came, struct err *e)
{
    bool done = false;
    size_t before = c->redis->reader->len; /* what is taken out of it is taken after it was filled */
    if (c->blocked && !conn_flush(c->redis, &done, e))
        return false;
    if (done)
        watch(c, EPOLL_CTL_MOD, false);
    if (!conn_fill(c->redis, e))
        return false;
    *ret_came = c->redis->reader->len > before;
    return take_replies(c, e);
}

bool client_move(struct client *c)
{
    struct err e = ERR_INIT;
    uint64_t ticks;
    bool came = false;
    if (c->alarm_at != 0 && read(c->alarm, &ticks, sizeof ticks) > 0)
        c->alarm_at = 0;
    if (c->redis && !move(c, &came, &e)) {
        lose(c, &e);
        came = true;
    }
    return came;
}

void client_give_up(struct client *c, bool failure)
{
    struct err e = ERR_INIT;
    err_set(&e, ERR_CACHE, "Redis: no answer in time");
    c->left = !failure;
    lose(c, &e);
}

/* What has come is taken in before anybody is told that it did not: this thread may have been busy for long. */
void client_drive(struct client *c)
{
    client_move(c);
    if (c->waiting == 0 || c->deadline == 0)
        return;
    if (clock_now() >= c->deadline)
        client_give_up(c, true);
    else if (c->alarm_at == 0)
        set_alarm(c, c->deadline);
}

/* ---- its life */

void client_wake(struct client *c)
{
    if (c->waiting > 0)
        c->deadline = clock_after_ms(conf_now(c->target->timeout));
    client_drive(c);
}

void client_rest(struct client *c)
{
    send_held(c, SIZE_MAX);
    client_flush(c);
    if (c->waiting > 0)
        leave_unknown(c);
}

void client_free(struct client *c)
{
    while (c->waiting > 0)
        call_free(next_lost(c));
    hang_up(c);
    net_close(c->alarm);
    net_close(c->set);
    mem_free(c);
}

struct client *client_new(struct target *t, struct err *e)
{
    struct client *c = mem_alloc(sizeof *c);
    struct epoll_event ev = {.events = EPOLLIN};
    c->target = t;
    c->set = epoll_create1(EPOLL_CLOEXEC);
    c->alarm = ev.data.fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    if (c->set >= 0 && c->alarm >= 0 && epoll_ctl(c->set, EPOLL_CTL_ADD, c->alarm, &ev) == 0)
        return c;
    err_errno(e, "no descriptors for Redis");
    client_free(c);
    return NULL;
}
