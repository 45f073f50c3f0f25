#include "exec/exec.h"

#include <assert.h>

#include "core/limits.h"
#include "core/net.h"
#include "exec/children.h"
#include "exec/local.h"
#include "exec/ports.h"
#include "exec/procs.h"
#include "exec/rss.h"

/* Setting the peak of memory back and reading it takes 5 us, as long as a short run: those share what one of them saw. */
#define SHORT_RUN NS_PER_MS
#define SHARED_FOR (10 * NS_PER_MS)

static _Atomic int running;           /* runs just now: the first of them sets the peak of memory back */
static _Atomic int64_t marked;        /* when one of them did; 0: the next one has to */
static _Atomic int64_t seen_peak_kib; /* what a short run read since then; 0: none has */

static int64_t within(int64_t n, int64_t least, int64_t most)
{
    return n < least ? least : n > most ? most : n;
}

/* No number below what can run; no more executors than there are items. */
static struct shape bounded(const struct plan *p)
{
    struct shape s = p->handler->process_only ? shape_in_child(p->shape) : p->shape;
    int64_t items = p->count > 0 ? p->count : 1;
    s.processes = within(s.processes, 0, items < LIMIT_WORKERS ? items : LIMIT_WORKERS);
    s.threads = within(s.threads, 1, items < LIMIT_WORKERS ? items : LIMIT_WORKERS);
    s.width = within(s.width, 1, LIMIT_WIDTH);
    s.grain = within(s.grain, 1, items);
    return s;
}

static void mark_memory(int64_t now)
{
    if (atomic_fetch_add(&running, 1) != 0 || (marked != 0 && now - marked < SHARED_FOR))
        return;
    int fd = rss_open();
    rss_mark(fd);
    net_close(fd);
    seen_peak_kib = 0;
    marked = now;
}

static int64_t peak_kib(bool brief)
{
    int64_t seen = seen_peak_kib;
    if (brief && seen != 0)
        return seen;
    int64_t peak = rss_peak_kib();
    if (brief)
        seen_peak_kib = peak;
    else
        marked = 0; /* it is its own: the next run starts anew */
    return peak;
}

bool exec_run(const struct plan *plan, struct exec_report *report, struct err *e)
{
    assert(plan->handler && plan->done && plan->count >= 0 && plan->count <= LIMIT_ITEMS &&
           plan->item_retries <= LIMIT_ITEM_RETRIES);
    struct plan p = *plan;
    struct exec_report r = {0};
    p.shape = bounded(plan);
    int64_t began = clock_now();
    mark_memory(began);
    bool ok = true;
    if (p.shape.processes > 0)
        ok = procs_run(&p, &r, e);
    else
        local_run(&p, &r);
    r.wall_ns = clock_now() - began;
    r.peak_rss_kib += peak_kib(p.shape.processes == 0 && r.wall_ns < SHORT_RUN);
    atomic_fetch_sub(&running, 1);
    if (ok && report)
        *report = r;
    return ok;
}

bool exec_start(struct err *e)
{
    return zygote_start(e);
}

bool exec_broken(void)
{
    return zygote_broken();
}

bool exec_idle(void)
{
    children_idle(clock_now());
    return ports_idle();
}

void exec_settle(int64_t until)
{
    ports_settle(until);
}

void exec_stop(void)
{
    children_release();
    ports_end();
    zygote_stop();
}
