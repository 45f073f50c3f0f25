#include "exec/herd.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/limits.h"
#include "core/mem.h"
#include "core/metrics.h"
#include "core/net.h"
#include "exec/fds.h"
#include "exec/local.h"

#define SCRATCH (256u * KIB)  /* read at once from a child */
#define LOOK_MS 5             /* how often the cancel flag and the deadline are looked at, if nothing comes */
#define TICK (20 * NS_PER_MS) /* how often the limits of items are */
#define STEP_GRACE (50 * NS_PER_MS)  /* a step that is over its time may be about to end by itself */
#define STOP_GRACE (250 * NS_PER_MS) /* so may one after a stop */
#define KEEP_KIB (32 * 1024)         /* a child that took more is not kept */
#define EVENTS 64
#define FRUITLESS 3 /* more deaths before the first item than this, and children: no more are made */

/* ---- items */

static void tell(struct herd *h, int64_t position, struct outcome *o)
{
    const uint8_t *tries = shared_tries(&h->shared);
    if (tries && o->tries < tries[position])
        o->tries = tries[position];
    o->index = h->plan->first + position;
    h->items[position] |= ITEM_REPORTED;
    h->left--;
    h->moved++;
    report_item(&h->report, o);
}

void herd_refuse(struct herd *h, int64_t position, enum outcome_kind kind, const struct err *e)
{
    struct outcome o = {.kind = kind, .err = e};
    tell(h, position, &o);
}

/* What the board says, as far as it can be true: any child can write there. */
static bool in_step(const struct herd *h, const struct lane *lane, int64_t *ret)
{
    int64_t position = atomic_load_explicit(&lane->item, memory_order_acquire) - 1;
    if (position < 0 || position >= h->plan->count || (h->items[position] & ITEM_REPORTED))
        return false;
    *ret = position;
    return true;
}

static struct lane *lanes_of(const struct herd *h, const struct kid *k)
{
    return h->shared.board->lanes + (k - h->kids) * h->plan->shape.threads;
}

/* ---- orders */

static void give_order(struct herd *h, struct kid *k)
{
    struct order order = h->order;
    order.lane = (k - h->kids) * h->plan->shape.threads;
    k->working = true;
    k->killed = k->heard = false;
    k->expired = k->snooze_ms = 0;
    h->working++;
    /* one that cannot take it is as good as dead, and is found out as such */
    if (!fds_send(k->child->sock, &order, sizeof order, (int[]){h->shared.data_fd, h->shared.board_fd}, 2,
                  MSG_DONTWAIT))
        child_kill(k->child);
}

static void watch(struct herd *h, int fd, uint64_t data)
{
    struct epoll_event event = {.events = EPOLLIN, .data.u64 = data};
    if (epoll_ctl(h->epoll, EPOLL_CTL_ADD, fd, &event) < 0)
        mem_exhausted(sizeof event); /* nothing else can be the matter with two fresh descriptors */
}

static void employ(void *arg, struct child *c)
{
    struct herd *h = arg;
    struct kid *k = h->kids;
    while (k->child)
        k++;
    k->child = c;
    uint64_t id = (uint64_t)(k - h->kids) << 1;
    watch(h, c->sock, id);
    watch(h, c->pidfd, id | 1);
    give_order(h, k);
}

static void stop_all(struct herd *h)
{
    struct order stop = {.kind = ORDER_STOP};
    h->stop_at = clock_now();
    atomic_store(&h->shared.data->stopped_at, h->stop_at);
    cancel_raise(&h->shared.data->cancel);
    for (struct kid *k = h->kids; k < h->kids + h->size; k++)
        if (k->working)
            fds_send(k->child->sock, &stop, sizeof stop, NULL, 0, MSG_DONTWAIT);
}

bool herd_must_stop(struct herd *h)
{
    if (h->stop != STOP_NOT)
        return true;
    if (cancel_raised(&h->report.stop))
        h->stop = STOP_CANCEL;
    else if (h->plan->deadline != CLOCK_NEVER && clock_now() >= h->plan->deadline)
        h->stop = STOP_DEADLINE;
    else
        return false;
    stop_all(h);
    return true;
}

