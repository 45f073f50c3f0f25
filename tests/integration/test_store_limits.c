/*
 * Limits on a PostgreSQL of its own: who may pass a gate, counted from what is at work and under leases.
 */
#include "../lib/test.h"

#include <pthread.h>
#include <stdatomic.h>

#include "core/clock.h"
#include "limits_bench.h"

#define RATE_5 "{\"limit\":{\"key\":\"k\",\"rate\":5,\"per_s\":10}}"

/* Units of limited tasks that are at work or under a lease: the truth, whatever the books say. */
#define TRUTH                                                                                                       \
    "(SELECT count(*) FROM tasks t JOIN (SELECT task, seq FROM work UNION ALL SELECT u.task, u.seq FROM leases l, " \
    "unnest(l.tasks, l.seqs) u(task, seq) WHERE NOT EXISTS (SELECT FROM results r WHERE r.task = u.task AND "       \
    "r.seq = u.seq AND r.part = 0)) u ON u.task = t.id WHERE t.terms ? 'limit')"

static void t01_so_many_at_once(void **state)
{
    struct store_bench *b = *state;
    put(b, 10, 1, 1, LIMIT_3);
    bench_count(b, "work", MOST);
    bench_count(b, "inside", MOST);
    for (int left = 10; left > 0;) {
        struct claim c = bench_claim(b, 100);
        assert_int_equal(c.count, left < MOST ? left : MOST);
        assert_int_equal(claimed(b), 0);
        left -= (int)c.count;
        finish_all(b, &c, TASK_succeeded); /* lets in the next ones, in the same transaction */
        bench_count(b, "work", left < MOST ? left : MOST);
    }
    bench_count(b, "inside", 0);
    bench_count(b, "waiting", 0);
}

static void t02_a_lost_worker_frees_no_slot_and_keeps_none(void **state)
{
    struct store_bench *b = *state;
    put(b, 6, 1, 1, LIMIT_3);
    for (int lost = 1; lost < 3; lost++) {
        assert_int_equal(claimed(b), MOST);
        bench_expire(b);
        assert_int_equal(bench_reap(b).requeued, MOST);
        bench_count(b, "inside", MOST); /* at work again, at once */
        bench_count(b, "work", MOST);
    }
    assert_int_equal(claimed(b), MOST);
    bench_expire(b);
    assert_int_equal(bench_reap(b).failed, MOST);
    bench_count(b, "inside", MOST); /* the other three */
    struct claim c = bench_claim(b, 100);
    finish_all(b, &c, TASK_failed);
    bench_count(b, "inside", 0);
}

static void t03_so_many_a_time(void **state)
{
    struct store_bench *b = *state;
    int64_t next_ms;
    put(b, 20, 1, 1, RATE_5);
    assert_int_equal(claimed(b), 5);
    assert_int_equal(wake(b, &next_ms), 0);
    assert_in_range(next_ms, 1, 2000);
    bench_sql(b, "UPDATE gates SET refilled_at = refilled_at - interval '4.1 s', next_at = now()");
    assert_int_equal(wake(b, &next_ms), 2);
    assert_in_range(next_ms, 1, 2000);
    assert_int_equal(claimed(b), 2);
    bench_sql(b, "UPDATE gates SET refilled_at = refilled_at - interval '1 hour', next_at = now()");
    assert_int_equal(wake(b, &next_ms), 5); /* a bucket holds no more */
    bench_sql(b, "UPDATE gates SET refilled_at = refilled_at - interval '1 hour', next_at = now()");
    assert_int_equal(wake(b, &next_ms), 5);
    bench_sql(b, "UPDATE gates SET refilled_at = refilled_at - interval '1 hour', next_at = now()");
    assert_int_equal(wake(b, &next_ms), 3);
    assert_int_equal(next_ms, -1);
}

static void t04_who_backs_off_is_outside(void **state)
{
    struct store_bench *b = *state;
    int64_t next_ms;
    put(b, 4, 1, 1, "{\"limit\":{\"key\":\"k\",\"concurrency\":1}}");
    struct claim c = bench_claim(b, 10);
    assert_int_equal(c.count, 1);
    struct finish f = bench_end(b, &c.units[0], TASK_failed, 1);
    f.again = f.counts = true;
    f.again_ms = 60000;
    bench_finish(b, &f, 1);
    assert_true(f.applied);
    claim_release(&c);
    bench_count(b, "work", 1); /* the next one has the slot */
    bench_sql(b, "UPDATE waiting SET run_at = now() WHERE gate IS NULL");
    assert_int_equal(wake(b, &next_ms), 0); /* its time has come, and it waits for the gate */
    bench_count(b, "waiting", 3);
    assert_int_equal(next_ms, -1);
    for (int i = 0; i < 4; i++) {
        c = bench_claim(b, 10);
        assert_int_equal(c.count, 1);
        finish_all(b, &c, TASK_succeeded);
    }
    bench_count(b, "inside", 0);
}

