#include "worker/slots.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "core/cond.h"
#include "core/limits.h"
#include "core/log.h"
#include "core/mem.h"
#include "core/net.h"

#define SLOT_STACK (1024 * 1024)

/* A thread for each unit, unless units are so short that waking one takes longer: then a thread for so much work that waits. */
#define SHORT_NS (NS_PER_MS / 10)
#define SHARE_NS NS_PER_MS
#define STALL_NS NS_PER_MS /* with nothing taken from the queue: those who were thought to be quick are not */

/* Short ones are told of together, as long as more of them are begun: so many, or when the first has waited for so long. */
#define GATHER (LIMIT_CLAIM / 2)
#define GATHER_NS (4 * NS_PER_MS)

struct run_list {
    struct run *head, **tail;
};

struct slots {
    const struct run_env *env;
    int bell, count;
    pthread_mutex_t lock; /* over the rest */
    pthread_cond_t more;
    struct run_list queued, done;
    int64_t waiting;           /* how many are queued */
    int64_t taken, taken_at;   /* how many ever were begun, and when the latest was */
    const struct run *latest;  /* that one, as long as it runs */
    int64_t landed, landed_at; /* how many are done, and when the latest was */
    bool told;                 /* the bell was rung for them */
    double mean_ns;            /* moving average of what one takes; 0: not known yet */
    int busy, idle, called;    /* threads; called: idle ones that are to take a run */
    enum guard { UNGUARDED, GUARD_CALLED, GUARDED } guard;
    bool closing;
    pthread_t threads[];
};

static void list_init(struct run_list *l)
{
    l->head = NULL;
    l->tail = &l->head;
}

static void list_put(struct run_list *l, struct run *r)
{
    r->queued = NULL;
    *l->tail = r;
    l->tail = &r->queued;
}

static struct run *list_take(struct run_list *l)
{
    struct run *r = l->head;
    if (r != NULL && (l->head = r->queued) == NULL)
        l->tail = &l->head;
    return r;
}

/* ---- who takes the next; all with the lock held ---- */

static void call_one(struct slots *s)
{
    if (s->idle <= s->called)
        return;
    s->called++;
    pthread_cond_signal(&s->more);
}

static bool short_ones(const struct slots *s)
{
    return s->mean_ns > 0 && s->mean_ns < SHORT_NS;
}

/* Who takes one wakes the next, as long as there is more to take: a claim of a thousand units is one wake-up here, and no more
 * threads run than find something. Where units are short, few threads are enough, and one looks after them. */
static void call_others(struct slots *s)
{
    if (s->waiting == 0 || s->idle <= s->called)
        return;
    if (!short_ones(s) || (double)s->waiting * s->mean_ns > (double)SHARE_NS * s->busy) {
        call_one(s);
    } else if (s->guard == UNGUARDED) {
        s->guard = GUARD_CALLED;
        pthread_cond_signal(&s->more);
    }
}

static struct run *begin_next(struct slots *s)
{
    struct run *r = list_take(&s->queued);
    if (r == NULL)
        return NULL;
    s->waiting--;
    s->taken++;
    s->busy++;
    s->latest = r;
    s->taken_at = clock_now();
    atomic_store(&r->started, s->taken_at);
    atomic_store(&r->state, RUN_RUNNING);
    call_others(s);
    return r;
}

/* One that was long, as one is that lost its core for a while, says little. */
static void learn_pace(struct slots *s, double took)
{
    if (s->mean_ns > 0 && took > 2 * s->mean_ns)
        took = 2 * s->mean_ns;
    s->mean_ns += (took - s->mean_ns) * (s->mean_ns > 0 ? 0.1 : 1);
}

static void land(struct slots *s, struct run *r)
{
    s->busy--;
    s->landed++;
    s->latest = s->latest == r ? NULL : s->latest;
    s->landed_at = r->ended = clock_now();
    learn_pace(s, (double)(r->ended - atomic_load(&r->started)));
    atomic_store(&r->state, RUN_DONE);
    list_put(&s->done, r);
}

/* Is it time to tell of what is done? While nobody looks after the queue, of each one. */
static bool due(const struct slots *s)
{
    bool guarded = s->guard == GUARDED || (s->guard == GUARD_CALLED && s->idle > s->called);
    bool flow = s->waiting > 0 && short_ones(s) && guarded;
    return s->landed > 0 && (!flow || s->landed >= GATHER || s->landed_at - s->done.head->ended >= GATHER_NS);
}

/* Lets go of the lock, and tells of what is done if it is time to. */
static void unlock_and_tell(struct slots *s)
{
    bool ring = !s->told && due(s);
    s->told = s->told || ring;
    pthread_mutex_unlock(&s->lock);
    if (ring)
        net_ring(s->bell);
}

/* Looks after a queue that others work off. True: they do not, and are no longer thought to be quick. */
static bool stalls(struct slots *s)
{
    int64_t taken = s->taken;
    s->guard = GUARDED;
    cond_wait(&s->more, &s->lock, clock_now() + STALL_NS);
    s->guard = UNGUARDED;
    if (s->called > 0 || s->taken != taken || s->waiting == 0)
        return false;
    s->mean_ns = 2 * SHORT_NS;
    return true;
}