/* ---- what children say */

static void end_of_order(struct herd *h, struct kid *k, const struct frame_end *end)
{
    k->working = false;
    h->working--;
    if (end->cpu > k->child->cpu_seen)
        h->cpu += end->cpu - k->child->cpu_seen;
    k->child->cpu_seen = end->cpu;
    if (end->first_step < h->first_step)
        h->first_step = end->first_step;
    if (end->peak_kib > k->peak_kib)
        k->peak_kib = end->peak_kib;
}

/* False: it makes no sense. */
static bool hear(struct herd *h, struct kid *k, struct frame *f)
{
    if (!k->working)
        return false;
    if (f->kind == FRAME_END) {
        end_of_order(h, k, &f->end);
        return metrics_give(f->end.counted);
    }
    if (f->position >= h->plan->count || (h->items[f->position] & ITEM_REPORTED))
        return false;
    k->heard = true;
    if (f->kind == FRAME_LOG) {
        report_log(&h->report, f->position, f->text);
        return true;
    }
    if (f->kind == FRAME_SNOOZE) {
        k->snooze_ms = f->snooze_ms;
        return true;
    }
    if (f->outcome.kind == OUTCOME_FAILED && f->err.code == ERR_SNOOZED)
        f->outcome.snooze_ms = k->snooze_ms;
    h->item_cpu += f->outcome.cpu_ns;
    h->wait += f->outcome.wait_ns;
    tell(h, f->position, &f->outcome);
    return true;
}

/* Takes whole frames off the front. */
static bool understand(struct herd *h, struct kid *k, struct span *in)
{
    struct frame f;
    enum frame_status status;
    while ((status = frame_next(in, &f)) == FRAME_READ)
        if (!hear(h, k, &f))
            return false;
    return status == FRAME_MORE;
}

static bool take_in(struct herd *h, struct kid *k, struct span fresh)
{
    if (k->in.len == 0) {
        bool ok = understand(h, k, &fresh);
        buf_span(&k->in, fresh);
        return ok;
    }
    buf_span(&k->in, fresh);
    struct span all = buf_view(&k->in);
    bool ok = understand(h, k, &all);
    buf_consume(&k->in, k->in.len - all.len);
    if (k->in.len == 0 && k->in.cap > SCRATCH)
        buf_release(&k->in);
    return ok;
}

/* One read. False when there is nothing (more) to read or to understand; then *ret_over tells whether there ever will be. */
static bool listen_once(struct herd *h, struct kid *k, bool *ret_over)
{
    ssize_t n = recv(k->child->sock, h->scratch, SCRATCH, MSG_DONTWAIT);
    *ret_over = n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR);
    if (n <= 0)
        return false;
    if (take_in(h, k, (struct span){h->scratch, (size_t)n}))
        return true;
    *ret_over = true;
    return false;
}

/* ---- death */

/* A try of the item has failed that its child did not live to count, because of this lane or (NULL) of nobody knows which.
 * True: it has another one, in the next pass. */
static bool try_again(struct herd *h, int64_t position, const struct lane *lane)
{
    uint8_t *tries = shared_tries(&h->shared);
    if (!tries)
        return false;
    int64_t failed = lane ? atomic_load_explicit(&lane->tries, memory_order_relaxed) : 0;
    if (failed < tries[position] || failed > h->plan->item_retries)
        failed = tries[position];
    if (failed >= h->plan->item_retries)
        return false;
    tries[position] = (uint8_t)(failed + 1);
    h->moved++;
    return true;
}

static void fail_expired(struct herd *h, int64_t position, const struct lane *lane)
{
    struct err e;
    if (try_again(h, position, lane))
        return;
    err_set(&e, ERR_ITEM_TIMEOUT, "the item took longer than item_timeout_ms; its process was killed");
    herd_refuse(h, position, OUTCOME_FAILED, &e);
}

/* The one that has the item in its hands; NULL: none. */
static const struct lane *lane_of(const struct herd *h, const struct lane *lanes, int64_t position)
{
    int64_t found;
    for (int64_t i = 0; i < h->order.threads; i++)
        if (in_step(h, &lanes[i], &found) && found == position)
            return &lanes[i];
    return NULL;
}

