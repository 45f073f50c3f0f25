/* What the engine itself costs on this machine: the least of a few runs of items that do nothing. */
#include "exec/exec.h"

#define ROUNDS 3
#define ITEMS 10000
#define THREADS 16
#define CHILDREN 4
#define NAPS 10
#define NAP NS_PER_MS

static enum step do_nothing(struct item *it)
{
    (void)it;
    return STEP_DONE;
}

static enum step nap(struct item *it)
{
    int64_t *until = it->state, now = clock_now();
    if (*until == 0)
        *until = now + NAP;
    return now < *until ? item_wait_until(it, *until) : STEP_DONE;
}

static const struct handler nothing = {.name = "calibrate.nothing", .step = do_nothing};
static const struct handler napping = {.name = "calibrate.nap", .state_size = sizeof(int64_t), .step = nap};

static void ignore(void *arg, const struct outcome *o)
{
    (void)arg, (void)o;
}

/* ns from start to end, less what was asked to wait; the least of ROUNDS. */
static bool least_cost(const struct handler *h, int64_t count, struct shape shape, double *ret, struct err *e)
{
    struct plan p = {.handler = h, .count = count, .shape = shape, .deadline = CLOCK_NEVER, .done = ignore};
    int64_t least = CLOCK_NEVER;
    for (int i = 0; i < ROUNDS; i++) {
        struct exec_report r;
        if (!exec_run(&p, &r, e))
            return false;
        if (r.wall_ns - r.wait_ns < least)
            least = r.wall_ns - r.wait_ns;
    }
    *ret = (double)least;
    return true;
}

/* What each of `more` costs on top, never less than nothing: the clocks and the scheduler have their say. */
static double each(double with, double without, int64_t more)
{
    return with > without ? (with - without) / (double)more : 0;
}

static bool measure_processes(struct host *h, struct err *e)
{
    double one, some, items;
    struct shape shape = {.processes = CHILDREN, .threads = 1, .width = 1, .grain = 1};
    if (!least_cost(&nothing, CHILDREN, shape, &some, e))
        return false;
    shape.processes = 1;
    if (!least_cost(&nothing, 1, shape, &one, e))
        return false;
    shape.grain = 64;
    if (!least_cost(&nothing, ITEMS, shape, &items, e))
        return false;
    h->process_start = each(some, one, CHILDREN - 1);
    h->process_item = each(items, one, ITEMS);
    return true;
}

bool exec_calibrate(struct host *h, struct err *e)
{
    double one, crew, items, naps;
    struct shape shape = {.threads = THREADS, .width = 1, .grain = 1};
    if (!least_cost(&nothing, THREADS, shape, &crew, e))
        return false;
    shape.threads = 1;
    if (!least_cost(&nothing, 1, shape, &one, e) || !least_cost(&nothing, ITEMS, shape, &items, e) ||
        !least_cost(&napping, NAPS, shape, &naps, e))
        return false;
    h->thread_start = each(crew, one, THREADS - 1);
    h->item_cost = each(items, one, ITEMS);
    h->timer_slack = each(naps, one, NAPS);
    if (!measure_processes(h, e))
        return false;
    host_bound(h);
    return true;
}
