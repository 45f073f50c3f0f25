/*
 * front_in.h: the inside of the front: front.c (life and the dispatcher's loop), peer.c (a connection's states),
 * intake.c (is a request there?), exchange.c (their memory), serve.c (the threads, and answers) and upload.c (bodies in pieces). Not for anybody else.
 *
 * Who may touch a connection's descriptor is said by its state, and states change under its lock. A descriptor is closed
 * under the lock: by the state's owner, of a PARKED one by whoever finds under the lock that the client has left, which is the
 * dispatcher or the thread that parks it; and by libfcgi, without the lock, while its thread reads a BUSY one, for nobody else
 * looks at that (read_request forgets the number). So nobody ever uses a number that belongs to another connection by
 * then. A struct peer is never freed before the front, only used again: an event that comes late finds a connection in
 * some state and at worst makes somebody look once for nothing.
 *
 *                       ┌───────────────────────────────────────────────┐
 *     accept ─▶ IDLE ─▶ BUSY ─▶ PARKED ─▶ ANSWERING ─▶ (SENDING) ─▶ IDLE or closed or LINGER ─▶ closed
 *                         └───────│──────────▲
 *                                 └─▶ GONE ─▶ closed
 */
#ifndef LATHE_FCGI_FRONT_IN_H
#define LATHE_FCGI_FRONT_IN_H

#include <pthread.h>
#include <stdint.h>

#include "core/limits.h"
#include "fcgi/arrival.h"
#include "fcgi/front.h"
#include "fcgi/reader.h"
#include "fcgi/record.h"

#define UNFINISHED_MS \
    10000 /* a request must be there this long after its first byte, its body after its head */
#define DRIPS_MS \
    500 /* one that is not there after this is gathered in memory, which an upload does not fit into */
#define READ_MS 5000 /* one read of a body */
#define UPLOAD_READ_MS \
    20000 /* of one that comes in pieces, by no thread of the front: more than client_body_timeout of conf/nginx */
#define SEND_MS 30000 /* an answer of which the other side takes nothing for so long is given up */
#define UPLOAD_MS (LIMIT_UPLOAD_S * 1000LL) /* a body that comes in pieces is there so long after its head */
#define LINGER_MS 2000
#define AWAY_MS 100   /* for the rest of a body that nobody wants */
#define HELD_MS 10000 /* a call that had no thread to wait on for so long is not begun any more */
#define FRESH_MS 1000 /* a stopping front waits so long for the request of a connection just made */

/* A whole request has at most this, however small its records are; all that are stashed, LIMIT_FCGI_STASH. */
#define STASH_MOST (2 * LIMIT_BODY)

enum peer_state {
    PEER_FREE,
    PEER_IDLE,      /* dispatcher: between requests, or a request is half there */
    PEER_BUSY,      /* a thread: waits for one, is read, is in handle() */
    PEER_PARKED,    /* api has the call; the dispatcher watches whether the client leaves */
    PEER_ANSWERING, /* the thread that called call_send() */
    PEER_SENDING,   /* dispatcher: the socket has yet to take the rest of an answer */
    PEER_LINGER,    /* dispatcher: answered; input is thrown away until the other side closes */
    PEER_GONE,      /* closed; api still has the call */
};

struct exchange;

struct peer {
    pthread_mutex_t lock; /* of state, again, fd, serial, exchange, deadline */
    enum peer_state state;
    bool again;  /* something came in while it was not IDLE: look once more */
    bool fresh;  /* no request yet */
    bool deaf;   /* we shut down our receiving side */
    bool listed; /* in front.look; under its lock */
    int fd;
    uint64_t serial; /* of the exchange it is or was in; 0 from BUSY until a thread has taken it */
    struct exchange *exchange;
    int64_t deadline; /* the dispatcher closes it then; CLOCK_NEVER */
    int64_t since;    /* clock_now() when its request was complete */
    struct arrival arrival;
    bool drips; /* the request that is coming in goes into the stash: it takes long */
    struct buf stash;
    int source;        /* where libfcgi reads it, if it was stashed; else -1 */
    struct peer *next; /* in front.free */
    struct peer *next_look;
};

