#include <assert.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/time.h>

#include "core/clock.h"
#include "core/limits.h"
#include "core/log.h"
#include "core/mem.h"
#include "core/metrics.h"
#include "core/net.h"
#include "fcgi/front_in.h"

/* Edge-triggered and registered once: a request costs no epoll_ctl. What comes while the connection is not IDLE is
 * remembered in `again`. */
#define WATCH (EPOLLIN | EPOLLRDHUP | EPOLLET)

static void set_state(struct peer *p, enum peer_state state, int64_t deadline)
{
    pthread_mutex_lock(&p->lock);
    p->state = state;
    p->deadline = deadline;
    pthread_mutex_unlock(&p->lock);
}

/* ---- opening and closing */

static struct peer *peer_take(struct front *f)
{
    pthread_mutex_lock(&f->list_lock);
    struct peer *p = f->free;
    if (p)
        f->free = p->next;
    pthread_mutex_unlock(&f->list_lock);
    if (p)
        return p;
    p = mem_alloc(sizeof *p);
    pthread_mutex_init(&p->lock, NULL);
    p->source = -1;
    buf_init(&p->stash, STASH_MOST);
    f->peers = mem_grow(f->peers, f->peer_count + 1, sizeof *f->peers);
    f->peers[f->peer_count++] = p;
    return p;
}

void peer_close(struct front *f, struct peer *p)
{
    pthread_mutex_lock(&p->lock);
    net_close(p->fd);
    p->fd = -1;
    p->state = PEER_FREE;
    p->exchange = NULL;
    pthread_mutex_unlock(&p->lock);
    intake_forget(f, p);

    pthread_mutex_lock(&f->list_lock);
    p->next = f->free;
    f->free = p;
    pthread_mutex_unlock(&f->list_lock);

    size_t held = atomic_fetch_sub(&f->held, 1) - 1;
    metric_set(M_http_connections, "", (double)held);
    if (atomic_load(&f->paused) || (held == 0 && atomic_load(&f->stopping)))
        net_ring(f->bell);
}

void peer_break(struct front *f, struct peer *p, const char *why)
{
    metric_add(M_http_broken, "", 1);
    log_debug("fcgi.broken", "why=%s", why);
    peer_close(f, p);
}

void peer_patience(int fd, int64_t ms)
{
    const struct timeval patience = {.tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000};
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
}

void peer_open(struct front *f, int fd)
{
    const int on = 1;
    peer_patience(fd, READ_MS);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on); /* fails on a unix socket, which has no delay */

    struct peer *p = peer_take(f);
    metric_set(M_http_connections, "", (double)(atomic_fetch_add(&f->held, 1) + 1));
    pthread_mutex_lock(&p->lock);
    p->state = PEER_IDLE;
    p->fd = fd;
    p->again = p->deaf = p->drips = false;
    p->fresh = true;
    p->deadline = f->draining ? clock_after_ms(FRESH_MS) : CLOCK_NEVER;
    pthread_mutex_unlock(&p->lock);
    struct epoll_event ev = {.events = WATCH, .data.ptr = p};
    if (epoll_ctl(f->epoll, EPOLL_CTL_ADD, fd, &ev) < 0)
        peer_break(f, p, "epoll");
}

bool peer_has_hung_up(const struct peer *p)
{
    struct pollfd look = {.fd = p->fd, .events = p->deaf ? 0 : POLLRDHUP};
    return poll(&look, 1, 0) > 0 && (look.revents & (POLLRDHUP | POLLHUP | POLLERR)) != 0;
}

/* ---- PARKED */

void count_parked(struct front *f, int by)
{
    atomic_fetch_add(&f->parked, by);
    metric_add(M_http_waiting, "", by);
}

void peer_check_gone(struct front *f, struct peer *p)
{
    assert(p->state == PEER_PARKED && p->exchange);
    if (!peer_has_hung_up(p))
        return;
    atomic_store(&p->exchange->call.gone, true);
    net_close(p->fd);
    p->fd = -1;
    p->state = PEER_GONE;
    count_parked(f, -1);
}

/* ---- SENDING */

