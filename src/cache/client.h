/*
 * client.h: one connection to a Redis for the items of a thread, a queue of the calls whose answers are to come, in their order,
 * and an epoll set with the socket and a timerfd. Nothing here waits. One thread at a time.
 *
 *     if (client_ready(c, &e))
 *         client_add(c, call, words, n);      // call->over is called from here on: in any of the functions below
 *     …
 *     client_flush(c);                        // the thread has nothing else to do
 *     client_drive(c);                        // c->set is readable
 *     …
 *     client_rest(c);                         // all calls were dropped: what they asked for is still to be carried out
 */
#ifndef LATHE_CACHE_CLIENT_H
#define LATHE_CACHE_CLIENT_H

#include <pthread.h>

#include "cache/calls.h"
#include "core/breaker.h"

/* A Redis, as all threads of the process see it. */
struct target {
    const char *name; /* of the setting */
    const char *url, *password;
    int64_t db;
    const int64_t *timeout; /* a reload may change it */
    pthread_mutex_t lock;   /* over what follows */
    struct breaker breaker;
    struct client *idle;
    int idle_n;
};

struct client {
    struct target *target;
    redisContext *redis; /* NULL: not connected */
    int set, alarm;
    struct calls sent;     /* answers to come */
    struct calls held;     /* none until LIMIT_REDIS_CALLS were sent: they follow as answers come */
    size_t waiting, bytes; /* calls that were sent; bytes that were not flushed */
    size_t greetings;      /* answers to AUTH and SELECT, before the first call's */
    bool blocked;          /* the socket is watched for room */
    int64_t deadline;      /* something has to come by then; 0: nothing was sent */
    int64_t alarm_at;      /* 0: not set */
    unsigned turn;         /* the breaker's, while calls wait */
    bool left;             /* the breaker does not wait to hear how they go: client_rest */
    int64_t since;         /* idle. 0: it waits for answers, and is to be looked after */
    int silent;            /* looks in a row at which nothing had come */
    struct client *next;
};

struct client *client_new(struct target *t, struct err *e); /* not connected. NULL: no descriptors */
void client_free(struct client *c);                         /* what it has not sent is lost, unsaid */

/* For a call that is about to be added: a connection, as far as anybody can know. CACHE. */
bool client_ready(struct client *c, struct err *e);
/* Takes the call; the words are copied. Those that are lost are over with CACHE. */
void client_add(struct client *c, struct call *k, const struct span *words, size_t n);
void client_flush(struct client *c);

/* Sends what the socket takes, and hears what has come. */
void client_drive(struct client *c);
/* The same without a verdict on a Redis that is late. True: something has come, if only a
 * part of an answer, or the end of the connection. It reads 16 KiB at most. */
bool client_move(struct client *c);
/* What was asked is lost, and with `failure` because nothing came: the breaker counts that. */
void client_give_up(struct client *c, bool failure);

/* Nobody drives it for the moment: its deadline means nothing, and how its calls go is not waited for. */
void client_rest(struct client *c);
/* Somebody drives it again. What is under way has all its time, since nobody has looked. */
void client_wake(struct client *c);

#endif
