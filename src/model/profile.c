/* profile.c: predicting what a shape would make of a workload. docs/recommending.md derives every line. */
#include "model/profile.h"

/* Memory, measured on x86-64 Debian 12 (docs/recommending.md): a warm child, a thread with its loop, an item in flight. */
#define CHILD_KIB  1500.0
#define THREAD_KIB 60.0
#define ITEM_KIB   1.0

static double most(double a, double b)
{
    return a > b ? a : b;
}

static int64_t share(int64_t n, int64_t among)
{
    return (n + among - 1) / among;
}

/* Items of the busiest thread when threads take `grain` at a time: the last turn need not be there for all of them. */
static int64_t busiest(int64_t n, int64_t threads, int64_t grain)
{
    int64_t turns = share(n, grain), rounds = share(turns, threads);
    int64_t rest = n - (turns - 1) * grain; /* of the very last turn */

    return turns % threads == 1 || threads == 1 ? (rounds - 1) * grain + rest : rounds * grain;
}

/*
 * `flight` items at once, each waiting w and then computing c on one of `servers` cores: all n are through their rounds
 * after rounds * (w + c), and the last round's items queue for the cores once more.
 */
static double in_rounds(int64_t n, int64_t flight, int64_t servers, double w, double c)
{
    int64_t rounds = share(n, flight), last = n - (rounds - 1) * flight;

    return (double)rounds * (w + c) + (double)(share(last, servers) - 1) * c;
}

static double start_up(const struct host *h, const struct shape *s)
{
    if (s->processes > 0)
        return (double)s->processes * h->process_start + (double)(s->threads - 1) * h->thread_start;
    return (double)(s->threads - 1) * h->thread_start; /* the first is the caller's own */
}

static double memory(const struct profile *p, const struct shape *s, int64_t items)
{
    int64_t flight = shape_in_flight(s) < items ? shape_in_flight(s) : items;

    return (double)s->processes * CHILD_KIB + (double)shape_threads(s) * THREAD_KIB +
           (double)flight * (ITEM_KIB + p->result_bytes / 1024.0);
}

struct prediction predict(const struct profile *p, const struct host *h, const struct shape *s, int64_t items)
{
    if (p->items <= 0 || items <= 0)
        return (struct prediction){.memory_kib = memory(p, s, items), .bound = "unknown"};

    int64_t threads = shape_threads(s), flight = shape_in_flight(s);
    int64_t cores = h->cores > 0 ? h->cores : 1, servers = cores < threads ? cores : threads;
    double c = p->cpu + (s->processes > 0 ? h->process_item : h->item_cost);
    double w = p->wait > 0 ? p->wait + h->timer_slack : 0;
    double start = start_up(h, s);
    double cpu = (double)share(items, servers) * c;
    int64_t own = busiest(items, threads, s->grain);
    double work = most(w + cpu, in_rounds(items, flight, servers, w, c));

    work = most(work, in_rounds(own, s->width, 1, w, c));

    struct prediction r = {
        .wall = start + work,
        .cpu = (double)items * c + start,
        .items_per_s = (double)items * 1e9 / most(start + work, 1),
        .memory_kib = memory(p, s, items),
    };
    double waits = (double)share(items, flight) * w;

    if (start > work)
        r.bound = "start-up";
    else if (items <= flight && cpu <= w + c)
        r.bound = "one item";
    else
        r.bound = cpu >= waits ? "cpu" : "waits";
    return r;
}