/* What the dead had in its hands. */
static void judge(struct herd *h, struct kid *k, const struct child_end *end)
{
    struct lane *lanes = lanes_of(h, k);
    bool any = false;
    if (k->expired && !(h->items[k->expired - 1] & ITEM_REPORTED))
        fail_expired(h, k->expired - 1, lane_of(h, lanes, k->expired - 1));
    for (int64_t i = 0; i < h->order.threads; i++) {
        int64_t position;
        if (!in_step(h, &lanes[i], &position))
            continue;
        any = true;
        if (k->killed)
            continue;
        if (h->items[position] & ITEM_SUSPECT) {
            struct err e;
            if (try_again(h, position, &lanes[i]))
                continue;
            child_end_explain(end, h->plan->child_memory, &e);
            herd_refuse(h, position, OUTCOME_FAILED, &e);
        } else {
            h->items[position] |= ITEM_SUSPECT;
            h->moved++;
        }
    }
    if (!any && !k->heard && !k->killed) {
        h->fruitless++;
        child_end_explain(end, h->plan->child_memory, &h->early_death);
    }
    memset(lanes, 0, (size_t)h->plan->shape.threads * sizeof *lanes);
}

static void bury(struct herd *h, struct kid *k)
{
    bool over;
    while (listen_once(h, k, &over))
        continue;
    int64_t seen = k->child->cpu_seen;
    struct child_end end = children_bury(k->child);
    k->child = NULL;
    buf_clear(&k->in);
    if (end.known && end.cpu > seen)
        h->cpu += end.cpu - seen;
    if (!k->working)
        return; /* it was done: nothing is lost with it */
    k->working = false;
    h->working--;
    h->lost++;
    judge(h, k, &end);
}

/* ---- time */

static void kill_kid(struct kid *k)
{
    k->killed = true;
    child_kill(k->child);
}

/* The item in the lane if its time is over. Read twice: between the two it may have become another item's. */
static int64_t overdue(const struct herd *h, const struct lane *lane, int64_t now)
{
    int64_t position, again;
    if (!in_step(h, lane, &position))
        return 0;
    int64_t until = atomic_load_explicit(&lane->until, memory_order_acquire);
    bool late = until < now - STEP_GRACE;
    return late && in_step(h, lane, &again) && again == position ? position + 1 : 0;
}

static void watch_steps(struct herd *h, int64_t now)
{
    for (struct kid *k = h->kids; k < h->kids + h->size; k++)
        for (int64_t i = 0; k->working && !k->killed && i < h->order.threads; i++) {
            k->expired = overdue(h, &lanes_of(h, k)[i], now);
            if (k->expired)
                kill_kid(k);
        }
}

static void show_progress(const struct herd *h)
{
    int64_t sum = 0, most = 1000 * h->order.width;
    for (int64_t i = 0; i < h->size * h->plan->shape.threads; i++) {
        int64_t milli = atomic_load_explicit(&h->shared.board->lanes[i].partial_milli, memory_order_relaxed);
        sum += milli < 0 ? 0 : milli > most ? most : milli;
    }
    atomic_store_explicit(&h->plan->progress->partial_milli, sum, memory_order_relaxed);
}

static void tick(struct herd *h)
{
    int64_t now = clock_now();
    if (now - h->ticked < TICK / 2)
        return;
    h->ticked = now;
    if (herd_must_stop(h) && now - h->stop_at > STOP_GRACE)
        for (struct kid *k = h->kids; k < h->kids + h->size; k++)
            if (k->working && !k->killed)
                kill_kid(k);
    if (h->plan->item_timeout_ms && h->stop == STOP_NOT)
        watch_steps(h, now);
    if (h->plan->progress)
        show_progress(h);
}

/* ---- a pass */

static void on_event(struct herd *h, uint64_t id)
{
    struct kid *k = &h->kids[id >> 1];
    bool over = false, dead = id & 1;
    if (!k->child)
        return; /* its death was in the same batch */
    if (!dead && !listen_once(h, k, &over) && over) {
        child_kill(k->child); /* it is exiting, or raving */
        dead = true;
    }
    if (dead)
        bury(h, k);
}

