/* writer.c: group commit. Callers queue lists of tasks; one thread sends all that has gathered in one round trip and one
 * commit. While it waits for the disk the next batch gathers.
 *
 * Under load a commit of a few rows costs nearly as much as one of many. Callers that wait for their answer come in two
 * crowds: one is being written, the other gathers. As soon as a commit is over the second would be sent however small it
 * is, so that it stays small and the first large. So a batch waits until half of those who are about have come, but no
 * longer than GATHER after the commit before: one caller alone never waits, nor does who comes after a pause.
 *
 * The answers of a batch are given while the next one is under way.
 *
 * A few tasks do not wait for the disk before they are claimed: they are put without it, and in the same round trip an empty
 * transaction behind them is brought to the disk, and they with it, since the WAL has one order. Only then are they answered. Whatever
 * a worker does with them meanwhile comes later in the WAL: after a crash either is there with what went before it. */
#include <assert.h>

#include "core/fault.h"
#include "core/limits.h"
#include "core/mem.h"
#include "core/metrics.h"
#include "store/inside.h"

#define BATCH_BYTES (8u * MIB) /* a batch is closed above this; a larger list goes alone */
#define RETRY_MS 50            /* after a failure that left the connection standing */
#define LEAST_MS 1000          /* of a list's time that an attempt may take, however late the list is */
#define GATHER NS_PER_MS
#define CROWD 8 /* callers; fewer are not waited for, and theirs are seen early */

struct lists {
    struct new_tasks *list[LIMIT_WRITE_BATCH];
    size_t count;
};

struct store_writer {
    struct store *store;
    struct db db;
    pthread_t thread;
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    struct new_tasks *head, **tail;
    size_t queued, queued_rows; /* lists, and their weight */
    size_t enough;              /* lists with which the thread wants to be woken; 0: it does not sleep */
    size_t rows, bytes;         /* queued and under way */
    bool stopping;
    int64_t stop_by;
    /* the thread's */
    int64_t gather_by;
    size_t crowd;              /* lists of the last batch: their callers may come again */
    struct lists now, written; /* written: and not answered yet */
    struct put_batch put;
};

/* Writes something, so that its commit waits for the disk and for all that was committed before. */
static const struct stmt flush_stmt = {"flush", "SELECT pg_logical_emit_message(true, 'lathe', '')"};

/* ---- the callers' side ---- */

/* With the mutex. */
static bool is_enough(const struct store_writer *w)
{
    return w->queued >= w->enough || w->queued_rows >= LIMIT_WRITE_BATCH || w->stopping;
}

bool store_put(struct store_writer *w, struct new_tasks *t, struct err *e)
{
    assert(t->count > 0);
    t->next = NULL;
    t->deadline = store_deadline(w->store);
    t->weight = put_weight(t);
    t->bytes = put_bytes(t);
    pthread_mutex_lock(&w->mutex);
    bool stopping = w->stopping;
    bool full = w->rows > 0 &&
                (w->rows + t->weight > LIMIT_WRITE_QUEUE || w->bytes + t->bytes > LIMIT_WRITE_QUEUE_BYTES);
    if (!stopping && !full) {
        *w->tail = t;
        w->tail = &t->next;
        w->queued++;
        w->queued_rows += t->weight;
        w->rows += t->weight;
        w->bytes += t->bytes;
    }
    bool wake = w->enough > 0 && is_enough(w);
    pthread_mutex_unlock(&w->mutex);
    if (wake)
        pthread_cond_signal(&w->changed);
    if (stopping)
        return err_set(e, ERR_STOPPING, "the service is stopping: nothing was written");
    return !full || err_set(e, ERR_BUSY, "as many tasks wait to be written already as may: try again");
}

/* ---- the thread's ---- */

/* After this nothing of the lists may be touched: they are their owners' again. */
static void answer_all(struct store_writer *w, struct new_tasks **lists, size_t n, const struct err *e)
{
    size_t rows = 0, bytes = 0;
    for (size_t i = 0; i < n; i++) {
        rows += lists[i]->weight;
        bytes += lists[i]->bytes;
    }
    pthread_mutex_lock(&w->mutex);
    w->rows -= rows;
    w->bytes -= bytes;
    pthread_mutex_unlock(&w->mutex);
    for (size_t i = 0; i < n; i++)
        lists[i]->done(lists[i]->arg, e);
}

