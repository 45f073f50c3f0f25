/*
 * The statements of one thread's items. What items hand in waits in a lane for each database until the thread has nothing to
 * step; then it is dealt out to as many connections as it can use and the pool lends. A connection on which nothing is goes
 * back at once; and while a thread waits that has none at all, others let one of theirs run dry.
 */
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "core/limits.h"
#include "core/mem.h"
#include "core/net.h"
#include "store/sql_cancel.h"
#include "store/sql_inside.h"

#define EVENTS 64
#define LOOK_MS 100     /* while a server is away: has another thread found it? */
#define IDLE_MS 30000   /* an unused connection is kept for */
#define CANCELS_MS 2000 /* at the end of the process */

struct sql_client {
    int set, alarm, bell; /* set: of the descriptors; the other two are in it */
    int64_t armed;        /* when the alarm rings */
    struct sql_lane *lanes;
    struct sql_conn *dead; /* that an event may still name */
};

/* ---- the client */

static bool add_descriptor(struct sql_client *c, int *fd)
{
    struct epoll_event ev = {.events = EPOLLIN, .data.ptr = fd};
    return *fd >= 0 && epoll_ctl(c->set, EPOLL_CTL_ADD, *fd, &ev) == 0;
}

static void free_client(struct sql_client *c)
{
    net_close(c->bell);
    net_close(c->alarm);
    net_close(c->set);
    mem_free(c);
}

static bool open_client(void **ret, struct err *e)
{
    struct sql_client *c = mem_alloc(sizeof *c);
    *c = (struct sql_client){.armed = CLOCK_NEVER, .alarm = -1, .bell = -1};
    c->set = epoll_create1(EPOLL_CLOEXEC);
    c->alarm = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    bool ok = net_bell(&c->bell, e);
    if (ok && (c->set < 0 || !add_descriptor(c, &c->alarm) || !add_descriptor(c, &c->bell)))
        ok = err_errno(e, "no descriptors for a client of databases");
    if (!ok) {
        free_client(c);
        return false;
    }
    *ret = c;
    return true;
}

static int descriptor(const void *client)
{
    return ((const struct sql_client *)client)->set;
}

void sql_client_ring(struct sql_client *c)
{
    net_ring(c->bell);
}

static struct sql_lane *lane_of(struct sql_client *c, const struct sql_database *d)
{
    struct sql_lane *l = c->lanes;
    while (l && l->pool->database != d)
        l = l->next;
    if (!l) {
        l = mem_alloc(sizeof *l);
        l->client = c;
        l->pool = sql_pool_of(d);
        l->next = c->lanes;
        c->lanes = l;
    }
    return l;
}

/* ---- the alarm: one for all that is waited for */

static void arm(struct sql_client *c, int64_t when)
{
    if (when >= c->armed)
        return;
    struct itimerspec t = {.it_value = {when / NS_PER_S, when % NS_PER_S}};
    c->armed = when;
    timerfd_settime(c->alarm, TFD_TIMER_ABSTIME, &t, NULL);
}

/* ---- connections in hand */

static void unwatch(struct sql_conn *c)
{
    if (c->watched >= 0)
        epoll_ctl(c->lane->client->set, EPOLL_CTL_DEL, c->watched, NULL);
    c->watched = -1;
}

/* While it connects libpq may close a descriptor and open another of the same number, which the set then does not know. */
static bool watch(struct sql_conn *c)
{
    int fd = sql_conn_fd(c), set = c->lane->client->set;
    struct epoll_event ev = {.events = sql_conn_wants(c), .data.ptr = c};
    arm(c->lane->client, c->until);
    if (c->watched == fd && c->events == ev.events && c->state != SQL_CONNECTING)
        return true;
    c->events = ev.events;
    if (c->watched != fd)
        unwatch(c);
    c->watched = fd;
    return epoll_ctl(set, EPOLL_CTL_MOD, fd, &ev) == 0 ||
           (errno == ENOENT && epoll_ctl(set, EPOLL_CTL_ADD, fd, &ev) == 0) ||
           err_errno(&c->err, "a connection to a database cannot be watched");
}

static void attach(struct sql_lane *l, struct sql_conn *c)
{
    assert(l->conns_n < LIMIT_SQL_CONNECTIONS);
    c->lane = l;
    c->served = false;
    l->conns[l->conns_n++] = c;
}

static void detach(struct sql_conn *c)
{
    struct sql_lane *l = c->lane;
    int i = 0;
    unwatch(c);
    while (l->conns[i] != c)
        i++;
    l->conns[i] = l->conns[--l->conns_n];
}

