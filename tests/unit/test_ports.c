/* model/port.h through the engine: one client a thread, gathering, what ends a call and what does not. */
#include "../lib/test.h"

#include <poll.h>
#include <stdatomic.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include "core/mem.h"
#include "core/net.h"
#include "exec/exec.h"
#include "exec/ports.h"

/* ---- a kind that answers what it is asked at the next flush, or when its descriptor is readable after it */

struct call {
    struct item *item;
    struct call *next;
    bool done, dropped;
};

struct client {
    int bell;
    struct call *first;
};

static struct {
    int opened, closed, released, flushes, largest, late;
    bool by_descriptor, refuse;
    struct cancel *stop; /* raised instead of an answer */
} seen;

static bool open_client(void **ret, struct err *e)
{
    if (seen.refuse)
        return err_set(e, ERR_UNREACHABLE, "nobody is there");
    struct client *c = mem_alloc(sizeof *c);
    c->bell = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    seen.opened++;
    *ret = c;
    return true;
}

static void close_client(void *arg)
{
    struct client *c = arg;
    assert_null(c->first);
    net_close(c->bell);
    mem_free(c);
    seen.closed++;
}

static int descriptor(const void *arg)
{
    return ((const struct client *)arg)->bell;
}

static void answer_all(struct client *c)
{
    int count = 0;
    for (struct call *k; (k = c->first); count++) {
        c->first = k->next;
        k->done = true;
        seen.late += k->dropped;
        item_call_over(k->item);
    }
    seen.largest = count > seen.largest ? count : seen.largest;
}

static void drive(void *arg)
{
    struct client *c = arg;
    uint64_t n;
    if (read(c->bell, &n, sizeof n) == (ssize_t)sizeof n)
        answer_all(c);
}

static void flush(void *arg)
{
    struct client *c = arg;
    uint64_t one = 1;
    if (!c->first)
        return;
    seen.flushes++;
    if (seen.stop)
        cancel_raise(seen.stop);
    else if (!seen.by_descriptor)
        answer_all(c);
    else if (write(c->bell, &one, sizeof one) < 0)
        fail();
}

static void release(void)
{
    seen.released++;
}

/* What children have seen. */
static struct {
    struct cancel cancel;
    bool cancels;
    _Atomic int64_t stop, until;
} * told;

static void settle(int64_t until)
{
    told->until = until;
}

static const struct port_kind kind = {.name = "tests",
                                      .open = open_client,
                                      .close = close_client,
                                      .descriptor = descriptor,
                                      .drive = drive,
                                      .flush = flush,
                                      .settle = settle,
                                      .release = release};

/* ---- a handler that calls twice */

struct asking {
    struct call *call;
    struct client *client;
    int calls;
};

static bool ask(struct item *it, struct asking *a)
{
    a->client = item_client(it, &kind);
    if (!a->client)
        return false;
    a->call = mem_alloc(sizeof *a->call);
    *a->call = (struct call){.item = it, .next = a->client->first};
    a->client->first = a->call;
    a->calls++;
    return true;
}

static void hang_up(struct asking *a)
{
    struct call *k = a->call;
    if (!k)
        return;
    for (struct call **at = &a->client->first; *at; at = &(*at)->next)
        if (*at == k) {
            *at = k->next;
            break;
        }
    mem_free(k);
    a->call = NULL;
}

static enum step step(struct item *it)
{
    struct asking *a = it->state;
    if (!a->call && !ask(it, a))
        return STEP_FAIL;
    if (!a->call->done)
        return item_wait_call(it);
    hang_up(a);
    if (a->calls < 2 && !ask(it, a))
        return STEP_FAIL;
    if (a->call)
        return item_wait_call(it);
    buf_int(&it->out, it->index);
    return STEP_DONE;
}

static void drop(struct item *it)
{
    hang_up(it->state);
}

static const struct handler asks = {.name = "asks",
                                    .state_size = sizeof(struct asking),
                                    .step = step,
                                    .drop = drop};

struct sums {
    int ok, failed, cancelled;
    enum err_code code;
    struct cancel cancel;
};

static void on_item(void *arg, const struct outcome *o)
{
    struct sums *s = arg;
    s->ok += o->kind == OUTCOME_OK;
    s->failed += o->kind == OUTCOME_FAILED;
    s->cancelled += o->kind == OUTCOME_CANCELLED;
    if (o->err)
        s->code = o->err->code;
}

