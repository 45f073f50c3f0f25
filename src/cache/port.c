/*
 * port.c: Redis for the items of a thread (model/redis.h): which Redis, and the clients that no run uses just now. What a run left to one
 * of these is carried out all the same: by the next run, by who looks after idle ones, or by who waits for it at the end.
 */
#include "cache/port.h"

#include <assert.h>
#include <poll.h>
#include <signal.h>

#include "cache/client.h"
#include "core/clock.h"
#include "core/limits.h"
#include "core/log.h"
#include "core/mem.h"

#define IDLE_MOST 8                  /* clients that are kept for the next run */
#define IDLE_NS (10 * NS_PER_S)      /* for so long */
#define LOOKS (10000 / PORT_SOON_MS) /* in vain, at one that is to take more: ten seconds */
#define READS 64              /* of 16 KiB, at one look: cancelled runs leave answers of 256 KiB each */
#define END_NS (5 * NS_PER_S) /* for all that is left at the end, however well it goes */

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
    if (c)
        client_wake(c);
    else
        c = client_new(t, e);
    *ret = c;
    return c != NULL;
}

/* One with answers to come is kept in any case: Redis does not read the rest of what it was sent once its answers come to a closed
 * socket. There are no more of those than there were threads. */
static void keep(struct client *c)
{
    struct target *t = c->target;
    bool owing = c->waiting > 0;
    pthread_mutex_lock(&t->lock);
    bool kept = c->redis != NULL && (owing || t->idle_n < IDLE_MOST);
    if (kept) {
        c->since = owing ? 0 : clock_now();
        c->next = t->idle;
        t->idle = c;
        t->idle_n++;
    }
    pthread_mutex_unlock(&t->lock);
    if (!kept)
        client_free(c);
}

static void close_client(void *arg)
{
    struct client *c = arg;
    c->silent = 0;
    client_rest(c);
    keep(c);
}

/* ---- those that nobody uses */

static struct client *take_all(struct target *t, int64_t unused_since)
{
    struct client *list = NULL, *c;
    while ((c = take_idle(t, unused_since))) {
        c->next = list;
        list = c;
    }
    return list;
}

static void say_dropped(const struct client *c, size_t unanswered)
{
    if (unanswered > 0 && !c->redis)
        log_warn("redis.dropped",
                 "setting=%s calls_at_most=%zu meaning=a run had ended, and Redis did not answer them",
                 c->target->name, unanswered);
}

static bool something_came(struct client *c)
{
    int reads = 0;
    while (reads < READS && client_move(c))
        reads++;
    return reads > 0;
}

/* One look. True: soon again. */
static bool look_after(struct client *c)
{
    size_t before = c->waiting;
    c->silent = something_came(c) ? 0 : c->silent + 1;
    if (c->waiting > 0 && c->silent >= LOOKS)
        client_give_up(c, true);
    say_dropped(c, before);
    bool owing = c->waiting > 0;
    if (before == 0)
        client_free(c); /* it is old */
    else
        keep(c);
    return owing;
}

static bool idle_at(struct target *t)
{
    bool soon = false;
    struct client *c = take_all(t, clock_now() - IDLE_NS);
    for (struct client *next; c; c = next) {
        next = c->next;
        soon |= look_after(c);
    }
    return soon;
}

static int64_t sooner(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* Until everything was taken and answered, which a Redis that is well has done in no time. *silent_at: it is not, if nothing has come by
 * then; one for all clients, since it is one Redis. */
static void wait_for(struct client *c, int64_t *silent_at, int64_t until)
{
    struct pollfd p = {.fd = c->set, .events = POLLIN};
    size_t before = c->waiting;
    for (;;) {
        if (client_move(c))
            *silent_at = clock_after_ms(conf_now(c->target->timeout));
        if (c->waiting == 0 || clock_now() >= sooner(*silent_at, until))
            break;
        poll(&p, 1, clock_poll_ms(sooner(*silent_at, until)));
    }
    if (c->waiting > 0)
        client_give_up(c, clock_now() >= *silent_at);
    say_dropped(c, before);
}

static void settle_at(struct target *t, int64_t until, void (*then)(struct client *c))
{
    struct client *c = take_all(t, CLOCK_NEVER);
    int64_t silent_at = c ? clock_after_ms(conf_now(t->timeout)) : 0;
    for (struct client *next; c; c = next) {
        next = c->next;
        wait_for(c, &silent_at, until);
        then(c);
    }
}

static int descriptor(const void *arg)
{
    return ((const struct client *)arg)->set;
}

static void drive(void *arg)
{
    client_drive(arg);
}

static void flush(void *arg)
{
    client_flush(arg);
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

static bool idle_own(void)
{
    return idle_at(&own);
}

static bool idle_foreign(void)
{
    return idle_at(&foreign);
}

static void settle_own(int64_t until)
{
    settle_at(&own, until, keep);
}

static void settle_foreign(int64_t until)
{
    settle_at(&foreign, until, keep);
}

static void release_own(void)
{
    settle_at(&own, clock_now() + END_NS, client_free);
}

static void release_foreign(void)
{
    settle_at(&foreign, clock_now() + END_NS, client_free);
}

const struct port_kind redis_own_port = {.name = "Lathe's Redis",
                                         .open = open_own,
                                         .close = close_client,
                                         .descriptor = descriptor,
                                         .drive = drive,
                                         .flush = flush,
                                         .idle = idle_own,
                                         .settle = settle_own,
                                         .release = release_own};

const struct port_kind redis_port = {.name = "Redis",
                                     .open = open_foreign,
                                     .close = close_client,
                                     .descriptor = descriptor,
                                     .drive = drive,
                                     .flush = flush,
                                     .idle = idle_foreign,
                                     .settle = settle_foreign,
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
    if (!client_ready(c, e))
        return NULL;
    struct call *k = mem_alloc(sizeof *k);
    *k = (struct call){.over = done, .arg = arg};
    client_add(c, k, words, n);
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
