/*
 * command.c: a thread's client of a command: one process, the items that it has in hand, and those that wait. Who is to blame
 * when it dies, and who goes on, is decided here; processes are command_process.c's business.
 */
#include "model/command.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "core/limits.h"
#include "core/mem.h"
#include "core/net.h"
#include "exec/command_answer.h"
#include "exec/command_client.h"
#include "exec/command_guard.h"
#include "exec/command_process.h"

#define GATHERED (256u * KIB) /* bytes to write after which no more items are added */

/* ---- queues */

static void push_last(struct queue *q, struct call *c)
{
    c->next = NULL;
    c->prev = q->last;
    *(q->last ? &q->last->next : &q->first) = c;
    q->last = c;
    q->count++;
}

static void push_first(struct queue *q, struct call *c)
{
    c->prev = NULL;
    c->next = q->first;
    *(q->first ? &q->first->prev : &q->last) = c;
    q->first = c;
    q->count++;
}

void command_pull(struct queue *q, struct call *c)
{
    *(c->prev ? &c->prev->next : &q->first) = c->next;
    *(c->next ? &c->next->prev : &q->last) = c->prev;
    q->count--;
}

/* ---- the client */

static bool watch(struct client *k, int fd, enum source source, unsigned events, struct err *e)
{
    struct epoll_event ev = {.events = events, .data.u32 = source};
    return epoll_ctl(k->set, EPOLL_CTL_ADD, fd, &ev) == 0 || err_errno(e, "a command cannot be watched");
}

static void free_client(struct client *k)
{
    net_close(k->alarm);
    net_close(k->set);
    buf_release(&k->out);
    buf_release(&k->in);
    buf_release(&k->log);
    arena_release(&k->arena);
    mem_free(k);
}

static bool open_client(void **ret, struct err *e)
{
    struct client *k = mem_alloc(sizeof *k);
    *k = (struct client){.set = epoll_create1(EPOLL_CLOEXEC),
                         .alarm = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC)};
    buf_init(&k->out, GATHERED + LIMIT_COMMAND_ASK);
    buf_init(&k->in, LIMIT_COMMAND_LINE + READ_BYTES);
    buf_init(&k->log, LIMIT_LOG_TEXT);
    arena_init(&k->arena);
    if (k->set < 0 || k->alarm < 0) {
        err_errno(e, "no descriptors for commands");
        free_client(k);
        return false;
    }
    if (!watch(k, k->alarm, SOURCE_ALARM, EPOLLIN, e)) {
        free_client(k);
        return false;
    }
    *ret = k;
    return true;
}

static int descriptor(const void *client)
{
    return ((const struct client *)client)->set;
}

/* Nothing of the process is here any more; it is the caller's. */
static struct process *detach(struct client *k)
{
    struct process *p = k->process;
    const int fds[] = {p->in, p->out, p->log, p->pidfd};
    for (size_t i = 0; i < COUNT_OF(fds); i++)
        epoll_ctl(k->set, EPOLL_CTL_DEL, fds[i], NULL); /* some were not watched */
    k->process = NULL;
    k->writing = k->deaf = k->mute = false;
    buf_clear(&k->out);
    buf_clear(&k->in);
    buf_clear(&k->log);
    return p;
}

static void close_client(void *client)
{
    struct client *k = client;
    assert(k->waits.count == 0 && k->hand.count == 0);
    if (k->process) {
        bool clean = k->out.len == 0 && k->in.len == 0 && !k->deaf && !k->mute;
        struct process *p = detach(k);
        if (clean)
            process_keep(p);
        else
            process_end(p);
    }
    free_client(k);
}

/* ---- the ends of calls */

void command_finish(struct call *c)
{
    c->shown.done = true;
    c->in_hand = false;
    item_call_over(c->it);
}

void command_fail(struct call *c, const struct err *why)
{
    c->shown.err = *why;
    command_finish(c);
}