static void t05_a_delayed_task_passes_the_gate_when_it_is_due(void **state)
{
    struct store_bench *b = *state;
    struct new_task t = bench_task(1, 1);
    t.terms = SPAN(LIMIT_3);
    t.run_at_us = clock_wall_us() + 3600000000;
    bench_put_ok(b, &t, 1);
    put(b, 3, 1, 1, LIMIT_3);
    bench_count(b, "work", MOST);
    bench_sql(b, "UPDATE waiting SET run_at = now()");
    assert_int_equal(wake(b, NULL), 0);
    struct claim c = bench_claim(b, 1);
    finish_all(b, &c, TASK_succeeded);
    bench_count(b, "work", 3);
    bench_count(b, "waiting", 0);
}

static void t06_cancelled_inside_and_outside(void **state)
{
    struct store_bench *b = *state;
    struct new_task units = bench_task(5, 1);
    units.terms = SPAN(LIMIT_3);
    bench_put_ok(b, &units, 1);
    put(b, 3, 1, 1, LIMIT_3);
    struct claim c = bench_claim(b, 1);
    bench_cancel(b, units.id);
    bench_count(b, "inside", MOST); /* one that runs, and two others that came in for those taken away */
    assert_int_equal(bench_number(b, "SELECT " TRUTH), MOST);
    finish_all(b, &c, TASK_cancelled);
    STATE_IS(b, units.id, "cancelled");
    bench_count(b, "inside", MOST);
    bench_count(b, "waiting", 0);
}

static void t07_fail_fast_takes_others_out(void **state)
{
    struct store_bench *b = *state;
    struct new_task t = bench_task(6, 1);
    t.terms = SPAN(LIMIT_3);
    t.fail_fast = true;
    bench_put_ok(b, &t, 1);
    put(b, 3, 1, 1, LIMIT_3);
    struct claim c = bench_claim(b, 1);
    finish_all(b, &c, TASK_failed);
    STATE_IS(b, t.id, "failed");
    bench_count(b, "inside", MOST);
    assert_int_equal(bench_number(b, "SELECT " TRUTH), MOST);
}

static void t08_the_latest_numbers_hold(void **state)
{
    struct store_bench *b = *state;
    put(b, 6, 1, 1, LIMIT_3);
    put(b, 1, 1, 1, "{\"limit\":{\"key\":\"k\",\"concurrency\":5}}");
    assert_int_equal(claimed(b), 5);
    put(b, 1, 1, 1, "{\"limit\":{\"key\":\"k\",\"concurrency\":1}}");
    bench_expire(b);
    bench_reap(b);
    struct claim c = bench_claim(b, 4);
    finish_all(b, &c, TASK_succeeded);
    bench_count(b, "inside", 1); /* nobody enters before there is room */
}

static void t09_what_leaks_is_found(void **state)
{
    struct store_bench *b = *state;
    put(b, 4, 1, 1, LIMIT_3);
    assert_int_equal(bench_reap(b).leaked, 0);
    bench_sql(b, "INSERT INTO inside SELECT 'key/k', gen_random_uuid(), 0 FROM generate_series(1, 2)");
    struct claim c = bench_claim(b, 100);
    assert_int_equal(c.count, MOST);
    finish_all(b, &c, TASK_succeeded);
    bench_count(b, "work", 1);
    bench_sql(b, "INSERT INTO inside SELECT 'key/k', gen_random_uuid(), 0 FROM generate_series(1, 2)");
    put(b, 1, 1, 1, LIMIT_3);
    bench_count(b, "work", 1); /* full, as it seems */
    assert_int_equal(bench_reap(b).leaked, 4);
    bench_count(b, "work", 2);
    c = bench_claim(b, 100);
    finish_all(b, &c, TASK_succeeded);
    bench_reap(b);
    bench_count(b, "gates", 1);
    bench_sql(b, "UPDATE gates SET refilled_at = refilled_at - interval '1 minute'");
    bench_reap(b);
    bench_count(b, "gates", 0);
}