static struct exec_report run(struct sums *s, int64_t count, int64_t threads, int64_t width)
{
    struct plan p = {.handler = &asks,
                     .count = count,
                     .shape = {.threads = threads, .width = width, .grain = 1},
                     .deadline = CLOCK_NEVER,
                     .cancel = &s->cancel,
                     .done = on_item,
                     .arg = s};
    struct exec_report r = {0};
    struct err e = ERR_INIT;
    assert_true(exec_run(&p, &r, &e));
    assert_int_equal(seen.opened, seen.closed);
    assert_int_equal(seen.late, 0);
    return r;
}

static int clear(void **state)
{
    (void)state;
    memset(&seen, 0, sizeof seen);
    return 0;
}

static void t01_what_all_items_ask_goes_out_together(void **state)
{
    (void)state;
    struct sums s = {0};
    run(&s, 1000, 1, 100);
    assert_int_equal(s.ok, 1000);
    assert_int_equal(seen.opened, 1);
    assert_int_equal(seen.largest, 100);
    assert_int_equal(seen.flushes, 20); /* ten hundreds, two calls each */
}

static void t02_answers_come_by_the_descriptor(void **state)
{
    (void)state;
    struct sums s = {0};
    seen.by_descriptor = true;
    run(&s, 300, 1, 50);
    assert_int_equal(s.ok, 300);
    assert_int_equal(seen.largest, 50);
}

static void t03_a_client_that_does_not_open_fails_the_item(void **state)
{
    (void)state;
    struct sums s = {0};
    seen.refuse = true;
    run(&s, 3, 1, 1);
    assert_int_equal(s.failed, 3);
    assert_int_equal(s.code, ERR_UNREACHABLE);
}

/* Nobody answers: the calls are dropped before the client is closed. */
static void t04_a_stop_drops_calls(void **state)
{
    (void)state;
    struct sums s = {0};
    seen.stop = &s.cancel;
    run(&s, 100, 1, 10);
    assert_int_equal(s.cancelled, 100);
    assert_int_equal(seen.opened, 1);
}

static void t05_used_kinds_are_released_at_the_end(void **state)
{
    (void)state;
    struct sums s = {0};
    run(&s, 1, 1, 1);
    ports_end();
    assert_int_equal(seen.released, 1);
}

/* Is slow to stop, which it is told by itself, or by the deadline. */
static enum step step_on(struct item *it)
{
    if (!item_client(it, &kind))
        return STEP_FAIL;
    if (told->cancels)
        cancel_raise(&told->cancel);
    while (!item_stopping(it))
        poll(NULL, 0, 1);
    told->stop = clock_now();
    for (int64_t until = clock_after_ms(100); clock_now() < until;)
        poll(NULL, 0, 1);
    return STEP_DONE;
}

/* A child waits for what it has told servers no longer than until it is killed, however long it took to stop. */
static void t06_settled_before_it_is_killed(void **state)
{
    static const struct handler steps_on = {.name = "steps on", .step = step_on};
    const int64_t granted = 250 * NS_PER_MS;
    (void)state;
    for (int round = 0, settled = 0; settled < 2; round++) {
        struct sums s = {0};
        told->cancels = round % 2;
        struct plan p = {.handler = &steps_on,
                         .count = 1,
                         .shape = {.processes = 1, .threads = 1, .width = 1, .grain = 1},
                         .deadline = clock_after_ms(told->cancels ? 60000 : 100),
                         .cancel = &told->cancel,
                         .done = on_item,
                         .arg = &s};
        struct exec_report r = {0};
        struct err e = ERR_INIT;
        told->cancel.raised = false;
        told->until = 0;
        assert_true(exec_run(&p, &r, &e));
        assert_true(round < 100);
        assert_true(told->until <= told->stop + granted);
        settled += told->until != 0; /* else it was killed all the same: the machine is busy */
    }
}

int main(void)
{
    struct err e = ERR_INIT;
    told = mmap(NULL, sizeof *told, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (told == MAP_FAILED || !exec_start(&e))
        return 1;

    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(t01_what_all_items_ask_goes_out_together, clear),
        cmocka_unit_test_setup(t02_answers_come_by_the_descriptor, clear),
        cmocka_unit_test_setup(t03_a_client_that_does_not_open_fails_the_item, clear),
        cmocka_unit_test_setup(t04_a_stop_drops_calls, clear),
        cmocka_unit_test_setup(t05_used_kinds_are_released_at_the_end, clear),
        cmocka_unit_test_setup(t06_settled_before_it_is_killed, clear),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    exec_stop();
    return failed;
}
