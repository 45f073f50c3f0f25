/*
 * exec_fixture.h: a handler whose items do what the test says, and a caller that notes everything it is told. What the
 * handler counts lives in memory that is shared with children, mapped before they exist.
 */
#ifndef LATHE_EXEC_FIXTURE_H
#define LATHE_EXEC_FIXTURE_H

#include "../lib/test.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "core/mem.h"
#include "exec/exec.h"

#define MOST 20000

/* What an item does. Those after NAP are done by every `every`-th item only (from 0), the others are OK. */
enum act {
    OK,
    NAP,
    NAP_TWICE,
    ON_FD,
    FAIL,
    MUTE_FAIL,
    TWO_LINES,
    HUGE_RESULT,
    CRASH,
    EXIT3,
    HANG,
    HANG_POLITE,
    LEAK,
    LOST,
    BAD_FD,
    PROGRESS,
    FAIL_SLOWLY
};

struct counts {
    _Atomic int begun, in_flight, most_in_flight, dropped, steps_after_cancel;
    _Atomic int runs[MOST]; /* how often each item was begun */
    struct cancel cancel;
    _Atomic int cancel_at;             /* the item that raises it when it begins, -1: none */
    _Atomic int go;                    /* HANG_POLITE and others wait for it */
    _Atomic int64_t limit, hard_limit; /* of address space, as an item saw it */
};

struct orders {
    enum act act;
    int64_t ms;
    int64_t every;
    bool crash_once;
    struct counts *counts;
};

struct doing {
    bool begun;
    int fd; /* + 1 */
    int64_t until, again;
};

static struct counts *counts; /* one a program, cleared by every test */

static inline void fixture_begin(struct item *it, struct counts *c, struct doing *d)
{
    d->begun = true;
    atomic_fetch_add(&c->begun, 1);
    if (it->index < MOST)
        atomic_fetch_add(&c->runs[it->index], 1);
    int now = atomic_fetch_add(&c->in_flight, 1) + 1, most = c->most_in_flight;
    while (now > most && !atomic_compare_exchange_weak(&c->most_in_flight, &most, now))
        continue;
    if (cancel_raised(&c->cancel))
        atomic_fetch_add(&c->steps_after_cancel, 1);
    if (c->cancel_at == it->index)
        cancel_raise(&c->cancel);
}

static inline enum step fixture_timer_fd(struct item *it, struct doing *d, int64_t ms)
{
    uint64_t n;
    if (d->fd == 0) {
        d->fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC) + 1;
        struct itimerspec t = {.it_value = {.tv_nsec = ms * NS_PER_MS}};
        timerfd_settime(d->fd - 1, 0, &t, NULL);
    }
    if (read(d->fd - 1, &n, sizeof n) < 0)
        return item_wait_fd(it, d->fd - 1, POLLIN, CLOCK_NEVER);
    buf_int(&it->out, it->index);
    return STEP_DONE;
}

static inline enum step fixture_nap(struct item *it, struct doing *d, int64_t ms, bool twice)
{
    if (d->until == 0)
        d->until = clock_after_ms(ms);
    if (clock_now() < d->until)
        return item_wait_until(it, d->until);
    if (twice && d->again == 0)
        d->until = d->again = clock_after_ms(ms);
    if (clock_now() < d->until)
        return item_wait_until(it, d->until);
    buf_int(&it->out, it->index);
    return STEP_DONE;
}

/* By the signal itself: a sanitizer takes it for its own and does not let go of it through sigaction(2), and would end the
 * process in another way, with a report. */
static inline void fixture_die_of_segv(void)
{
    static const char by_default[64]; /* the kernel's struct sigaction: SIG_DFL, no flags, nothing blocked */
    syscall(SYS_rt_sigaction, SIGSEGV, by_default, NULL, (size_t)(_NSIG / 8));
    raise(SIGSEGV);
}

static inline enum step fixture_bad(struct item *it, const struct orders *o, struct doing *d)
{
    switch (o->act) {
    case FAIL_SLOWLY:
        if (d->until == 0)
            return item_wait_until(it, d->until = clock_after_ms(o->ms));
        return STEP_FAIL;
    case FAIL:
        err_set(&it->err, ERR_ITEM_FAILED, "item %d fails", (int)it->index);
        return STEP_FAIL;
    case MUTE_FAIL:
        return STEP_FAIL;
    case TWO_LINES:
        buf_puts(&it->out, "1\n2");
        return STEP_DONE;
    case HUGE_RESULT:
        while (!it->out.failed)
            buf_puts(&it->out, "0123456789");
        return STEP_DONE;
    case CRASH:
        fixture_die_of_segv();
        return STEP_FAIL;
    case EXIT3:
        _exit(3);
    case HANG:
        for (;;)
            poll(NULL, 0, 1000);
    case HANG_POLITE:
        while (!item_stopping(it))
            poll(NULL, 0, 1);
        return STEP_DONE;
    case LEAK:
        for (;;)
            memset(mem_alloc(1 << 20), 1, 1 << 20);
    case LOST:
        return item_wait_until(it, CLOCK_NEVER);
    case BAD_FD:
        return item_wait_fd(it, 987, POLLIN, CLOCK_NEVER);
    case PROGRESS:
        it->progress = 0.5;
        if (o->counts->go)
            return STEP_DONE;
        return item_wait_until(it, clock_after_ms(1));
    case OK:
    case NAP:
    case NAP_TWICE:
    case ON_FD:
        break;
    }
    return STEP_DONE;
}

