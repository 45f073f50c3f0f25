/*
 * limits.c: submits and works off tasks at the store under a kind of limit, so that bench/part_limits.py can see what it
 * costs PostgreSQL. It needs a database of its own.
 *
 *     LATHE_STORE_URL=… bench/limits KIND TASKS        KIND: none tenant key8 key256 keys rate
 *
 * Prints the units that were worked off in a second.
 */
#include <libpq-fe.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/clock.h"
#include "core/mem.h"
#include "store/store.h"

#define IN_FLIGHT 64
#define CLAIM 64

static struct store *store;
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static size_t in_flight;

LATHE_NORETURN static void die(const char *what, const struct err *e)
{
    fprintf(stderr, "bench/limits: %s: %s\n", what, e->text);
    exit(1);
}

static struct span terms_of(struct arena *a, const char *kind, size_t i)
{
    if (strcmp(kind, "tenant") == 0)
        return span_of(arena_printf(a, "{\"tenant\":\"t%zu\"}", i % 10));
    if (strcmp(kind, "key8") == 0)
        return SPAN("{\"limit\":{\"key\":\"one\",\"concurrency\":8}}");
    if (strcmp(kind, "key256") == 0)
        return SPAN("{\"limit\":{\"key\":\"one\",\"concurrency\":256}}");
    if (strcmp(kind, "keys") == 0)
        return span_of(arena_printf(a, "{\"limit\":{\"key\":\"k%zu\",\"concurrency\":8}}", i % 1000));
    if (strcmp(kind, "rate") == 0)
        return SPAN("{\"limit\":{\"key\":\"one\",\"rate\":1000000,\"per_s\":1}}");
    return SPAN("");
}

struct put {
    struct new_task task;
    struct new_tasks list;
};

static void on_put(void *arg, const struct err *e)
{
    (void)arg;
    if (e)
        die("put", e);
    pthread_mutex_lock(&mutex);
    in_flight--;
    pthread_cond_signal(&changed);
    pthread_mutex_unlock(&mutex);
}

static void wait_for(size_t most)
{
    pthread_mutex_lock(&mutex);
    while (in_flight > most)
        pthread_cond_wait(&changed, &mutex);
    in_flight++;
    pthread_mutex_unlock(&mutex);
}

static void put_all(struct store_writer *writer, const char *kind, size_t n)
{
    struct arena a CLEANUP(arena_release) = ARENA_INIT;
    struct put *list = mem_array(n, sizeof *list);
    struct err e = ERR_INIT;
    for (size_t i = 0; i < n; i++) {
        list[i].task = (struct new_task){.id = uuid_v7(),
                                         .handler = SPAN("echo"),
                                         .strategy = SPAN("background"),
                                         .inner = SPAN("auto"),
                                         .queue = SPAN("default"),
                                         .params = SPAN("{}"),
                                         .tags = SPAN(""),
                                         .meta = SPAN(""),
                                         .terms = terms_of(&a, kind, i),
                                         .priority = 5,
                                         .items_total = 1,
                                         .batch_size = 1,
                                         .workers = 1,
                                         .unit_size = 1,
                                         .units = 1};
        list[i].list = (struct new_tasks){.list = &list[i].task, .count = 1, .done = on_put};
        wait_for(IN_FLIGHT - 1);
        if (!store_put(writer, &list[i].list, &e))
            die("put", &e);
    }
    wait_for(0);
    in_flight = 0;
    mem_free(list);
}

/* Until n are done: finishes what was claimed and claims more, in one round trip. */
static void drain(struct store_worker *w, size_t n)
{
    struct finish ends[CLAIM];
    struct claim now = {.count = 0};
    for (size_t done = 0; done < n; done += now.count) {
        struct claim next = {.count = 0};
        struct err e = ERR_INIT;
        for (size_t i = 0; i < now.count; i++)
            ends[i] = (struct finish){.unit = &now.units[i],
                                      .state = TASK_succeeded,
                                      .results = SPAN("{\"index\":0,\"state\":\"succeeded\",\"result\":1}\n"),
                                      .items_done = 1,
                                      .shape = {0, 1, 1, 1},
                                      .started_us = clock_wall_us(),
                                      .finished_us = clock_wall_us()};
        if (!store_turn(w, ends, now.count, CLAIM, &next, &e))
            die("turn", &e);
        arena_release(&now.arena);
        now = next;
        if (now.count == 0 && done < n)
            die("drain", &(struct err){.text = "nothing may be claimed, and not all is done"});
    }
    for (size_t i = 0; i < now.count; i++)
        ends[i] = (struct finish){
            .unit = &now.units[i], .state = TASK_succeeded, .results = SPAN("{\"index\":0}\n"), .items_done = 1};
    struct claim none = {.count = 0};
    struct err e = ERR_INIT;
    if (!store_turn(w, ends, now.count, 0, &none, &e))
        die("turn", &e);
    arena_release(&now.arena);
}

static void nothing(void *arg, const char *text)
{
    (void)arg;
    (void)text;
}

int main(int argc, char **argv)
{
    struct conf c;
    struct err e = ERR_INIT;
    int none = 1;
    char *names[] = {argv[0], NULL};
    struct store_writer *writer;
    struct store_worker *w;
    struct worker_info info = {.name = SPAN("bench"), .host = SPAN("here"), .queues = SPAN("default")};
    size_t n = argc > 2 ? strtoul(argv[2], NULL, 10) : 0;
    if (n == 0 || !conf_load(&c, NULL, &none, names, &e) || !store_open(&c, "bench", &store, &e) ||
        !store_migrate(store, nothing, NULL, &e) || !store_writer_new(store, &writer, &e) ||
        !store_worker_new(store, &info, &w, &e))
        die("start", &e);
    put_all(writer, argv[1], n);
    int64_t began = clock_now();
    drain(w, n);
    printf("%.0f\n", (double)n / ((double)(clock_now() - began) / 1e9));
    store_worker_free(w);
    store_writer_free(writer);
    store_close(store);
    return 0;
}
