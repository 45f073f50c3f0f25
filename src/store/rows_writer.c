/* rows_writer.c: the hub: rows of all threads of the process gather here, and two threads write them: what has gathered while
 * one commit was under way is the next statement. The second takes part only when there is more than one statement's worth,
 * so that a trickle needs one connection and a flood is sorted and packed while PostgreSQL works. */
#include <pthread.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "core/limits.h"
#include "core/log.h"
#include "core/mem.h"
#include "core/metrics.h"
#include "core/net.h"
#include "model/outgoing.h"
#include "store/inside.h"
#include "store/rows_hub.h"
#include "store/sqlstate.h"

#define WRITERS 2
#define RETRY_MS 50    /* after a failure that left the connection standing */
#define LEAST_MS 1000  /* of a row's time that an attempt may take, however late the row is */
#define SETTLE_MS 1000 /* for all that waits: a PostgreSQL that takes longer says nothing */
#define LAZY_MS 200    /* how long rows that nobody waits for gather */
#define DOUBT 16000    /* rows that are not taken for fresh after one was not */
#define REST_MS 60000  /* a connection that was not used for so long is closed */

struct writer {
    struct db db;
    pthread_t thread;
    pthread_cond_t wake; /* its own: one that may not take part yet must not be woken instead of the other */
    size_t doubt;        /* rows */
    int64_t used;        /* when it was last done with a batch */
    bool running;
    struct row_put **rows; /* of the batch */
    struct params params;
};

static struct {
    const struct conf *conf;
    struct db_gate gate;
    pthread_mutex_t lock;
    struct rows_list queues[ROWS_TABLES];
    size_t turn;    /* the queue that is looked at first */
    size_t waiting; /* rows in all queues */
    int writing;    /* batches that were taken out of them */
    int settling;   /* who waits until there is neither */
    pthread_cond_t dry;
    bool running, stopping;
    int hurry; /* an eventfd: whoever waits for PostgreSQL shall not for long */
    struct writer writers[WRITERS];
} hub = {.lock = PTHREAD_MUTEX_INITIALIZER, .hurry = -1};

void rows_configure(const struct conf *c)
{
    hub.conf = c;
}

bool outgoing_wanted(void)
{
    return hub.conf && hub.conf->http_log;
}

int64_t rows_deadline(void)
{
    return clock_after_ms(conf_now(&hub.conf->store_timeout));
}

/* ---- verdicts ---- */

/* With the lock. */
static void give_back(struct row_put *r)
{
    if (r->orphan) {
        mem_free(r);
        return;
    }
    struct rows_client *c = r->client;
    bool first = c->over.count == 0;
    rows_list_add(&c->over, r);
    if (first) {
        uint64_t one = 1;
        ssize_t sent = write(c->event, &one, sizeof one); /* once for a list: it is never full */
        (void)sent;
    }
}

static void give_back_all(struct row_put *const *rows, size_t n)
{
    pthread_mutex_lock(&hub.lock);
    for (size_t i = 0; i < n; i++)
        give_back(rows[i]);
    pthread_mutex_unlock(&hub.lock);
}

static void fail_all(struct row_put *const *rows, size_t n, const struct err *e)
{
    for (size_t i = 0; i < n; i++) {
        rows[i]->shown.err = *e;
        if (rows[i]->table == &rows_calls) /* nobody else hears of it */
            metric_add(M_outgoing_dropped, NULL, 1);
    }
    give_back_all(rows, n);
}

/* ---- writing ---- */

static bool is_stopping(void)
{
    pthread_mutex_lock(&hub.lock);
    bool stopping = hub.stopping;
    pthread_mutex_unlock(&hub.lock);
    return stopping;
}

