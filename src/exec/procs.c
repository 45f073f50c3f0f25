#include "exec/procs.h"

#include "exec/herd.h"

#define IN_VAIN 3 /* passes in a row in which nothing moved */

/* Fills the list with the items that are left, suspects or others, and returns how many. */
static int64_t list_left(struct herd *h, bool suspects)
{
    uint32_t *list = shared_list(&h->shared);
    int64_t n = 0;
    for (int64_t i = 0; i < h->plan->count; i++)
        if (!(h->items[i] & ITEM_REPORTED) && suspects == ((h->items[i] & ITEM_SUSPECT) != 0))
            list[n++] = (uint32_t)i;
    return n;
}

static void set_order(struct herd *h, int64_t count, bool first, bool alone)
{
    const struct shape *s = &h->plan->shape;
    h->order = (struct order){.task = h->plan->task,
                              .list = !first,
                              .count = count,
                              .threads = alone ? 1 : s->threads,
                              .width = alone ? 1 : s->width,
                              .grain = first ? s->grain : 1};
}

static int64_t fewer(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* False: no child could be had for it. */
static bool next_pass(struct herd *h, bool first, struct err *e)
{
    int64_t count = first ? h->plan->count : list_left(h, false);
    bool alone = count == 0;
    if (alone)
        count = list_left(h, true);
    set_order(h, count, first, alone);
    return herd_pass(h, fewer(h->size, count), e);
}

/* Everything that nobody will report any more. */
static void refuse_rest(struct herd *h, const struct err *lost)
{
    struct err e = *lost;
    if (h->stop == STOP_CANCEL)
        err_set(&e, ERR_CANCELLED, "cancelled before it was done");
    else if (h->stop == STOP_DEADLINE)
        err_set(&e, ERR_TASK_TIMEOUT, "the task's time was over before the item was done");
    enum outcome_kind kind = h->stop == STOP_CANCEL ? OUTCOME_CANCELLED : OUTCOME_FAILED;
    for (int64_t i = 0; i < h->plan->count; i++)
        if (!(h->items[i] & ITEM_REPORTED))
            herd_refuse(h, i, kind, &e);
}

static void sum_up(const struct herd *h, int64_t began, int64_t own_cpu, struct exec_report *ret)
{
    *ret = (struct exec_report){
        .ok = h->report.ok,
        .failed = h->report.failed,
        .cancelled = h->report.cancelled,
        .cached = h->report.cached,
        .cpu_ns = h->cpu + own_cpu,
        .wait_ns = h->wait,
        .item_cpu_ns = h->item_cpu,
        .start_ns = h->first_step == CLOCK_NEVER ? 0 : h->first_step - began,
        .children_lost = h->lost,
        .snooze_ms = h->report.snooze_ms,
    };
    for (int64_t i = 0; i < h->size; i++)
        ret->peak_rss_kib += h->kids[i].peak_kib;
    if (h->plan->progress)
        atomic_store_explicit(&h->plan->progress->partial_milli, 0, memory_order_relaxed);
}

bool procs_run(const struct plan *p, struct exec_report *ret, struct err *e)
{
    int64_t began = clock_now(), cpu = clock_thread_cpu();
    struct herd h;
    struct err lost = ERR_INIT;
    if (!zygote_running())
        return err_set(e, ERR_SYSTEM, "there is no zygote to fork children from: exec_start was not called");
    if (!herd_init(&h, p, e))
        return false;
    int in_vain = 0;
    bool first = true, ok = true;
    while (h.left > 0 && ok && in_vain < IN_VAIN && !herd_must_stop(&h)) {
        ok = next_pass(&h, first, &lost);
        if (!ok && first && h.left == p->count) {
            herd_release(&h);
            if (e)
                *e = lost;
            return false;
        }
        first = false;
        in_vain = h.moved > 0 ? 0 : in_vain + 1;
    }
    if (ok)
        err_set(&lost, ERR_WORKER_LOST,
                "the processes that were to run the item died before they began it%s%s",
                h.early_death.code == ERR_NONE ? "" : "; the last one: ", h.early_death.text);
    refuse_rest(&h, &lost);
    sum_up(&h, began, clock_thread_cpu() - cpu, ret);
    herd_release(&h);
    return true;
}
