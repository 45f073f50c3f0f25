/* queue/waits.h on a store of the test's own, without Redis: who is told, what, and with how many queries. */
#include "../lib/test.h"

#include <poll.h>
#include <pthread.h>

#include "core/clock.h"
#include "core/limits.h"
#include "core/log.h"
#include "core/mem.h"
#include "queue/heap.h"
#include "queue/waits.h"

/* ---- the store: tasks that exist from the beginning and end when the test says so ---- */

#define TASKS 1000

static struct {
    pthread_mutex_t lock;
    pthread_cond_t asked;
    struct uuid ids[TASKS];
    bool ended[TASKS];
    int64_t queries;
    size_t largest; /* ids in one query */
    bool fails;
} db = {.lock = PTHREAD_MUTEX_INITIALIZER, .asked = PTHREAD_COND_INITIALIZER};

bool store_get_many(struct store *s, struct arena *a, const struct uuid *ids, size_t n, bool finals_only,
                    struct task **ret, size_t *ret_n, struct err *e)
{
    (void)s;
    struct task *list = arena_array(a, n, sizeof *list);
    size_t found = 0;
    pthread_mutex_lock(&db.lock);
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < TASKS; k++)
            if (uuid_eq(ids[i], db.ids[k]) && (db.ended[k] || !finals_only))
                list[found++] = (struct task){.id = ids[i],
                                              .state = db.ended[k] ? TASK_succeeded : TASK_running,
                                              .handler = arena_copy(a, SPAN("echo"))};
    db.queries++;
    if (n > db.largest)
        db.largest = n;
    bool fails = db.fails;
    pthread_cond_broadcast(&db.asked);
    pthread_mutex_unlock(&db.lock);
    if (fails)
        return err_set(e, ERR_STORE, "down");
    *ret = list;
    *ret_n = found;
    return true;
}

static void end_task(int k)
{
    pthread_mutex_lock(&db.lock);
    db.ended[k] = true;
    pthread_mutex_unlock(&db.lock);
}

static void end_all_tasks(void)
{
    pthread_mutex_lock(&db.lock);
    for (int k = 0; k < TASKS; k++)
        db.ended[k] = true;
    pthread_mutex_unlock(&db.lock);
}

static void set_failing(bool fails)
{
    pthread_mutex_lock(&db.lock);
    db.fails = fails;
    pthread_mutex_unlock(&db.lock);
}

static void await_queries(int64_t more)
{
    pthread_mutex_lock(&db.lock);
    for (int64_t until = db.queries + more; db.queries < until;)
        pthread_cond_wait(&db.asked, &db.lock);
    pthread_mutex_unlock(&db.lock);
}

/* ---- those who wait ---- */

struct caller {
    struct queue_wait wait;
    struct arena arena;
    struct bench *bench;
    int told;
    enum task_state state;
    enum err_code code;
};

struct bench {
    struct conf conf;
    struct waits *waits;
    pthread_mutex_t lock;
    pthread_cond_t news;
    int told;
    struct caller *callers;
};

static void on_ready(void *arg, const struct task *t, const struct err *e)
{
    struct caller *c = arg;
    pthread_mutex_lock(&c->bench->lock);
    assert_true((t != NULL) != (e != NULL));
    if (t != NULL) {
        assert_true(uuid_eq(t->id, c->wait.id) && span_is(t->handler, "echo"));
        c->state = t->state;
    } else {
        c->code = e->code;
    }
    c->told++;
    c->bench->told++;
    pthread_cond_broadcast(&c->bench->news);
    pthread_mutex_unlock(&c->bench->lock);
}

static struct caller *begin(struct bench *b, int k, struct uuid id, int64_t ms)
{
    struct caller *c = &b->callers[k];
    struct err e = ERR_INIT;
    *c = (struct caller){.bench = b, .code = ERR_NONE};
    c->wait = (struct queue_wait){
        .id = id, .a = &c->arena, .deadline = clock_after_ms(ms), .ready = on_ready, .arg = c};
    assert_true(waits_add(b->waits, &c->wait, &e));
    return c;
}

static void await_told(struct bench *b, int n)
{
    pthread_mutex_lock(&b->lock);
    while (b->told < n)
        pthread_cond_wait(&b->news, &b->lock);
    assert_int_equal(b->told, n);
    pthread_mutex_unlock(&b->lock);
}