static void t10_a_transaction_that_came_to_nothing_leaves_nobody_behind(void **state)
{
    struct store_bench *b = *state;
    PGconn *other = PQconnectdb(test_pg());
    put(b, 4, 1, 1, LIMIT_3);
    PQclear(PQexec(other, "BEGIN"));
    PQclear(PQexec(other, "SELECT FROM waiting FOR UPDATE"));
    struct claim c = bench_claim(b, 100);
    finish_all(b, &c, TASK_succeeded); /* waits for nobody */
    bench_count(b, "work", 0);
    PQclear(PQexec(other, "ROLLBACK"));
    bench_reap(b);
    bench_count(b, "work", 1);
    PQfinish(other);
}

static void t11_a_gate_that_is_gone_is_made_again(void **state)
{
    struct store_bench *b = *state;
    put(b, 4, 1, 1, LIMIT_3);
    bench_sql(b, "DELETE FROM gates");
    struct claim c = bench_claim(b, 100);
    finish_all(b, &c, TASK_succeeded); /* lets nobody in */
    bench_count(b, "work", 0);
    bench_reap(b);
    assert_int_equal(wake(b, NULL), 1);
    bench_count(b, "gates", 1);
    bench_count(b, "work", 1);
}

/* Housekeeping looks at a gate, somebody comes to it, housekeeping locks it: lathe_filled, which it calls for every gate
 * in between, waits here until he is there. */
static void *tidy_thread(void *arg)
{
    PGconn *other = PQconnectdb(test_pg());
    PGresult *r = PQexec(other, "SELECT lathe_tidy(10)");
    *(bool *)arg = PQresultStatus(r) == PGRES_TUPLES_OK;
    PQclear(r);
    PQfinish(other);
    return NULL;
}

static void t12_a_gate_in_use_is_left_alone(void **state)
{
    struct store_bench *b = *state;
    bool done = false;
    pthread_t tidy;
    bench_sql(
        b,
        "INSERT INTO gates (name, concurrency, refilled_at) VALUES ('key/k', 3, now() - interval '1 minute')");
    bench_sql(b, "CREATE TABLE filled AS SELECT pg_get_functiondef('lathe_filled'::regproc) AS def");
    bench_sql(
        b,
        "DO $do$ BEGIN EXECUTE (SELECT replace(def, 'lathe_filled', 'lathe_filled_plain') FROM filled); "
        "EXECUTE (SELECT regexp_replace(def, 'LANGUAGE.*', '') FROM filled) || 'LANGUAGE plpgsql STABLE AS $$ BEGIN "
        "IF current_query() LIKE ''%lathe_tidy%'' THEN PERFORM pg_advisory_xact_lock(77); END IF; "
        "RETURN lathe_filled_plain(g); END $$'; END $do$");
    bench_sql(b, "SELECT pg_advisory_lock(77)");
    assert_int_equal(pthread_create(&tidy, NULL, tidy_thread, &done), 0);
    while (
        bench_number(
            b, "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objid = 77 AND NOT granted") ==
        0)
        continue;
    put(b, 4, 1, 1, LIMIT_3);
    bench_sql(b, "SELECT pg_advisory_unlock(77)");
    assert_int_equal(pthread_join(tidy, NULL), 0);
    bench_sql(b, "DO $do$ BEGIN EXECUTE (SELECT def FROM filled); END $do$");
    bench_sql(b, "DROP TABLE filled");
    bench_sql(b, "DROP FUNCTION lathe_filled_plain");
    assert_true(done);
    bench_count(b, "gates", 1);
}

static void t13_no_gate_starves(void **state)
{
    struct store_bench *b = *state;
    put(b, 6, 1, 1, RATE_5);
    bench_sql(b, "INSERT INTO gates (name, rate, per_s, next_at) SELECT 'key/a' || i, 1, 1e6, now() FROM "
                 "generate_series(1, 1000) i");
    bench_sql(
        b, "UPDATE gates SET refilled_at = refilled_at - interval '1 hour', next_at = now() - interval '1 s' "
           "WHERE name = 'key/k'");
    assert_int_equal(wake(b, NULL), 1);
}

static void *put_thread(void *arg)
{
    put(arg, 1, 1, 1, "{\"tenant\":\"t\",\"limit\":{\"key\":\"k\",\"concurrency\":3}}");
    return NULL;
}

