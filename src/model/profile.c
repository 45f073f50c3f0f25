/* profile.c: predicting what a shape would make of a workload. docs/recommending.md derives every line. */
#include "model/profile.h"

/* Memory, measured on x86-64 Debian 12 (docs/recommending.md): a child, each thread in it or in the worker, an item in
 * flight of a handler that keeps little. */
#define CHILD_KIB 110.0
#define THREAD_KIB 60.0
#define ITEM_KIB 0.8

#define FACTOR_MOST 10.0 /* a correction beyond it says that the profile is wrong, not the formulas */

static double most(double a, double b)
{
    return a > b ? a : b;
}

void host_bound(struct host *h)
{
    h->thread_start = most(h->thread_start, 3e3);
    h->process_start = most(h->process_start, 30e3);
    h->item_cost = most(h->item_cost, 20);
    h->process_item = most(h->process_item, 100);
    h->timer_slack = most(h->timer_slack, 1e3);
}

static int64_t share(int64_t n, int64_t among)
{
    return (n + among - 1) / among;
}

/* Threads, their width, the cores under them, and what an item does: waits w, then computes c. Nanoseconds. */
struct crew {
    int64_t threads, width, cores;
    double w, c;
};

/*
 * n items one by one from the cursor. Either the cores never rest after the first wait: w + a core's share of the CPU; or
 * they do: rounds of everything that is in flight, and the last round queues for the cores once more.
 */
static double span_of_items(const struct crew *k, int64_t n)
{
    int64_t flight = k->threads * k->width, servers = k->cores < k->threads ? k->cores : k->threads;
    int64_t rounds = share(n, flight), last = n - (rounds - 1) * flight;
    double busy = k->w + (double)share(n, servers) * k->c;
    double idle = (double)rounds * (k->w + k->c) + (double)(share(last, servers) - 1) * k->c;

    return most(busy, idle);
}

/* One thread of them with a core to itself. */
static double span_of_one(const struct crew *k, int64_t n)
{
    const struct crew one = {1, k->width, 1, k->w, k->c};

    return span_of_items(&one, n);
}

/*
 * n items, `grain` at a time. There are full rounds, a turn for every thread, and then a tail for which there
 * are fewer turns than threads: some go home and the others finish theirs. A wide thread begins the tail before it has
 * ended its last full turn, so that only what the busiest has to do counts.
 */
static double span_of_turns(const struct crew *k, int64_t n, int64_t grain)
{
    int64_t turns = share(n, grain), full = turns / k->threads * k->threads, tail = turns - full;
    int64_t done = full * grain < n ? full * grain : n;

    if (grain == 1 || tail == 0)
        return span_of_items(k, n);

    int64_t longest = tail > 1 ? grain : n - done; /* turn of the tail: only the very last one may be short */

    if (k->width > 1)
        return most(span_of_items(k, n), span_of_one(k, full / k->threads * grain + longest));

    const struct crew few = {tail, 1, k->cores, k->w, k->c};

    return (done > 0 ? span_of_items(k, done) : 0) +
           most(span_of_items(&few, n - done), span_of_one(k, longest));
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

    const struct crew crew = {
        .threads = shape_threads(s),
        .width = s->width,
        .cores = h->cores > 0 ? h->cores : 1,
        .w = p->wait > 0 ? p->wait + h->timer_slack : 0,
        .c = p->cpu + (s->processes > 0 ? h->process_item : h->item_cost),
    };
    double start = start_up(h, s), work = span_of_turns(&crew, items, s->grain);
    double cpu = (double)share(items, crew.cores < crew.threads ? crew.cores : crew.threads) * crew.c;
    double waits = (double)share(items, shape_in_flight(s)) * crew.w;
    struct prediction r = {
        .wall = start + work,
        .cpu = (double)items * crew.c + start,
        .items_per_s = (double)items * 1e9 / most(start + work, 1),
        .memory_kib = memory(p, s, items),
    };

    if (start > work)
        r.bound = "start-up";
    else if (items <= shape_in_flight(s) && cpu <= crew.w + crew.c)
        r.bound = "one item";
    else
        r.bound = cpu >= waits ? "cpu" : "waits";
    return r;
}

struct prediction predict_corrected(const struct profile *p, const struct host *h, const struct shape *s,
                                    int64_t items, const struct correction *c, struct correction *ret_used)
{
    struct prediction r = predict(p, h, s, items);
    struct correction used = {.factor = 1};

    if (c && c->runs > 0 && c->factor > 1 / FACTOR_MOST && c->factor < FACTOR_MOST)
        used = *c;
    r.wall *= used.factor;
    r.items_per_s /= used.factor;
    if (ret_used)
        *ret_used = used;
    return r;
}
