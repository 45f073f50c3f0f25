#include "worker/slots.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "core/log.h"
#include "core/mem.h"
#include "core/net.h"

#define SLOT_STACK (1024 * 1024)

struct run_list {
    struct run *head, **tail;
};

struct slots {
    const struct run_env *env;
    int bell, count, busy, idle;
    bool closing;
    pthread_mutex_t lock; /* over the lists, busy, idle and closing */
    pthread_cond_t more;
    struct run_list queued, done;
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

/* With the lock held. Who takes one wakes the next, as long as there is more to take: a claim of a thousand units is one
 * wake-up here, and no more threads run than find something. */
static struct run *begin_next(struct slots *s)
{
    struct run *r = list_take(&s->queued);
    if (r == NULL)
        return NULL;
    s->busy++;
    atomic_store(&r->started, clock_now());
    atomic_store(&r->state, RUN_RUNNING);
    if (s->queued.head != NULL && s->idle > 0)
        pthread_cond_signal(&s->more);
    return r;
}

static bool land(struct slots *s, struct run *r)
{
    bool first = s->done.head == NULL;
    s->busy--;
    r->ended = clock_now();
    atomic_store(&r->state, RUN_DONE);
    list_put(&s->done, r);
    return first;
}

static struct run *wait_for_run(struct slots *s)
{
    struct run *r;
    pthread_mutex_lock(&s->lock);
    while ((r = begin_next(s)) == NULL && !s->closing) {
        s->idle++;
        pthread_cond_wait(&s->more, &s->lock);
        s->idle--;
    }
    pthread_mutex_unlock(&s->lock);
    return r;
}

/* `done` is over (NULL: none was begun yet); the next one, or NULL at the end. */
static struct run *next_run(struct slots *s, struct run *done)
{
    pthread_mutex_lock(&s->lock);
    bool first = done != NULL && land(s, done);
    struct run *r = begin_next(s);
    pthread_mutex_unlock(&s->lock);
    if (first)
        net_ring(s->bell);
    return r != NULL ? r : wait_for_run(s);
}

static void *slot_main(void *arg)
{
    struct slots *s = arg;
    struct run *r = NULL;
    while ((r = next_run(s, r)) != NULL) {
        char id[UUID_TEXT];
        uuid_format(r->unit->task, id);
        log_push("task", span_of(id));
        run_unit(r, s->env);
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
    pthread_cond_init(&s->more, NULL);
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
    *s->queued.tail = first;
    s->queued.tail = &last->queued;
    pthread_cond_signal(&s->more);
    pthread_mutex_unlock(&s->lock);
}

struct run *slots_take_done(struct slots *s)
{
    pthread_mutex_lock(&s->lock);
    struct run *all = s->done.head;
    list_init(&s->done);
    pthread_mutex_unlock(&s->lock);
    return all;
}

static struct run *take(struct slots *s, struct run_list *l)
{
    pthread_mutex_lock(&s->lock);
    struct run *r = list_take(l);
    pthread_mutex_unlock(&s->lock);
    return r;
}

struct run *slots_take_back(struct slots *s, int64_t until)
{
    return slots_oldest(s) <= until ? take(s, &s->queued) : NULL;
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
