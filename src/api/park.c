/*
 * Calls that wait for a task. The queue's waiters' thread tells when it is time; it must not be kept, so that an answer
 * which needs the store is given by a thread of our own.
 */
#include <errno.h>

#include "api/inside.h"

static void link_first(struct api *a, struct parked *p)
{
    p->next = a->waiting;
    p->link = &a->waiting;
    if (p->next)
        p->next->link = &p->next;
    a->waiting = p;
}

static void unlink_parked(struct parked *p)
{
    *p->link = p->next;
    if (p->next)
        p->next->link = p->link;
    p->next = NULL;
}

/* The wait is over and nobody else knows of p. */
static void over(struct parked *p)
{
    struct api *a = p->api;
    bool later = false;
    if (p->asks_store && p->asks_store(&p->task)) {
        pthread_mutex_lock(&a->lock);
        later = !a->stopping;
        if (later) {
            p->next = NULL;
            *a->errands_end = p;
            a->errands_end = &p->next;
            pthread_cond_signal(&a->work);
        }
        pthread_mutex_unlock(&a->lock);
    }
    if (!later)
        p->answer(p, false);
}

/* On the waiters' thread. With e the store could not be asked: the caller gets what was known before. */
static void on_ready(void *arg, const struct task *t, const struct err *e)
{
    (void)e;
    struct parked *p = arg;
    pthread_mutex_lock(&p->api->lock);
    unlink_parked(p);
    pthread_mutex_unlock(&p->api->lock);
    if (t)
        p->task = *t;
    over(p);
}

void park(struct parked *p, int64_t ms)
{
    struct api *a = p->api;
    p->wait = (struct queue_wait){
        .id = p->task.id, .a = &p->call->arena, .deadline = clock_after_ms(ms), .ready = on_ready, .arg = p};
    pthread_mutex_lock(&a->lock);
    bool waits = !a->draining && ms > 0;
    if (waits) {
        link_first(a, p); /* first, because ready may come before queue_wait returns; it waits for our lock */
        waits = queue_wait(a->queue, &p->wait, NULL);
        if (!waits)
            unlink_parked(p);
    }
    pthread_mutex_unlock(&a->lock);
    if (!waits)
        over(p);
}

void park_drain(struct api *a)
{
    struct parked *taken = NULL;
    pthread_mutex_lock(&a->lock);
    a->draining = true;
    for (struct parked *p = a->waiting, *next; p; p = next) {
        next = p->next;
        if (!queue_unwait(a->queue, &p->wait))
            continue; /* its ready is on the way */
        unlink_parked(p);
        p->next = taken;
        taken = p;
    }
    pthread_mutex_unlock(&a->lock);
    for (struct parked *p = taken, *next; p; p = next) {
        next = p->next;
        p->answer(p, false);
    }
}

static struct parked *next_errand(struct api *a, bool *ret_store_ok)
{
    pthread_mutex_lock(&a->lock);
    while (!a->errands && !a->stopping)
        pthread_cond_wait(&a->work, &a->lock);
    struct parked *p = a->errands;
    if (p) {
        a->errands = p->next;
        if (!a->errands)
            a->errands_end = &a->errands;
    }
    *ret_store_ok = !a->stopping;
    pthread_mutex_unlock(&a->lock);
    return p;
}

static void *run_errands(void *arg)
{
    struct parked *p;
    bool store_ok;
    while ((p = next_errand(arg, &store_ok)))
        p->answer(p, store_ok);
    return NULL;
}

bool park_start(struct api *a, struct err *e)
{
    pthread_mutex_init(&a->lock, NULL);
    pthread_cond_init(&a->work, NULL);
    a->errands_end = &a->errands;
    errno = pthread_create(&a->thread, NULL, run_errands, a);
    if (errno)
        return err_errno(e, "the api's thread cannot be started");
    a->thread_runs = true;
    return true;
}

void park_stop(struct api *a)
{
    pthread_mutex_lock(&a->lock);
    a->draining = a->stopping = true;
    bool join = a->thread_runs;
    a->thread_runs = false;
    pthread_cond_signal(&a->work);
    pthread_mutex_unlock(&a->lock);
    if (join)
        pthread_join(a->thread, NULL);
}