static int setup(void **state)
{
    struct bench *b = mem_alloc(sizeof *b);
    struct err e = ERR_INIT;
    pthread_mutex_init(&b->lock, NULL);
    pthread_cond_init(&b->news, NULL);
    b->callers = mem_array(LIMIT_CALLS + 1, sizeof *b->callers);
    b->conf.api_poll = 500;
    db.queries = 0;
    db.largest = 0;
    db.fails = false;
    for (int k = 0; k < TASKS; k++) {
        db.ids[k] = uuid_v7();
        db.ended[k] = false;
    }
    assert_true(waits_new(&b->conf, NULL, NULL, &b->waits, &e));
    *state = b;
    return 0;
}

static int teardown(void **state)
{
    struct bench *b = *state;
    waits_free(b->waits);
    for (size_t i = 0; i <= LIMIT_CALLS; i++) {
        assert_in_range(b->callers[i].told, 0, 1);
        arena_release(&b->callers[i].arena);
    }
    mem_free(b->callers);
    mem_free(b);
    return 0;
}

#define LONG_MS 60000

static void t01_is_told_when_the_task_has_ended(void **state)
{
    struct bench *b = *state;
    struct caller *c = begin(b, 0, db.ids[0], LONG_MS), *same = begin(b, 1, db.ids[0], LONG_MS);
    struct caller *other = begin(b, 2, db.ids[1], LONG_MS);
    await_queries(2);
    assert_int_equal(b->told, 0);
    end_task(0);
    await_told(b, 2);
    assert_int_equal(c->state, TASK_succeeded);
    assert_int_equal(same->state, TASK_succeeded);
    assert_true(waits_remove(b->waits, &other->wait));
    assert_false(waits_remove(b->waits, &other->wait));
    assert_false(waits_remove(b->waits, &c->wait));
}

static void t02_an_end_before_the_wait_is_found(void **state)
{
    struct bench *b = *state;
    end_task(7);
    begin(b, 0, db.ids[7], LONG_MS);
    await_told(b, 1);
    assert_int_equal(db.queries, 1);
}

static void t03_at_the_deadline_the_task_as_it_is(void **state)
{
    struct bench *b = *state;
    struct caller *running = begin(b, 0, db.ids[0], 1), *past = begin(b, 1, db.ids[1], 0);
    struct caller *none = begin(b, 2, uuid_v7(), 1);
    await_told(b, 3);
    assert_int_equal(running->state, TASK_running);
    assert_int_equal(past->state, TASK_running);
    assert_int_equal(none->code, ERR_NO_TASK);
}

static void t04_a_thousand_share_a_query(void **state)
{
    struct bench *b = *state;
    for (int k = 0; k < TASKS; k++)
        begin(b, k, db.ids[k], LONG_MS);
    await_queries(6);
    assert_int_equal(b->told, 0);
    int64_t before = waits_queries(b->waits);
    end_all_tasks();
    await_told(b, TASKS);
    assert_int_equal(db.largest, TASKS);
    assert_true(waits_queries(b->waits) - before <= 10); /* a query in flight, and groups not yet together */
}

static void t05_a_failing_store_is_asked_until_the_deadline(void **state)
{
    struct bench *b = *state;
    set_failing(true);
    struct caller *late = begin(b, 0, db.ids[0], 100), *patient = begin(b, 1, db.ids[1], LONG_MS);
    await_told(b, 1);
    assert_int_equal(late->code, ERR_STORE);
    end_task(1);
    set_failing(false);
    await_told(b, 2);
    assert_int_equal(patient->state, TASK_succeeded);
}

static void t06_the_end_tells_everybody(void **state)
{
    struct bench *b = *state;
    enum { MANY = 2500 };
    for (int k = 0; k < MANY; k++)
        begin(b, k, db.ids[k % TASKS], LONG_MS);
    waits_free(b->waits);
    assert_int_equal(b->told, MANY);
    for (int k = 0; k < MANY; k++)
        assert_int_equal(b->callers[k].state, TASK_running);
    struct err e = ERR_INIT;
    assert_true(waits_new(&b->conf, NULL, NULL, &b->waits, &e));
}