static void fail_waiting(struct client *k, const struct err *why)
{
    struct call *c;
    while ((c = k->waits.first)) {
        command_pull(&k->waits, c);
        command_fail(c, why);
    }
}

/* The time of the one that is first in the process's hand runs from now. */
void command_turn(struct client *k)
{
    struct call *c = k->hand.first;
    if (c && !c->shown.turn) {
        c->shown.turn = true;
        item_call_over(c->it);
    }
}

/* What the process had in hand waits again, in front of the others and in its order. */
static void take_back(struct client *k)
{
    struct call *c;
    while ((c = k->hand.last)) {
        command_pull(&k->hand, c);
        push_first(&k->waits, c);
        c->in_hand = false;
        c->shown.progress = 0;
        if (c->shown.turn) /* its clock stands still again */
            item_call_over(c->it);
        c->shown.turn = false;
    }
}

/* Whoever was in hand may have done it. One that was alone, and was there before, has. */
static void suspect(struct client *k, const struct err *why)
{
    struct call *only = k->hand.first;
    bool alone = k->hand.count == 1;
    for (struct call *c = k->hand.first; c; c = c->next) {
        c->deaths++;
        c->alone = true;
    }
    if (alone && only->deaths > 1) {
        command_pull(&k->hand, only);
        command_fail(only, why);
    }
    take_back(k);
}

/* The process is of no use any more, for the reason that is given. */
void command_lose(struct client *k, const struct err *why)
{
    struct process *p = detach(k);
    if (p->answers == 0)
        luck_bad(k->command, why, false);
    process_end(p);
    suspect(k, why);
}

/* ---- handing over */

void command_ring_at(struct client *k, int64_t when)
{
    struct itimerspec t = {{0}, {0}};
    t.it_value = (struct timespec){.tv_sec = when / NS_PER_S, .tv_nsec = when % NS_PER_S};
    timerfd_settime(k->alarm, TFD_TIMER_ABSTIME, &t, NULL);
}

static bool adopt(struct client *k, struct process *p, struct err *e)
{
    k->process = p;
    return watch(k, p->out, SOURCE_OUT, EPOLLIN, e) && watch(k, p->log, SOURCE_LOG, EPOLLIN, e) &&
           watch(k, p->pidfd, SOURCE_END, EPOLLIN, e);
}

/* There is no guard until `again`, which is not the program's fault. False: that goes on for longer than it should. */
static bool await_guard(struct client *k, int64_t again)
{
    if (k->patience == 0)
        k->patience = clock_after_ms(2 * GUARD_PAUSE_MOST_MS);
    if (clock_now() > k->patience) {
        k->patience = 0;
        return false;
    }
    command_ring_at(k, again);
    return true;
}

/* False: there is none for now, and who waited has been told, or will be when the alarm rings. */
static bool have_process(struct client *k)
{
    struct err e = ERR_INIT;
    struct process *p;
    int64_t again;
    if (k->process)
        return true;
    struct luck luck = luck_now(k->command);
    if (luck.until > clock_now()) {
        if (luck.out)
            fail_waiting(k, &luck.err);
        else
            command_ring_at(k, luck.until);
        return false;
    }
    if (!process_open(k->command, &p, &again, &e)) {
        if (again > 0 && await_guard(k, again))
            return false;
        if (again == 0)
            luck_bad(k->command, &e, true);
        fail_waiting(k, &e);
        return false;
    }
    k->patience = 0;
    if (!adopt(k, p, &e)) {
        process_end(detach(k));
        fail_waiting(k, &e);
        return false;
    }
    return true;
}

static void hand_over(struct client *k, struct call *c)
{
    command_pull(&k->waits, c);
    push_last(&k->hand, c);
    c->in_hand = true;
    c->id = ++k->process->last_id;
    answer_ask(&k->out, c->id, c->it->index, c->it->tries, c->it->input, c->params);
    assert(!k->out.failed);
}

