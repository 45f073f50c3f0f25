#include "exec/places.h"

#include <pthread.h>
#include <string.h>

#include "core/breaker.h"
#include "core/clock.h"
#include "core/limits.h"
#include "core/log.h"
#include "core/metrics.h"

#define LONGEST 8 /* times the first wait */

struct place {
    char origin[LIMIT_ORIGIN];
    uint64_t hash; /* 0: free */
    struct breaker breaker;
    int64_t used; /* when it was last visited */
    int visits;   /* under way */
};

static struct {
    pthread_mutex_t lock;
    struct place list[LIMIT_ORIGINS];
} all = {.lock = PTHREAD_MUTEX_INITIALIZER};

static const struct conf *conf;

void places_open(const struct conf *c)
{
    conf = c;
}

const struct conf_destination *places_limits(const char *host)
{
    return conf ? conf_destination(conf, span_of(host)) : NULL;
}

static uint64_t hash_of(const char *text)
{
    uint64_t h = 0xcbf29ce484222325u;
    for (; *text; text++)
        h = (h ^ (unsigned char)*text) * 0x100000001b3u;
    return h ? h : 1;
}

/* ---- the table; the lock is held */

static struct place *find(const char *origin, uint64_t hash)
{
    for (size_t i = 0; i < LIMIT_ORIGINS; i++)
        if (all.list[i].hash == hash && strcmp(all.list[i].origin, origin) == 0)
            return &all.list[i];
    return NULL;
}

/* Nobody is there; and what is known of it would not be missed, or is long out of date: nobody asked since it could be tried again. */
static bool may_go(const struct place *p, int64_t now)
{
    const struct breaker *b = &p->breaker;
    return p->visits == 0 && (b->until == 0 || (!b->probing && now > b->until + b->longest_ns));
}

/* A free one, or one that may go, the longest unused. NULL: there is none. */
static struct place *make_room(int64_t now)
{
    struct place *oldest = NULL;
    for (size_t i = 0; i < LIMIT_ORIGINS; i++) {
        struct place *p = &all.list[i];
        if (p->hash == 0)
            return p;
        if (may_go(p, now) && (!oldest || p->used < oldest->used))
            oldest = p;
    }
    return oldest;
}

static int64_t either(int64_t own, int64_t usual)
{
    return own > 0 ? own : usual;
}

/* NULL: its failures are not counted. */
static struct place *place_of(const char *origin, const char *host, int64_t now)
{
    const struct conf_destination *d = places_limits(host);
    int64_t failures = either(d ? d->breaker_failures : 0, conf ? conf->http_breaker_failures : 0);
    int64_t open_ms = either(d ? d->breaker_open_ms : 0, conf ? conf->http_breaker_open : 0);
    uint64_t hash = hash_of(origin);
    size_t len = strlen(origin);
    if (failures == 0 || len >= LIMIT_ORIGIN)
        return NULL;
    struct place *p = find(origin, hash);
    if (p || !(p = make_room(now)))
        return p;
    if (p->breaker.until != 0)
        metric_add(M_circuits_open, "", -1); /* it is not counted again: nothing is left that could close */
    *p = (struct place){.hash = hash,
                        .breaker = {.allowed = (int)failures,
                                    .first_ns = open_ms * NS_PER_MS,
                                    .longest_ns = open_ms * LONGEST * NS_PER_MS}};
    memcpy(p->origin, origin, len);
    return p;
}

static bool refused(const struct place *p, int64_t now, struct err *e)
{
    double left = p->breaker.until > now ? (double)(p->breaker.until - now) / 1e9 : 0;
    metric_add(M_circuit_refused, "", 1);
    return err_set(e, ERR_CIRCUIT_OPEN,
                   "%s failed %d times in a row and is left alone; it is tried again %s%.1f s", p->origin,
                   p->breaker.allowed, left > 0 ? "in " : "just now, after ", left);
}

/* ---- visits */

bool places_visit(const char *origin, const char *host, struct visit *ret, struct err *e)
{
    int64_t now = clock_now();
    pthread_mutex_lock(&all.lock);
    struct place *p = place_of(origin, host, now);
    bool ok = !p || breaker_enter(&p->breaker, now, &ret->turn) || refused(p, now, e);
    ret->place = ok ? p : NULL;
    if (ret->place) {
        p->used = now;
        p->visits++;
    }
    pthread_mutex_unlock(&all.lock);
    return ok;
}

bool places_refuse(const char *origin, struct err *e)
{
    int64_t now = clock_now();
    pthread_mutex_lock(&all.lock);
    const struct place *p = find(origin, hash_of(origin));
    bool refuses = p && breaker_refuses(&p->breaker, now);
    if (refuses)
        (void)refused(p, now, e);
    pthread_mutex_unlock(&all.lock);
    return refuses;
}

static void tell(enum breaker_move move, const char *origin)
{
    if (move == BREAKER_OPENED) {
        metric_add(M_circuits_opened, "", 1);
        metric_add(M_circuits_open, "", 1);
        log_warn("http.circuit_open",
                 "server=%s meaning=\"it failed again and again and is left alone for a while\"", origin);
    }
    if (move == BREAKER_CLOSED) {
        metric_add(M_circuits_open, "", -1);
        log_info("http.circuit_closed", "server=%s", origin);
    }
}

void places_leave(struct visit *v, enum visit_end how)
{
    struct place *p = v->place;
    enum breaker_move move = BREAKER_STAYED;
    char origin[LIMIT_ORIGIN];
    if (!p)
        return;
    v->place = NULL;
    pthread_mutex_lock(&all.lock);
    p->visits--;
    if (how == VISIT_UNKNOWN)
        breaker_forget(&p->breaker, v->turn);
    else
        move = breaker_leave(&p->breaker, v->turn, how == VISIT_OK, clock_now());
    memcpy(origin, p->origin, sizeof origin);
    pthread_mutex_unlock(&all.lock);
    tell(move, origin);
}