static bool work_left(const struct herd *h)
{
    int64_t next = atomic_load_explicit(&h->shared.board->cursor.next, memory_order_relaxed);
    return h->stop == STOP_NOT && next < h->order.count && h->fruitless <= h->size + FRUITLESS;
}

/* While there is work, as many work as were asked for: those that are there already, then new ones. */
static void replace_dead(struct herd *h, int64_t children)
{
    for (struct kid *k = h->kids; k < h->kids + h->size && h->working < children && work_left(h); k++)
        if (k->child && !k->working)
            give_order(h, k);
    if (h->working < children && work_left(h))
        children_take((int)(children - h->working), employ, h, NULL);
}

static void begin_pass(struct herd *h)
{
    struct order *o = &h->order;
    o->kind = ORDER_RUN;
    o->handler = h->plan->handler;
    o->data_size = h->shared.data_size;
    o->board_size = h->shared.board_size;
    o->first = h->plan->first;
    o->item_timeout = work_of_plan(h->plan).item_timeout;
    o->memo = h->memo;
    o->deadline = h->plan->deadline;
    o->memory = h->plan->child_memory;
    o->item_retries = h->plan->item_retries;
    o->backoff = h->plan->backoff;
    o->tries = h->plan->tries;
    o->log = h->plan->log != NULL;
    o->urgent = h->plan->fail_fast;
    h->moved = h->fruitless = 0;
    atomic_store(&h->shared.board->cursor.next, 0);
}

bool herd_pass(struct herd *h, int64_t children, struct err *e)
{
    begin_pass(h);
    for (struct kid *k = h->kids; k < h->kids + h->size && h->working < children; k++)
        if (k->child)
            give_order(h, k);
    int64_t missing = children - h->working;
    if (missing > 0 && children_take((int)missing, employ, h, e) == 0 && h->working == 0)
        return false;
    while (h->working > 0) {
        struct epoll_event events[EVENTS];
        int n = epoll_wait(h->epoll, events, EVENTS, LOOK_MS);
        for (int i = 0; i < n; i++) {
            herd_must_stop(h); /* what each of them has to say may be long */
            on_event(h, events[i].data.u64);
        }
        herd_must_stop(h);
        tick(h);
        replace_dead(h, children);
    }
    return true;
}

/* ---- life */

bool herd_init(struct herd *h, const struct plan *p, struct err *e)
{
    int64_t size = p->shape.processes;
    *h = (struct herd){
        .plan = p, .left = p->count, .size = size, .shared = SHARED_INIT, .first_step = CLOCK_NEVER};
    h->memo = work_of_plan(p).memo;
    if (!shared_make(&h->shared, p, size * p->shape.threads, e))
        return false;
    h->epoll = epoll_create1(EPOLL_CLOEXEC);
    if (h->epoll < 0) {
        err_errno(e, "no descriptor to wait for children");
        shared_release(&h->shared);
        return false;
    }
    report_init(&h->report, p);
    h->items = mem_alloc((size_t)p->count + 1);
    h->kids = mem_array((size_t)size, sizeof *h->kids);
    for (int64_t i = 0; i < size; i++)
        buf_init(&h->kids[i].in, LIMIT_FRAME + 2 * SCRATCH);
    h->scratch = mem_alloc(SCRATCH);
    return true;
}

void herd_release(struct herd *h)
{
    struct child *keep = NULL;
    for (struct kid *k = h->kids; k < h->kids + h->size; k++) {
        struct child *c = k->child;
        buf_release(&k->in);
        if (c && !k->working && k->peak_kib <= KEEP_KIB) {
            c->peak_kib = c->peak_kib > k->peak_kib ? c->peak_kib : k->peak_kib;
            c->next = keep;
            keep = c;
        } else if (c) {
            children_bury(c);
        }
    }
    close(h->epoll); /* before others use the children's descriptors */
    children_keep(keep);
    shared_release(&h->shared);
    mem_free(h->items);
    mem_free(h->kids);
    mem_free(h->scratch);
}
