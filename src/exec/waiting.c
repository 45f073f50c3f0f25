#include "exec/waiting.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/timerfd.h>

#include "core/net.h"

void waiting_init(struct waiting *w, int bell)
{
    *w = (struct waiting){.timers = TIMERS_INIT, .alarm = -1, .bell = bell, .ready_end = &w->ready};
}

void waiting_release(struct waiting *w)
{
    if (w->loop)
        ev_loop_destroy(w->loop);
    net_close(w->alarm);
    timers_release(&w->timers);
}

/* ---- descriptors */

static void on_alarm(struct ev_loop *loop, ev_io *io, int events)
{
    (void)loop, (void)io, (void)events; /* to be awake is all; setting it again makes it silent */
}

static void on_bell(struct ev_loop *loop, ev_io *io, int events)
{
    (void)loop, (void)events;
    *(bool *)io->data = true;
}

static bool open_loop(struct waiting *w, struct err *e)
{
    if (w->alarm < 0)
        w->alarm = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    if (w->alarm >= 0)
        w->loop = ev_loop_new(EVFLAG_NOENV | EVBACKEND_EPOLL);
    if (!w->loop)
        return err_errno(e, "no event loop could be made to wait for a descriptor");
    ev_io_init(&w->alarm_io, on_alarm, w->alarm, EV_READ);
    ev_io_start(w->loop, &w->alarm_io);
    if (w->bell >= 0) {
        ev_io_init(&w->bell_io, on_bell, w->bell, EV_READ);
        w->bell_io.data = &w->rung;
        ev_io_start(w->loop, &w->bell_io);
    }
    return true;
}

static void put_ready(struct waiting *w, struct slot *s)
{
    timers_remove(&w->timers, &s->timer);
    s->calling = false;
    s->next = NULL;
    *w->ready_end = s;
    w->ready_end = &s->next;
}

static void on_descriptor(struct ev_loop *loop, ev_io *io, int events)
{
    struct slot *s = io->data;
    struct waiting *w = s->waiting;
    (void)events;
    ev_io_stop(loop, io);
    w->watched--;
    put_ready(w, s);
}

static bool watch(struct waiting *w, struct slot *s, struct err *e)
{
    const struct item_wait *wait = &s->item.wait;
    if (fcntl(wait->fd, F_GETFD) < 0) /* libev would abort */
        return err_set(e, ERR_INTERNAL, "the handler waits for a descriptor that is not open");
    if (!w->loop && !open_loop(w, e))
        return false;
    int events = (wait->events & POLLIN ? EV_READ : 0) | (wait->events & POLLOUT ? EV_WRITE : 0);
    ev_io_init(&s->io, on_descriptor, wait->fd, events);
    s->io.data = s;
    s->waiting = w;
    ev_io_start(w->loop, &s->io);
    w->watched++;
    return true;
}

static void unwatch(struct waiting *w, struct slot *s)
{
    if (w->loop && ev_is_active(&s->io)) {
        ev_io_stop(w->loop, &s->io);
        w->watched--;
    }
}

/* ---- guests */

static void on_guest(struct ev_loop *loop, ev_io *io, int events)
{
    struct guest *g = io->data;
    (void)loop, (void)events;
    g->ready(g->arg);
}

bool waiting_invite(struct waiting *w, struct guest *g, int fd, struct err *e)
{
    if (!w->loop && !open_loop(w, e))
        return false;
    ev_io_init(&g->io, on_guest, fd, EV_READ);
    g->io.data = g;
    ev_io_start(w->loop, &g->io);
    w->watched++;
    return true;
}

void waiting_dismiss(struct waiting *w, struct guest *g)
{
    ev_io_stop(w->loop, &g->io);
    w->watched--;
}

void waiting_wake(struct waiting *w, struct slot *s)
{
    if (!s->calling)
        return;
    unwatch(w, s);
    put_ready(w, s);
}

/* ---- both */

bool waiting_add(struct waiting *w, struct slot *s, int64_t due, struct err *e)
{
    const struct item_wait *wait = &s->item.wait;
    if (wait->fd < 0 ? wait->until == CLOCK_NEVER && !wait->call : !(wait->events & (POLLIN | POLLOUT)))
        return err_set(e, ERR_INTERNAL,
                       "the handler waits for nothing: neither for a time nor for a descriptor");
    if (wait->fd >= 0 && !watch(w, s, e))
        return false;
    if (wait->until < due)
        due = wait->until;
    if (due != CLOCK_NEVER)
        timers_add(&w->timers, &s->timer, due);
    s->calling = wait->call;
    return true;
}

void waiting_remove(struct waiting *w, struct slot *s)
{
    timers_remove(&w->timers, &s->timer);
    unwatch(w, s);
    s->calling = false;
}

struct slot *waiting_due(struct waiting *w, int64_t now)
{
    struct timer *t = timers_pop(&w->timers, now);
    if (!t)
        return NULL;
    struct slot *s = (void *)((char *)t - offsetof(struct slot, timer));
    unwatch(w, s);
    s->calling = false;
    return s;
}

struct slot *waiting_ready(struct waiting *w)
{
    struct slot *s = w->ready;
    if (!s)
        return NULL;
    w->ready = s->next;
    if (!w->ready)
        w->ready_end = &w->ready;
    return s;
}

/* ---- sleep */

void waiting_look(struct waiting *w)
{
    ev_run(w->loop, EVRUN_NOWAIT);
    w->looked = clock_now();
}

static struct timespec timespec_of(int64_t ns)
{
    return (struct timespec){.tv_sec = ns / NS_PER_S, .tv_nsec = ns % NS_PER_S};
}

/* Nobody waits for a descriptor: one system call. */
static void sleep_by_clock(struct waiting *w, int64_t until)
{
    int64_t now = clock_now();
    struct timespec left = timespec_of(until > now ? until - now : 0);
    struct pollfd bell = {.fd = w->bell, .events = POLLIN};
    w->rung |= ppoll(&bell, 1, &left, NULL) > 0;
}

void waiting_sleep(struct waiting *w, int64_t until)
{
    if (w->watched == 0) {
        sleep_by_clock(w, until);
        return;
    }
    struct itimerspec t = {.it_value = timespec_of(until > 0 ? until : 1)}; /* 0 would disarm it */
    timerfd_settime(w->alarm, TFD_TIMER_ABSTIME, &t, NULL);
    ev_run(w->loop, EVRUN_ONCE);
    w->looked = clock_now();
}