/* Fails those whose time is over; how many are left. `last`: why they were not written yet. */
static size_t drop_late(struct row_put **rows, size_t n, const struct err *last)
{
    static const struct err late = {.code = ERR_STORE, .text = "PostgreSQL did not take the row in time"};
    int64_t now = clock_now();
    bool stop = is_stopping();
    size_t left = 0;
    for (size_t i = 0; i < n; i++) {
        if (stop || now >= rows[i]->deadline)
            fail_all(&rows[i], 1, last->code != ERR_NONE ? last : &late);
        else
            rows[left++] = rows[i];
    }
    return left;
}

static void pause_before_retry(struct writer *w)
{
    int64_t until = db_gate_opens(&hub.gate), least = clock_after_ms(RETRY_MS);
    if (w->db.conn && until < least)
        until = least;
    pthread_mutex_lock(&hub.lock);
    while (!hub.stopping && cond_wait(&w->wake, &hub.lock, until))
        ;
    pthread_mutex_unlock(&hub.lock);
}

static int64_t attempt_deadline(struct row_put *const *rows, size_t n)
{
    int64_t first = CLOCK_NEVER, least = clock_after_ms(LEAST_MS);
    for (size_t i = 0; i < n; i++)
        if (rows[i]->deadline < first)
            first = rows[i]->deadline;
    return first > least ? first : least;
}

/* One statement, one commit. */
static bool commit(struct writer *w, struct row_put *const *rows, size_t n, bool again, struct err *e)
{
    const struct rows_table *t = rows[0]->table;
    struct step steps[] = {{.stmt = &lazy_stmt},
                           {.stmt = again ? t->again : t->fresh, .params = &w->params, .sync = true}};
    struct step *first = t->lazy ? steps : steps + 1;
    rows_params(&w->params, t, rows, n);
    bool ok = db_run(&w->db, first, (size_t)(steps + 2 - first), attempt_deadline(rows, n), e);
    if (ok && steps[1].err.code != ERR_NONE) {
        *e = steps[1].err;
        ok = false;
    }
    ok = ok && rows_answers(steps[1].result, rows, n, e);
    db_steps_clear(first, (size_t)(steps + 2 - first));
    return ok;
}

/* Writes them until each is written or has failed. What is refused as fresh is asked about row by row; then whatever is refused
 * is found by halving; and likewise the row that waits for another transaction, so that its neighbours do not. */
static void write_rows(struct writer *w, struct row_put **rows, size_t n, bool again)
{
    struct err e = ERR_INIT;
    for (; (n = drop_late(rows, n, &e)) > 0; again = true) {
        if (commit(w, rows, n, again, &e)) {
            metric_add(M_rows_written, rows[0]->table->name, (double)n);
            metric_add(M_row_batches, rows[0]->table->name, 1);
            give_back_all(rows, n);
            return;
        }
        metric_add(M_store_errors, NULL, 1);
        if (e.code == ERR_DATA && !again) {
            w->doubt = DOUBT; /* others of these are probably there too */
            continue;
        }
        bool slow = sqlstate_was_slow(&e);
        if ((e.code == ERR_DATA || slow) && n > 1) {
            write_rows(w, rows, n / 2, true);
            write_rows(w, rows + n / 2, n - n / 2, true);
            return;
        }
        if (e.code != ERR_STORE || slow) {
            fail_all(rows, n, &e);
            return;
        }
        pause_before_retry(w);
    }
}

/* ---- taking ---- */

/* When the queue is worth a statement: at once, but for what nobody waits for. */
static int64_t ripe_at(const struct rows_list *q)
{
    bool waits = q->first->table->lazy && q->count < LIMIT_ROWS_BATCH && !hub.stopping && hub.settling == 0;
    return waits ? q->first->since + LAZY_MS * NS_PER_MS : 0;
}