/* One request and its answer. */
struct exchange {
    struct call call;
    struct front *front;
    struct peer *peer;
    uint64_t serial;       /* unique in the front: addresses are used again */
    struct exchange *next; /* in front.held_back or front.spare */
    bool keep;             /* the connection, after the answer */
    bool left;             /* input was left unread: linger */
    struct buf head;
    struct record_out out;
};

struct front {
    struct front_options o;
    void (*handle)(void *arg, struct call *);
    void *arg;
    int epoll, bell;
    atomic_int stopping; /* how often front_stop was called */
    atomic_size_t held;  /* connections that are not FREE */
    atomic_int parked;   /* connections that are PARKED */
    atomic_int away;     /* threads that read away what nobody wants */
    atomic_bool paused;  /* not accepting, for want of descriptors or places */
    atomic_uint_fast64_t serial;

    /* the dispatcher's alone */
    bool listening, draining;
    int64_t drain_end, next_sweep, next_complaint;
    uint8_t *peek;  /* LIMIT_FCGI_HEAD */
    size_t stashed; /* bytes, of all connections */
    struct peer **peers;
    size_t peer_count;

    pthread_mutex_t list_lock; /* of free and look */
    struct peer *free, *look;

    pthread_mutex_t spare_lock;
    struct exchange *spare; /* to be used again */
    int spare_count;

    pthread_mutex_t queue_lock;
    pthread_cond_t queue_filled;
    struct peer **queue; /* ring of o.queue */
    size_t queue_head, queue_count;
    struct exchange *held_back,
        **held_back_end; /* calls that may wait, while waiting_threads is at its most */
    int held_back_count, waiting_threads;
    int idle_threads;
    bool waking;   /* one of them was signalled and has not run yet */
    int uploading; /* threads of uploads */
    pthread_cond_t upload_over;
    bool quit;
    pthread_t *threads;
    int thread_count;
};

/* peer.c, the dispatcher */
void peer_open(struct front *f, int fd);
void peer_event(struct front *f, struct peer *p, uint32_t events); /* of epoll; 0: somebody asked to look */
void peer_sweep(struct front *f, struct peer *p, int64_t now);
void peer_discard(struct front *f, struct peer *p); /* front_free */

/* peer.c, whoever owns the state */
enum peer_next { NEXT_IDLE, NEXT_CLOSE, NEXT_LINGER };
void peer_next(struct front *f, struct peer *p, enum peer_next next);
void peer_patience(int fd, int64_t ms); /* of one read */
void peer_send_later(struct front *f, struct exchange *x);
void count_parked(struct front *f, int by);
/* The client may have left meanwhile. Caller holds the lock; the state is PARKED. */
void peer_check_gone(struct front *f, struct peer *p);
bool peer_has_hung_up(const struct peer *p);
void peer_close(struct front *f, struct peer *p);
void peer_break(struct front *f, struct peer *p, const char *why); /* closed, and counted as broken */

/* intake.c, the dispatcher: the connection is IDLE */
void intake(struct front *f, struct peer *p, bool hung_up);
void intake_gather(struct front *f, struct peer *p); /* some of a request has been there for a while */
void intake_forget(struct front *f, struct peer *p); /* what was stashed */

/* exchange.c */
struct exchange *exchange_take(struct front *f); /* nothing is set but front */
void exchange_give(struct front *f, struct exchange *x);
void exchanges_free(struct front *f); /* those that are kept */

/* serve.c */
bool serve_start(struct front *f, struct err *e) LATHE_CHECK;
void serve_stop(struct front *f);
bool serve_push(struct front *f, struct peer *p); /* false: the queue is full */
void exchange_finish(struct exchange *x, enum record_result r);
/* Has handle() or, if there is one, the refusal answer. True: it was answered meanwhile, and exchange_answer() or exchange_finish()
 * is to follow. False: the call is api's, and exchange_park() is to follow, with the serial that it had. */
bool exchange_handle(struct exchange *x, const struct err *refusal);
void exchange_answer(struct exchange *x);
void exchange_park(struct front *f, struct peer *p, uint64_t serial);

/* upload.c: a thread for a body in pieces. False: there are as many as may be. From true on x and the reader are its. */
bool upload_start(struct exchange *x, struct reader *reader);
void uploads_end(struct front *f); /* waits for them */

/* front.c: have the dispatcher look at a connection. */
void front_look(struct front *f, struct peer *p);

#endif