static void t07_the_end_does_not_insist(void **state)
{
    struct bench *b = *state;
    enum { MANY = LIMIT_CALLS };
    set_failing(true);
    for (int k = 0; k < MANY; k++)
        begin(b, k, db.ids[k % TASKS], LONG_MS);
    await_queries(1);
    pthread_mutex_lock(&db.lock);
    int64_t before = db.queries;
    pthread_mutex_unlock(&db.lock);
    waits_free(b->waits);
    assert_int_equal(b->told, MANY);
    for (int k = 0; k < MANY; k++)
        assert_int_equal(b->callers[k].code, ERR_STORE);
    assert_true(db.queries - before <= 5); /* of sixteen: some were on their way */
    struct err e = ERR_INIT;
    assert_true(waits_new(&b->conf, NULL, NULL, &b->waits, &e));
}

static void t08_no_more_than_the_limit(void **state)
{
    struct bench *b = *state;
    struct err e = ERR_INIT;
    set_failing(true); /* so that none is told meanwhile */
    for (size_t k = 0; k < LIMIT_CALLS; k++)
        begin(b, (int)k, uuid_v7(), LONG_MS);
    struct caller *c = &b->callers[LIMIT_CALLS];
    c->wait =
        (struct queue_wait){.id = db.ids[0], .deadline = clock_after_ms(1), .ready = on_ready, .arg = c};
    assert_false(waits_add(b->waits, &c->wait, &e));
    assert_int_equal(e.code, ERR_BUSY);
    for (size_t k = 0; k < LIMIT_CALLS; k++)
        assert_true(waits_remove(b->waits, &b->callers[k].wait));
}

/* Waiting again from `ready`, and taking waits back while others are told. */
static void wait_again(void *arg, const struct task *t, const struct err *e)
{
    struct caller *c = arg;
    c->wait.ready = on_ready;
    c->wait.deadline = clock_after_ms(1);
    assert_non_null(t);
    assert_null(e);
    assert_true(waits_add(c->bench->waits, &c->wait, NULL));
}

static void t09_ready_may_wait_again(void **state)
{
    struct bench *b = *state;
    struct caller *c = &b->callers[0];
    *c = (struct caller){.bench = b};
    c->wait = (struct queue_wait){
        .id = db.ids[0], .a = &c->arena, .deadline = clock_after_ms(1), .ready = wait_again, .arg = c};
    assert_true(waits_add(b->waits, &c->wait, NULL));
    await_told(b, 1);
    assert_int_equal(c->state, TASK_running);
}

static void t10_taken_back_while_others_are_told(void **state)
{
    struct bench *b = *state;
    int back = 0;
    for (int k = 0; k < TASKS; k++) {
        end_task(k);
        begin(b, k, db.ids[k], LONG_MS);
    }
    for (int k = 0; k < TASKS; k++)
        back += waits_remove(b->waits, &b->callers[k].wait);
    await_told(b, TASKS - back);
    for (int k = 0; k < TASKS; k++)
        assert_in_range(b->callers[k].told, 0, 1);
}

static void t11_the_heap_keeps_order(void **state)
{
    (void)state;
    enum { N = 500 };
    static struct queue_wait waits[N];
    static struct queue_wait *list[N];
    struct heap h = {.list = list};
    uint32_t r = 1;
    for (int i = 0; i < N; i++) {
        waits[i].at = (int64_t)((r = r * 1664525u + 1013904223u) >> 20);
        heap_put(&h, &waits[i]);
    }
    for (int i = 0; i < N; i += 3) {
        waits[i].at = (int64_t)((r = r * 1664525u + 1013904223u) >> 20);
        heap_moved(&h, &waits[i]);
    }
    for (int i = 1; i < N; i += 7)
        heap_take(&h, &waits[i]);
    int64_t last = -1;
    for (size_t left = h.count; left > 0; left--) {
        struct queue_wait *x = h.list[0];
        assert_int_equal(x->place, 0);
        assert_true(x->at >= last);
        last = x->at;
        heap_take(&h, x);
        assert_int_equal(h.count, left - 1);
    }
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    log_setup(LOG_ERROR, LOG_LOGFMT, "test");
    const struct CMUnitTest tests[] = {
        TEST(t01_is_told_when_the_task_has_ended),
        TEST(t02_an_end_before_the_wait_is_found),
        TEST(t03_at_the_deadline_the_task_as_it_is),
        TEST(t04_a_thousand_share_a_query),
        TEST(t05_a_failing_store_is_asked_until_the_deadline),
        TEST(t06_the_end_tells_everybody),
        TEST(t07_the_end_does_not_insist),
        TEST(t08_no_more_than_the_limit),
        TEST(t09_ready_may_wait_again),
        TEST(t10_taken_back_while_others_are_told),
        cmocka_unit_test(t11_the_heap_keeps_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