/* Waits for something to happen. True: the caller is to take a run. */
static bool called(struct slots *s)
{
    bool mine = s->called > 0 || s->closing;
    s->called -= s->called > 0;
    if (mine)
        return true;
    if (s->waiting > 0 && s->guard != GUARDED)
        return stalls(s);
    if (s->guard == GUARD_CALLED)
        s->guard = UNGUARDED; /* too late */
    pthread_cond_wait(&s->more, &s->lock);
    return false;
}

static struct run *wait_for_run(struct slots *s)
{
    pthread_mutex_lock(&s->lock);
    struct run *r = begin_next(s);
    s->idle++;
    while (r == NULL && !(s->closing && s->waiting == 0)) {
        if (!called(s))
            continue;
        s->idle--;
        r = begin_next(s);
        s->idle++;
    }
    s->idle--;
    unlock_and_tell(s); /* it may have been the last that waited */
    return r;
}

/* `done` is over (NULL: none was begun yet); the next one, or NULL at the end. */
static struct run *next_run(struct slots *s, struct run *done)
{
    pthread_mutex_lock(&s->lock);
    if (done != NULL)
        land(s, done);
    struct run *r = begin_next(s);
    unlock_and_tell(s);
    return r != NULL ? r : wait_for_run(s);
}

static void *slot_main(void *arg)
{
    struct slots *s = arg;
    struct args args CLEANUP(args_release) = ARGS_INIT;
    struct run *r = NULL;
    while ((r = next_run(s, r)) != NULL) {
        char id[UUID_TEXT];
        uuid_format(r->unit->task, id);
        log_push("task", span_of(id));
        run_unit(r, s->env, &args);
        log_pop();
    }
    return NULL;
}

bool slots_new(int threads, const struct run_env *env, int bell, struct slots **ret, struct err *e)
{
    struct slots *s = mem_alloc(sizeof *s + (size_t)threads * sizeof s->threads[0]);
    s->env = env;
    s->bell = bell;
    pthread_mutex_init(&s->lock, NULL);
    cond_init(&s->more);
    list_init(&s->queued);
    list_init(&s->done);

    pthread_attr_t attr;
    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, SLOT_STACK);
    int rc = 0;
    while (s->count < threads && (rc = pthread_create(&s->threads[s->count], &attr, slot_main, s)) == 0) {
        char name[16];
        snprintf(name, sizeof name, "slot-%d", s->count);
        pthread_setname_np(s->threads[s->count++], name);
    }
    pthread_attr_destroy(&attr);
    if (rc != 0) {
        int had = s->count;
        slots_free(s);
        return err_set(e, ERR_SYSTEM,
                       "no thread for slot %d of %d (%s): lower worker.slots or raise the limit of tasks",
                       had + 1, threads, strerrordesc_np(rc));
    }
    *ret = s;
    return true;
}

void slots_push(struct slots *s, struct run *first, struct run *last)
{
    pthread_mutex_lock(&s->lock);
    for (const struct run *r = first; r != NULL; r = r->queued)
        s->waiting++;
    *s->queued.tail = first;
    s->queued.tail = &last->queued;
    if (s->latest != NULL && clock_now() - s->taken_at < STALL_NS)
        call_others(s);
    else
        call_one(s); /* whoever is busy is so for long, or goes to sleep */
    pthread_mutex_unlock(&s->lock);
}

struct run *slots_take_done(struct slots *s)
{
    struct run *all = NULL;
    pthread_mutex_lock(&s->lock);
    if (s->told || due(s)) {
        all = s->done.head;
        list_init(&s->done);
        s->landed = 0;
        s->told = false;
    }
    pthread_mutex_unlock(&s->lock);
    return all;
}

struct run *slots_take_back(struct slots *s, int64_t until)
{
    pthread_mutex_lock(&s->lock);
    bool old = s->queued.head != NULL && s->queued.head->claimed <= until;
    struct run *r = old ? list_take(&s->queued) : NULL;
    s->waiting -= r != NULL;
    pthread_mutex_unlock(&s->lock);
    return r;
}

int64_t slots_oldest(struct slots *s)
{
    pthread_mutex_lock(&s->lock);
    int64_t oldest = s->queued.head != NULL ? s->queued.head->claimed : CLOCK_NEVER;
    pthread_mutex_unlock(&s->lock);
    return oldest;
}

int slots_busy(struct slots *s)
{
    pthread_mutex_lock(&s->lock);
    int busy = s->busy;
    pthread_mutex_unlock(&s->lock);
    return busy;
}

void slots_free(struct slots *s)
{
    if (s == NULL)
        return;
    pthread_mutex_lock(&s->lock);
    s->closing = true;
    pthread_cond_broadcast(&s->more);
    pthread_mutex_unlock(&s->lock);
    for (int i = 0; i < s->count; i++)
        pthread_join(s->threads[i], NULL);
    pthread_cond_destroy(&s->more);
    pthread_mutex_destroy(&s->lock);
    mem_free(s);
}
