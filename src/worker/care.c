/* What a worker does while its units run: leases, cancels, progress, time limits, housekeeping. */
#include <fcntl.h>
#include <unistd.h>

#include "core/limits.h"
#include "core/log.h"
#include "core/mem.h"
#include "core/metrics.h"
#include "core/net.h"
#include "model/port.h"
#include "worker/loop.h"

#define TELL_MS 200                  /* progress to Redis this often */
#define TELL_AFTER (150 * NS_PER_MS) /* of units that have run this long */
#define RETURN_GRACE \
    (5 * NS_PER_S) /* for a handler in the worker to come back after its deadline or a cancel */
#define TELL_MOST 256
#define BEAT_AGAIN_MS 1500   /* the second: by then the worker knows what its machine costs */
#define MEASURE_MS 5000      /* how often to look whether PostgreSQL knows how large the tables are */
#define MEASURE_SOON_MS 1000 /* when something took long */
#define HORIZON_MS 60000     /* how often to look what holds the vacuum back, at least */
#define HORIZON_FIRST_MS \
    3000 /* after a start, when the first units are over: a fresh session takes 10 ms for the plan */
#define FORGET_PAUSE_MS 100   /* between two rounds of a pass */
#define FORGET_MOST_MS 600000 /* between two passes */
#define FORGET_LEAST_MS 5000
#define FIRE_AGAIN_MS 20 /* how soon to look when nothing was left to fire */

/* ---- leases ---- */

static void cancel_task(struct worker *w, struct uuid task)
{
    for (struct run *r = w->runs; r != NULL; r = r->next) {
        if (!uuid_eq(r->unit->task, task) || cancel_raised(&r->cancel))
            continue;
        atomic_store(&r->wanted, true);
        cancel_raise(&r->cancel);
        r->cancelled_at = clock_now();
    }
}

static size_t list_batches(struct worker *w, struct arena *a, struct batch ***ret, struct uuid **ret_ids)
{
    size_t n = 0;
    for (struct batch *b = w->batches; b != NULL; b = b->next)
        n += b->held > 0;
    *ret = arena_array(a, n + 1, sizeof **ret);
    *ret_ids = arena_array(a, n + 1, sizeof **ret_ids);
    n = 0;
    for (struct batch *b = w->batches; b != NULL; b = b->next) {
        if (b->held == 0)
            continue;
        (*ret)[n] = b;
        (*ret_ids)[n++] = b->claim.lease;
    }
    return n;
}

static void beat(struct worker *w)
{
    struct arena a CLEANUP(arena_release) = ARENA_INIT;
    struct batch **batches;
    struct uuid *ids, *cancelled = NULL;
    size_t cancelled_n = 0, n = list_batches(w, &a, &batches, &ids);
    bool *lost = arena_array(&a, n + 1, sizeof *lost);
    struct err e = ERR_INIT;

    w->info.busy = slots_busy(w->slots);
    w->info.costs = evidence_host(w->evidence);
    metric_set(M_slots_busy, NULL, (double)w->info.busy);
    int64_t often = conf_now(&w->conf->worker_lease) / 3;
    w->due[CARE_BEAT] = clock_after_ms(w->has_beaten || often < BEAT_AGAIN_MS ? often : BEAT_AGAIN_MS);
    w->has_beaten = true;
    mem_rest();
    if (!queue_beat(w->queue_worker, &a, &w->info, ids, n, lost, &cancelled, &cancelled_n, &e)) {
        w->due[CARE_BEAT] = clock_after_ms(conf_now(&w->conf->worker_lease) / 10);
        log_debug("worker.beat", "leases=%zu error=%s", n, e.text);
        return;
    }
    size_t gone = 0;
    for (size_t i = 0; i < n; i++)
        gone += lost[i] ? board_lose(w, batches[i]) : 0;
    if (gone > 0)
        log_warn("worker.lease_lost", "units=%zu meaning=they run elsewhere; what they do here is discarded",
                 gone);
    for (size_t i = 0; i < cancelled_n; i++)
        cancel_task(w, cancelled[i]);
}

/* As often as leases are renewed, and not with them: they wait for nothing. */
static void idle(struct worker *w)
{
    bool soon = exec_idle();
    w->due[CARE_IDLE] = clock_after_ms(soon ? PORT_SOON_MS : conf_now(&w->conf->worker_lease) / 3);
}

void care_look_for_messages(struct worker *w)
{
    struct uuid ids[64];
    size_t n;
    int64_t later_ms = queue_later(w->queue_worker);
    if (later_ms >= 0 && w->ending == ENDING_NOT)
        care_wake_by(w, later_ms + 1);
    while ((n = queue_cancels(w->queue_worker, ids, COUNT_OF(ids))) > 0)
        for (size_t i = 0; i < n; i++)
            cancel_task(w, ids[i]);
}

/* ---- progress ---- */

