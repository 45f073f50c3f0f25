/*
 * store.c: what the store does in a second, and beside it what this disk and PostgreSQL themselves do. It needs an empty
 * database whose server syncs, and empties Lathe's tables in it.
 *
 *     LATHE_STORE_URL=… bench/store [TASKS [IN_FLIGHT]]        bench/run store does it on a server of its own
 *
 * Prints a line a figure: name, value, unit.
 */
#include <libpq-fe.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/clock.h"
#include "core/mem.h"
#include "store/store.h"

#define LATENCIES 2000
#define CLAIM 256
#define BULK 10000
#define BULKS 10

static struct store *store;
static struct store_writer *writer;
static PGconn *admin;

static void die(const char *what, const struct err *e)
{
    fprintf(stderr, "bench/store: %s: %s\n", what, e ? e->text : PQerrorMessage(admin));
    exit(1);
}

static double number(const char *sql)
{
    PGresult *r = PQexec(admin, sql);
    if (PQresultStatus(r) != PGRES_TUPLES_OK)
        die(sql, NULL);
    double v = PQntuples(r) > 0 ? strtod(PQgetvalue(r, 0, 0), NULL) : 0;
    PQclear(r);
    return v;
}

static double wal(void)
{
    return number("SELECT pg_current_wal_lsn() - '0/0'::pg_lsn");
}

/* ---- submission ---- */

struct put {
    struct new_task task;
    struct new_tasks list;
    int64_t began, took;
};

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static size_t in_flight;

static void on_put(void *arg, const struct err *e)
{
    struct put *p = arg;
    if (e)
        die("put", e);
    p->took = clock_now() - p->began;
    pthread_mutex_lock(&mutex);
    in_flight--;
    pthread_cond_signal(&changed);
    pthread_mutex_unlock(&mutex);
}

static struct new_task task_new(void)
{
    return (struct new_task){
        .id = uuid_v7(),
        .handler = SPAN("echo"),
        .strategy = SPAN("background"),
        .inner = SPAN("auto"),
        .queue = SPAN("default"),
        .params = SPAN("{\"text\":\"hello\",\"repeat\":3}"),
        .tags = SPAN(""),
        .meta = SPAN(""),
        .digest = 7,
        .priority = 5,
        .items_total = 1,
        .batch_size = 1,
        .workers = 1,
        .unit_size = 1,
        .units = 1,
    };
}

/* Until fewer than `most` are in flight; counts one more. */
static void wait_below(size_t most)
{
    pthread_mutex_lock(&mutex);
    while (in_flight >= most)
        pthread_cond_wait(&changed, &mutex);
    in_flight++;
    pthread_mutex_unlock(&mutex);
}

static void put(struct put *p)
{
    struct err e = ERR_INIT;
    p->task = task_new();
    p->task.inputs_of = p->task.id;
    p->list = (struct new_tasks){.list = &p->task, .count = 1, .done = on_put, .arg = p};
    p->began = clock_now();
    if (!store_put(writer, &p->list, &e))
        die("put", &e);
}

/* One thread that keeps `most` in flight: the callers' own cost is not what is measured. */
static double put_all(struct put *list, size_t n, size_t most)
{
    int64_t began = clock_now();
    for (size_t i = 0; i < n; i++) {
        wait_below(most);
        put(&list[i]);
    }
    wait_below(1);
    in_flight = 0;
    return (double)(clock_now() - began) / 1e9;
}

/* Lists of BULK tasks, two at a time: one is written, one waits. */
static double put_bulk(struct put *puts, size_t n)
{
    struct new_task *tasks = mem_array(n * BULK, sizeof *tasks);
    int64_t began = clock_now();
    for (size_t i = 0; i < n * BULK; i++) {
        tasks[i] = task_new();
        tasks[i].inputs_of = tasks[i].id;
    }
    for (size_t i = 0; i < n; i++) {
        struct err e = ERR_INIT;
        wait_below(2);
        puts[i].list = (struct new_tasks){.list = tasks + i * BULK, .count = BULK, .done = on_put, .arg = &puts[i]};
        if (!store_put(writer, &puts[i].list, &e))
            die("put", &e);
    }
    wait_below(1);
    in_flight = 0;
    double s = (double)(clock_now() - began) / 1e9;
    mem_free(tasks);
    return s;
}

