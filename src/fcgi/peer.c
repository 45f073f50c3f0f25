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
    f->peers = mem_grow(f->peers, f->peer_count + 1, sizeof *f->peers);
    f->peers[f->peer_count++] = p;
    return p;
}

static void peer_close(struct front *f, struct peer *p)
{
    pthread_mutex_lock(&p->lock);
    net_close(p->fd);
    p->fd = -1;
    p->state = PEER_FREE;
    p->exchange = NULL;
    pthread_mutex_unlock(&p->lock);

    pthread_mutex_lock(&f->list_lock);
    p->next = f->free;
    f->free = p;
    pthread_mutex_unlock(&f->list_lock);

    size_t held = atomic_fetch_sub(&f->held, 1) - 1;
    metric_set(M_http_connections, "", (double)held);
    if (atomic_load(&f->paused) || (held == 0 && atomic_load(&f->stopping)))
        net_ring(f->bell);
}

static void peer_break(struct front *f, struct peer *p, const char *why)
{
    metric_add(M_http_broken, "", 1);
    log_debug("fcgi.broken", "why=%s", why);
    peer_close(f, p);
}

void peer_open(struct front *f, int fd)
{
    const int on = 1;
    const struct timeval patience = {.tv_sec = READ_MS / 1000};
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on); /* fails on a unix socket, which has no delay */

    struct peer *p = peer_take(f);
    metric_set(M_http_connections, "", (double)(atomic_fetch_add(&f->held, 1) + 1));
    pthread_mutex_lock(&p->lock);
    p->state = PEER_IDLE;
    p->fd = fd;
    p->again = p->deaf = false;
    p->fresh = true;
    p->deadline = f->draining ? clock_after_ms(FRESH_MS) : CLOCK_NEVER;
    pthread_mutex_unlock(&p->lock);
    struct epoll_event ev = {.events = WATCH, .data.ptr = p};
    if (epoll_ctl(f->epoll, EPOLL_CTL_ADD, fd, &ev) < 0)
        peer_break(f, p, "epoll");
}

/* ---- IDLE: is there a request? */

static bool has_hung_up(const struct peer *p)
{
    struct pollfd look = {.fd = p->fd, .events = p->deaf ? 0 : POLLRDHUP};
    return poll(&look, 1, 0) > 0 && (look.revents & (POLLRDHUP | POLLHUP | POLLERR)) != 0;
}

/* With an answer of our own, for there is no thread and no place in the queue. nginx adds the request id. */
static void refuse(struct front *f, struct peer *p, size_t seen)
{
    static const char head[] =
        "Status: 503 Service Unavailable\r\nContent-Type: application/problem+json\r\nRetry-After: 1\r\n\r\n";
    static const char body[] =
        "{\"type\":\"/problems/busy\",\"title\":\"The service has as much work as it can hold\","
        "\"status\":503,\"detail\":\"too many requests wait for a thread; try again\"}\n";
    metric_add(M_http_refused, "", 1);
    metric_add(M_http_requests, "5xx", 1);
    const struct frame fr = p->frame;
    bool taken = fr.whole && recv(p->fd, f->peek, seen, MSG_DONTWAIT) == (ssize_t)seen;
    struct record_out o = record_out(fr.id, span_of(head), span_of(body), true);
    if (record_send(&o, p->fd) != RECORD_DONE)
        peer_next(f, p, NEXT_CLOSE);
    else if (!taken)
        peer_next(f, p, NEXT_LINGER);
    else
        peer_next(f, p, fr.keep ? NEXT_IDLE : NEXT_CLOSE);
}

static void begin(struct front *f, struct peer *p, size_t seen)
{
    p->fresh = false;
    p->since = clock_now();
    pthread_mutex_lock(&p->lock);
    p->state = PEER_BUSY;
    p->again = false;
    p->deadline = CLOCK_NEVER;
    pthread_mutex_unlock(&p->lock);
    if (!serve_push(f, p))
        refuse(f, p, seen);
}

static ssize_t look_in(struct front *f, struct peer *p)
{
    return recv(p->fd, f->peek, LIMIT_FCGI_HEAD, MSG_PEEK | MSG_DONTWAIT);
}

/*
 * A stopping front closes kept connections, but a request may be on its way. Once our side is shut down for receiving,
 * nothing more can be written to a unix socket, and what was written before is served.
 */
static ssize_t look_in_last(struct front *f, struct peer *p)
{
    shutdown(p->fd, SHUT_RD);
    p->deaf = true;
    return look_in(f, p);
}

static void wait_for_rest(struct front *f, struct peer *p)
{
    if (has_hung_up(p) || p->deaf) {
        peer_break(f, p, "unfinished");
        return;
    }
    pthread_mutex_lock(&p->lock);
    if (p->deadline == CLOCK_NEVER || p->fresh)
        p->deadline = clock_after_ms(UNFINISHED_MS);
    p->fresh = false;
    pthread_mutex_unlock(&p->lock);
}

static void look_for_request(struct front *f, struct peer *p)
{
    ssize_t n = look_in(f, p);
    if (n < 0 && errno == EAGAIN && f->draining && !p->fresh)
        n = look_in_last(f, p);
    if (n < 0 && errno == EAGAIN)
        return;
    if (n <= 0) {
        peer_close(f, p);
        return;
    }
    switch (frame_scan(f->peek, (size_t)n, &p->frame)) {
    case FRAME_READY:
        begin(f, p, (size_t)n);
        break;
    case FRAME_MORE:
        wait_for_rest(f, p);
        break;
    case FRAME_BAD:
        peer_break(f, p, "protocol");
        break;
    }
}

/* ---- PARKED */

void peer_check_gone(struct front *f, struct peer *p)
{
    if (!has_hung_up(p))
        return;
    atomic_store(&p->exchange->call.gone, true);
    net_close(p->fd);
    p->fd = -1;
    p->state = PEER_GONE;
    metric_set(M_http_waiting, "", (double)(atomic_fetch_sub(&f->parked, 1) - 1));
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
        if (n <= 0)
            break;
    }
    peer_close(f, p);
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

void peer_event(struct front *f, struct peer *p)
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
        look_for_request(f, p);
    else if (state == PEER_SENDING)
        send_rest(f, p);
    else if (state == PEER_LINGER)
        throw_away(f, p);
}

void peer_sweep(struct front *f, struct peer *p, int64_t now)
{
    pthread_mutex_lock(&p->lock);
    enum peer_state state = now >= p->deadline ? p->state : PEER_FREE;
    pthread_mutex_unlock(&p->lock);
    if (state == PEER_IDLE)
        peer_break(f, p, "late");
    else if (state == PEER_SENDING)
        exchange_finish(p->exchange, RECORD_BROKEN);
    else if (state == PEER_LINGER)
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
