/* writer.c: group commit. Callers queue lists of tasks; one thread sends all that has gathered as one statement and one
 * commit. While it waits for the disk the next batch gathers: the only delay that anybody adds is the disk's. */
#include <assert.h>

#include "core/fault.h"
#include "core/limits.h"
#include "core/mem.h"
#include "core/metrics.h"
#include "store/inside.h"

#define BATCH_BYTES (8u * MIB) /* a batch is closed above this; a larger list goes alone */
#define RETRY_MS 50            /* after a failure that left the connection standing */
#define LEAST_MS 1000          /* of a list's time that an attempt may take, however late the list is */

struct store_writer {
    struct store *store;
    struct db db;
    pthread_t thread;
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    struct new_tasks *head, **tail;
    size_t rows, bytes; /* queued and under way */
    bool stopping;
    int64_t stop_by;
    struct params params, places; /* the thread's */
    struct new_tasks *batch[LIMIT_WRITE_BATCH];
};

/* ---- the callers' side ---- */

bool store_put(struct store_writer *w, struct new_tasks *t, struct err *e)
{
    assert(t->count > 0);
    t->next = NULL;
    t->deadline = store_deadline(w->store);
    t->bytes = put_bytes(t);
    pthread_mutex_lock(&w->mutex);
    bool stopping = w->stopping;
    bool full = w->rows > 0 &&
                (w->rows + t->count > LIMIT_WRITE_QUEUE || w->bytes + t->bytes > LIMIT_WRITE_QUEUE_BYTES);
    if (!stopping && !full) {
        *w->tail = t;
        w->tail = &t->next;
        w->rows += t->count;
        w->bytes += t->bytes;
        pthread_cond_signal(&w->changed);
    }
    pthread_mutex_unlock(&w->mutex);
    if (stopping)
        return err_set(e, ERR_STOPPING, "the service is stopping: nothing was written");
    return !full || err_set(e, ERR_BUSY, "as many tasks wait to be written already as may: try again");
}

/* ---- the thread's ---- */

/* Takes what goes into one statement. 0: there is nothing, and there will be nothing. */
static size_t take(struct store_writer *w)
{
    size_t n = 0, rows = 0, bytes = 0;
    pthread_mutex_lock(&w->mutex);
    while (!w->head && !w->stopping)
        pthread_cond_wait(&w->changed, &w->mutex);
    while (w->head && n < LIMIT_WRITE_BATCH) {
        struct new_tasks *t = w->head;
        rows += t->count;
        bytes += t->bytes;
        if (n > 0 && (rows > LIMIT_WRITE_BATCH || bytes > BATCH_BYTES))
            break;
        w->batch[n++] = t;
        w->head = t->next;
        if (!w->head)
            w->tail = &w->head;
    }
    pthread_mutex_unlock(&w->mutex);
    return n;
}

/* After this nothing of the list may be touched: it is its owner's again. */
static void answer(struct store_writer *w, struct new_tasks *t, const struct err *e)
{
    pthread_mutex_lock(&w->mutex);
    w->rows -= t->count;
    w->bytes -= t->bytes;
    pthread_mutex_unlock(&w->mutex);
    t->done(t->arg, e);
}

static void answer_all(struct store_writer *w, struct new_tasks **lists, size_t n, const struct err *e)
{
    for (size_t i = 0; i < n; i++)
        answer(w, lists[i], e);
}

/* Answers those whose time is over. `last` is why they were not written yet. Returns how many are left. */
static size_t drop_late(struct store_writer *w, struct new_tasks **lists, size_t n, const struct err *last)
{
    static const struct err stopping = {.code = ERR_STOPPING,
                                        .text = "the service is stopping; PostgreSQL did not answer"};
    static const struct err late = {.code = ERR_STORE, .text = "PostgreSQL did not take the task in time"};
    int64_t now = clock_now();
    size_t left = 0;
    pthread_mutex_lock(&w->mutex);
    bool stop = w->stopping && now >= w->stop_by;
    pthread_mutex_unlock(&w->mutex);
    for (size_t i = 0; i < n; i++) {
        if (stop)
            answer(w, lists[i], &stopping);
        else if (now >= lists[i]->deadline)
            answer(w, lists[i], last->code != ERR_NONE ? last : &late);
        else
            lists[left++] = lists[i];
    }
    return left;
}

/* Waits before the next attempt: until the gate opens, or a little. Ends early when the writer should stop. */
static void pause_before_retry(struct store_writer *w)
{
    int64_t until = db_gate_opens(&w->store->gate), least = clock_after_ms(RETRY_MS);
    if (w->db.conn && until < least)
        until = least;
    pthread_mutex_lock(&w->mutex);
    while (!(w->stopping && clock_now() >= w->stop_by) && monotonic_cond_wait(&w->changed, &w->mutex, until))
        ;
    pthread_mutex_unlock(&w->mutex);
}