static void finish_call(struct sql_one *call)
{
    buf_release(&call->text);
    buf_release(&call->out);
    mem_free(call->values);
    mem_free(call);
}

static void begin_rows(struct sql_one *call)
{
    buf_clear(&call->out);
    call->json = json_out(&call->out);
    json_open(&call->json, '[');
    call->shown.count = 0;
    call->resend = false;
}

void sql_call_over(struct sql_one *call)
{
    if (!call->item) {
        finish_call(call);
        return;
    }
    json_close(&call->json, ']');
    if (call->out.failed && call->shown.err.code == ERR_NONE)
        err_set(&call->shown.err, ERR_ITEM_TOO_LARGE, "the rows are larger than a result may be");
    call->shown.rows = buf_view(&call->out);
    call->shown.done = true;
    item_call_over(call->item);
}

void sql_call_again(struct sql_one *call)
{
    if (!call->item) {
        finish_call(call);
        return;
    }
    call->again++;
    begin_rows(call);
    sql_list_put_first(&call->lane->calls, call);
}

static void fail_call(struct sql_one *call, const struct err *e)
{
    if (call->shown.err.code == ERR_NONE)
        call->shown.err = *e;
    sql_call_over(call);
}

void sql_chore_failed(struct sql_conn *c)
{
    struct sql_list *calls = &c->lane->calls;
    struct sql_one *call = calls->first;
    while (call && call->query != c->chore.query)
        call = call->next;
    if (!call)
        return;
    sql_list_take(calls, call);
    fail_call(call, &c->chore.err);
}

/* The last first, so that those who are sent elsewhere keep their order. The server may be further than its answers that were
 * read: what writes is never sent anew. */
static void empty_out(struct sql_conn *c)
{
    static const struct err unknown = {
        .code = ERR_REJECTED,
        .text = "the connection was given up before the answer came: the statement may have been executed"};
    struct sql_one *call;
    while ((call = c->calls.last)) {
        bool begun = call == c->calls.first || !c->dropped;
        sql_list_take(&c->calls, call);
        call->conn = NULL;
        call->lane->sent--;
        if (begun)
            fail_call(call, &c->err);
        else if (call->query->write)
            fail_call(call, &unknown);
        else
            sql_call_again(call);
    }
}

/* Out of hand; an event of this turn may still name it. */
static void let_go(struct sql_conn *c)
{
    struct sql_client *client = c->lane->client;
    c->busy = c->calls.first || c->state == SQL_CHORE;
    detach(c);
    empty_out(c);
    c->state = SQL_DEAD;
    c->next = client->dead;
    client->dead = c;
    sql_pool_gone(c->pool);
}

static void lose(struct sql_conn *c)
{
    if (c->state == SQL_CONNECTING || (c->state == SQL_CHORE && !c->chore.query))
        sql_pool_failed(c->pool, &c->err, c->detail);
    let_go(c);
}

static void bury(struct sql_client *client)
{
    struct sql_conn *c;
    while ((c = client->dead)) {
        client->dead = c->next;
        sql_conn_free(c);
    }
}

static void turn(struct sql_conn *c)
{
    if (!c->pg) /* what is watched is a lookup's, whose thread may close it from now on */
        unwatch(c);
    if (!sql_conn_turn(c) || !watch(c))
        lose(c);
}

/* ---- dealing out */

/* As many as its calls can use, as far as they are lent. */
static void take_in(struct sql_lane *l)
{
    int permits;
    struct sql_conn *c = sql_pool_given(l->pool, l, &permits), *next;
    for (; c; c = next) {
        next = c->next;
        attach(l, c);
        if (!watch(c))
            lose(c);
    }
    for (; permits > 0; permits--) {
        attach(l, c = sql_conn_new(l->pool));
        turn(c);
    }
}

static void borrow_more(struct sql_lane *l)
{
    struct sql_conn *c;
    int64_t most = l->pool->database->connections;
    while (l->conns_n < most && l->conns_n < l->calls.count + l->sent) {
        enum sql_loan loan = sql_pool_borrow(l->pool, l, &c);
        if (loan == LOAN_NONE || loan == LOAN_DOWN)
            return;
        int before = l->conns_n;
        attach(l, loan == LOAN_CONN ? c : (c = sql_conn_new(l->pool)));
        if (loan == LOAN_PERMIT)
            turn(c);
        else if (!watch(c))
            lose(c);
        if (l->conns_n == before) /* it failed at once: not again and again */
            return;
    }
}

/* A server that has been away for as long as one waits for an answer is given up, and by later calls at once: until
 * somebody finds it again. */
