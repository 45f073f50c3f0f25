/*
 * queue_bench.h: an api and a worker in one test program, each with connections and threads of its own as if they were two
 * processes, on the PostgreSQL of run-c and on a Redis that the test may break. The poll of those who wait is set so far
 * away that what is told in time was told by a message, or by what stands in for messages when Redis is gone.
 */
#ifndef LATHE_TESTS_QUEUE_BENCH_H
#define LATHE_TESTS_QUEUE_BENCH_H

#include "test.h"

#include <pthread.h>

#include "core/limits.h"
#include "queue/inside.h"
#include "redis_server.h"

#define PATIENCE_MS 20000 /* less than half of POLL_NEVER_MS: what comes in time was not found by a poll */
#define POLL_NEVER_MS 60000
#define LONG_MS 120000
#define MANY 1000

#define ONE_ITEM "{\"handler\":\"echo\",\"items\":[1]}"

struct caller {
    struct queue_wait wait;
    struct arena arena;
    struct bench *bench;
    int told;
    enum err_code code;
    struct task task;
};

struct bench {
    struct redis_server redis;
    struct conf conf;
    struct queue *api, *far; /* far: the worker's */
    struct queue_worker *worker;
    struct worker_info info;
    int bell;
    struct claim claim;
    pthread_mutex_t lock;
    pthread_cond_t news;
    int told;
    struct caller *callers; /* MANY */
};

void migrate(void); /* first, in main: signals, log, schema */

int bench_setup(void **state);      /* everybody listens, and the bell of the subscription has rung */
int bench_setup_dead(void **state); /* Redis is not running */
int bench_setup_none(void **state); /* none is configured */
int bench_teardown(
    void **state); /* leaves no work behind for the next test: ends what is claimed and can be */

struct queue_worker *open_worker(struct bench *b, const char *queues, int *ret_bell);
void await_prompt(struct bench *b);
void await_bell(struct bench *b);

struct put {
    struct bench *bench;
    struct arena arena;
    struct uuid id;
    bool done;
    enum err_code code;
};

struct uuid put(struct bench *b, const char *strategy, const char *body); /* strategy NULL: compare */
void put_begin(struct bench *b, struct put *p, const char *strategy, const char *body);
struct uuid put_end(struct bench *b, struct put *p);

struct caller *await_task(struct bench *b, int k, struct uuid id, int64_t ms); /* in callers[k] */
void await_told(struct bench *b, int n);
void await_first_look(struct bench *b); /* from then on only a message can tell before the long poll does */

void claim(struct bench *b, int want);
void finish(struct bench *b, enum task_state state); /* every unit of the claim */
struct task get(struct bench *b, struct arena *a, struct uuid id);

#endif