static inline enum step fixture_step(struct item *it)
{
    const struct orders *o = it->args;
    struct doing *d = it->state;
    bool again = false;
    if (!d->begun) {
        fixture_begin(it, o->counts, d);
        again = it->index < MOST && o->counts->runs[it->index] > 1;
    }
    if (o->act > ON_FD && it->index % (o->every ? o->every : 1) == 0 && !(o->crash_once && again))
        return fixture_bad(it, o, d);
    if (o->act == NAP || o->act == NAP_TWICE)
        return fixture_nap(it, d, o->ms, o->act == NAP_TWICE);
    if (o->act == ON_FD)
        return fixture_timer_fd(it, d, o->ms);
    if (it->input.len)
        buf_span(&it->out, it->input);
    else
        buf_int(&it->out, it->index);
    return STEP_DONE;
}

static inline void fixture_drop(struct item *it)
{
    const struct orders *o = it->args;
    struct doing *d = it->state;
    if (d->fd)
        close(d->fd - 1);
    atomic_fetch_add(&o->counts->dropped, 1);
    atomic_fetch_sub(&o->counts->in_flight, 1);
}

static const struct handler fixture = {
    .name = "fixture",
    .params = {NULL, 0, sizeof(struct orders)},
    .state_size = sizeof(struct doing),
    .step = fixture_step,
    .drop = fixture_drop,
};

/* ---- the caller's side */

struct notes {
    _Atomic int inside; /* of done() */
    int overlaps, reports, ok, failed, cancelled;
    int64_t cpu, wait;
    int seen[MOST]; /* reports of each item */
    enum outcome_kind kind[MOST];
    struct err last; /* the last error that was reported for a failed item */
    enum err_code code[MOST];
    int wrong_results;
    int64_t first;
};

static inline void fixture_done(void *arg, const struct outcome *o)
{
    struct notes *n = arg;
    if (atomic_fetch_add(&n->inside, 1) != 0)
        n->overlaps++;
    n->reports++;
    n->ok += o->kind == OUTCOME_OK;
    n->failed += o->kind == OUTCOME_FAILED;
    n->cancelled += o->kind == OUTCOME_CANCELLED;
    n->cpu += o->cpu_ns;
    n->wait += o->wait_ns;
    int64_t at = o->index - n->first;
    assert_true(at >= 0 && at < MOST);
    n->seen[at]++;
    n->kind[at] = o->kind;
    if (o->kind == OUTCOME_OK) {
        int64_t value;
        n->wrong_results += !span_to_int(o->result, &value) || value != o->index;
    } else {
        assert_non_null(o->err);
        n->code[at] = o->err->code;
        if (o->kind == OUTCOME_FAILED)
            n->last = *o->err;
    }
    atomic_fetch_sub(&n->inside, 1);
}

static inline int fixture_clear(void **state)
{
    (void)state;
    if (!counts)
        counts = mmap(NULL, sizeof *counts, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    memset(counts, 0, sizeof *counts);
    counts->cancel_at = -1;
    return counts == MAP_FAILED;
}

static inline struct notes *notes_new(void)
{
    return mem_alloc(sizeof(struct notes));
}

static inline struct plan fixture_plan(struct notes *n, const struct orders *o, int64_t count,
                                       struct shape shape)
{
    return (struct plan){.handler = &fixture,
                         .args = o,
                         .count = count,
                         .shape = shape,
                         .deadline = CLOCK_NEVER,
                         .cancel = &counts->cancel,
                         .done = fixture_done,
                         .arg = n};
}

/* What holds for every run, whatever became of the items. */
static inline void check_contract(const struct plan *p, const struct notes *n, const struct exec_report *r)
{
    assert_int_equal(n->overlaps, 0);
    assert_int_equal(n->reports, p->count);
    for (int64_t i = 0; i < p->count; i++)
        assert_int_equal(n->seen[i], 1);
    assert_int_equal(n->wrong_results, 0);
    assert_int_equal(r->ok, n->ok);
    assert_int_equal(r->failed, n->failed);
    assert_int_equal(r->cancelled, n->cancelled);
    assert_true(r->wall_ns > 0 && r->peak_rss_kib > 0 && r->cpu_ns >= 0 && r->start_ns >= 0);
    /* a child that was killed did not count its items out again */
    assert_true(r->children_lost > 0 ||
                counts->most_in_flight <=
                    (p->shape.processes ? p->shape.processes : 1) * p->shape.threads * p->shape.width);
}

/* And where no process was killed: every item that was begun was dropped, once. */
static inline void check_dropped(void)
{
    assert_int_equal(counts->dropped, counts->begun);
    assert_int_equal(counts->in_flight, 0);
}

static inline int open_descriptors(void)
{
    int n = 0;
    for (int fd = 0; fd < 4096; fd++)
        n += fcntl(fd, F_GETFD) != -1;
    return n;
}

#endif
