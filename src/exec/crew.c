#include "exec/crew.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "core/mem.h"
#include "exec/reactor.h"

struct crew {
    const struct work *work;
    const struct sink *sink;
    pthread_mutex_t lock; /* around the sink */
};

struct member {
    struct crew *crew;
    struct lane *lane;
    struct sink sink;
    struct tally tally;
    pthread_t thread;
};

struct lane *lanes_new(int64_t threads)
{
    size_t size = (size_t)threads * sizeof(struct lane);
    struct lane *lanes = aligned_alloc(_Alignof(struct lane), size);
    if (!lanes)
        mem_exhausted(size);
    return memset(lanes, 0, size);
}

static void finished(void *arg, int64_t position, const struct outcome *o)
{
    struct crew *c = arg;
    pthread_mutex_lock(&c->lock);
    c->sink->finished(c->sink->arg, position, o);
    pthread_mutex_unlock(&c->lock);
}

static void pause_one(void *arg)
{
    struct crew *c = arg;
    pthread_mutex_lock(&c->lock);
    c->sink->pause(c->sink->arg);
    pthread_mutex_unlock(&c->lock);
}

static void log_one(void *arg, int64_t position, struct span text)
{
    struct crew *c = arg;
    pthread_mutex_lock(&c->lock);
    c->sink->log(c->sink->arg, position, text);
    pthread_mutex_unlock(&c->lock);
}

static void *run(void *arg)
{
    struct member *m = arg;
    reactor_run(m->crew->work, &m->sink, m->lane, &m->tally);
    return NULL;
}

static bool start(struct member *m, const pthread_attr_t *attr)
{
    if (pthread_create(&m->thread, attr, run, m) != 0)
        return false;
    pthread_setname_np(m->thread, "lathe-crew");
    return true;
}

void crew_run(const struct work *w, int64_t threads, const struct sink *sink, struct lane *lanes,
              struct tally *ret)
{
    if (threads == 1) {
        reactor_run(w, sink, lanes, ret);
        return;
    }
    struct crew c = {.work = w, .sink = sink, .lock = PTHREAD_MUTEX_INITIALIZER};
    struct member *members CLEANUP(mem_free_at) = mem_array((size_t)threads, sizeof *members);
    pthread_attr_t attr;
    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, CREW_STACK);
    int64_t started = 1;
    for (int64_t i = 0; i < threads; i++) {
        members[i] = (struct member){.crew = &c, .lane = &lanes[i], .tally = TALLY_INIT};
        members[i].sink = (struct sink){finished, sink->pause ? pause_one : NULL, sink->log ? log_one : NULL,
                                        sink->all, &c};
    }
    while (started < threads && start(&members[started], &attr))
        started++;
    run(&members[0]);
    *ret = members[0].tally;
    for (int64_t i = 1; i < started; i++) {
        pthread_join(members[i].thread, NULL);
        tally_add(ret, &members[i].tally);
    }
    pthread_attr_destroy(&attr);
    pthread_mutex_destroy(&c.lock);
}
