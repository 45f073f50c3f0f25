/*
 * Is a request there? The bytes are looked at where they wait in the socket, so that libfcgi can read them from there. Of
 * one that is not whole after half a second the bytes are taken into memory, for a unix socket stops taking small writes
 * after some hundred of them; once it is whole libfcgi reads it from a file in memory instead.
 */
#include <errno.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/clock.h"
#include "core/metrics.h"
#include "core/net.h"
#include "fcgi/front_in.h"

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
    metric_observe(M_http_seconds, "other", (double)(clock_now() - p->since) / (double)NS_PER_S);
    const struct arrival fr = p->arrival;
    bool taken = p->source >= 0 || (fr.whole && recv(p->fd, f->peek, seen, MSG_DONTWAIT) == (ssize_t)seen);
    net_close_at(&p->source);
    struct record_out o = record_out(fr.id, span_of(head), span_of(body), true);
    if (record_send(&o, p->fd) != RECORD_DONE)
        peer_next(f, p, NEXT_CLOSE);
    else if (!taken)
        peer_next(f, p, NEXT_LINGER);
    else
        peer_next(f, p, fr.keep ? NEXT_IDLE : NEXT_CLOSE);
}

/* Events that came before the bytes were seen are gone: whether the other side has hung up is carried on by hand. */
static void begin(struct front *f, struct peer *p, size_t seen, bool hung_up)
{
    p->fresh = false;
    p->drips = false;
    p->since = clock_now();
    pthread_mutex_lock(&p->lock);
    p->state = PEER_BUSY;
    p->serial = 0; /* the thread of the request before this one may not have come to park() yet */
    p->exchange = NULL;
    p->again = hung_up;
    p->deadline = CLOCK_NEVER;
    pthread_mutex_unlock(&p->lock);
    if (!serve_push(f, p))
        refuse(f, p, seen);
}

static void wait_for_rest(struct front *f, struct peer *p)
{
    if (p->deaf || peer_has_hung_up(p)) {
        peer_break(f, p, "unfinished");
        return;
    }
    pthread_mutex_lock(&p->lock);
    if (p->deadline == CLOCK_NEVER || p->fresh)
        p->deadline = clock_after_ms(UNFINISHED_MS);
    p->fresh = false;
    pthread_mutex_unlock(&p->lock);
}

/* ---- drips */

void intake_forget(struct front *f, struct peer *p)
{
    if (p->stash.len == 0)
        return;
    f->stashed -= p->stash.len;
    buf_release(&p->stash);
}

/* Takes what was just seen. */
static bool stash(struct front *f, struct peer *p, size_t seen)
{
    if (f->stashed + seen > LIMIT_FCGI_STASH || recv(p->fd, f->peek, seen, MSG_DONTWAIT) != (ssize_t)seen)
        return false;
    buf_put(&p->stash, f->peek, seen);
    if (p->stash.failed)
        return false;
    f->stashed += seen;
    return true;
}

static bool make_source(struct front *f, struct peer *p)
{
    p->source = memfd_create("request", MFD_CLOEXEC);
    size_t done = 0;
    for (ssize_t n = 0; p->source >= 0 && done < p->stash.len; done += (size_t)n) {
        n = write(p->source, p->stash.ptr + done, p->stash.len - done);
        if (n <= 0)
            return false;
    }
    intake_forget(f, p);
    return p->source >= 0 && lseek(p->source, 0, SEEK_SET) == 0;
}

static void judge_stash(struct front *f, struct peer *p, bool hung_up)
{
    enum arrival_verdict v = arrival_scan((const uint8_t *)p->stash.ptr, p->stash.len, &p->arrival);
    if (v == ARRIVAL_BAD)
        peer_break(f, p, "protocol");
    else if (v == ARRIVAL_MORE || !p->arrival.whole)
        wait_for_rest(f, p);
    else if (!make_source(f, p))
        peer_break(f, p, "memory");
    else
        begin(f, p, 0, hung_up);
}

/* ---- looking */

static ssize_t look(struct front *f, struct peer *p)
{
    ssize_t n = recv(p->fd, f->peek, LIMIT_FCGI_HEAD, MSG_PEEK | MSG_DONTWAIT);
    if (n >= 0 || errno != EAGAIN || !f->draining || p->fresh || p->stash.len > 0)
        return n;
    /* A stopping front closes kept connections, but a request may be on its way. With our side shut down for receiving
     * nothing more can be written to a unix socket; what was written before is served. */
    shutdown(p->fd, SHUT_RD);
    p->deaf = true;
    return recv(p->fd, f->peek, LIMIT_FCGI_HEAD, MSG_PEEK | MSG_DONTWAIT);
}

static void judge(struct front *f, struct peer *p, size_t seen, bool hung_up)
{
    switch (arrival_scan(f->peek, seen, &p->arrival)) {
    case ARRIVAL_READY:
        begin(f, p, seen, hung_up);
        break;
    case ARRIVAL_MORE:
        wait_for_rest(f, p);
        break;
    case ARRIVAL_BAD:
        peer_break(f, p, "protocol");
        break;
    }
}

void intake(struct front *f, struct peer *p, bool hung_up)
{
    ssize_t n = look(f, p);
    if (n < 0 && errno == EAGAIN)
        return;
    if (n <= 0) {
        peer_close(f, p);
        return;
    }
    if (!p->drips) {
        judge(f, p, (size_t)n, hung_up);
        return;
    }
    bool taken = stash(f, p, (size_t)n);
    while (taken && (n = look(f, p)) > 0)
        taken = stash(f, p, (size_t)n);
    if (taken)
        judge_stash(f, p, hung_up);
    else
        peer_break(f, p, "too much");
}

void intake_gather(struct front *f, struct peer *p)
{
    if (!p->drips) {
        p->drips = true;
        intake(f, p, peer_has_hung_up(p));
    }
}
