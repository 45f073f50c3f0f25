/*
 * port.c: Redis for the items of a thread (model/redis.h). A client is one connection, a queue of the calls whose answers are to
 * come, in their order, and an epoll set with the socket and a timerfd. Nothing here waits, but who lets an idle client go, for
 * answers to what it was told last.
 */
#include "cache/port.h"

#include <assert.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "cache/calls.h"
#include "cache/conn.h"
#include "core/breaker.h"
#include "core/clock.h"
#include "core/limits.h"
#include "core/log.h"
#include "core/mem.h"
#include "core/net.h"

#define IDLE_MOST 8             /* clients that are kept for the next run */
#define IDLE_NS (10 * NS_PER_S) /* for so long */
#define SEND_BYTES (64u * KIB)  /* gathered: more is sent without waiting for the thread to run dry */

/* A Redis, as all threads of the process see it. */
struct target {
    const char *name; /* of the setting */
    const char *url, *password;
    int64_t db;
    const int64_t *timeout; /* a reload may change it */
    pthread_mutex_t lock;   /* over what follows */
    struct breaker breaker;
    struct client *idle;
    int idle_n;
};

struct client {
    struct target *target;
    redisContext *redis; /* NULL: not connected */
    int set, alarm;
    struct calls sent;     /* answers to come */
    struct calls held;     /* none until LIMIT_REDIS_CALLS were sent: they follow as answers come */
    size_t waiting, bytes; /* calls that were sent; bytes that were not flushed */
    size_t greetings;      /* answers to AUTH and SELECT, before the first call's */
    bool blocked;          /* the socket is watched for room */
    int64_t deadline;      /* something has to come by then; 0: nothing was sent */
    int64_t alarm_at;      /* 0: not set */
    unsigned turn;         /* the breaker's, while calls wait */
    int64_t since;         /* idle */
    struct client *next;
};

static struct target own = {.name = "cache.url", .lock = PTHREAD_MUTEX_INITIALIZER};
static struct target foreign = {.name = "redis.url", .lock = PTHREAD_MUTEX_INITIALIZER};
static const char *prefix = "lathe";

void redis_ports_open(const struct conf *c)
{
    bool same = c->redis_url[0] == '\0';
    own.url = c->cache_url;
    own.password = c->cache_password;
    own.db = c->cache_db;
    own.timeout = foreign.timeout = &c->cache_timeout;
    foreign.url = same ? c->cache_url : c->redis_url;
    foreign.password = same ? c->cache_password : c->redis_password;
    foreign.db = same ? c->cache_db : c->redis_db;
    prefix = c->cache_prefix;
}

const char *redis_own_prefix(void)
{
    return prefix;
}

/* ---- the breaker, which all threads share */