/* With the lock: a queue that is to be written now. NULL: none; *ret_until is lowered to when to look again. */
static struct rows_list *next_queue(const struct writer *w, int64_t *ret_until)
{
    int64_t now = clock_now();
    if (w != &hub.writers[0] && hub.waiting <= LIMIT_ROWS_BATCH)
        return NULL;
    for (size_t i = 0; i < ROWS_TABLES; i++) {
        size_t at = (hub.turn + i) % ROWS_TABLES;
        struct rows_list *q = &hub.queues[at];
        if (q->count == 0)
            continue;
        int64_t ripe = ripe_at(q);
        if (ripe <= now) {
            hub.turn = at + 1;
            return q;
        }
        if (ripe < *ret_until)
            *ret_until = ripe;
    }
    return NULL;
}

/* With the lock: rows of the next statement. In a flood each writer has its share, since a statement of more rows costs less a row. */
static size_t most_rows(const struct rows_list *q)
{
    size_t share = q->count / WRITERS;
    return share < LIMIT_ROWS_BATCH ? LIMIT_ROWS_BATCH : share < LIMIT_ROWS_FLOOD ? share : LIMIT_ROWS_FLOOD;
}

/* With the lock: off the front of the queue, as many as one statement takes, without orphans. */
static size_t take_from(struct rows_list *q, struct row_put **rows)
{
    size_t n = 0, bytes = 0, most = most_rows(q);
    while (q->first && n < most && (n == 0 || bytes + q->first->bytes <= LIMIT_ROWS_BYTES)) {
        struct row_put *r = q->first;
        q->first = r->next;
        q->count--;
        q->bytes -= r->bytes;
        hub.waiting--;
        bytes += r->bytes;
        if (r->orphan && r->client)
            mem_free(r);
        else
            rows[n++] = r;
    }
    if (!q->first)
        q->end = &q->first;
    return n;
}

/* With the lock. */
static bool is_dry(void)
{
    return hub.waiting == 0 && hub.writing == 0;
}

/* Waits for rows; how many were taken. 0: the process ends. `done`: what was taken before was written, or has failed. */
static size_t take(struct writer *w, bool done)
{
    size_t n = 0;
    pthread_mutex_lock(&hub.lock);
    hub.writing -= done;
    while (n == 0) {
        if (is_dry())
            pthread_cond_broadcast(&hub.dry);
        int64_t until = w->db.conn ? w->used + REST_MS * NS_PER_MS : CLOCK_NEVER;
        struct rows_list *q = next_queue(w, &until);
        if (q) {
            n = take_from(q, w->rows);
        } else if (hub.stopping) {
            break;
        } else if (until == CLOCK_NEVER) {
            pthread_cond_wait(&w->wake, &hub.lock);
        } else if (!cond_wait(&w->wake, &hub.lock, until) && w->db.conn &&
                   clock_now() >= w->used + REST_MS * NS_PER_MS) {
            db_close(&w->db);
        }
    }
    hub.writing += n > 0;
    pthread_mutex_unlock(&hub.lock);
    return n;
}

static void *run(void *arg)
{
    struct writer *w = arg;
    size_t n = 0;
    while ((n = take(w, n > 0)) > 0) {
        bool again = w->doubt > 0;
        w->doubt -= n < w->doubt ? n : w->doubt;
        rows_sort(w->rows[0]->table, w->rows, n);
        write_rows(w, w->rows, n, again);
        w->used = clock_now();
    }
    db_close(&w->db);
    return NULL;
}

/* ---- the callers' side ---- */

static void wake_writers(size_t writers)
{
    for (size_t i = 0; i < writers; i++)
        pthread_cond_signal(&hub.writers[i].wake);
}

void rows_send(struct rows_list *l)
{
    pthread_mutex_lock(&hub.lock);
    for (struct row_put *r = l->first, *next; r; r = next) {
        next = r->next;
        rows_list_add(&hub.queues[r->table->number], r);
    }
    hub.waiting += l->count;
    bool many = hub.waiting > LIMIT_ROWS_BATCH;
    pthread_mutex_unlock(&hub.lock);
    rows_list_init(l);
    wake_writers(many ? WRITERS : 1);
}

