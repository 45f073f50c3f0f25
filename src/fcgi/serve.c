#include <assert.h>
#include <signal.h>
#include <stdio.h>

#include "core/clock.h"
#include "core/limits.h"
#include "core/log.h"
#include "core/mem.h"
#include "core/metrics.h"
#include "core/net.h"
#include "fcgi/reply.h"
#include "fcgi/front_in.h"

/* An answer given inside handle() is sent when that has returned, by the thread that still owns the connection. */
static _Thread_local struct {
    struct exchange *exchange;
    uint64_t serial;
    bool answered;
} handling;

/* ---- the queue between the dispatcher and the threads */

/*
 * One thread is woken at a time, and wakes the next if there is more to do than it took. Waking a thread a request would
 * have them all up for a moment's work, which those that are running would have done between them: with eight threads
 * that was three times the context switches (docs/fcgi.md). Caller holds the lock.
 */
static bool should_wake(struct front *f)
{
    bool wake = f->queue_count > 0 && f->idle_threads > 0 && !f->waking;
    f->waking = f->waking || wake;
    return wake;
}

bool serve_push(struct front *f, struct peer *p)
{
    pthread_mutex_lock(&f->queue_lock);
    size_t room = (size_t)f->o.queue;
    bool fits = f->queue_count < room;
    if (fits)
        f->queue[(f->queue_head + f->queue_count++) % room] = p;
    bool wake = should_wake(f);
    pthread_mutex_unlock(&f->queue_lock);
    if (wake)
        pthread_cond_signal(&f->queue_filled);
    return fits;
}

static void wait_for_work(struct front *f)
{
    f->idle_threads++;
    pthread_cond_wait(&f->queue_filled, &f->queue_lock);
    f->idle_threads--;
    f->waking = false;
}

static struct peer *queue_pop(struct front *f)
{
    struct peer *p = NULL;
    pthread_mutex_lock(&f->queue_lock);
    while (f->queue_count == 0 && !f->quit)
        wait_for_work(f);
    if (!f->quit) {
        p = f->queue[f->queue_head];
        f->queue_head = (f->queue_head + 1) % (size_t)f->o.queue;
        f->queue_count--;
    }
    bool wake = should_wake(f);
    pthread_mutex_unlock(&f->queue_lock);
    if (wake)
        pthread_cond_signal(&f->queue_filled);
    return p;
}

/* ---- exchanges */

static void on_send(struct call *call);

static struct exchange *exchange_new(struct front *f, struct peer *p)
{
    struct exchange *x = exchange_take(f);
    x->peer = p;
    x->serial = atomic_fetch_add(&f->serial, 1) + 1;
    x->keep = p->arrival.keep;
    x->call.send = on_send;
    x->call.front = x;
    x->call.started = p->since;
    pthread_mutex_lock(&p->lock);
    p->serial = x->serial;
    p->exchange = x;
    pthread_mutex_unlock(&p->lock);
    return x;
}

static void end(struct exchange *x, enum peer_next next)
{
    struct front *f = x->front;
    struct peer *p = x->peer;
    exchange_give(f, x);
    peer_next(f, p, next);
}

void exchange_finish(struct exchange *x, enum record_result r)
{
    if (r != RECORD_DONE) {
        metric_add(M_http_broken, "", 1);
        end(x, NEXT_CLOSE);
    } else if (x->left) {
        end(x, NEXT_LINGER);
    } else {
        end(x, x->keep ? NEXT_IDLE : NEXT_CLOSE);
    }
}

/* ---- answers */

static void count(const struct call *c)
{
    static const char *const classes[] = {"other", "1xx", "2xx", "3xx", "4xx", "5xx"};
    double seconds = (double)(clock_now() - c->started) / (double)NS_PER_S;
    metric_add(M_http_requests, classes[c->res.status / 100], 1);
    metric_observe(M_http_seconds, c->route ? c->route : "other", seconds);
}

