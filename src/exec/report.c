#include "exec/report.h"

void report_init(struct report *r, const struct plan *p)
{
    *r = (struct report){.plan = p, .stop = {.parent = p->cancel}};
}

void report_item(struct report *r, const struct outcome *o)
{
    struct exec_progress *progress = r->plan->progress;
    r->ok += o->kind == OUTCOME_OK;
    r->failed += o->kind == OUTCOME_FAILED;
    r->cancelled += o->kind == OUTCOME_CANCELLED;
    r->cached += o->cached;
    if (progress && o->kind != OUTCOME_CANCELLED)
        atomic_fetch_add_explicit(&progress->done, 1, memory_order_relaxed);
    if (progress && o->kind == OUTCOME_FAILED)
        atomic_fetch_add_explicit(&progress->failed, 1, memory_order_relaxed);
    if (o->snooze_ms > r->snooze_ms)
        r->snooze_ms = o->snooze_ms;
    if (o->kind == OUTCOME_FAILED && (r->plan->fail_fast || o->snooze_ms > 0))
        cancel_raise(&r->stop);
    r->plan->done(r->plan->arg, o);
}

void report_log(struct report *r, int64_t position, struct span text)
{
    if (r->plan->log)
        r->plan->log(r->plan->arg, r->plan->first + position, text);
}