static void answer(struct store_writer *w, struct new_tasks *t, const struct err *e)
{
    answer_all(w, &t, 1, e);
}

static void answer_written(void *writer)
{
    struct store_writer *w = writer;
    size_t n = w->written.count;
    w->written.count = 0;
    if (n > 0)
        answer_all(w, w->written.list, n, NULL);
}

/* Until a batch is worth sending; with the mutex. What was written is answered first if there is time for it. */
static void gather(struct store_writer *w)
{
    size_t about = w->crowd + w->queued;
    w->enough = about < CROWD ? 1 : about * 3 / 4;
    if (w->written.count > 0 && !is_enough(w)) {
        pthread_mutex_unlock(&w->mutex);
        answer_written(w);
        pthread_mutex_lock(&w->mutex);
    }
    while (w->enough > 1 && !is_enough(w) && clock_now() < w->gather_by)
        cond_wait(&w->changed, &w->mutex, w->gather_by);
    w->enough = 1;
    while (!is_enough(w))
        pthread_cond_wait(&w->changed, &w->mutex);
    w->enough = 0;
}

/* Takes what goes into one transaction. False: there is nothing, and there will be nothing. */
static bool take(struct store_writer *w)
{
    struct lists *now = &w->now;
    size_t rows = 0, bytes = 0;
    now->count = 0;
    pthread_mutex_lock(&w->mutex);
    gather(w);
    while (w->head && now->count < LIMIT_WRITE_BATCH) {
        struct new_tasks *t = w->head;
        rows += t->weight;
        bytes += t->bytes;
        if (now->count > 0 && (rows > LIMIT_WRITE_BATCH || bytes > BATCH_BYTES))
            break;
        now->list[now->count++] = t;
        w->queued--;
        w->queued_rows -= t->weight;
        w->head = t->next;
        if (!w->head)
            w->tail = &w->head;
    }
    pthread_mutex_unlock(&w->mutex);
    return now->count > 0;
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
        if (stop || now >= lists[i]->deadline) /* last: it may have been written */
            answer(w, lists[i], last->code != ERR_NONE ? last : stop ? &stopping : &late);
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
    while (!(w->stopping && clock_now() >= w->stop_by) && cond_wait(&w->changed, &w->mutex, until))
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

static bool send(struct store_writer *w, struct step *steps, size_t n, int64_t deadline, struct err *e)
{
    bool ok = db_run(&w->db, steps, n, deadline, e);
    for (size_t i = 0; i < n && ok; i++) {
        ok = steps[i].err.code == ERR_NONE;
        if (ok)
            continue;
        *e = steps[i].err;
        if (steps[i].stmt == &flush_stmt)
            e->code = ERR_STORE; /* whatever it is, the rows may be there */
    }
    return ok;
}

/* One round trip: what puts the lists is `put_n` of the steps, from `put`. */
struct batch {
    struct new_tasks *const *lists;
    size_t n, rows;
    struct step steps[PUT_STEPS + 2];
    size_t steps_n;
    struct step *put;
    size_t put_n;
    bool lost; /* by a fault point: the disk was not waited for */
};

static void show(void *arg)
{
    const struct batch *b = arg;
    for (size_t i = 0; i < b->put_n; i++)
        if (b->put[i].err.code != ERR_NONE)
            return;
    for (size_t i = 0; i < b->n; i++)
        b->lists[i]->seen(b->lists[i]->arg);
}

static bool seen_early(const struct store_writer *w, const struct batch *b)
{
    bool early = w->put.fresh && b->n < CROWD && b->rows <= CROWD;
    for (size_t i = 0; i < b->n && early; i++)
        early = b->lists[i]->seen != NULL && !put_placed(b->lists[i]);
    return early;
}

/* What was sent before may be there and seen, and not on the disk: then its rows are not written again, and their commit waits for
 * nothing. */
static void prepare(struct store_writer *w, struct batch *b)
{
    bool early = seen_early(w, b);
    if (early)
        b->steps[b->steps_n++] = (struct step){.stmt = &lazy_stmt};
    b->put = b->steps + b->steps_n;
    b->put_n = put_steps(&w->put, b->lists, b->n, b->put);
    b->steps_n += b->put_n;
    if (early) {
        b->put[b->put_n - 1].over = show;
        b->put[b->put_n - 1].arg = b;
        b->lost = fault_hit("store.seen");
    }
    if ((early || !w->put.fresh) && !b->lost)
        b->steps[b->steps_n++] = (struct step){.stmt = &flush_stmt, .sync = true};
}

static bool commit(struct store_writer *w, struct new_tasks *const *lists, size_t n, struct err *e)
{
    int64_t began = clock_now();
    struct batch b = {.lists = lists, .n = n};
    for (size_t i = 0; i < n; i++)
        b.rows += lists[i]->count;
    prepare(w, &b);
    if (fault_hit("store.commit"))
        return err_set(e, ERR_STORE, "fault point store.commit");
    bool sent = send(w, b.steps, b.steps_n, attempt_deadline(w, lists, n), e);
    if (sent)
        put_answers(b.put, b.put_n, lists, n);
    db_steps_clear(b.steps, b.steps_n);
    if (!sent)
        return false;
    if (b.lost || fault_hit("store.committed")) { /* committed, but nobody knows */
        db_close(&w->db);
        return err_set(e, ERR_STORE, "fault point %s", b.lost ? "store.seen" : "store.committed");
    }
    metric_observe(M_commit_seconds, NULL, (double)(clock_now() - began) / (double)NS_PER_S);
    metric_add(M_commit_rows, NULL, (double)b.rows);
    metric_add(M_commits, NULL, 1);
    return true;
}

/* Remembers lists whose commit is over, until the next batch is under way. */
static void keep_written(struct store_writer *w, struct new_tasks *const *lists, size_t n)
{
    memcpy(w->written.list + w->written.count, lists, n * sizeof(struct new_tasks *));
    w->written.count += n;
}

/* Writes lists until each is written or answered. A connection that is lost at the commit leaves open what became of it: the
 * same rows are sent again, and those that are there stay as they are. A row that PostgreSQL refuses is found by halving.
 * `again`: they were sent before. */
static void write_lists(struct store_writer *w, struct new_tasks **lists, size_t n, bool again)
{
    struct err e = ERR_INIT;
    for (; (n = drop_late(w, lists, n, &e)) > 0; again = true) {
        w->put.fresh = !again;
        bool ok = commit(w, lists, n, &e);
        answer_written(w); /* if they were not yet: those of the batch before */
        if (ok) {
            keep_written(w, lists, n);
            return;
        }
        metric_add(M_store_errors, NULL, 1);
        for (size_t i = 0; i < n; i++)
            lists[i]->resent = true;
        if (e.code == ERR_DATA && !again)
            continue; /* perhaps only because it is there already */
        if ((e.code == ERR_DATA || e.code == ERR_BUSY) && n > 1) {
            write_lists(w, lists, n / 2, true);
            write_lists(w, lists + n / 2, n - n / 2, true);
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
    pthread_setname_np(pthread_self(), "store-writer");
    while (take(w)) {
        w->crowd = w->now.count;
        write_lists(w, w->now.list, w->crowd, false);
        w->gather_by = clock_now() + GATHER;
    }
    answer_written(w);
    db_close(&w->db);
    return NULL;
}

/* ---- life ---- */

bool store_writer_new(struct store *s, struct store_writer **ret, struct err *e)
{
    struct store_writer *w = mem_alloc(sizeof *w);
    w->store = s;
    put_batch_init(&w->put);
    w->tail = &w->head;
    store_db_init(s, &w->db, true);
    w->db.meanwhile = answer_written;
    w->db.meanwhile_arg = w;
    pthread_mutex_init(&w->mutex, NULL);
    cond_init(&w->changed);
    if (pthread_create(&w->thread, NULL, run, w) != 0) {
        pthread_cond_destroy(&w->changed);
        pthread_mutex_destroy(&w->mutex);
        mem_free(w);
        return err_set(e, ERR_SYSTEM, "no thread for the writer");
    }
    *ret = w;
    return true;
}

void store_writer_stop(struct store_writer *w)
{
    if (!w)
        return;
    pthread_mutex_lock(&w->mutex);
    if (!w->stopping)
        w->stop_by = store_deadline(w->store);
    w->stopping = true;
    pthread_cond_signal(&w->changed);
    pthread_mutex_unlock(&w->mutex);
}

void store_writer_free(struct store_writer *w)
{
    if (!w)
        return;
    store_writer_stop(w);
    pthread_join(w->thread, NULL);
    put_batch_release(&w->put);
    pthread_cond_destroy(&w->changed);
    pthread_mutex_destroy(&w->mutex);
    mem_free(w);
}