void peer_send_later(struct front *f, struct exchange *x)
{
    struct peer *p = x->peer;
    struct epoll_event ev = {.events = WATCH | EPOLLOUT, .data.ptr = p};
    pthread_mutex_lock(&p->lock); /* from the first event on, x is the dispatcher's */
    p->state = PEER_SENDING;
    p->deadline = clock_after_ms(SEND_MS);
    epoll_ctl(f->epoll, EPOLL_CTL_MOD, p->fd, &ev);
    pthread_mutex_unlock(&p->lock);
}

static void send_rest(struct front *f, struct peer *p)
{
    struct exchange *x = p->exchange;
    uint64_t before = x->out.sent;
    enum record_result r = record_send(&x->out, p->fd);
    if (r == RECORD_AGAIN) {
        if (x->out.sent > before)
            set_state(p, PEER_SENDING, clock_after_ms(SEND_MS));
        return;
    }
    struct epoll_event ev = {.events = WATCH, .data.ptr = p};
    epoll_ctl(f->epoll, EPOLL_CTL_MOD, p->fd, &ev);
    exchange_finish(x, r);
}

/* ---- LINGER: the answer would be lost if we closed while input is unread */

static void throw_away(struct front *f, struct peer *p)
{
    for (unsigned i = 0; i < 64; i++) {
        ssize_t n = recv(p->fd, f->peek, LIMIT_FCGI_HEAD, MSG_DONTWAIT);
        if (n < 0 && errno == EAGAIN)
            return;
        if (n <= 0) {
            peer_close(f, p);
            return;
        }
    }
    front_look(f, p); /* there may be a large body of it: others have their turn in between */
}

/* ---- all states */

void peer_next(struct front *f, struct peer *p, enum peer_next next)
{
    if (next == NEXT_CLOSE) {
        peer_close(f, p);
        return;
    }
    pthread_mutex_lock(&p->lock);
    bool look = p->again || next == NEXT_LINGER || atomic_load(&f->stopping);
    p->again = false;
    p->exchange = NULL;
    p->state = next == NEXT_IDLE ? PEER_IDLE : PEER_LINGER;
    p->deadline = next == NEXT_IDLE ? CLOCK_NEVER : clock_after_ms(LINGER_MS);
    if (next == NEXT_LINGER)
        shutdown(p->fd, SHUT_WR);
    pthread_mutex_unlock(&p->lock);
    if (look)
        front_look(f, p);
}

void peer_event(struct front *f, struct peer *p, uint32_t events)
{
    pthread_mutex_lock(&p->lock);
    enum peer_state state = p->state;
    if (state == PEER_BUSY || state == PEER_PARKED || state == PEER_ANSWERING)
        p->again = true;
    if (state == PEER_PARKED)
        peer_check_gone(f, p);
    pthread_mutex_unlock(&p->lock);
    /* The states below are left by nobody but the dispatcher. */
    if (state == PEER_IDLE)
        intake(f, p, events ? (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0 : peer_has_hung_up(p));
    else if (state == PEER_SENDING)
        send_rest(f, p);
    else if (state == PEER_LINGER)
        throw_away(f, p);
}

void peer_sweep(struct front *f, struct peer *p, int64_t now)
{
    pthread_mutex_lock(&p->lock);
    enum peer_state state = p->deadline != CLOCK_NEVER ? p->state : PEER_FREE;
    bool late = now >= p->deadline, drips = now >= p->deadline - (UNFINISHED_MS - DRIPS_MS) * NS_PER_MS;
    pthread_mutex_unlock(&p->lock);
    if (state == PEER_IDLE && late)
        peer_break(f, p, "late");
    else if (state == PEER_IDLE && !p->fresh && drips)
        intake_gather(f, p);
    else if (state == PEER_SENDING && late)
        exchange_finish(p->exchange, RECORD_BROKEN);
    else if (state == PEER_LINGER && late)
        peer_close(f, p);
}

void peer_discard(struct front *f, struct peer *p)
{
    if (p->state == PEER_SENDING)
        exchange_finish(p->exchange, RECORD_BROKEN);
    else if (p->state != PEER_FREE)
        peer_close(f, p);
    pthread_mutex_destroy(&p->lock);
    mem_free(p);
}
