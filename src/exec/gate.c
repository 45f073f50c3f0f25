/*
 * gate.c: one script of Redis lets calls through. Of those at once each has a lease that ends by itself, so that the places of a
 * worker that died come back; another renews those that are under way, or wait for a socket or a name. Of those in a time a bucket is kept that lets a tenth of them go at once and the others evenly, so
 * that no stretch of per_s has more than `rate`. The clock is that of Redis.
 */
#include "exec/gate.h"

#include <assert.h>
#include <inttypes.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>

#include "core/clock.h"
#include "core/mem.h"
#include "core/metrics.h"
#include "core/uuid.h"
#include "model/redis.h"

#define PAUSE_FIRST_MS 2 /* between two questions while all places are taken */
#define PAUSE_LAST_MS 100
#define UNANSWERED 2 /* questions, and each process goes by itself: one may only have been slow */
#define UNSURE 8     /* the breaker lets through no more in the time of a lease, while Redis says nothing */
#define WAIT_MOST_MS 1000 /* whatever Redis says, it is asked again */
#define LEASE_MS 15000    /* a thread that one step holds for longer loses its places */
#define RENEW_MS 5000
#define RENEW_BATCH (REDIS_WORDS - 6)
#define SHIFT \
    1000000 /* the answer: how many may go, times this, and the milliseconds that the next should wait */
#define NUMBER 24

static const char script[] =
    "local t=redis.call('time') local now=t[1]*1000+t[2]/1000 "
    "local most,rate,per,n=tonumber(ARGV[1]),tonumber(ARGV[2]),tonumber(ARGV[3]),tonumber(ARGV[4]) "
    "local lease,from,wait=tonumber(ARGV[5]),tonumber(ARGV[7]),0 "
    "if most>0 then redis.call('zremrangebyscore',KEYS[1],'-inf',now) "
    "n=math.max(0,math.min(n,most-redis.call('zcard',KEYS[1]))) end "
    "if rate>0 and n>0 then "
    "local burst=math.max(1,math.floor(rate/10)) local step=per/(rate-burst+1) local room=(burst-1)*step "
    "local tat,got=math.max(tonumber(redis.call('get',KEYS[2]) or '0'),now),0 "
    "while got<n and tat-now<=room do tat=tat+step got=got+1 end "
    "if got<n then wait=math.ceil(tat-now-room) end n=got "
    "redis.call('set',KEYS[2],string.format('%.3f',tat),'PX',math.ceil(tat-now)+1000) end "
    "if most>0 and n>0 then for i=0,n-1 do redis.call('zadd',KEYS[1],now+lease,ARGV[6]..':'..string.format('%d',from+i)) end "
    "if redis.call('pttl',KEYS[1])<lease then redis.call('pexpire',KEYS[1],lease) end end "
    "return n*1000000+math.min(wait,999999)";

/* Those that Redis has forgotten are told again, and so are those that went while it was away. */
static const char renewal[] = "local t=redis.call('time') local till=t[1]*1000+t[2]/1000+ARGV[1] "
                              "for i=3,#ARGV do redis.call('zadd',KEYS[1],till,ARGV[2]..':'..ARGV[i]) end "
                              "return redis.call('pexpire',KEYS[1],ARGV[1])";

/* What all gates of a process to one host share: what it lets through by itself. */
struct own_count {
    const struct conf_destination *limits;
    int64_t inside;
    double tat; /* ns: as in the script */
};

static struct {
    pthread_mutex_t lock;
    struct own_count *list;
    size_t count, room;
} own = {.lock = PTHREAD_MUTEX_INITIALIZER};

struct leases {
    int64_t from, n;
};

struct gate {
    const struct conf_destination *limits;
    void *redis;
    void (*go)(void *arg, struct pass *p);
    void (*timer)(void *arg);
    void *arg;
    size_t own; /* the place of its count */
    char name[UUID_TEXT];
    char places[128], bucket[128]; /* keys */
    struct pass *first, *last;
    int64_t waiting;
    struct pass *inside;
    struct redis_call *question;
    int64_t asked, from, since; /* of the question: how many, the number of the first lease, and when */
    int64_t next_lease;
    int64_t retry_at, pause_ms;
    int unanswered;               /* questions in a row */
    struct leases unsure[UNSURE]; /* what Redis may grant late of those: the newest, instead of the oldest */
    size_t unsure_n;              /* how many there were */
    int64_t renew_at;             /* of all that are inside, before the first of them runs out */
    bool busy;                    /* lets in: what these do at once asks for nothing more meanwhile */
};