/* Who waits for a tenant holds no gate: the ends of units take the tenants first too. */
static void t14_tenants_go_before_gates(void **state)
{
    struct store_bench *b = *state;
    pthread_t thread;
    put_thread(b);
    bench_sql(b, "BEGIN");
    bench_sql(b, "SELECT FROM tenants FOR UPDATE");
    assert_int_equal(pthread_create(&thread, NULL, put_thread, b), 0);
    while (bench_number(b, "SELECT count(*) FROM pg_locks WHERE NOT granted") == 0)
        continue;
    PGresult *r = PQexec(b->admin, "SELECT FROM gates FOR UPDATE NOWAIT");
    bool free = PQresultStatus(r) == PGRES_TUPLES_OK;
    PQclear(r);
    bench_sql(b, "ROLLBACK");
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_true(free);
    bench_count(b, "work", 2);
}

/* ---- how many keys there may be ---- */

static struct new_task with_key(struct store_bench *b, int key)
{
    struct new_task t = bench_task(1, 1);
    t.terms = span_of(arena_printf(&b->arena, "{\"limit\":{\"key\":\"n%d\",\"concurrency\":1}}", key));
    return t;
}

static int count_crowded(const struct put_verdict *v, int n, enum put_crowd as)
{
    int count = 0;
    for (int i = 0; i < n; i++)
        count += v[i].crowd == as;
    return count;
}

#define FRESH ((int)LIMIT_FRESH_GATES)

/* What is over is refused by itself, and may come with the next request. */
static void t15_a_request_brings_so_many_keys(void **state)
{
    struct store_bench *b = *state;
    struct new_task *list CLEANUP(mem_free_at) = mem_array(FRESH + 11, sizeof *list);
    struct put_verdict *v CLEANUP(mem_free_at) = mem_array(FRESH + 11, sizeof *v);
    for (int i = 0; i < FRESH + 10; i++)
        list[i] = with_key(b, i);
    list[FRESH + 10] = bench_task(1, 1);
    for (int round = 0; round < 2; round++) {
        struct err e = bench_put_told(b, list, (size_t)FRESH + 11, v);
        assert_int_equal(e.code, ERR_NONE);
        assert_int_equal(count_crowded(v, FRESH + 11, PUT_GREEDY), round ? 0 : 10);
        bench_count(b, "tasks", round ? 2 * FRESH + 12 : FRESH + 1);
        bench_count(b, "gates", round ? FRESH + 10 : FRESH);
        for (int i = 0; i < FRESH + 11; i++)
            list[i].id = uuid_v7();
    }
}

/* The last places go to those who ask for few; who asked for no new one has nothing to do with it. */
static void t16_no_more_keys_than_there_may_be(void **state)
{
    struct store_bench *b = *state;
    struct new_task list[6];
    struct put_verdict v[6];
    char text[UUID_TEXT];
    put(b, 1, 1, 1, LIMIT_3);
    bench_sql(b,
              "INSERT INTO gates (name, concurrency) SELECT 'key/' || i, 1 FROM generate_series(1, 99997) i");
    for (int i = 0; i < 3; i++)
        list[i] = with_key(b, i);
    uuid_format(list[2].id, text);
    list[3] = bench_task(1, 1); /* as the callback of a row that is refused */
    list[3].terms = span_of(arena_printf(&b->arena, "{\"depends_on\":[\"%s\"]}", text));
    list[3].waits = true;
    list[4] = bench_task(1, 1);
    list[4].terms = SPAN(LIMIT_3);
    list[5] = bench_task(1, 1);
    struct err e = bench_put_told(b, list, COUNT_OF(list), v);
    assert_int_equal(e.code, ERR_NONE);
    assert_int_equal(count_crowded(v, 6, PUT_CROWDED), 1);
    assert_true(v[2].crowd == PUT_CROWDED && v[3].bad_need == 1);
    bench_count(b, "tasks", 5);
    bench_count(b, "gates", 100000);
    struct new_task one = with_key(b, 7);
    e = bench_put_told(b, &one, 1, v);
    assert_true(e.code == ERR_NONE && v[0].crowd == PUT_CROWDED);
}

/* ---- two workers at once, that crash and change their minds ---- */

struct crowd {
    struct store_bench *b;
    struct store_worker *worker;
    unsigned seed;
    int64_t finished, crashed;
    atomic_bool *stop;
};

