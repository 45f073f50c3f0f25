#include "exec/children.h"

#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/cores.h"
#include "core/limits.h"
#include "core/mem.h"

#define DEATH_MS 5000 /* a killed process is given so long to be gone */

/* How many are kept warm, and how much memory they may have had. Runs follow each other closely or not at all: what is
 * kept for longer than that is little. */
struct room {
    int count;
    int64_t kib;
};
#define ROOM_SHORT ((struct room){64, 64 * 1024})
#define ROOM_LONG ((struct room){2 * cores_usable(), 8 * 1024})

static struct {
    pthread_mutex_t lock;
    struct child *idle; /* the latest first: they are the warmest */
} children = {.lock = PTHREAD_MUTEX_INITIALIZER};

void child_kill(const struct child *c)
{
    syscall(SYS_pidfd_send_signal, c->pidfd, SIGKILL, NULL, 0);
}

static bool readable(int fd, int ms)
{
    struct pollfd ready = {.fd = fd, .events = POLLIN};
    return poll(&ready, 1, ms) == 1;
}

struct child_end children_bury(struct child *c)
{
    if (!readable(c->pidfd, 0))
        child_kill(c);
    struct child_end end = {.known = false};
    if (readable(c->pidfd, DEATH_MS))
        end = zygote_collect(c->pid);
    close(c->sock);
    close(c->pidfd);
    mem_free(c);
    return end;
}

void child_end_explain(const struct child_end *end, int64_t limit, struct err *e)
{
    if (!end->known)
        err_set(e, ERR_ITEM_CRASHED, "the process that ran the item died");
    else if (WIFSIGNALED(end->status))
        err_set(e, ERR_ITEM_CRASHED, "the process that ran the item was killed by signal %d (SIG%s)%s",
                WTERMSIG(end->status), sigabbrev_np(WTERMSIG(end->status)),
                WTERMSIG(end->status) == SIGKILL ? ", perhaps by the kernel for want of memory" : "");
    else if (WEXITSTATUS(end->status) == CHILD_NO_MEMORY && limit)
        err_set(e, ERR_ITEM_CRASHED, "the process that ran the item ran out of its memory limit of %lld MiB",
                (long long)(limit / MIB));
    else if (WEXITSTATUS(end->status) == CHILD_NO_MEMORY)
        err_set(e, ERR_ITEM_CRASHED, "the process that ran the item ran out of memory");
    else if (WEXITSTATUS(end->status) == CHILD_NO_LIMIT && limit)
        err_set(e, ERR_ITEM_CRASHED, "the process could not set its memory limit of %lld MiB",
                (long long)(limit / MIB));
    else
        err_set(e, ERR_ITEM_CRASHED, "the process that ran the item ended by itself with exit %d",
                WEXITSTATUS(end->status));
}

/* All are told before the first is waited for. */
static void bury_all(struct child *list)
{
    for (struct child *c = list; c; c = c->next)
        child_kill(c);
    for (struct child *c = list, *next; c; c = next) {
        next = c->next;
        children_bury(c);
    }
}

static bool takes(struct room *r, const struct child *c)
{
    if (r->count < 1 || r->kib < c->peak_kib)
        return false;
    r->count--;
    r->kib -= c->peak_kib;
    return true;
}

/* Takes out of the list those that shall not stay. Under the lock. */
static struct child *cut(int64_t now)
{
    struct room brief = ROOM_SHORT, lasting = ROOM_LONG;
    struct child *leaving = NULL;
    for (struct child **at = &children.idle, *c; (c = *at);) {
        int64_t waited = now - c->idle_since;
        bool few = takes(&lasting, c); /* the first ones of the list, whatever their age */
        if (takes(&brief, c) && waited < (few ? CHILDREN_LONG_NS : CHILDREN_SHORT_NS) &&
            !readable(c->sock, 0)) {
            at = &c->next;
            continue;
        }
        *at = c->next;
        c->next = leaving;
        leaving = c;
    }
    return leaving;
}

void children_idle(int64_t now)
{
    pthread_mutex_lock(&children.lock);
    struct child *leaving = cut(now);
    pthread_mutex_unlock(&children.lock);
    bury_all(leaving);
}

static struct child *take_idle(void)
{
    pthread_mutex_lock(&children.lock);
    struct child *c = children.idle;
    if (c)
        children.idle = c->next;
    pthread_mutex_unlock(&children.lock);
    return c;
}

struct taker {
    void (*got)(void *arg, struct child *c);
    void *arg;
};

static void adopt(void *arg, const struct newborn *n)
{
    const struct taker *t = arg;
    struct child *c = mem_alloc(sizeof *c);
    *c = (struct child){.pid = n->pid, .sock = n->sock, .pidfd = n->pidfd};
    t->got(t->arg, c);
}

int children_take(int n, void (*got)(void *arg, struct child *c), void *arg, struct err *e)
{
    struct taker t = {got, arg};
    struct child *c;
    int taken = 0;
    while (taken < n && (c = take_idle())) {
        /* it has nothing to say now but that it is gone; after CHILD_IDLE_MS it would go just when it is asked */
        if (readable(c->sock, 0) || clock_now() - c->idle_since > CHILDREN_LONG_NS) {
            children_bury(c);
            continue;
        }
        got(arg, c);
        taken++;
    }
    return taken < n ? taken + zygote_fork(n - taken, adopt, &t, e) : taken;
}

void children_keep(struct child *list)
{
    int64_t now = clock_now();
    pthread_mutex_lock(&children.lock);
    for (struct child *c = list, *next; c; c = next) {
        next = c->next;
        c->idle_since = now;
        c->next = children.idle;
        children.idle = c;
    }
    struct child *leaving = cut(now);
    pthread_mutex_unlock(&children.lock);
    bury_all(leaving);
}

void children_release(void)
{
    pthread_mutex_lock(&children.lock);
    struct child *all = children.idle;
    children.idle = NULL;
    pthread_mutex_unlock(&children.lock);
    bury_all(all);
}
