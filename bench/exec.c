/*
 * bench/exec: the engine alone, without HTTP, PostgreSQL or Redis: what an empty item costs under each strategy, and how
 * near each shape comes to the limit max(n*w/F, n*c/K, w+c) of n items that wait w and compute c with F in flight on K
 * cores. `bench/exec [quick] [NAME]` runs the part NAME only: echo, waits, cpu, hybrid, calibrate.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "core/json.h"
#include "core/mem.h"
#include "exec/exec.h"
#include "handlers/registry.h"
#include "model/strategy.h"

static int64_t cores;
static bool quick;

static void ignore(void *arg, const struct outcome *o)
{
    *(int64_t *)arg += o->kind == OUTCOME_OK;
}

static struct exec_report run(const struct handler *h, const void *args, int64_t n, struct shape shape)
{
    int64_t ok = 0;
    struct err e;
    struct exec_report r;
    struct plan p = {.handler = h,
                     .args = args,
                     .count = n,
                     .shape = shape,
                     .deadline = CLOCK_NEVER,
                     .done = ignore,
                     .arg = &ok};
    if (!exec_run(&p, &r, &e) || ok != n) {
        fprintf(stderr, "bench/exec: %s: %s\n", h->name, ok == n ? e.text : "items failed");
        exit(1);
    }
    return r;
}

static struct exec_report best(const struct handler *h, const void *args, int64_t n, struct shape shape)
{
    struct exec_report least = run(h, args, n, shape);
    for (int i = 0; i < 2; i++) {
        struct exec_report r = run(h, args, n, shape);
        if (r.wall_ns < least.wall_ns)
            least = r;
    }
    return least;
}

static const void *args_of(const struct handler *h, const char *query)
{
    char *args = mem_alloc(h->params.size + 1);
    fields_defaults(&h->params, args);
    struct span rest = span_of(query);
    while (rest.len) {
        struct span value = span_cut(&rest, '&'), name = span_cut(&value, '=');
        struct err e;
        if (!fields_set(&h->params, name, value, args, &e)) {
            fprintf(stderr, "bench/exec: %s\n", e.text);
            exit(1);
        }
    }
    return args;
}

static struct shape shape_of(const char *strategy, int64_t items, int64_t batch, int64_t workers)
{
    struct ask a = {.items = items, .batch_size = batch, .workers = workers, .cores = cores};
    return shape_fit(strategy_find(span_of(strategy))->shape(&a), items, 256);
}

static double limit(int64_t n, int64_t in_flight, int64_t on, double wait, double cpu)
{
    double waits = (double)n * wait / (double)in_flight, work = (double)n * cpu / (double)on,
           one = wait + cpu;
    double most = waits > work ? waits : work;
    return most > one ? most : one;
}

static void ratio(const char *what, const struct exec_report *r, double bound)
{
    double wall = (double)r->wall_ns / 1e9;
    printf("%-44s %8.3f s  limit %8.3f s  ratio %.3f  cpu %7.3f s  peak %5.1f MiB\n", what, wall, bound,
           wall / bound, (double)r->cpu_ns / 1e9, (double)r->peak_rss_kib / 1024);
    fflush(stdout);
}

static void bench_echo(void)
{
    int64_t n = quick ? 50000 : 300000;
    for (const struct strategy *const *s = strategies; *s; s++) {
        if ((*s)->kind != STRATEGY_SHAPED)
            continue;
        struct exec_report r = best(&handler_echo, NULL, n, shape_of((*s)->name, n, 5000, cores));
        printf("%" PRId64 " x echo, %-24s %10.0f items/s  %6.0f ns/item\n", n, (*s)->name,
               (double)n / ((double)r.wall_ns / 1e9), (double)r.wall_ns / (double)n);
    }
}

static void bench_waits(void)
{
    const void *args = args_of(&handler_sleep, "ms=20");
    const char *const names[] = {"threading", "concurrent-futures", "multiprocessing"};
    char line[80];
    for (size_t i = 0; i < COUNT_OF(names); i++)
        for (int warm = 0; warm < 2; warm++) {
            struct shape shape = shape_of(names[i], 1000, 1000, 50);
            struct exec_report r =
                warm ? best(&handler_sleep, args, 1000, shape) : run(&handler_sleep, args, 1000, shape);
            snprintf(line, sizeof line, "1000 x 20 ms, %s, W=50%s", names[i], warm ? "" : ", first");
            ratio(line, &r, limit(1000, 50, cores, 0.02, 0));
        }
}

static void bench_cpu(void)
{
    const void *args = args_of(&handler_simulate, "simulate_redis_delay=false&loop_iterations=500000");
    int64_t n = quick ? 100 : 400;
    struct exec_report one = best(&handler_simulate, args, n, shape_of("sequential", n, 100, 1));
    const char *const names[] = {"threading", "multiprocessing", "concurrent-futures", "hybrid"};
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        struct exec_report r = best(&handler_simulate, args, n, shape_of(names[i], n, 100, cores));
        printf("%" PRId64 " x %.2f ms of CPU, %-20s %.2f x sequential (of %" PRId64 " cores)\n", n,
               (double)one.item_cpu_ns / (double)n / 1e6, names[i], (double)one.wall_ns / (double)r.wall_ns,
               cores);
    }
}

static void bench_hybrid(void)
{
    int64_t n = quick ? 10000 : 50000;
    const void *loops = args_of(&handler_simulate, "simulate_redis_delay=false");
    const void *args = args_of(&handler_simulate, "simulate_db_delay=true");
    struct exec_report one = best(&handler_simulate, loops, 5000, shape_of("sequential", 5000, 1, 1));
    double cpu = (double)one.item_cpu_ns / 5000 / 1e9, wait = 1.0055;
    const struct {
        const char *name;
        int64_t batch, on;
    } cases[] = {{"hybrid", 5000, cores}, {"async-batch", 5000, 1}, {"hybrid", 20000, cores}};
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        char line[80];
        struct shape shape = shape_of(cases[i].name, n, cases[i].batch, cores);
        struct exec_report r = run(&handler_simulate, args, n, shape);
        snprintf(line, sizeof line, "%" PRId64 " x (1 s + 5.5 ms + %.0f us), %s/%" PRId64, n, cpu * 1e6,
                 cases[i].name, cases[i].batch);
        ratio(line, &r, limit(n, cases[i].batch, cases[i].on, wait, cpu));
    }
}

static void bench_calibrate(void)
{
    struct host h = {0};
    struct err e;
    int64_t began = clock_now();
    if (!exec_calibrate(&h, &e))
        return;
    printf(
        "calibrate, %.0f ms: thread %.0f us, warm child %.0f us, item %.0f ns, item of a child %.0f ns, timer slack "
        "%.0f us\n",
        (double)(clock_now() - began) / 1e6, h.thread_start / 1e3, h.process_start / 1e3, h.item_cost,
        h.process_item, h.timer_slack / 1e3);
}

static const struct part {
    const char *name;
    void (*run)(void);
} parts[] = {{"calibrate", bench_calibrate},
             {"echo", bench_echo},
             {"waits", bench_waits},
             {"cpu", bench_cpu},
             {"hybrid", bench_hybrid}};

int main(int argc, char **argv)
{
    struct err e;
    cores = sysconf(_SC_NPROCESSORS_ONLN);
    if (!exec_start(&e)) {
        fprintf(stderr, "bench/exec: %s\n", e.text);
        return 1;
    }
    const char *only = NULL;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "quick") == 0)
            quick = true;
        else
            only = argv[i];
    }
    for (size_t i = 0; i < COUNT_OF(parts); i++)
        if (!only || strcmp(only, parts[i].name) == 0)
            parts[i].run();
    exec_stop();
    return 0;
}