static void tell(struct worker *w)
{
    struct cache_view views[TELL_MOST];
    size_t n = 0;
    int64_t now = clock_now();
    w->due[CARE_RUNS] = clock_after_ms(TELL_MS);
    for (struct run *r = w->runs; r != NULL && n < TELL_MOST; r = r->next) {
        if (atomic_load(&r->state) != RUN_RUNNING || r->hold != HOLD_OURS ||
            now - atomic_load(&r->started) < TELL_AFTER)
            continue;
        r->shown = true;
        views[n++] = (struct cache_view){
            .task = r->unit->task,
            .seq = r->unit->seq,
            .done = atomic_load(&r->progress.done),
            .failed = atomic_load(&r->progress.failed),
            .partial_milli = atomic_load(&r->progress.partial_milli),
        };
    }
    if (n > 0)
        queue_tell(w->queue_worker, views, n);
}

/* ---- units that do not come back, a worker that grows ---- */

/* True: it was due long ago, and nobody waits for it any more. */
static bool watch_run(struct worker *w, struct run *r, int64_t now)
{
    if (atomic_load(&r->state) != RUN_RUNNING || r->abandoned)
        return false;
    int64_t started = atomic_load(&r->started), deadline = atomic_load(&r->deadline);
    int64_t told = r->cancelled_at > started ? r->cancelled_at : started;
    bool ignores = r->cancelled_at > 0 && now - told > RETURN_GRACE;
    bool late = deadline != CLOCK_NEVER && now - deadline > RETURN_GRACE;
    struct err e = ERR_INIT;
    if (ignores)
        err_set(&e, ERR_CANCELLED, "the handler did not stop when it was cancelled; its worker is replaced");
    else if (late)
        err_set(&e, ERR_TASK_TIMEOUT, "the handler did not return at its time limit; its worker is replaced");
    return (ignores || late) && turn_abandon(w, r, ignores ? TASK_cancelled : TASK_failed, &e);
}

static int64_t resident_bytes(void)
{
    char text[128];
    int fd CLEANUP(net_close_at) = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
    ssize_t n = fd >= 0 ? read(fd, text, sizeof text) : -1;
    struct span rest = {text, n > 0 ? (size_t)n : 0};
    int64_t pages = 0;
    span_cut(&rest, ' '); /* the first number is the whole address space */
    if (!span_to_int(span_cut(&rest, ' '), &pages))
        return 0;
    return pages * sysconf(_SC_PAGESIZE);
}

static void watch(struct worker *w)
{
    int64_t now = clock_now(), bytes = resident_bytes(), most = conf_now(&w->conf->worker_memory);
    size_t lost = 0;
    for (struct run *r = w->runs; r != NULL; r = r->next)
        lost += watch_run(w, r, now);
    if (lost > 0)
        worker_recycle(w, "a handler does not come back");
    w->too_large = bytes > most;
    if (w->too_large)
        worker_recycle(w, "it is larger than worker.memory");
    if (bytes > 2 * most) {
        /* A handler grows faster than units end. As after a crash, the units run in children next time. */
        log_error("worker.too_large", "bytes=%lld meaning=leaving now; its units run again in children",
                  (long long)bytes);
        _exit(err_exit(ERR_INTERNAL));
    }
}

/* ---- housekeeping ---- */

static void keep_house(struct worker *w)
{
    struct arena a CLEANUP(arena_release) = ARENA_INIT;
    struct reaped r = {0};
    struct err e = ERR_INIT;
    w->due[CARE_REAP] = clock_after_ms(clock_jitter(conf_now(&w->conf->worker_lease) / 3));
    if (!queue_reap(w->queue_worker, &a, &r, &e))
        return; /* the next turn tells of the store */
    if (r.expired > 0)
        log_info("worker.expired", "tasks=%lld meaning=nobody began them in time", (long long)r.expired);
    if (r.leaked > 0)
        log_warn("worker.slots_leaked",
                 "slots=%lld meaning=units of a limited key or queue had ended and still counted",
                 (long long)r.leaked);
    if (r.leases > 0) {
        log_warn("worker.reaped", "leases=%lld requeued=%lld failed=%lld meaning=a worker was lost",
                 (long long)r.leases, (long long)r.requeued, (long long)r.failed);
        metric_add(M_leases_expired, NULL, (double)r.leases);
        w->look = true;
    }
}

static void look_at_horizon(struct worker *w)
{
    /* What is to be told sooner is looked for more often. */
    int64_t warn_ms = conf_now(&w->conf->store_horizon_warn);
    w->due[CARE_HORIZON] = clock_after_ms(clock_jitter(warn_ms < HORIZON_MS ? warn_ms : HORIZON_MS));
    queue_look_at_horizon(w->queue_worker);
}

static bool cold(const struct worker *w)
{
    return w->first_claim && !w->warm && w->finishes_n == 0;
}

/* While the first units run there is time for what their end would have to wait for. */
static bool warm(struct worker *w)
{
    struct err e = ERR_INIT;
    if (!cold(w))
        return false;
    w->warm = true;
    if (!queue_warm(w->queue_worker, &e))
        log_warn("worker.warm", "error=%s meaning=the first units end a little later", e.text);
    return true;
}

