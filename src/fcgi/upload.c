/*
 * Bodies in pieces. Such a call goes with its reader to a thread of its own, so that those of the front are never held by an upload,
 * however long it takes. One is made for each: against what an upload costs it is nothing.
 */
#include <assert.h>
#include <signal.h>

#include "core/clock.h"
#include "core/mem.h"
#include "core/metrics.h"
#include "core/net.h"
#include "fcgi/front_in.h"

struct upload {
    struct front *front;
    struct exchange *exchange;
    struct reader *reader;
    int64_t deadline;
    bool over, broken; /* over: the reader has nothing to do with the connection any more */
};

/* What is left unread goes with the connection. */
static void end_reading(struct upload *u, enum read_result r)
{
    u->exchange->left = r == READ_LEFT;
    u->broken = r == READ_BROKEN;
    reader_end(u->reader);
    peer_patience(u->exchange->peer->fd, READ_MS);
    net_close_at(&u->exchange->peer->source);
    u->over = true;
}

static bool read_piece(void *arg, char *to, size_t room, size_t *ret_n, struct err *e)
{
    struct upload *u = arg;
    assert(!u->over && room > 0);
    enum read_result r = reader_piece(u->reader, u->deadline, to, room, ret_n, e);
    if (r != READ_OK || *ret_n == 0)
        end_reading(u, r);
    if (u->broken)
        err_set(e, ERR_GONE, "the body broke off, or took too long");
    return r == READ_OK;
}

/* After exchange_handle() without an answer the exchange may be gone at any moment. */
static void run(struct upload *u)
{
    struct exchange *x = u->exchange;
    struct peer *p = x->peer;
    uint64_t serial = x->serial;
    x->call.req.pieces = (struct pieces){.read = read_piece, .arg = u};
    bool answered = exchange_handle(x, NULL);
    assert(answered || (u->over && !u->broken));
    if (!answered) {
        exchange_park(u->front, p, serial);
        return;
    }
    if (!u->over) /* answered before its end: nginx has the rest and sends it, and then takes the answer */
        end_reading(u, reader_away(u->reader, u->deadline));
    if (u->broken)
        exchange_finish(x, RECORD_BROKEN);
    else
        exchange_answer(x);
}

static void leave(struct front *f)
{
    pthread_mutex_lock(&f->queue_lock);
    f->uploading--;
    pthread_cond_signal(&f->upload_over);
    pthread_mutex_unlock(&f->queue_lock);
}

static void *upload_thread(void *arg)
{
    struct upload *u = arg;
    struct front *f = u->front;
    run(u);
    reader_free(u->reader);
    mem_free(u);
    leave(f);
    return NULL;
}

static bool enter(struct front *f)
{
    pthread_mutex_lock(&f->queue_lock);
    bool fits = f->uploading < f->o.uploads;
    f->uploading += fits;
    pthread_mutex_unlock(&f->queue_lock);
    return fits;
}

/* Signals are blocked in it, as in the thread that it is made by: serve_start. */
bool upload_start(struct exchange *x, struct reader *reader)
{
    struct front *f = x->front;
    pthread_attr_t detached;
    pthread_t thread;
    if (!enter(f))
        return false;
    struct upload *u = mem_alloc(sizeof *u);
    *u = (struct upload){.front = f, .exchange = x, .reader = reader, .deadline = clock_after_ms(UPLOAD_MS)};
    peer_patience(x->peer->fd, UPLOAD_READ_MS);
    pthread_attr_init(&detached);
    pthread_attr_setdetachstate(&detached, PTHREAD_CREATE_DETACHED);
    bool begun = pthread_create(&thread, &detached, upload_thread, u) == 0;
    pthread_attr_destroy(&detached);
    if (begun)
        return true;
    mem_free(u);
    leave(f);
    return false;
}

void uploads_end(struct front *f)
{
    pthread_mutex_lock(&f->queue_lock);
    while (f->uploading > 0)
        pthread_cond_wait(&f->upload_over, &f->queue_lock);
    pthread_mutex_unlock(&f->queue_lock);
}