bool rows_send_lazy(struct row_put *r)
{
    pthread_mutex_lock(&hub.lock);
    struct rows_list *q = &hub.queues[r->table->number];
    bool room = hub.running && !hub.stopping && q->count < LIMIT_ROWS_LAZY;
    bool wake = room && (q->count == 0 || q->count == LIMIT_ROWS_BATCH - 1);
    if (room) {
        r->orphan = true;
        rows_list_add(q, r);
        hub.waiting++;
    }
    pthread_mutex_unlock(&hub.lock);
    if (wake)
        wake_writers(1);
    return room;
}

void rows_take_over(struct rows_client *c, struct rows_list *ret)
{
    pthread_mutex_lock(&hub.lock);
    *ret = c->over;
    rows_list_init(&c->over);
    pthread_mutex_unlock(&hub.lock);
}

void rows_orphan(struct row_put *r)
{
    pthread_mutex_lock(&hub.lock);
    r->orphan = true;
    pthread_mutex_unlock(&hub.lock);
}

void rows_settle(int64_t until)
{
    int64_t most = clock_after_ms(SETTLE_MS);
    pthread_mutex_lock(&hub.lock);
    hub.settling++;
    if (hub.running)
        wake_writers(WRITERS);
    while (hub.running && !is_dry() && cond_wait(&hub.dry, &hub.lock, until < most ? until : most))
        continue;
    bool late = hub.running && !is_dry();
    size_t waiting = hub.waiting;
    hub.settling--;
    pthread_mutex_unlock(&hub.lock);
    if (late)
        log_warn("rows.late",
                 "more_than=%zu meaning=rows are lost if the process ends before PostgreSQL takes them",
                 waiting);
}

/* ---- life ---- */

/* With the lock. */
static bool start_writer(struct writer *w)
{
    w->db = (struct db){.conf = hub.conf,
                        .gate = &hub.gate,
                        .role = "rows",
                        .arrays = true,
                        .impatient = true,
                        .hurry = hub.hurry};
    w->rows = mem_array(LIMIT_ROWS_FLOOD, sizeof(struct row_put *));
    w->params = (struct params)PARAMS_INIT;
    cond_init(&w->wake);
    w->running = pthread_create(&w->thread, NULL, run, w) == 0;
    if (w->running)
        pthread_setname_np(w->thread, "store-rows");
    return w->running;
}

static bool start(struct err *e)
{
    if (!hub.conf)
        return err_set(e, ERR_CONFIG, "this process was not told of a database for rows");
    db_gate_init(&hub.gate);
    for (size_t i = 0; i < ROWS_TABLES; i++)
        rows_list_init(&hub.queues[i]);
    hub.hurry = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    hub.stopping = false;
    cond_init(&hub.dry);
    for (size_t i = 0; i < WRITERS; i++)
        if (!start_writer(&hub.writers[i]) && i == 0)
            return err_set(e, ERR_SYSTEM, "no thread to write rows");
    hub.running = true;
    return true;
}

bool rows_start(struct err *e)
{
    pthread_mutex_lock(&hub.lock);
    bool ok = hub.running || start(e);
    pthread_mutex_unlock(&hub.lock);
    return ok;
}

void rows_stop(void)
{
    rows_settle(clock_after_ms(SETTLE_MS));
    pthread_mutex_lock(&hub.lock);
    bool running = hub.running;
    hub.stopping = running;
    hub.running = false;
    pthread_mutex_unlock(&hub.lock);
    if (!running)
        return;
    uint64_t one = 1;
    ssize_t sent = write(hub.hurry, &one, sizeof one); /* it holds the only count */
    (void)sent;
    wake_writers(WRITERS);
    for (struct writer *w = hub.writers; w < hub.writers + WRITERS; w++) {
        if (w->running)
            pthread_join(w->thread, NULL);
        pthread_cond_destroy(&w->wake);
        mem_free(w->rows);
        params_release(&w->params);
        *w = (struct writer){.running = false};
    }
    pthread_cond_destroy(&hub.dry);
    net_close(hub.hurry);
    db_gate_release(&hub.gate);
}