static size_t own_count_of(const struct conf_destination *limits)
{
    size_t i = 0;
    pthread_mutex_lock(&own.lock);
    while (i < own.count && own.list[i].limits != limits)
        i++;
    if (i == own.count) {
        own.list = mem_room(own.list, &own.room, own.count + 1, sizeof *own.list);
        own.list[own.count++] = (struct own_count){.limits = limits};
    }
    pthread_mutex_unlock(&own.lock);
    return i;
}

struct gate *gate_new(const struct conf_destination *limits, void *redis,
                      void (*go)(void *arg, struct pass *p), void (*timer)(void *arg), void *arg)
{
    struct gate *g = mem_alloc(sizeof *g);
    *g = (struct gate){
        .limits = limits, .redis = redis, .go = go, .timer = timer, .arg = arg, .own = own_count_of(limits)};
    g->next_lease = 1;
    g->retry_at = g->renew_at = CLOCK_NEVER;
    g->pause_ms = PAUSE_FIRST_MS;
    uuid_format(uuid_v7(), g->name);
    /* the braces keep both on one node of a cluster */
    snprintf(g->places, sizeof g->places, "%s:dest:{%s}:places", redis_own_prefix(), limits->name);
    snprintf(g->bucket, sizeof g->bucket, "%s:dest:{%s}:bucket", redis_own_prefix(), limits->name);
    return g;
}

void gate_free(struct gate *g)
{
    assert(!g->first && !g->inside && !g->question);
    mem_free(g);
}

const struct conf_destination *gate_limits(const struct gate *g)
{
    return g->limits;
}

int64_t gate_due(const struct gate *g)
{
    int64_t retry = g->first && !g->question ? g->retry_at : CLOCK_NEVER;
    return retry < g->renew_at ? retry : g->renew_at;
}

/* ---- the line */

static void line_up(struct gate *g, struct pass *p)
{
    p->waits = true;
    p->next = NULL;
    p->prev = g->last;
    *(g->last ? &g->last->next : &g->first) = p;
    g->last = p;
    g->waiting++;
}

static void step_out(struct gate *g, struct pass *p)
{
    p->waits = false;
    *(p->prev ? &p->prev->next : &g->first) = p->next;
    *(p->next ? &p->next->prev : &g->last) = p->prev;
    g->waiting--;
}

/* How many of n may go by what this process has let through: it keeps the limit even while Redis does not know of all of
 * its calls, because some went when it was away. */
static int64_t count_in(const struct gate *g, int64_t n)
{
    pthread_mutex_lock(&own.lock);
    struct own_count *o = &own.list[g->own];
    int64_t most = g->limits->concurrency, left = most > o->inside ? most - o->inside : 0;
    n = most > 0 && left < n ? left : n;
    o->inside += n;
    pthread_mutex_unlock(&own.lock);
    return n;
}

/* How many it would let in now. More are not asked for: what the script grants it has taken from the bucket. */
static int64_t room(const struct gate *g)
{
    int64_t most = g->limits->concurrency;
    pthread_mutex_lock(&own.lock);
    int64_t inside = own.list[g->own].inside;
    pthread_mutex_unlock(&own.lock);
    return most == 0 ? INT64_MAX : most > inside ? most - inside : 0;
}

static void count_out(const struct gate *g)
{
    pthread_mutex_lock(&own.lock);
    own.list[g->own].inside--;
    pthread_mutex_unlock(&own.lock);
}

/* `since`: when the lease began, or a little before. */
static void let_in(struct gate *g, int64_t lease, int64_t since)
{
    struct pass *p = g->first;
    step_out(g, p);
    p->inside = true;
    p->lease = lease;
    p->prev = NULL;
    p->next = g->inside;
    if (g->inside)
        g->inside->prev = p;
    g->inside = p;
    if (lease && g->renew_at == CLOCK_NEVER) {
        g->renew_at = since + RENEW_MS * NS_PER_MS;
        g->timer(g->arg);
    }
    g->go(g->arg, p);
}

static void come_out(struct gate *g, struct pass *p)
{
    p->inside = false;
    *(p->prev ? &p->prev->next : &g->inside) = p->next;
    if (p->next)
        p->next->prev = p->prev;
}

static void retry_in(struct gate *g, int64_t ms)
{
    g->retry_at = clock_after_ms(ms < WAIT_MOST_MS ? ms : WAIT_MOST_MS);
    g->timer(g->arg);
}