static void give_up_waiting(struct sql_lane *l)
{
    int64_t next_try;
    struct err why;
    if (l->conns_n > 0 || !l->calls.first)
        return;
    int64_t since = sql_pool_down(l->pool, &next_try, &why), now = clock_now();
    if (!since) { /* it is rung for; or something went wrong here, and is tried again */
        arm(l->client, now + NS_PER_S);
        return;
    }
    int64_t end = since + l->pool->database->timeout_ms * NS_PER_MS;
    while (now >= end && l->calls.first) {
        struct sql_one *call = l->calls.first;
        sql_list_take(&l->calls, call);
        fail_call(call, &why);
    }
    int64_t look = now + LOOK_MS * NS_PER_MS;
    if (l->calls.first)
        arm(l->client, next_try > now && next_try < look ? next_try : look);
}

/* The one to run dry, because a thread waits that has none: after a turn's work, or nobody would ever do any. */
static struct sql_conn *leaving(const struct sql_lane *l)
{
    struct sql_conn *least = NULL;
    if (atomic_load(&l->pool->wanted) == 0)
        return NULL;
    for (int i = 0; i < l->conns_n; i++)
        if (l->conns[i]->state == SQL_READY && l->conns[i]->served &&
            (!least || l->conns[i]->calls.count < least->calls.count))
            least = l->conns[i];
    return least;
}

/* With the fewest calls on it, and room; else one that has to be made ready first. */
static struct sql_conn *best_for(const struct sql_lane *l, const struct sql_query *q,
                                 const struct sql_conn * not )
{
    struct sql_conn *best = NULL;
    int64_t share = (l->calls.count + l->sent + l->conns_n - 1) / l->conns_n;
    for (int i = 0; i < l->conns_n; i++) {
        struct sql_conn *c = l->conns[i];
        int64_t depth = sql_conn_depth(c);
        if (c == not || c->state != SQL_READY || c->calls.count >= (share < depth ? share : depth))
            continue;
        if ((c->calls.count == 0 || sql_conn_fits(c, q)) && (!best || c->calls.count < best->calls.count))
            best = c;
    }
    return best;
}

static void deal_out(struct sql_lane *l, const struct sql_conn * not )
{
    while (l->calls.first && l->conns_n > 0) {
        struct sql_one *call = l->calls.first;
        struct sql_conn *c = best_for(l, call->query, not );
        if (!c)
            return;
        bool ok = sql_conn_fits(c, call->query) ? sql_conn_send(c, call) : sql_conn_chore(c, call->query);
        if (!ok)
            lose(c);
    }
}

static void send_all(struct sql_lane *l)
{
    for (int i = l->conns_n - 1; i >= 0; i--)
        if (l->conns[i]->state != SQL_CONNECTING && (!sql_conn_flush(l->conns[i]) || !watch(l->conns[i])))
            lose(l->conns[i]);
}

/* Those on which nothing is: all where nothing waits for them here, else the one that leaves. Was there any? */
static bool give_back(struct sql_lane *l, const struct sql_conn *goes)
{
    bool any = false;
    for (int i = l->conns_n - 1; i >= 0; i--) {
        struct sql_conn *c = l->conns[i];
        if (c->state != SQL_READY || c->calls.first || (l->calls.first && c != goes))
            continue;
        detach(c);
        sql_pool_return(l->pool, c);
        any = true;
    }
    return any;
}

/* Who gives one back lines up for another one, or has it again if nobody wanted it after all. */
static void deal(struct sql_lane *l)
{
    bool gave;
    do {
        take_in(l);
        borrow_more(l);
        struct sql_conn *goes = leaving(l);
        deal_out(l, goes);
        send_all(l);
        gave = give_back(l, goes);
    } while (gave && l->calls.first);
    give_up_waiting(l);
}

static void flush(void *client)
{
    struct sql_client *c = client;
    for (struct sql_lane *l = c->lanes; l; l = l->next)
        if (l->calls.first || l->conns_n > 0)
            deal(l);
    bury(c);
}

/* ---- driving */

static void expire(struct sql_lane *l)
{
    int64_t now = clock_now();
    for (int i = l->conns_n - 1; i >= 0; i--) {
        struct sql_conn *c = l->conns[i];
        if (c->until > now || !sql_conn_overdue(c)) {
            arm(l->client, c->until);
            continue;
        }
        unwatch(c);
        if (sql_conn_skip(c)) {
            turn(c);
            continue;
        }
        struct err e;
        err_set(&e, ERR_TIMEOUT, "the database did not answer in time");
        if (c->calls.first && c->calls.first->shown.err.code == ERR_NONE)
            c->calls.first->shown.err = e;
        err_set(&c->err, ERR_UNREACHABLE, "the database \"%s\" does not answer", l->pool->database->name);
        lose(c);
    }
}

