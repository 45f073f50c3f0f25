#include "fcgi/front.h"

#include <assert.h>
#include <errno.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "core/clock.h"
#include "core/limits.h"
#include "core/log.h"
#include "core/mem.h"
#include "core/net.h"
#include "fcgi/front_in.h"

#define SWEEP_MS 500      /* deadlines are late by so much at most */
#define COMPLAIN_MS 10000 /* between log lines that say the same */

void front_look(struct front *f, struct peer *p)
{
    pthread_mutex_lock(&f->list_lock);
    bool news = !p->listed;
    if (news) {
        p->listed = true;
        p->next_look = f->look;
        f->look = p;
    }
    pthread_mutex_unlock(&f->list_lock);
    if (news)
        net_ring(f->bell);
}

static void look_at_listed(struct front *f)
{
    for (;;) {
        pthread_mutex_lock(&f->list_lock);
        struct peer *p = f->look;
        if (p) {
            f->look = p->next_look;
            p->listed = false;
        }
        pthread_mutex_unlock(&f->list_lock);
        if (!p)
            return;
        peer_event(f, p, 0);
    }
}

/* ---- the listener */

/* EPOLLEXCLUSIVE: of several processes on one listener one is woken. */
static void set_listening(struct front *f, bool on)
{
    struct epoll_event ev = {.events = EPOLLIN | EPOLLEXCLUSIVE, .data.ptr = NULL};
    if (on != f->listening)
        epoll_ctl(f->epoll, on ? EPOLL_CTL_ADD : EPOLL_CTL_DEL, f->o.listen_fd, &ev);
    f->listening = on;
}

static void pause_listening(struct front *f, const char *why)
{
    int64_t now = clock_now();
    atomic_store(&f->paused, true);
    set_listening(f, false);
    if (now < f->next_complaint)
        return;
    f->next_complaint = now + COMPLAIN_MS * NS_PER_MS;
    log_warn("fcgi.full", "why=%s connections=%zu", why, atomic_load(&f->held));
}

/* Up to `most`; false when no more wait. */
static bool accept_some(struct front *f, unsigned most)
{
    while (most-- > 0) {
        if (atomic_load(&f->held) >= LIMIT_CONNECTIONS) {
            pause_listening(f, "LIMIT_CONNECTIONS");
            return false;
        }
        int fd = accept4(f->o.listen_fd, NULL, NULL, SOCK_CLOEXEC);
        if (fd >= 0) {
            peer_open(f, fd);
        } else if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
            pause_listening(f, "descriptors");
            return false;
        } else if (errno != EINTR && errno != ECONNABORTED) {
            return false;
        }
    }
    return true;
}

/* The bell rang, perhaps because a connection was closed, or half a second has passed. */
static void resume_listening(struct front *f)
{
    if (!f->draining && atomic_exchange(&f->paused, false))
        set_listening(f, true);
}

/* ---- the loop */

static void begin_drain(struct front *f)
{
    f->draining = true;
    f->drain_end = clock_after_ms(f->o.drain_ms);
    while (accept_some(f, LIMIT_CONNECTIONS))
        continue;
    set_listening(f, false);
    for (size_t i = 0; i < f->peer_count; i++) {
        struct peer *p = f->peers[i];
        pthread_mutex_lock(&p->lock);
        if (p->state == PEER_IDLE && p->fresh && p->deadline == CLOCK_NEVER)
            p->deadline = clock_after_ms(FRESH_MS);
        pthread_mutex_unlock(&p->lock);
        front_look(f, p);
    }
}

static void sweep(struct front *f)
{
    int64_t now = clock_now();
    if (now < f->next_sweep)
        return;
    f->next_sweep = now + SWEEP_MS * NS_PER_MS;
    for (size_t i = 0; i < f->peer_count; i++)
        peer_sweep(f, f->peers[i], now);
    resume_listening(f);
}

static bool is_over(const struct front *f)
{
    int stopping = atomic_load(&f->stopping);
    if (!stopping || !f->draining)
        return false;
    return stopping > 1 || atomic_load(&f->held) == 0 || clock_now() >= f->drain_end;
}

