/* worker/slots.h: every run comes back, also from behind one that does not; few bells where many short ones end. */
#include "unit.h"

#include <poll.h>
#include <semaphore.h>
#include <string.h>

#include "core/mem.h"
#include "core/net.h"
#include "worker/slots.h"

enum { QUICK, STUCK };

static sem_t begun, gate;

/* In place of run.c's, which the slots call: the program has no other use of that file. */
void run_unit(struct run *r, const struct run_env *env, struct args *args)
{
    (void)env;
    (void)args;
    if (r->unit->first != STUCK)
        return;
    sem_post(&begun);
    while (sem_wait(&gate) != 0)
        continue;
}

struct bench {
    struct slots *slots;
    int bell;
    struct unit units[2]; /* by what they do */
    int64_t out;          /* pushed, and not back yet */
};

static void begin(struct bench *b, int threads)
{
    struct err e = ERR_INIT;
    *b = (struct bench){.units = {{.first = QUICK}, {.first = STUCK}}};
    assert_int_equal(sem_init(&begun, 0, 0), 0);
    assert_int_equal(sem_init(&gate, 0, 0), 0);
    assert_true(net_bell(&b->bell, &e));
    assert_true(slots_new(threads, NULL, b->bell, &b->slots, &e));
}

static void end(struct bench *b)
{
    assert_int_equal(b->out, 0);
    slots_free(b->slots);
    net_close_at(&b->bell);
}

/* So many of one kind behind `first`, or by themselves. */
static void push(struct bench *b, int kind, int n, int then, int then_n)
{
    struct run *first = NULL, *last = NULL;
    for (int i = 0; i < n + then_n; i++) {
        struct run *r = mem_alloc(sizeof *r);
        r->unit = &b->units[i < n ? kind : then];
        r->claimed = clock_now();
        *(last != NULL ? &last->queued : &first) = r;
        last = r;
    }
    b->out += n + then_n;
    slots_push(b->slots, first, last);
}

static int64_t take(struct bench *b)
{
    int64_t n = 0;
    for (struct run *r = slots_take_done(b->slots), *next; r != NULL; r = next, n++) {
        next = r->queued;
        assert_int_equal(atomic_load(&r->state), RUN_DONE);
        mem_free(r);
    }
    b->out -= n;
    return n;
}

/* Until so many are back, each time that the bell rings. Returns how often it did. */
static int64_t take_back(struct bench *b, int64_t n)
{
    int64_t bells = 0;
    for (int64_t got = 0; got < n; bells++) {
        struct pollfd p = {.fd = b->bell, .events = POLLIN};
        if (poll(&p, 1, 20000) != 1)
            fail_msg("%lld of %lld are back, and nobody rings", (long long)got, (long long)n);
        net_bell_clear(b->bell);
        got += take(b);
        assert_true(got <= n);
    }
    return bells;
}

/* Until so many stuck ones have begun. */
static void await_begun(int n)
{
    while (n > 0)
        n -= sem_wait(&begun) == 0;
}

static void open_gate(int n)
{
    for (int i = 0; i < n; i++)
        sem_post(&gate);
}

/* So that units are known to be short. */
static void warm(struct bench *b)
{
    push(b, QUICK, 500, QUICK, 0);
    take_back(b, 500);
}

static void t01_all_come_back(void **state)
{
    struct bench b;
    (void)state;
    begin(&b, 8);
    for (int i = 0; i < 50; i++) {
        push(&b, QUICK, i % 3 == 0 ? 500 : 1 + i, QUICK, 0);
        if (i % 4 == 0)
            take_back(&b, b.out);
    }
    take_back(&b, b.out);
    assert_int_equal(slots_busy(b.slots), 0);
    assert_true(slots_oldest(b.slots) == CLOCK_NEVER);
    end(&b);
}

/* Who was thought to be quick is not: others go on with what is behind it, and tell of it. */
static void t02_behind_one_that_is_stuck(void **state)
{
    struct bench b;
    (void)state;
    begin(&b, 8);
    warm(&b);
    push(&b, STUCK, 1, QUICK, 20);
    take_back(&b, 20);
    assert_int_equal(slots_busy(b.slots), 1);
    push(&b, QUICK, 20, QUICK, 0);
    take_back(&b, 20);
    sem_post(&gate);
    take_back(&b, 1);
    end(&b);
}