static bool enter(struct client *c, struct err *e)
{
    struct target *t = c->target;
    pthread_mutex_lock(&t->lock);
    bool ok = breaker_enter(&t->breaker, clock_now(), &c->turn);
    pthread_mutex_unlock(&t->lock);
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

/* For a call that is about to be added: a connection, as far as anybody can know. */
static bool ready(struct client *c, struct err *e)
{
    if (c->waiting > 0) /* without a connection: lose() is telling those that waited */
        return c->redis || err_set(e, ERR_CACHE, "Redis (%s) was lost just now", c->target->name);
    if (!enter(c, e))
        return false;
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

/* The connection is lost with all that it was asked. */
static void lose(struct client *c, const struct err *why)
{
    hang_up(c);
    if (c->waiting == 0)
        return;
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

static void flush(void *arg)
{
    struct client *c = arg;
    struct err e = ERR_INIT;
    if (c->redis && c->bytes > 0 && !send_some(c, &e))
        lose(c, &e);
}

/* What has come is taken in before anybody is told that it did not: this thread may have been busy for long. */
static bool look(struct client *c, struct err *e)
{
    bool done = false;
    if (c->blocked && !conn_flush(c->redis, &done, e))
        return false;
    if (done)
        watch(c, EPOLL_CTL_MOD, false);
    if (!conn_fill(c->redis, e) || !take_replies(c, e))
        return false;
    if (c->waiting == 0 || c->deadline == 0)
        return true;
    if (clock_now() >= c->deadline)
        return err_set(e, ERR_CACHE, "Redis: no answer in time");
    if (c->alarm_at == 0)
        set_alarm(c, c->deadline);
    return true;
}

static void drive(void *arg)
{
    struct client *c = arg;
    struct err e = ERR_INIT;
    uint64_t ticks;
    if (c->alarm_at != 0 && read(c->alarm, &ticks, sizeof ticks) > 0)
        c->alarm_at = 0;
    if (c->redis && !look(c, &e))
        lose(c, &e);
}

/* ---- clients */

static pthread_once_t once = PTHREAD_ONCE_INIT;

/* hiredis writes so that a closed connection would kill a process that did not ask. */
static void prepare(void)
{
    struct sigaction usual;
    if (sigaction(SIGPIPE, NULL, &usual) == 0 && usual.sa_handler == SIG_DFL) {
        struct sigaction ignore = {.sa_handler = SIG_IGN};
        sigaction(SIGPIPE, &ignore, NULL);
    }
}

static void free_client(struct client *c)
{
    while (c->waiting > 0)
        call_free(next_lost(c));
    hang_up(c);
    net_close(c->alarm);
    net_close(c->set);
    mem_free(c);
}

static struct client *new_client(struct target *t, struct err *e)
{
    struct client *c = mem_alloc(sizeof *c);
    struct epoll_event ev = {.events = EPOLLIN};
    c->target = t;
    c->set = epoll_create1(EPOLL_CLOEXEC);
    c->alarm = ev.data.fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    if (c->set >= 0 && c->alarm >= 0 && epoll_ctl(c->set, EPOLL_CTL_ADD, c->alarm, &ev) == 0)
        return c;
    err_errno(e, "no descriptors for Redis");
    free_client(c);
    return NULL;
}

static struct client *take_idle(struct target *t, int64_t unused_since)
{
    pthread_mutex_lock(&t->lock);
    struct client **at = &t->idle;
    while (*at && (*at)->since > unused_since)
        at = &(*at)->next;
    struct client *c = *at;
    if (c) {
        *at = c->next;
        t->idle_n--;
    }
    pthread_mutex_unlock(&t->lock);
    return c;
}

static bool open_at(struct target *t, void **ret, struct err *e)
{
    if (!t->url || t->url[0] == '\0')
        return err_set(e, ERR_CACHE, "there is no Redis: the setting %s is empty", t->name);
    pthread_once(&once, prepare);
    struct client *c = take_idle(t, CLOCK_NEVER);
    if (c) {
        if (c->waiting > 0)
            c->deadline =
                clock_after_ms(conf_now(t->timeout)); /* it begins anew: nobody has looked meanwhile */
        drive(
            c); /* the answers to what the last run told it and did not wait for, and what it did not take then */
    } else {
        c = new_client(t, e);
    }
    *ret = c;
    return c != NULL;
}

/* One that has not taken everything is kept in any case: there are no more of those than there were threads. */
static void close_client(void *arg)
{
    struct client *c = arg;
    struct target *t = c->target;
    send_held(c, SIZE_MAX);
    flush(c);
    if (c->waiting > 0)
        leave(c, true, NULL); /* no failure that is known: nobody looks at the answers before the next run */
    pthread_mutex_lock(&t->lock);
    bool keep = c->redis != NULL && (c->blocked || t->idle_n < IDLE_MOST);
    if (keep) {
        c->since = c->blocked ? 0 : clock_now(); /* 0: let_go looks after it soon, if no run does */
        c->next = t->idle;
        t->idle = c;
        t->idle_n++;
    }
    pthread_mutex_unlock(&t->lock);
    if (!keep)
        free_client(c);
}

/* Until everything was taken and answered, which a Redis that is well has done in no time. */
static void settle(struct client *c, int64_t until)
{
    struct pollfd p = {.fd = c->set, .events = POLLIN};
    size_t told = c->blocked ? c->waiting : 0;
    for (drive(c); c->waiting > 0 && clock_now() < until; drive(c))
        poll(&p, 1, clock_poll_ms(until));
    if (told > 0 && (c->blocked || !c->redis))
        log_warn("redis.dropped", "setting=%s calls_at_most=%zu meaning=it did not take them in time",
                 c->target->name, told);
}

static void let_go(struct target *t, int64_t unused_since)
{
    struct client *c;
    int64_t until = CLOCK_NEVER;
    while ((c = take_idle(t, unused_since))) {
        if (until == CLOCK_NEVER) /* for all of them */
            until = clock_after_ms(conf_now(t->timeout));
        settle(c, until);
        free_client(c);
    }
}

static int descriptor(const void *arg)
{
    return ((const struct client *)arg)->set;
}

/* ---- the two kinds */

static bool open_own(void **ret, struct err *e)
{
    return open_at(&own, ret, e);
}

static bool open_foreign(void **ret, struct err *e)
{
    return open_at(&foreign, ret, e);
}

static void idle_own(void)
{
    let_go(&own, clock_now() - IDLE_NS);
}

static void idle_foreign(void)
{
    let_go(&foreign, clock_now() - IDLE_NS);
}

static void release_own(void)
{
    let_go(&own, CLOCK_NEVER);
}

static void release_foreign(void)
{
    let_go(&foreign, CLOCK_NEVER);
}

const struct port_kind redis_own_port = {.name = "Lathe's Redis",
                                         .open = open_own,
                                         .close = close_client,
                                         .descriptor = descriptor,
                                         .drive = drive,
                                         .flush = flush,
                                         .idle = idle_own,
                                         .release = release_own};

const struct port_kind redis_port = {.name = "Redis",
                                     .open = open_foreign,
                                     .close = close_client,
                                     .descriptor = descriptor,
                                     .drive = drive,
                                     .flush = flush,
                                     .idle = idle_foreign,
                                     .release = release_foreign};

/* ---- calls. What is held is an item's that waits for it, or was left by one that ended, whose successor waits behind it: so
 * there are a few for each item in flight, and no more. */

static void item_over(void *arg)
{
    item_call_over(arg);
}

struct redis_call *redis_start_for(void *client, const struct span *words, size_t n, void (*done)(void *arg),
                                   void *arg, struct err *e)
{
    struct client *c = client;
    if (!ready(c, e))
        return NULL;
    struct call *k = mem_alloc(sizeof *k);
    *k = (struct call){.client = c, .over = done, .arg = arg};
    if (c->waiting >= LIMIT_REDIS_CALLS) {
        k->kept = words_keep(words, n);
        calls_add(&c->held, k);
        return &k->shown;
    }
    put_out(c, k, words, n);
    if (c->bytes >= SEND_BYTES)
        flush(c);
    return &k->shown;
}

struct redis_call *redis_start(struct item *it, const struct port_kind *where, const struct span *words,
                               size_t n)
{
    assert(where == &redis_port || where == &redis_own_port);
    void *c = item_client(it, where);
    return c ? redis_start_for(c, words, n, item_over, it, &it->err) : NULL;
}

void redis_drop(struct redis_call *shown)
{
    if (!shown)
        return;
    struct call *k = (void *)((char *)shown - offsetof(struct call, shown));
    k->over = NULL;
    if (shown->done)
        call_free(k);
}