static int wait_ms(const struct front *f)
{
    if (atomic_load(&f->held) == 0 && !atomic_load(&f->paused) && !f->draining)
        return -1;
    int left = f->draining ? clock_poll_ms(f->drain_end) : SWEEP_MS;
    return left < SWEEP_MS ? left : SWEEP_MS;
}

static void answer_bell(struct front *f)
{
    net_bell_clear(f->bell);
    resume_listening(f);
}

bool front_run(struct front *f)
{
    struct epoll_event events[128];
    while (!is_over(f)) {
        int n = epoll_wait(f->epoll, events, COUNT_OF(events), wait_ms(f));
        for (int i = 0; i < n; i++) {
            if (events[i].data.ptr == NULL)
                accept_some(f, 64);
            else if (events[i].data.ptr == f)
                answer_bell(f);
            else
                peer_event(f, events[i].data.ptr, events[i].events);
        }
        if (atomic_load(&f->stopping) && !f->draining)
            begin_drain(f);
        look_at_listed(f);
        sweep(f);
    }
    set_listening(f, false);
    return atomic_load(&f->held) == 0;
}

void front_stop(struct front *f)
{
    atomic_fetch_add(&f->stopping, 1);
    net_ring(f->bell);
}

/* ---- life */

static bool front_open(struct front *f, struct err *e)
{
    f->epoll = epoll_create1(EPOLL_CLOEXEC);
    if (f->epoll < 0)
        return err_errno(e, "epoll_create1");
    if (!net_bell(&f->bell, e))
        return false;
    struct epoll_event ev = {.events = EPOLLIN, .data.ptr = f};
    if (epoll_ctl(f->epoll, EPOLL_CTL_ADD, f->bell, &ev) < 0)
        return err_errno(e, "epoll_ctl");
    set_listening(f, true);
    return serve_start(f, e);
}

bool front_new(const struct front_options *o, void (*handle)(void *arg, struct call *), void *arg,
               struct front **ret, struct err *e)
{
    assert(o->threads > 0 && o->queue > 0 && o->drain_ms >= 0);
    struct front *f = mem_alloc(sizeof *f);
    f->o = *o;
    f->handle = handle;
    f->arg = arg;
    f->epoll = f->bell = -1;
    f->held_back_end = &f->held_back;
    f->peek = mem_alloc(LIMIT_FCGI_HEAD);
    f->queue = mem_array((size_t)o->queue, sizeof *f->queue);
    f->threads = mem_array((size_t)o->threads, sizeof *f->threads);
    pthread_mutex_init(&f->list_lock, NULL);
    pthread_mutex_init(&f->spare_lock, NULL);
    pthread_mutex_init(&f->queue_lock, NULL);
    pthread_cond_init(&f->queue_filled, NULL);
    pthread_cond_init(&f->upload_over, NULL);
    if (!front_open(f, e)) {
        front_free(f);
        return false;
    }
    *ret = f;
    return true;
}

void front_free(struct front *f)
{
    if (!f)
        return;
    serve_stop(f);
    for (size_t i = 0; i < f->peer_count; i++) {
        enum peer_state s = f->peers[i]->state;
        assert(s != PEER_PARKED && s != PEER_ANSWERING && s != PEER_GONE);
        peer_discard(f, f->peers[i]);
    }
    assert(atomic_load(&f->parked) == 0 && !f->held_back);
    exchanges_free(f);
    mem_free(f->peers);
    mem_free(f->peek);
    mem_free(f->queue);
    mem_free(f->threads);
    net_close(f->epoll);
    net_close(f->bell);
    pthread_mutex_destroy(&f->list_lock);
    pthread_mutex_destroy(&f->spare_lock);
    pthread_mutex_destroy(&f->queue_lock);
    pthread_cond_destroy(&f->queue_filled);
    pthread_cond_destroy(&f->upload_over);
    mem_free(f);
}