/* The caller owns the connection. */
void exchange_answer(struct exchange *x)
{
    struct call *call = &x->call;
    reply_head(call, &x->head);
    count(call);
    bool body = reply_has_body(call);
    if (body && call->res.stream.more) {
        struct err e = ERR_INIT;
        bool sent = reply_stream(call, buf_view(&x->head), x->peer->fd, x->peer->arrival.id, &e);
        if (!sent)
            log_warn_err("http.unfinished", &e, "request_id=" SPAN_FMT, SPAN_ARG(call->req.request_id));
        exchange_finish(x, sent ? RECORD_DONE : RECORD_BROKEN);
        return;
    }
    x->out = record_out(x->peer->arrival.id, buf_view(&x->head), body ? buf_view(&call->res.body) : SPAN(""),
                        true);
    enum record_result r = record_send(&x->out, x->peer->fd);
    if (r == RECORD_AGAIN)
        peer_send_later(x->front, x);
    else
        exchange_finish(x, r);
}

static void on_send(struct call *call)
{
    struct exchange *x = call->front;
    if (x == handling.exchange && x->serial == handling.serial) {
        assert(!handling.answered);
        handling.answered = true;
        return;
    }
    struct peer *p = x->peer;
    pthread_mutex_lock(&p->lock);
    enum peer_state was = p->state;
    assert(was == PEER_BUSY || was == PEER_PARKED || was == PEER_GONE);
    if (was != PEER_GONE)
        p->state = PEER_ANSWERING;
    pthread_mutex_unlock(&p->lock);
    if (was == PEER_PARKED)
        count_parked(x->front, -1);
    if (was == PEER_GONE)
        end(x, NEXT_CLOSE);
    else
        exchange_answer(x);
}

/* ---- a thread */

/* The answer comes later, unless it came already from another thread. The call is api's: it is not touched here. */
void exchange_park(struct front *f, struct peer *p, uint64_t serial)
{
    pthread_mutex_lock(&p->lock);
    if (p->serial == serial && p->state == PEER_BUSY) {
        p->state = PEER_PARKED;
        count_parked(f, 1);
        if (p->again)
            peer_check_gone(f, p);
    }
    pthread_mutex_unlock(&p->lock);
}

/* In state BUSY nobody else looks at the descriptors. */
static enum read_result read_request(struct front *f, struct reader *reader, struct peer *p,
                                     struct call *call, struct err *e)
{
    int *from = p->source >= 0 ? &p->source : &p->fd;
    struct piecewise pieces = {f->o.pieces, f->arg};
    enum read_result r =
        reader_read(reader, *from, &p->arrival, pieces, clock_after_ms(UNFINISHED_MS), call, e);
    if (r == READ_PIECES)
        return r;
    if (r == READ_CLOSED) {
        *from = -1;
        r = READ_BROKEN;
    }
    net_close_at(&p->source);
    return r;
}

bool exchange_handle(struct exchange *x, const struct err *refusal)
{
    struct front *f = x->front;
    handling.exchange = x;
    handling.serial = x->serial;
    handling.answered = false;
    if (refusal)
        call_problem(&x->call, refusal);
    else
        f->handle(f->arg, &x->call);
    handling.exchange = NULL;
    return handling.answered;
}

/* With a refusal it is answered so, and handle() not asked. */
static void run(struct front *f, struct exchange *x, const struct err *refusal)
{
    struct peer *p = x->peer;
    uint64_t serial = x->serial;
    if (exchange_handle(x, refusal))
        exchange_answer(x);
    else
        exchange_park(f, p, serial);
}

/* ---- calls that may wait for another server: there is always a thread for those that do not */

enum turn { TURN_NOW, TURN_LATER, TURN_NEVER };

static enum turn take_turn(struct front *f, struct exchange *x)
{
    int most = f->o.threads > 1 ? f->o.threads - 1 : 1;
    enum turn turn = TURN_NEVER;
    pthread_mutex_lock(&f->queue_lock);
    if (f->waiting_threads < most) {
        f->waiting_threads++;
        turn = TURN_NOW;
    } else if (f->held_back_count < f->o.queue && x->call.req.body.len == 0) {
        f->held_back_count++;
        *f->held_back_end = x;
        f->held_back_end = &x->next;
        turn = TURN_LATER;
    }
    pthread_mutex_unlock(&f->queue_lock);
    return turn;
}

/* The one held back for longest; without any the thread is no longer one that waits. */
static struct exchange *next_turn(struct front *f)
{
    pthread_mutex_lock(&f->queue_lock);
    struct exchange *x = f->held_back;
    if (x) {
        f->held_back = x->next;
        f->held_back_count--;
        if (!f->held_back)
            f->held_back_end = &f->held_back;
    } else {
        f->waiting_threads--;
    }
    pthread_mutex_unlock(&f->queue_lock);
    return x;
}