static void one_turn(struct crowd *c)
{
    struct claim claim = {.count = 0};
    struct err e = ERR_INIT;
    struct finish ends[8];
    struct arena arena CLEANUP(arena_release) = ARENA_INIT;
    if (!store_turn(c->worker, NULL, 0, 1 + rand_r(&c->seed) % 4, &claim, &e))
        fail_msg("%s", e.text);
    if (claim.count == 0)
        return;
    const struct unit *units[8];
    int64_t woken, next_ms, fires_ms;
    size_t n = 0, back = 0;
    for (size_t i = 0; i < claim.count; i++) {
        int choice = rand_r(&c->seed) % 8;
        if (choice == 0) {
            c->crashed++; /* nobody will ever hear of it */
            continue;
        }
        if (choice == 1) {
            units[back++] = &claim.units[i];
            continue;
        }
        ends[n] = (struct finish){.unit = &claim.units[i],
                                  .state = TASK_succeeded,
                                  .results = SPAN("{\"index\":0}\n"),
                                  .items_done = 1,
                                  .again = choice == 2};
        n++;
    }
    struct ended ended;
    struct claim none = {.count = 0};
    if (!store_turn(c->worker, ends, n, 0, &none, &e) ||
        !store_release(c->worker, &arena, units, back, false, &ended, &e) ||
        !store_wake(c->worker, 100, &woken, &next_ms, &fires_ms, &e))
        fail_msg("%s", e.text);
    for (size_t i = 0; i < n; i++)
        c->finished += ends[i].applied && !ends[i].again;
    arena_release(&claim.arena);
}

static void *crowd_thread(void *arg)
{
    struct crowd *c = arg;
    while (!atomic_load(c->stop))
        one_turn(c);
    return NULL;
}

static void t40_never_more_than_so_many(void **state)
{
    struct store_bench *b = *state;
    atomic_bool stop = false;
    struct crowd crowds[2];
    pthread_t threads[2];
    struct err e = ERR_INIT;
    int64_t most = 0, seen;
    b->conf.worker_attempts = 100;
    put(b, 400, 1, 1, LIMIT_3);
    for (int i = 0; i < 2; i++) {
        struct worker_info info = b->info;
        info.id = (struct uuid){{0}};
        crowds[i] = (struct crowd){.b = b, .seed = 7 + (unsigned)i, .stop = &stop};
        assert_true(store_worker_new(b->store, &info, &crowds[i].worker, &e));
        assert_int_equal(pthread_create(&threads[i], NULL, crowd_thread, &crowds[i]), 0);
    }
    int64_t deadline = clock_after_ms(60000);
    for (int round = 0; bench_number(b, "SELECT count(*) FROM tasks WHERE NOT lathe_final(state)") > 0;
         round++) {
        seen = bench_number(b, "SELECT " TRUTH);
        most = seen > most ? seen : most;
        if (round % 16 == 0) { /* those who crashed are found out; some who live are taken for dead */
            bench_expire(b);
            assert_int_equal(bench_reap(b).leaked, 0);
        }
        if (round % 64 == 0) {
            PGresult *r = PQexec(
                b->admin,
                "SELECT lathe_cancel(id) FROM tasks WHERE NOT lathe_final(state) ORDER BY random() LIMIT 1");
            if (PQresultStatus(r) != PGRES_TUPLES_OK)
                fail_msg("%s", PQresultErrorMessage(r));
            PQclear(r);
        }
        assert_true(clock_now() < deadline);
    }
    atomic_store(&stop, true);
    for (int i = 0; i < 2; i++) {
        pthread_join(threads[i], NULL);
        assert_true(crowds[i].finished > 0);
        assert_true(crowds[i].crashed > 0);
        store_worker_free(crowds[i].worker);
    }
    assert_int_equal(most, MOST); /* the limit was reached, and kept */
    bench_count(b, "inside", 0);
    bench_count(b, "waiting", 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        STORE_TEST(t01_so_many_at_once),
        STORE_TEST(t02_a_lost_worker_frees_no_slot_and_keeps_none),
        STORE_TEST(t03_so_many_a_time),
        STORE_TEST(t04_who_backs_off_is_outside),
        STORE_TEST(t05_a_delayed_task_passes_the_gate_when_it_is_due),
        STORE_TEST(t06_cancelled_inside_and_outside),
        STORE_TEST(t07_fail_fast_takes_others_out),
        STORE_TEST(t08_the_latest_numbers_hold),
        STORE_TEST(t09_what_leaks_is_found),
        STORE_TEST(t10_a_transaction_that_came_to_nothing_leaves_nobody_behind),
        STORE_TEST(t11_a_gate_that_is_gone_is_made_again),
        STORE_TEST(t12_a_gate_in_use_is_left_alone),
        STORE_TEST(t13_no_gate_starves),
        STORE_TEST(t14_tenants_go_before_gates),
        STORE_TEST(t15_a_request_brings_so_many_keys),
        STORE_TEST(t16_no_more_keys_than_there_may_be),
        STORE_TEST(t40_never_more_than_so_many)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