static void on_alarm(struct sql_client *c)
{
    uint64_t ticks;
    ssize_t n = read(c->alarm, &ticks, sizeof ticks);
    (void)n;
    c->armed = CLOCK_NEVER;
    for (struct sql_lane *l = c->lanes; l; l = l->next)
        expire(l);
}

static void drive(void *client)
{
    struct sql_client *c = client;
    struct epoll_event events[EVENTS];
    int n = epoll_wait(c->set, events, EVENTS, 0);
    for (int i = 0; i < n; i++) {
        void *of = events[i].data.ptr;
        if (of == &c->alarm)
            on_alarm(c);
        else if (of == &c->bell)
            net_bell_clear(c->bell);
        else if (((struct sql_conn *)of)->state != SQL_DEAD)
            turn(of);
    }
    for (struct sql_lane *l = c->lanes; l; l = l->next)
        deal(l);
    bury(c);
}

/* All its calls were dropped; some may still be on their way. */
static void close_lane(struct sql_lane *l)
{
    assert(!l->calls.first);
    sql_pool_leave(l->pool, l);
    while (l->conns_n > 0) {
        struct sql_conn *c = l->conns[0];
        if (c->state == SQL_READY && !c->calls.first) {
            detach(c);
            sql_pool_return(l->pool, c);
        } else {
            let_go(c);
        }
    }
    mem_free(l);
}

static void close_client(void *client)
{
    struct sql_client *c = client;
    struct sql_lane *l;
    while ((l = c->lanes)) {
        c->lanes = l->next;
        close_lane(l);
    }
    bury(c);
    free_client(c);
}

static bool idle(void)
{
    sql_pools_idle(clock_now() - IDLE_MS * NS_PER_MS);
    return false;
}

static void release(void)
{
    sql_pools_idle(CLOCK_NEVER);
    sql_cancel_wait(clock_after_ms(CANCELS_MS));
}

const struct port_kind sql_port = {
    .name = "databases",
    .open = open_client,
    .close = close_client,
    .descriptor = descriptor,
    .drive = drive,
    .flush = flush,
    .idle = idle,
    .release = release,
};

/* ---- calls */

static bool copy_values(struct sql_one *call, const struct span *values, size_t count, struct err *e)
{
    if (count > LIMIT_SQL_VALUES)
        return err_set(e, ERR_BAD_FIELD, "a statement has at most %u parameters", LIMIT_SQL_VALUES);
    for (size_t i = 0; i < count; i++) {
        buf_span(&call->text, values[i].ptr ? values[i] : SPAN(""));
        buf_char(&call->text, '\0');
    }
    if (call->text.failed)
        return err_set(e, ERR_BAD_FIELD, "the parameters are larger than an item may be");
    call->values = mem_array(count + 1, sizeof *call->values);
    call->count = (int)count;
    const char *at = call->text.ptr;
    for (size_t i = 0; i < count; i++) {
        call->values[i] = values[i].ptr ? at : NULL;
        at += values[i].ptr ? values[i].len + 1 : 1;
    }
    return true;
}

struct sql_call *sql_start(struct item *it, const struct sql_query *query, const struct span *values,
                           size_t count)
{
    struct sql_client *c = item_client(it, &sql_port);
    if (!c)
        return NULL;
    struct sql_one *call = mem_alloc(sizeof *call);
    call->query = query;
    call->item = it;
    call->lane = lane_of(c, query->database);
    buf_init(&call->text, LIMIT_ITEM_INPUT + LIMIT_SQL_VALUES);
    buf_init(&call->out, LIMIT_ITEM_RESULT);
    if (!copy_values(call, values, count, &it->err)) {
        finish_call(call);
        return NULL;
    }
    begin_rows(call);
    sql_list_put(&call->lane->calls, call);
    return &call->shown;
}

void sql_drop(struct sql_call *shown)
{
    struct sql_one *call = (void *)shown;
    if (!call)
        return;
    if (call->conn) { /* its answer will come */
        call->item = NULL;
        if (call->conn->calls.first == call) {
            sql_conn_abandon(call->conn);
            arm(call->lane->client, call->conn->until);
        }
        return;
    }
    if (!shown->done)
        sql_list_take(&call->lane->calls, call);
    finish_call(call);
}
