#include "exec/ports.h"

#include <assert.h>
#include <pthread.h>

/* ---- the kinds that this process has used */

static struct {
    pthread_mutex_t lock;
    const struct port_kind *list[PORTS_MOST];
    int count;
} used = {.lock = PTHREAD_MUTEX_INITIALIZER};

static void remember(const struct port_kind *kind)
{
    int i = 0;
    pthread_mutex_lock(&used.lock);
    while (i < used.count && used.list[i] != kind)
        i++;
    if (i == used.count) {
        assert(i < PORTS_MOST);
        used.list[used.count++] = kind;
    }
    pthread_mutex_unlock(&used.lock);
}

static void each_used(void (*f)(const struct port_kind *kind, void *arg), void *arg)
{
    pthread_mutex_lock(&used.lock);
    int count = used.count; /* the list only grows */
    pthread_mutex_unlock(&used.lock);
    for (int i = 0; i < count; i++)
        f(used.list[i], arg);
}

static void idle_one(const struct port_kind *kind, void *ret_soon)
{
    if (kind->idle && kind->idle())
        *(bool *)ret_soon = true;
}

static void settle_one(const struct port_kind *kind, void *until)
{
    if (kind->settle)
        kind->settle(*(const int64_t *)until);
}

static void end_one(const struct port_kind *kind, void *arg)
{
    (void)arg;
    if (kind->release)
        kind->release();
}

bool ports_idle(void)
{
    bool soon = false;
    each_used(idle_one, &soon);
    return soon;
}

void ports_settle(int64_t until)
{
    each_used(settle_one, &until);
}

void ports_end(void)
{
    each_used(end_one, NULL);
}

/* ---- of one reactor */

static void *client(struct ports *ports, const struct port_kind *kind, struct err *e)
{
    struct ports_open *p = (void *)((char *)ports - offsetof(struct ports_open, ports));
    void *c;
    for (int i = 0; i < p->count; i++)
        if (p->list[i].kind == kind)
            return p->list[i].client;
    assert(p->count < PORTS_MOST);
    remember(kind);
    if (!kind->open(&c, e))
        return NULL;
    struct guest *g = &p->list[p->count].guest;
    *g = (struct guest){.ready = kind->drive, .arg = c};
    if (!waiting_invite(p->waiting, g, kind->descriptor(c), e)) {
        kind->close(c);
        return NULL;
    }
    p->list[p->count].kind = kind;
    p->list[p->count++].client = c;
    return c;
}

static void over(struct ports *ports, struct item *it)
{
    struct ports_open *p = (void *)((char *)ports - offsetof(struct ports_open, ports));
    waiting_wake(p->waiting, (void *)((char *)it - offsetof(struct slot, item)));
}

void ports_init(struct ports_open *p, struct waiting *w)
{
    p->ports = (struct ports){client, over};
    p->waiting = w;
    p->count = 0;
}

void ports_release(struct ports_open *p)
{
    while (p->count > 0) {
        p->count--;
        waiting_dismiss(p->waiting, &p->list[p->count].guest);
        p->list[p->count].kind->close(p->list[p->count].client);
    }
}

void ports_flush(struct ports_open *p)
{
    for (int i = 0; i < p->count; i++)
        if (p->list[i].kind->flush)
            p->list[i].kind->flush(p->list[i].client);
}