static int64_t attempt_deadline(struct store_writer *w, struct new_tasks *const *lists, size_t n)
{
    int64_t first = CLOCK_NEVER, least = clock_after_ms(LEAST_MS);
    for (size_t i = 0; i < n; i++)
        if (lists[i]->deadline < first)
            first = lists[i]->deadline;
    first = first > least ? first : least;
    pthread_mutex_lock(&w->mutex);
    if (w->stopping && w->stop_by < first)
        first = w->stop_by;
    pthread_mutex_unlock(&w->mutex);
    return first;
}

static bool send(struct store_writer *w, bool place, int64_t deadline, struct err *e)
{
    struct step steps[] = {{.stmt = &put_stmt, .params = &w->params, .sync = !place},
                           {.stmt = &place_stmt, .params = &w->places, .sync = true}};
    size_t n = place ? 2 : 1;
    bool ok = db_run(&w->db, steps, n, deadline, e);
    for (size_t i = 0; i < n && ok; i++) {
        ok = steps[i].err.code == ERR_NONE;
        if (!ok)
            *e = steps[i].err;
    }
    db_steps_clear(steps, n);
    return ok;
}

/* One round trip, one commit. */
static bool commit(struct store_writer *w, struct new_tasks *const *lists, size_t n, struct err *e)
{
    int64_t began = clock_now();
    size_t rows = 0;
    for (size_t i = 0; i < n; i++)
        rows += lists[i]->count;
    put_params(&w->params, lists, n);
    if (fault_hit("store.commit"))
        return err_set(e, ERR_STORE, "fault point store.commit");
    if (!send(w, place_params(&w->places, lists, n), attempt_deadline(w, lists, n), e))
        return false;
    if (fault_hit("store.committed")) { /* committed, but nobody knows */
        db_close(&w->db);
        return err_set(e, ERR_STORE, "fault point store.committed");
    }
    metric_observe(M_commit_seconds, NULL, (double)(clock_now() - began) / (double)NS_PER_S);
    metric_add(M_commit_rows, NULL, (double)rows);
    metric_add(M_commits, NULL, 1);
    return true;
}

/* Writes lists until each was answered. A connection that is lost at the commit leaves open what became of it: the same
 * rows are sent again, and those that are there stay as they are. A row that PostgreSQL refuses is found by halving. */
static void write_lists(struct store_writer *w, struct new_tasks **lists, size_t n)
{
    struct err e = ERR_INIT;
    while ((n = drop_late(w, lists, n, &e)) > 0) {
        if (commit(w, lists, n, &e)) {
            answer_all(w, lists, n, NULL);
            return;
        }
        metric_add(M_store_errors, NULL, 1);
        if (e.code == ERR_DATA && n > 1) {
            write_lists(w, lists, n / 2);
            write_lists(w, lists + n / 2, n - n / 2);
            return;
        }
        if (e.code != ERR_STORE) {
            answer_all(w, lists, n, &e);
            return;
        }
        pause_before_retry(w);
    }
}

static void *run(void *arg)
{
    struct store_writer *w = arg;
    size_t n;
    while ((n = take(w)) > 0)
        write_lists(w, w->batch, n);
    db_close(&w->db);
    return NULL;
}

/* ---- life ---- */

bool store_writer_new(struct store *s, struct store_writer **ret, struct err *e)
{
    struct store_writer *w = mem_alloc(sizeof *w);
    w->store = s;
    w->params = w->places = (struct params)PARAMS_INIT;
    w->tail = &w->head;
    store_db_init(s, &w->db, true);
    pthread_mutex_init(&w->mutex, NULL);
    monotonic_cond_init(&w->changed);
    if (pthread_create(&w->thread, NULL, run, w) != 0) {
        pthread_cond_destroy(&w->changed);
        pthread_mutex_destroy(&w->mutex);
        mem_free(w);
        return err_set(e, ERR_SYSTEM, "no thread for the writer");
    }
    *ret = w;
    return true;
}

void store_writer_free(struct store_writer *w)
{
    if (!w)
        return;
    pthread_mutex_lock(&w->mutex);
    w->stopping = true;
    w->stop_by = store_deadline(w->store);
    pthread_cond_signal(&w->changed);
    pthread_mutex_unlock(&w->mutex);
    pthread_join(w->thread, NULL);
    params_release(&w->params);
    params_release(&w->places);
    pthread_cond_destroy(&w->changed);
    pthread_mutex_destroy(&w->mutex);
    mem_free(w);
}
