/* redrive.c: running again what is over, by its id and by a filter. */
#include "core/limits.h"
#include "queue/inside.h"

bool queue_retry(struct queue *q, struct uuid id, bool failed_only, struct err *e)
{
    struct err why = ERR_INIT;
    if (!store_retry(q->store, &id, 1, failed_only, &why, e))
        return false;
    if (why.code != ERR_NONE) {
        if (e != NULL)
            *e = why;
        return false;
    }
    notify_work(q->notify, SPAN("*"));
    return true;
}

static bool retry_some(struct queue *q, const struct task *tasks, size_t n, bool failed_only,
                       struct retried *ret, struct err *e)
{
    struct uuid ids[LIMIT_RETRY];
    struct err whys[LIMIT_RETRY];
    int64_t before = ret->count;
    for (size_t i = 0; i < n; i++) {
        ids[i] = tasks[i].id;
        whys[i].code = ERR_NONE;
    }
    if (!store_retry(q->store, ids, n, failed_only, whys, e))
        return false;
    for (size_t i = 0; i < n; i++) {
        if (whys[i].code == ERR_NONE) {
            ret->count++;
            continue;
        }
        ret->refused++;
        ret->last = ids[i];
        ret->why = whys[i];
    }
    if (ret->count > before)
        notify_work(q->notify, SPAN("*")); /* of which queues is not known here */
    return true;
}

bool queue_retry_all(struct queue *q, struct arena *a, const struct task_filter *f, bool failed_only,
                     struct retried *ret, struct err *e)
{
    struct retried r = {.why = ERR_INIT};
    struct task *tasks;
    size_t n;
    if (!store_list(q->store, a, f, &tasks, &n, &r.next, e))
        return false;
    for (size_t i = 0; i < n; i += LIMIT_RETRY) {
        size_t some = n - i < LIMIT_RETRY ? n - i : LIMIT_RETRY;
        if (!retry_some(q, tasks + i, some, failed_only, &r, e))
            return false;
    }
    if (n == (size_t)f->limit)
        r.next = tasks[n - 1].id;
    *ret = r;
    return true;
}