static void refuse_waiting(struct front *f, struct exchange *x)
{
    struct err e = ERR_INIT;
    err_set(&e, ERR_BUSY, "too many requests wait for the store; try again");
    metric_add(M_http_refused, "", 1);
    run(f, x, &e);
}

static void run_waiting(struct front *f, struct exchange *x)
{
    switch (take_turn(f, x)) {
    case TURN_NOW:
        run(f, x, NULL);
        break;
    case TURN_LATER:
        return;
    case TURN_NEVER:
        refuse_waiting(f, x);
        return;
    }
    while ((x = next_turn(f)) != NULL)
        if (clock_now() - x->call.started > HELD_MS * NS_PER_MS)
            refuse_waiting(f, x);
        else
            run(f, x, NULL);
}

/* True: all of the body was there. */
static bool read_away(struct reader *reader, int fd)
{
    peer_patience(fd, AWAY_MS);
    bool all = reader_away(reader, clock_after_ms(AWAY_MS)) == READ_OK;
    peer_patience(fd, READ_MS);
    return all;
}

/* nginx, which has sent all of a body, uses the connection again as soon as it has the answer: it must not be closed then. Of a body
 * that is still coming the rest is left to the dispatcher; and so is all of it when the other threads are at it already, since one is
 * to be there for those who want something else. */
static void refuse_upload(struct front *f, struct exchange *x, struct reader *reader)
{
    struct err e = ERR_INIT;
    int others = atomic_fetch_add(&f->away, 1);
    bool may = others == 0 || others < f->o.threads - 1;
    x->left = !may || !read_away(reader, x->peer->fd);
    atomic_fetch_sub(&f->away, 1);
    reader_end(reader);
    net_close_at(&x->peer->source);
    err_set(&e, ERR_BUSY, "as many uploads are under way as may be, %d: try again", f->o.uploads);
    metric_add(M_http_refused, "", 1);
    run(f, x, &e);
}

/* False: the reader has gone with an upload. */
static bool serve(struct front *f, struct reader *reader, struct peer *p)
{
    struct exchange *x = exchange_new(f, p);
    struct err e = ERR_INIT;
    enum read_result r = read_request(f, reader, p, &x->call, &e);
    x->left = r == READ_LEFT;
    if (r == READ_BROKEN)
        exchange_finish(x, RECORD_BROKEN);
    else if (r == READ_PIECES && upload_start(x, reader))
        return false;
    else if (r == READ_PIECES)
        refuse_upload(f, x, reader);
    else if (r != READ_OK)
        run(f, x, &e);
    else if (f->o.waits && f->o.waits(f->arg, &x->call))
        run_waiting(f, x);
    else
        run(f, x, NULL);
    return true;
}

static void *serve_thread(void *arg)
{
    struct front *f = arg;
    struct reader *reader = reader_new();
    struct peer *p;
    while ((p = queue_pop(f)) != NULL)
        if (!serve(f, reader, p))
            reader = reader_new();
    reader_free(reader);
    return NULL;
}

bool serve_start(struct front *f, struct err *e)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, &before); /* libfcgi takes an interrupted read for a broken one */
    int failed = 0;
    while (!failed && f->thread_count < f->o.threads) {
        failed = pthread_create(&f->threads[f->thread_count], NULL, serve_thread, f);
        if (!failed) {
            char name[16];
            snprintf(name, sizeof name, "http-%d", f->thread_count % 1000);
            pthread_setname_np(f->threads[f->thread_count++], name);
        }
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return failed ? err_set(e, ERR_SYSTEM, "thread %d of %d cannot be started", f->thread_count + 1,
                            f->o.threads)
                  : true;
}

void serve_stop(struct front *f)
{
    pthread_mutex_lock(&f->queue_lock);
    f->quit = true;
    pthread_mutex_unlock(&f->queue_lock);
    pthread_cond_broadcast(&f->queue_filled);
    for (int i = 0; i < f->thread_count; i++)
        pthread_join(f->threads[i], NULL);
    uploads_end(f);
}
