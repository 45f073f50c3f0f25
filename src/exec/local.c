#include "exec/local.h"

#include "core/mem.h"
#include "exec/crew.h"
#include "exec/report.h"

/* How long a cancel may go unseen while everything waits: with many threads longer, so that all of them together wake
 * up for nothing at most a thousand times a second. */
#define PATIENCE (20 * NS_PER_MS)
#define PATIENCE_THREAD NS_PER_MS

static void finished(void *arg, int64_t position, const struct outcome *o)
{
    (void)position;
    report_item(arg, o);
}

static void log_line(void *arg, int64_t position, struct span text)
{
    report_log(arg, position, text);
}

struct work work_of_plan(const struct plan *p)
{
    struct work w = {
        .task = p->task,
        .handler = p->handler,
        .args = p->args,
        .first = p->first,
        .inputs = p->inputs,
        .count = p->count,
        .width = p->shape.width,
        .grain = p->shape.grain,
        .item_timeout = p->item_timeout_ms ? p->item_timeout_ms * NS_PER_MS : CLOCK_NEVER,
        .deadline = p->deadline,
        .item_retries = p->item_retries,
        .backoff = p->backoff,
        .tries_before = p->tries,
        .bell = -1,
    };
    memo_rules(&w.memo, p->handler, p->args, p->cache_ttl_ms, p->item_timeout_ms);
    if (!uuid_is_nil(p->task)) /* who runs the unit of a dead worker again finds his locks */
        w.memo.run = p->task;
    return w;
}

void local_run(const struct plan *p, struct exec_report *ret)
{
    int64_t began = clock_now(), threads = p->shape.threads;
    struct report report;
    report_init(&report, p);
    struct cursor cursor = {0};
    struct lane *lanes CLEANUP(mem_free_at) = lanes_new(threads);
    struct work w = work_of_plan(p);
    w.cursor = &cursor;
    w.cancel = &report.stop;
    w.partial = p->progress ? &p->progress->partial_milli : NULL;
    w.patience = threads * PATIENCE_THREAD > PATIENCE ? threads * PATIENCE_THREAD : PATIENCE;
    struct sink sink = {.finished = finished, .log = p->log ? log_line : NULL, .all = true, .arg = &report};
    struct tally t;
    crew_run(&w, threads, &sink, lanes, &t);
    *ret = (struct exec_report){
        .ok = report.ok,
        .failed = report.failed,
        .cancelled = report.cancelled,
        .cached = report.cached,
        .cpu_ns = t.cpu,
        .wait_ns = t.wait,
        .item_cpu_ns = t.item_cpu,
        .snooze_ms = report.snooze_ms,
        .start_ns = t.first_step == CLOCK_NEVER ? 0 : t.first_step - began,
    };
}
