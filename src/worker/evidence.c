#include "worker/evidence.h"

#include <pthread.h>
#include <string.h>

#include "core/clock.h"
#include "core/cond.h"
#include "core/log.h"
#include "core/mem.h"
#include "exec/exec.h"

#define SETTLE_MS 500 /* from its start on the worker has better things to do, and would be measured along */
#define CALM_MS \
    60000 /* nor are units that run to be measured along; but so long without a pause, and it is done beside them */
#define REMEMBERED 64 /* profiles; a power of two */
#define REMEMBER_MS 1000
#define ASK_MS 1000  /* a unit waits no longer for its evidence */
#define AWAY_MS 5000 /* after a failure nobody asks for so long: units start without */

struct memory {
    uint64_t digest;
    int64_t until; /* clock_now(); 0: empty */
    bool known;
    struct profile profile;
    struct correction corrections[EVIDENCE_STRATEGIES];
    struct ask asked; /* the latest question, and what was recommended; all 0: none yet */
    struct candidate best;
};

struct evidence {
    struct store *store;
    pthread_t thread;
    pthread_mutex_t lock; /* over what follows */
    pthread_cond_t news;
    bool ending; /* nobody will ask any more what the machine costs */
    int running; /* units */
    struct host host;
    int64_t away; /* clock_now(): until then the store is not asked */
    struct memory memories[REMEMBERED];
};

/* Until measured: the order of magnitude of a small Linux machine. */
static const struct host guess = {
    .thread_start = 30e3,
    .process_start = 300e3,
    .item_cost = 1e3,
    .process_item = 6e3,
    .timer_slack = 100e3,
};

/* Until it is a good moment to measure. False: nobody wants to know any more. */
static bool await_calm(struct evidence *ev)
{
    int64_t settled = clock_after_ms(SETTLE_MS), calm = settled + CALM_MS * NS_PER_MS;
    pthread_mutex_lock(&ev->lock);
    while (!ev->ending && cond_wait(&ev->news, &ev->lock, settled))
        continue;
    while (!ev->ending && ev->running > 0 && cond_wait(&ev->news, &ev->lock, calm))
        continue;
    bool goes_on = !ev->ending;
    pthread_mutex_unlock(&ev->lock);
    return goes_on;
}

static void *calibrate(void *arg)
{
    struct evidence *ev = arg;
    struct host measured = {0};
    struct err e = ERR_INIT;
    if (!await_calm(ev))
        return NULL;
    if (!exec_calibrate(&measured, &e)) {
        log_warn_err("worker.calibrate", &e, "meaning=predictions use guessed costs");
        return NULL;
    }
    pthread_mutex_lock(&ev->lock);
    measured.cores = ev->host.cores;
    ev->host = measured;
    pthread_mutex_unlock(&ev->lock);
    return NULL;
}

struct evidence *evidence_new(struct store *s, int64_t cores)
{
    struct evidence *ev = mem_alloc(sizeof *ev);
    ev->store = s;
    ev->host = guess;
    ev->host.cores = cores;
    pthread_mutex_init(&ev->lock, NULL);
    cond_init(&ev->news);
    if (pthread_create(&ev->thread, NULL, calibrate, ev) != 0)
        ev->thread = 0;
    return ev;
}

void evidence_end(struct evidence *ev)
{
    pthread_mutex_lock(&ev->lock);
    ev->ending = true;
    pthread_cond_signal(&ev->news);
    pthread_mutex_unlock(&ev->lock);
    if (ev->thread != 0)
        pthread_join(ev->thread, NULL);
    ev->thread = 0;
}

void evidence_free(struct evidence *ev)
{
    if (ev == NULL)
        return;
    evidence_end(ev);
    pthread_cond_destroy(&ev->news);
    pthread_mutex_destroy(&ev->lock);
    mem_free(ev);
}

void evidence_begin(struct evidence *ev)
{
    pthread_mutex_lock(&ev->lock);
    ev->running++;
    pthread_mutex_unlock(&ev->lock);
}

void evidence_over(struct evidence *ev)
{
    pthread_mutex_lock(&ev->lock);
    if (--ev->running == 0)
        pthread_cond_signal(&ev->news);
    pthread_mutex_unlock(&ev->lock);
}

struct host evidence_host(struct evidence *ev)
{
    pthread_mutex_lock(&ev->lock);
    struct host h = ev->host;
    pthread_mutex_unlock(&ev->lock);
    return h;
}

static struct memory *place(struct evidence *ev, uint64_t digest)
{
    return &ev->memories[(digest ^ digest >> 32) & (REMEMBERED - 1)];
}

static bool remembered(struct evidence *ev, uint64_t digest, struct memory *ret, bool *ret_away)
{
    pthread_mutex_lock(&ev->lock);
    struct memory *m = place(ev, digest);
    int64_t now = clock_now();
    bool fresh = m->digest == digest && m->until > now;
    if (fresh)
        *ret = *m;
    *ret_away = ev->away > now;
    pthread_mutex_unlock(&ev->lock);
    return fresh;
}

static bool ask(struct evidence *ev, const struct unit *u, struct memory *ret)
{
    struct memory m = {.digest = u->digest};
    bool found = store_profile(ev->store, u->handler, u->digest, clock_after_ms(ASK_MS), &m.profile,
                               m.corrections, EVIDENCE_STRATEGIES, NULL);
    m.known = m.profile.runs > 0;
    m.until = clock_after_ms(REMEMBER_MS);
    pthread_mutex_lock(&ev->lock);
    if (found)
        *ret = *place(ev, u->digest) = m;
    else
        ev->away = clock_after_ms(AWAY_MS);
    pthread_mutex_unlock(&ev->lock);
    return found;
}

bool evidence_find(struct evidence *ev, const struct unit *u, struct profile *ret,
                   struct correction corrections[EVIDENCE_STRATEGIES])
{
    struct memory m = {0};
    bool away;
    if (!remembered(ev, u->digest, &m, &away) && (away || !ask(ev, u, &m)))
        return false;
    *ret = m.profile;
    memcpy(corrections, m.corrections, sizeof m.corrections);
    return m.known;
}

static bool same_ask(const struct ask *a, const struct ask *b)
{
    return a->items == b->items && a->batch_size == b->batch_size && a->workers == b->workers &&
           a->cores == b->cores && a->process_only == b->process_only;
}

/* The next units are often alike, and what follows from it costs as much as a short one of them. */
bool evidence_best(struct evidence *ev, uint64_t digest, const struct ask *ask, const struct host *host,
                   const struct profile *profile, const struct correction *corrections, struct candidate *ret)
{
    struct candidate ranked[EVIDENCE_STRATEGIES];
    pthread_mutex_lock(&ev->lock);
    const struct memory *m = place(ev, digest);
    bool known = m->digest == digest && same_ask(&m->asked, ask);
    if (known)
        *ret = m->best;
    pthread_mutex_unlock(&ev->lock);
    if (known)
        return true;
    if (recommend(profile, host, ask, corrections, ranked, EVIDENCE_STRATEGIES) == 0)
        return false;
    *ret = ranked[0];
    pthread_mutex_lock(&ev->lock);
    struct memory *here = place(ev, digest);
    if (here->digest == digest) {
        here->asked = *ask;
        here->best = ranked[0];
    }
    pthread_mutex_unlock(&ev->lock);
    return true;
}

void evidence_forget(struct evidence *ev, uint64_t digest)
{
    pthread_mutex_lock(&ev->lock);
    struct memory *m = place(ev, digest);
    if (m->digest == digest)
        m->until = 0;
    pthread_mutex_unlock(&ev->lock);
}