/* All places are taken: sooner at first, then less often; not all threads at once. */
static void pause_a_while(struct gate *g)
{
    retry_in(g, 1 + clock_jitter(g->pause_ms));
    g->pause_ms = 2 * g->pause_ms < PAUSE_LAST_MS ? 2 * g->pause_ms : PAUSE_LAST_MS;
}

/* ---- alone */

/* May one more go, by what this process has counted? *ret_ms: else wait so long; 0: until one is over. */
static bool count_alone(const struct gate *g, int64_t *ret_ms)
{
    const struct conf_destination *l = g->limits;
    double now = (double)clock_now(), per = (double)l->per_s * 1e9;
    *ret_ms = 0;
    pthread_mutex_lock(&own.lock);
    struct own_count *o = &own.list[g->own];
    bool may = l->concurrency == 0 || o->inside < l->concurrency;
    if (may && l->rate > 0) {
        double burst = l->rate >= 20 ? floor((double)l->rate / 10) : 1;
        double step = per / ((double)l->rate - burst + 1);
        double tat = o->tat > now ? o->tat : now, late = tat - now - (burst - 1) * step;
        may = late <= 0;
        if (may)
            o->tat = tat + step;
        else
            *ret_ms = 1 + (int64_t)(late / 1e6);
    }
    o->inside += may;
    pthread_mutex_unlock(&own.lock);
    return may;
}

/* For Redis to be told of when it is back. */
static int64_t lease_alone(struct gate *g)
{
    return g->redis && g->limits->concurrency > 0 ? g->next_lease++ : 0;
}

static void go_alone(struct gate *g)
{
    int64_t ms = 0;
    g->busy = true;
    while (g->first && count_alone(g, &ms)) {
        metric_add(M_limits_alone, "", 1);
        let_in(g, lease_alone(g), clock_now());
    }
    g->busy = false;
    if (!g->first)
        return;
    if (ms > 0)
        retry_in(g, ms);
    else
        pause_a_while(g);
}

/* ---- with the others */

/* Given all the same: a call without one frees itself when it is lost, which may be inside of redis_start_for. */
static void nobody(void *arg)
{
    (void)arg;
}

static void give_back(struct gate *g, int64_t from, int64_t n)
{
    char names[GATE_BATCH][UUID_TEXT + NUMBER];
    struct span words[2 + GATE_BATCH] = {SPAN("ZREM"), span_of(g->places)};
    assert(n <= GATE_BATCH);
    if (n == 0 || g->limits->concurrency == 0)
        return;
    for (int64_t i = 0; i < n; i++) {
        snprintf(names[i], sizeof names[i], "%s:%" PRId64, g->name, from + i);
        words[2 + i] = span_of(names[i]);
    }
    redis_drop(redis_start_for(g->redis, words, (size_t)(2 + n), nobody, NULL, NULL));
}

static void ask(struct gate *g);

static void heed(struct gate *g, int64_t answer)
{
    int64_t n = answer / SHIFT, wait = answer % SHIFT;
    n = n < 0 ? 0 : n > g->asked ? g->asked : n;
    int64_t asked = g->asked, from = g->from, most = n < g->waiting ? n : g->waiting;
    int64_t used = count_in(g, most);
    give_back(g, from + used, n - used);
    g->busy = true;
    for (int64_t i = 0; i < used; i++)
        let_in(g, g->limits->concurrency > 0 ? from + i : 0, g->since);
    g->busy = false;
    if (n > 0)
        g->pause_ms = PAUSE_FIRST_MS;
    if (n == asked && used == most)
        ask(g);
    else if (wait > 0)
        retry_in(g, wait);
    else
        pause_a_while(g);
}

/* What was granted and came too late is given back when Redis answers again: it has heard by then what it was asked before. And also,
 * as far as that can be said to it, when nobody is left who would ask. */
static void give_back_unsure(struct gate *g)
{
    size_t n = g->unsure_n < UNSURE ? g->unsure_n : UNSURE;
    for (size_t i = 0; i < n; i++)
        give_back(g, g->unsure[i].from, g->unsure[i].n);
}

static void on_silence(struct gate *g)
{
    if (++g->unanswered < UNANSWERED)
        retry_in(g, PAUSE_FIRST_MS);
    else
        go_alone(g);
}

static void on_sound(struct gate *g, int64_t answer)
{
    g->unanswered = 0;
    give_back_unsure(g);
    g->unsure_n = 0;
    heed(g, answer);
}