static void gather(struct client *k)
{
    struct call *c;
    while ((c = k->waits.first) && k->hand.count < k->command->width && k->out.len < GATHERED) {
        if (k->hand.first && (c->alone || k->hand.first->alone))
            break;
        hand_over(k, c);
    }
}

static void watch_writing(struct client *k)
{
    struct epoll_event ev = {.events = EPOLLOUT, .data.u32 = SOURCE_IN};
    bool full = k->out.len > 0;
    if (full != k->writing)
        epoll_ctl(k->set, full ? EPOLL_CTL_ADD : EPOLL_CTL_DEL, k->process->in, &ev);
    k->writing = full;
}

static void write_out(struct client *k)
{
    while (k->out.len > 0) {
        ssize_t n = write(k->process->in, k->out.ptr, k->out.len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno != EAGAIN) { /* it ends, and how is seen in a moment; or it closed its input */
            k->deaf = true;
            buf_clear(&k->out);
            command_ring_at(k, clock_after_ms(DEAF_MS));
        }
        if (n < 0)
            break;
        buf_consume(&k->out, (size_t)n);
    }
    watch_writing(k);
}

static void flush(void *client)
{
    struct client *k = client;
    if (k->waits.count == 0)
        k->patience = 0;
    if (k->waits.count == 0 || !have_process(k) || k->deaf || k->mute)
        return;
    int64_t before = k->hand.count;
    gather(k);
    if (k->hand.count != before)
        write_out(k);
    command_turn(k);
}

static void drive(void *client)
{
    struct client *k = client;
    struct epoll_event events[8];
    bool seen[SOURCE_END + 1] = {false};
    uint64_t ticks;
    int n = epoll_wait(k->set, events, COUNT_OF(events), 0);
    for (int i = 0; i < n; i++)
        seen[events[i].data.u32] = true;
    if (seen[SOURCE_ALARM] && read(k->alarm, &ticks, sizeof ticks) < 0)
        (void)0; /* set anew meanwhile; flush looks at the clock */
    if (!k->process)
        return;
    if (seen[SOURCE_LOG] && !seen[SOURCE_END])
        command_read_log(k);
    if (seen[SOURCE_END]) {
        command_ended(k);
        return;
    }
    if (seen[SOURCE_OUT] && !command_read_answers(k, READS, false))
        return;
    if (seen[SOURCE_IN])
        write_out(k);
    if (seen[SOURCE_ALARM] && (k->deaf || k->mute))
        command_lose_useless(k);
}

/* ---- for handlers */

struct command_call *command_start(struct item *it, const struct command *command, struct span params)
{
    struct client *k = item_client(it, &command_port);
    if (!k)
        return NULL;
    assert(!k->command || k->command == command); /* a thread runs items of one handler at a time */
    k->command = command;
    if (it->input.len > LIMIT_ITEM_INPUT || params.len > LIMIT_PARAMS) {
        err_set(&it->err, ERR_TOO_LARGE, "an input has at most %u bytes, params %u", LIMIT_ITEM_INPUT,
                LIMIT_PARAMS);
        return NULL;
    }
    struct call *c = mem_alloc(sizeof *c);
    *c = (struct call){.it = it, .client = k, .params = params};
    buf_init(&c->result, LIMIT_ITEM_RESULT);
    push_last(&k->waits, c);
    return &c->shown;
}

void command_drop(struct command_call *shown)
{
    if (!shown)
        return;
    struct call *c = (void *)((char *)shown - offsetof(struct call, shown));
    struct client *k = c->client;
    if (c->in_hand) { /* its time is over, or it was cancelled: it ends, and the others go on elsewhere */
        command_pull(&k->hand, c);
        process_end(detach(k));
        take_back(k);
    } else if (!shown->done) {
        command_pull(&k->waits, c);
    }
    buf_release(&c->result);
    mem_free(c);
}

const struct port_kind command_port = {
    .name = "commands",
    .open = open_client,
    .close = close_client,
    .descriptor = descriptor,
    .drive = drive,
    .flush = flush,
    .idle = processes_idle,
    .release = processes_release,
};