/* One line for a series of failures, and none while PostgreSQL is away: the store tells of that. */
static void measure(struct worker *w)
{
    struct err e = ERR_INIT;
    bool ok = queue_measure(w->queue_worker, &e), away = !ok && e.code == ERR_STORE;
    if (!ok && !away && !w->unmeasured)
        log_warn("worker.measure", "error=%s meaning=plans may be those of smaller tables", e.text);
    if (!away)
        w->unmeasured = !ok;
    w->measured = clock_now();
    w->due[CARE_MEASURE] = clock_after_ms(clock_jitter(MEASURE_MS));
}

void care_begin(struct worker *w)
{
    w->measured = clock_now();
    care_measure_soon(w);
    w->due[CARE_HORIZON] = clock_after_ms(HORIZON_FIRST_MS);
}

void care_measure_soon(struct worker *w)
{
    int64_t at = w->measured + MEASURE_SOON_MS * NS_PER_MS;
    if (w->due[CARE_MEASURE] == 0 || at < w->due[CARE_MEASURE])
        w->due[CARE_MEASURE] = at;
}

/* A pass over the tasks that are old enough, then a rest: what is old and stays is looked at again by every pass. */
static void forget(struct worker *w)
{
    int64_t deleted, rest_ms = conf_now(&w->conf->store_retention) / 10;
    bool more;
    struct err e = ERR_INIT;
    if (rest_ms < FORGET_LEAST_MS || rest_ms > FORGET_MOST_MS) /* 0 may be changed meanwhile */
        rest_ms = rest_ms > FORGET_MOST_MS ? FORGET_MOST_MS : FORGET_LEAST_MS;
    w->due[CARE_FORGET] = clock_after_ms(clock_jitter(rest_ms));
    if (!queue_forget(w->queue_worker, &deleted, &more, &e)) {
        log_warn("worker.retention", "error=%s meaning=nothing is deleted until the next try", e.text);
        return;
    }
    if (more)
        w->due[CARE_FORGET] = clock_after_ms(FORGET_PAUSE_MS);
    w->forgotten += deleted;
    metric_add(M_tasks_deleted, NULL, (double)deleted);
    if (!more && w->forgotten > 0) {
        log_info("worker.retention",
                 "tasks=%lld meaning=they had been over for store.retention and are deleted",
                 (long long)w->forgotten);
        w->forgotten = 0;
    }
}

/* ---- what waits for its time ---- */

void care_wake_by(struct worker *w, int64_t ms)
{
    int64_t at = clock_after_ms(ms);
    if (at < w->due[CARE_WAKE])
        w->due[CARE_WAKE] = at;
}

/* At the next time that is known, and at every poll for what others put to wait. */
static void wake(struct worker *w)
{
    struct err e = ERR_INIT;
    int64_t next_ms, fire_ms;
    w->due[CARE_WAKE] = clock_after_ms(clock_jitter(conf_now(&w->conf->worker_poll)));
    if (!queue_wake(w->queue_worker, &next_ms, &fire_ms, &e))
        return;
    if (next_ms >= 0)
        care_wake_by(w, next_ms + 1);
    w->due[CARE_FIRE] = fire_ms >= 0 ? clock_after_ms(fire_ms + 1) : CLOCK_NEVER;
}

/* One schedule a call, as long as one is due. When another worker fires just now, ours is to look again soon. */
static void fire(struct worker *w)
{
    struct err e = ERR_INIT;
    bool fired = false;
    if (queue_fire(w->queue_worker, &fired, &e) && fired)
        return;
    w->due[CARE_FIRE] = CLOCK_NEVER; /* until a look at what waits tells of the next one */
    care_wake_by(w, e.code == ERR_NONE ? FIRE_AGAIN_MS : conf_now(&w->conf->worker_poll));
}

/* ---- what is due ---- */

static void see_to_runs(struct worker *w)
{
    tell(w);
    watch(w);
}

static void (*const care_of[CARE_KINDS])(struct worker *w) = {
    [CARE_BEAT] = beat,     [CARE_RUNS] = see_to_runs, [CARE_WAKE] = wake,
    [CARE_FIRE] = fire,     [CARE_MEASURE] = measure,  [CARE_HORIZON] = look_at_horizon,
    [CARE_FORGET] = forget, [CARE_REAP] = keep_house,  [CARE_IDLE] = idle,
};

bool care(struct worker *w)
{
    int64_t now = clock_now();
    board_return_queued(w, now - WAIT_MOST_NS);
    for (int i = 0; i < CARE_KINDS; i++)
        if (now >= w->due[i]) {
            care_of[i](w);
            return true;
        }
    return warm(w);
}

static int64_t sooner(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

int64_t care_next(const struct worker *w)
{
    if (cold(w))
        return 0;
    int64_t next = CLOCK_NEVER, oldest = slots_oldest(w->slots);
    for (int i = 0; i < CARE_KINDS; i++)
        if (i != CARE_RUNS || w->running > 0)
            next = sooner(next, w->due[i]);
    return oldest != CLOCK_NEVER ? sooner(next, oldest + WAIT_MOST_NS) : next;
}