/* All of them are: each gets its thread. */
static void t03_many_that_are_stuck(void **state)
{
    struct bench b;
    (void)state;
    begin(&b, 4);
    warm(&b);
    push(&b, STUCK, 4, QUICK, 10);
    await_begun(4);
    assert_int_equal(slots_busy(b.slots), 4);
    assert_int_equal(take(&b), 0);
    sem_post(&gate); /* this one's thread does all that waits, and nobody looks after it */
    take_back(&b, 11);
    open_gate(3);
    take_back(&b, 3);
    end(&b);
}

/* What nobody has begun can be had back, and what was done before it is told. */
static void t04_taken_back(void **state)
{
    struct bench b;
    struct run *r;
    int64_t back = 0;
    (void)state;
    begin(&b, 1);
    warm(&b);
    push(&b, STUCK, 1, QUICK, 30);
    await_begun(1);
    assert_null(slots_take_back(b.slots, 1));
    for (; (r = slots_take_back(b.slots, CLOCK_NEVER)) != NULL; back++)
        mem_free(r);
    assert_int_equal(back, 30);
    b.out -= back;
    sem_post(&gate);
    take_back(&b, 1);
    end(&b);
}

/* What has been there since `began` for all: the shortest of some tries, since a machine may be busy with others. */
static int64_t shorter(int64_t best, int64_t began)
{
    int64_t took = clock_now() - began;
    return took < best ? took : best;
}

/* Many short ends are few bells, once somebody looks after the queue. */
static void t05_few_bells(void **state)
{
    struct bench b;
    int64_t least = 500;
    (void)state;
    begin(&b, 2);
    warm(&b);
    for (int i = 0; i < 20; i++) {
        push(&b, QUICK, 500, QUICK, 0);
        int64_t bells = take_back(&b, 500);
        least = bells < least ? bells : least;
    }
    assert_true(least < 50);
    end(&b);
}

/* Whose thread is busy for long is not the one to take what comes: who comes beside him does not wait for a guard to see that. */
static void t06_beside_one_that_is_long(void **state)
{
    struct bench b;
    int quick = 0;
    (void)state;
    begin(&b, 4);
    warm(&b);
    push(&b, STUCK, 1, QUICK, 0);
    await_begun(1);
    for (int i = 0; i < 100; i++) {
        int64_t began = clock_now();
        push(&b, QUICK, 1, QUICK, 0);
        take_back(&b, 1);
        quick += clock_now() - began < NS_PER_MS; /* a guard's look */
        while (slots_busy(b.slots) > 1)
            continue;
        poll(NULL, 0, 1); /* its thread is asleep again, or nearly */
    }
    assert_true(quick >= 20);
    sem_post(&gate);
    take_back(&b, 1);
    end(&b);
}

/* Long ones behind short ones: the first stall tells that they are, and all begin. */
static void t07_long_ones_after_short_ones(void **state)
{
    enum { THREADS = 48 };
    struct bench b;
    int64_t best = CLOCK_NEVER;
    (void)state;
    begin(&b, THREADS);
    for (int round = 0; round < 5; round++) {
        warm(&b);
        int64_t began = clock_now();
        push(&b, STUCK, THREADS, QUICK, 0);
        await_begun(THREADS);
        best = shorter(best, began);
        open_gate(THREADS);
        take_back(&b, THREADS);
    }
    assert_true(best < THREADS * NS_PER_MS / 2); /* one a look would be twice that */
    end(&b);
}

/* Short ends in front of long ones are told, whatever the threads were about when these began. */
static void t08_short_ends_in_front_of_long_ones(void **state)
{
    struct bench b;
    (void)state;
    for (int threads = 1; threads <= 3; threads++) {
        begin(&b, threads);
        for (int round = 0; round < 60; round++) {
            warm(&b);
            push(&b, QUICK, 60, STUCK, threads + round % 3);
            take_back(&b, 60);
            open_gate(threads + round % 3);
            take_back(&b, threads + round % 3);
            while (sem_trywait(&begun) == 0)
                continue;
        }
        end(&b);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(t01_all_come_back),
        cmocka_unit_test(t02_behind_one_that_is_stuck),
        cmocka_unit_test(t03_many_that_are_stuck),
        cmocka_unit_test(t04_taken_back),
        cmocka_unit_test(t05_few_bells),
        cmocka_unit_test(t06_beside_one_that_is_long),
        cmocka_unit_test(t07_long_ones_after_short_ones),
        cmocka_unit_test(t08_short_ends_in_front_of_long_ones),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