static int by_time(const void *a, const void *b)
{
    int64_t x = ((const struct put *)a)->took, y = ((const struct put *)b)->took;
    return x < y ? -1 : x > y;
}

static void show_latency(const char *name, struct put *list, size_t n)
{
    qsort(list, n, sizeof *list, by_time);
    printf("%s_p50 %.3f ms\n%s_p99 %.3f ms\n", name, (double)list[n / 2].took / 1e6, name,
           (double)list[n * 99 / 100].took / 1e6);
}

/* ---- work ---- */

/* Finishes what was claimed and claims more, in one round trip, until there is no more. */
static size_t drain(struct store_worker *w)
{
    struct finish *ends = mem_array(CLAIM, sizeof *ends);
    struct claim now = {.count = 0};
    size_t done = 0;
    do {
        struct claim next = {.count = 0};
        struct err e = ERR_INIT;
        for (size_t i = 0; i < now.count; i++)
            ends[i] = (struct finish){
                .unit = &now.units[i],
                .state = TASK_succeeded,
                .results = SPAN("{\"index\":0,\"state\":\"succeeded\",\"result\":\"hello hello hello\"}\n"),
                .items_done = 1,
                .shape = {0, 1, 1, 1},
                .measured = {.wall_us = 50, .cpu_us = 20},
                .item_cpu_ns = 20000,
                .started_us = clock_now() / 1000,
                .finished_us = clock_now() / 1000,
            };
        if (!store_turn(w, ends, now.count, CLAIM, &next, &e))
            die("turn", &e);
        for (size_t i = 0; i < now.count; i++)
            done += ends[i].applied;
        arena_release(&now.arena);
        now = next;
    } while (now.count > 0);
    mem_free(ends);
    return done;
}

static void nothing(void *arg, const char *text)
{
    (void)arg;
    (void)text;
}

int main(int argc, char **argv)
{
    size_t n = argc > 1 ? strtoul(argv[1], NULL, 10) : 100000,
           most = argc > 2 ? strtoul(argv[2], NULL, 10) : 64;
    struct conf c;
    struct err e = ERR_INIT;
    int none = 1;
    char *names[] = {argv[0], NULL};
    if (!conf_load(&c, NULL, &none, names, &e) || !store_open(&c, "bench", &store, &e) ||
        !store_migrate(store, nothing, NULL, &e) || !store_writer_new(store, &writer, &e))
        die("start", &e);
    admin = PQconnectdb(c.store_url);
    PQclear(PQexec(admin, "SET client_min_messages = warning"));
    PQclear(PQexec(admin, "TRUNCATE tasks, work, leases, inputs, results, profiles, corrections"));
    PQclear(PQexec(admin, "CHECKPOINT"));

    struct put *list = mem_array(n > LATENCIES ? n : LATENCIES, sizeof *list);
    put_all(list, 100, 1); /* the first ones prepare and plan */
    put_all(list, LATENCIES, 1);
    show_latency("put_one", list, LATENCIES);

    double before = wal();
    double s = put_all(list, n, most);
    printf("put %.0f tasks/s\n", (double)n / s);
    show_latency("put", list, n);
    printf("put_wal %.0f bytes/task\n", (wal() - before) / (double)n);

    s = put_bulk(list, BULKS);
    printf("bulk %.0f tasks/s\n", BULKS * BULK / s);

    struct worker_info info = {.name = SPAN("bench"), .host = SPAN("here"), .queues = SPAN("default")};
    struct store_worker *w;
    if (!store_worker_new(store, &info, &w, &e))
        die("worker", &e);
    before = wal();
    int64_t began = clock_now();
    size_t done = drain(w);
    s = (double)(clock_now() - began) / 1e9;
    printf("turn %.0f units/s\nturn_wal %.0f bytes/unit\n", (double)done / s,
           (wal() - before) / (double)done);
    if (done != n + LATENCIES + 100 + BULKS * BULK)
        die("drain", &(struct err){.text = "units were lost"});

    store_worker_free(w);
    store_writer_free(writer);
    store_close(store);
    PQfinish(admin);
    return 0;
}
