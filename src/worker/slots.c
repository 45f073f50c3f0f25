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
    int bell, count, busy;
    bool closing;
    pthread_mutex_t lock; /* over the lists, busy and closing */
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

static struct run *next_run(struct slots *s)
{
    pthread_mutex_lock(&s->lock);
    while (s->queued.head == NULL && !s->closing)
        pthread_cond_wait(&s->more, &s->lock);
    struct run *r = list_take(&s->queued);
    if (r != NULL) {
        s->busy++;
        atomic_store(&r->started, clock_now());
        atomic_store(&r->state, RUN_RUNNING);
    }
    pthread_mutex_unlock(&s->lock);
    return r;
}

static void put_done(struct slots *s, struct run *r)
{
    pthread_mutex_lock(&s->lock);
    s->busy--;
    atomic_store(&r->state, RUN_DONE);
    bool first = s->done.head == NULL;
    list_put(&s->done, r);
    pthread_mutex_unlock(&s->lock);
    if (first)
        net_ring(s->bell);
}

static void *slot_main(void *arg)
{
    struct slots *s = arg;
    struct run *r;
    while ((r = next_run(s)) != NULL) {
        char id[UUID_TEXT];
        uuid_format(r->unit->task, id);
        log_push("task", span_of(id));
        run_unit(r, s->env);
        log_pop();
        put_done(s, r);
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

void slots_push(struct slots *s, struct run *r)
{
    pthread_mutex_lock(&s->lock);
    list_put(&s->queued, r);
    pthread_cond_signal(&s->more);
    pthread_mutex_unlock(&s->lock);
}

static struct run *take(struct slots *s, struct run_list *l)
{
    pthread_mutex_lock(&s->lock);
    struct run *r = list_take(l);
    pthread_mutex_unlock(&s->lock);
    return r;
}

struct run *slots_take_done(struct slots *s)
{
    return take(s, &s->done);
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
