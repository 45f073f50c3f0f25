#include "store/lookup.h"

#include <assert.h>
#include <errno.h>
#include <netdb.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "core/limits.h"
#include "core/mem.h"
#include "core/net.h"

#define STACK (512u * KIB)
#define NAME_MOST 256 /* longer ones are none */

/* Shared by who asks and the thread; whoever lets go last releases it. */
struct lookup {
    atomic_int users;
    atomic_bool over;
    int bell;
    char name[NAME_MOST];
    /* the thread's, until it is over */
    int refused; /* EAI_*; 0: found */
    struct lookup_found found;
};

static void let_go(struct lookup *l)
{
    if (atomic_fetch_sub(&l->users, 1) > 1)
        return;
    net_close_at(&l->bell);
    mem_free(l);
}

static void keep(struct lookup_found *to, const struct addrinfo *list)
{
    for (const struct addrinfo *a = list; a && to->count < LOOKUP_MOST; a = a->ai_next)
        if (getnameinfo(a->ai_addr, a->ai_addrlen, to->list[to->count], sizeof to->list[0], NULL, 0,
                        NI_NUMERICHOST) == 0)
            to->count++;
}

static void *ask(void *arg)
{
    struct lookup *l = arg;
    const struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
    struct addrinfo *list = NULL;
    l->refused = getaddrinfo(l->name, NULL, &hints, &list);
    if (l->refused == 0) {
        keep(&l->found, list);
        freeaddrinfo(list);
    }
    atomic_store(&l->over, true);
    net_ring(l->bell);
    let_go(l);
    return NULL;
}

static bool start(struct lookup *l, struct err *e)
{
    pthread_attr_t detached;
    pthread_t thread;
    pthread_attr_init(&detached);
    pthread_attr_setdetachstate(&detached, PTHREAD_CREATE_DETACHED);
    pthread_attr_setstacksize(&detached, STACK); /* children that run items may have little address space */
    int failed = pthread_create(&thread, &detached, ask, l);
    pthread_attr_destroy(&detached);
    if (failed == 0)
        return true;
    errno = failed;
    return err_errno(e, "cannot start a thread to look up a name");
}

bool lookup_begin(struct lookup **under_way, const char *name, struct err *e)
{
    if (*under_way && !lookup_over(*under_way) && lookup_is_for(*under_way, name))
        return true;
    lookup_leave(under_way);
    if (strlen(name) >= NAME_MOST)
        return err_set(e, ERR_STORE, "a host's name is too long");
    struct lookup *l = mem_alloc(sizeof *l);
    *l = (struct lookup){.users = 2, .bell = -1};
    memcpy(l->name, name, strlen(name) + 1);
    if (!net_bell(&l->bell, e) || !start(l, e)) {
        net_close_at(&l->bell);
        mem_free(l);
        e->code = ERR_STORE; /* for whoever tries again */
        return false;
    }
    *under_way = l;
    return true;
}

int lookup_fd(const struct lookup *l)
{
    return l->bell;
}

bool lookup_is_for(const struct lookup *l, const char *name)
{
    return strcmp(l->name, name) == 0;
}

bool lookup_over(const struct lookup *l)
{
    return atomic_load(&l->over);
}

bool lookup_end(struct lookup **under_way, struct lookup_found *ret, struct err *e)
{
    struct lookup *l = *under_way;
    assert(atomic_load(&l->over));
    net_bell_clear(l->bell);
    *ret = l->found;
    bool ok = l->refused == 0 && ret->count > 0;
    if (!ok)
        err_set(e, ERR_STORE, "the name %s cannot be looked up: %s", l->name, gai_strerror(l->refused));
    lookup_leave(under_way);
    return ok;
}

void lookup_leave(struct lookup **under_way)
{
    if (*under_way)
        let_go(*under_way);
    *under_way = NULL;
}