static void on_answer(void *arg)
{
    struct gate *g = arg;
    struct redis_call *q = g->question;
    if (!q || !q->done)
        return; /* it was over inside of redis_start_for: ask() looks */
    bool ok = q->err.code == ERR_NONE && q->type == REDIS_NUMBER;
    int64_t answer = q->number;
    g->question = NULL;
    redis_drop(q);
    if (ok) {
        on_sound(g, answer);
        return;
    }
    g->unsure[g->unsure_n++ % UNSURE] = (struct leases){g->from, g->asked};
    on_silence(g);
}

static void ask(struct gate *g)
{
    const struct conf_destination *l = g->limits;
    char text[6][NUMBER];
    if (g->question || g->busy || !g->first)
        return;
    g->retry_at = CLOCK_NEVER;
    int64_t free_here = room(g), most = free_here < GATE_BATCH ? free_here : GATE_BATCH;
    if (most == 0) {
        pause_a_while(g);
        return;
    }
    g->asked = g->waiting < most ? g->waiting : most;
    g->from = g->next_lease;
    g->next_lease += g->asked;
    g->since = clock_now();
    const int64_t numbers[] = {l->concurrency, l->rate, l->per_s * 1000, g->asked, LEASE_MS, g->from};
    for (size_t i = 0; i < COUNT_OF(numbers); i++)
        snprintf(text[i], NUMBER, "%" PRId64, numbers[i]);
    struct span words[] = {SPAN("EVAL"),       span_of(script),  SPAN("2"),        span_of(g->places),
                           span_of(g->bucket), span_of(text[0]), span_of(text[1]), span_of(text[2]),
                           span_of(text[3]),   span_of(text[4]), span_of(g->name), span_of(text[5])};
    if (g->redis)
        g->question = redis_start_for(g->redis, words, COUNT_OF(words), on_answer, g, NULL);
    if (!g->redis)
        go_alone(g);
    else if (!g->question)
        on_silence(g);
    else if (g->question->done)
        on_answer(g);
}

/* ---- leases */

static void send_renewal(struct gate *g, char (*numbers)[NUMBER], size_t n)
{
    char lease[NUMBER];
    snprintf(lease, sizeof lease, "%d", LEASE_MS);
    struct span words[REDIS_WORDS] = {SPAN("EVAL"),       span_of(renewal), SPAN("1"),
                                      span_of(g->places), span_of(lease),   span_of(g->name)};
    for (size_t i = 0; i < n; i++)
        words[6 + i] = span_of(numbers[i]);
    redis_drop(redis_start_for(g->redis, words, 6 + n, nobody, NULL, NULL));
}

static void renew(struct gate *g, int64_t now)
{
    char numbers[RENEW_BATCH][NUMBER];
    size_t n = 0;
    for (const struct pass *p = g->inside; p; p = p->next) {
        if (p->lease)
            snprintf(numbers[n++], NUMBER, "%" PRId64, p->lease);
        if (n == RENEW_BATCH || (n > 0 && !p->next)) {
            send_renewal(g, numbers, n);
            n = 0;
        }
    }
    g->renew_at = g->inside ? now + RENEW_MS * NS_PER_MS : CLOCK_NEVER;
}

/* ---- calls */

void gate_enter(struct gate *g, struct pass *p)
{
    *p = (struct pass){.gate = g};
    line_up(g, p);
    if (g->waiting == 1)
        ask(g);
}

/* Nobody waits for the answer any more, and what it grants is given back. */
static void call_off(struct gate *g)
{
    redis_drop(g->question);
    g->question = NULL;
    give_back(g, g->from, g->asked);
}

void gate_leave(struct pass *p)
{
    struct gate *g = p->gate;
    if (!g)
        return;
    p->gate = NULL;
    if (p->waits) {
        step_out(g, p);
        if (!g->first && g->question)
            call_off(g);
    } else if (p->inside) {
        come_out(g, p);
        count_out(g);
        if (p->lease)
            give_back(g, p->lease, 1);
        if (g->first && g->limits->concurrency > 0)
            ask(g); /* a place came free */
    }
    if (!g->first && !g->inside) {
        give_back_unsure(g);
        if (g->unanswered == 0)
            g->unsure_n = 0; /* else it has hardly heard that, and is told again when it answers */
    }
}

void gate_look(struct gate *g, int64_t now)
{
    if (g->renew_at <= now)
        renew(g, now);
    if (gate_due(g) <= now)
        ask(g);
}
