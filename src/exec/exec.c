#include "exec/exec.h"

#include <assert.h>

#include "core/limits.h"
#include "core/net.h"
#include "exec/children.h"
#include "exec/http.h"
#include "exec/local.h"
#include "exec/procs.h"
#include "exec/rss.h"

static _Atomic int running; /* runs just now: the first of them sets the peak of memory back */

static int64_t within(int64_t n, int64_t least, int64_t most)
{
    return n < least ? least : n > most ? most : n;
}

/* No number below what can run; no more executors than there are items. */
static struct shape bounded(const struct plan *p)
{
    struct shape s = p->shape;
    int64_t items = p->count > 0 ? p->count : 1;
    s.processes = within(s.processes, 0, items < LIMIT_WORKERS ? items : LIMIT_WORKERS);
    s.threads = within(s.threads, 1, items < LIMIT_WORKERS ? items : LIMIT_WORKERS);
    s.width = within(s.width, 1, LIMIT_WIDTH);
    s.grain = within(s.grain, 1, items);
    return s;
}

static void mark_memory(void)
{
    if (atomic_fetch_add(&running, 1) != 0)
        return;
    int fd = rss_open();
    rss_mark(fd);
    net_close(fd);
}

bool exec_run(const struct plan *plan, struct exec_report *report, struct err *e)
{
    assert(plan->handler && plan->done && plan->count >= 0 && plan->count <= LIMIT_ITEMS &&
           plan->item_retries <= LIMIT_ITEM_RETRIES);
    struct plan p = *plan;
    struct exec_report r = {0};
    p.shape = bounded(plan);
    int64_t began = clock_now();
    mark_memory();
    bool ok = true;
    if (p.shape.processes > 0)
        ok = procs_run(&p, &r, e);
    else
        local_run(&p, &r);
    r.peak_rss_kib += rss_peak_kib();
    atomic_fetch_sub(&running, 1);
    r.wall_ns = clock_now() - began;
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

void exec_idle(void)
{
    children_idle(clock_now());
}

void exec_stop(void)
{
    children_release();
    http_release();
    zygote_stop();
}
