/*
 * A claim beside the ends of its turn, on a session of its own: what it does alone, and what neither does to the other.
 *
 * log may say: terminating connection due to administrator command|test_refuses|connection to client lost|could not send data
 */
#include "../lib/test.h"

#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include "core/mem.h"
#include "store/inside.h"
#include "store_bench.h"

enum { MANY = 64 }; /* ends, from which on it is so */

/* What was called within a turn, and what it did then. */
static struct seen {
    struct store_bench *bench;
    struct claim claim;
    int claims, ends;
    const char *at_claim, *at_end; /* SQL of the admin's */
    struct span results;           /* of each end; empty: those of bench_end */
} seen;

static void on_claim(void *arg, struct claim *c)
{
    (void)arg;
    seen.claims++;
    seen.claim = *c;
    if (seen.at_claim)
        bench_sql(seen.bench, seen.at_claim);
}

static void on_end(void *arg, const struct finish *f)
{
    (void)arg;
    seen.ends += f->applied;
    if (seen.at_end && seen.ends == 1)
        bench_sql(seen.bench, seen.at_end);
}

static void begin(struct store_bench *b)
{
    seen = (struct seen){.bench = b};
    store_worker_hand(b->worker, on_claim, NULL);
    store_worker_tell(b->worker, on_end, NULL);
}

static void put_many(struct store_bench *b, size_t n)
{
    struct new_task *list = mem_array(n, sizeof *list);
    for (size_t i = 0; i < n; i++)
        list[i] = bench_task(1, 1);
    bench_put_ok(b, list, n);
    mem_free(list);
}

/* The ends of the claim and a claim of as many. */
static bool turn(struct store_bench *b, struct claim *c, struct err *e)
{
    static struct finish ends[MANY];
    struct claim none = {.count = 0};
    assert_int_equal(c->count, MANY);
    for (size_t i = 0; i < c->count; i++) {
        ends[i] = bench_end(b, &c->units[i], TASK_succeeded, 0);
        ends[i].results = seen.results.len > 0 ? seen.results : ends[i].results;
    }
    bool ok = store_turn(b->worker, ends, c->count, MANY, &none, e);
    assert_int_equal(none.count, 0);
    assert_true(!ok || none.beside);
    for (size_t i = 0; ok && i < c->count; i++)
        assert_true(ends[i].applied);
    return ok;
}

static void turn_ok(struct store_bench *b, struct claim *c)
{
    struct err e = ERR_INIT;
    if (!turn(b, c, &e))
        fail_msg("%s", e.text);
}

static bool by_its_own_session(struct store_bench *b)
{
    char sql[160];
    snprintf(sql, sizeof sql,
             "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%%taken AS%%' AND pid = %d",
             b->worker->claims.conn ? PQbackendPID(b->worker->claims.conn) : 0);
    return bench_number(b, sql) == 1;
}

static void t01_two_at_once(void **state)
{
    struct store_bench *b = *state;
    begin(b);
    put_many(b, 3 * MANY);
    struct claim first = bench_claim(b, MANY);
    assert_int_equal(seen.claims, 0); /* nothing ended with it */
    assert_null(b->worker->claims.conn);
    turn_ok(b, &first);
    assert_int_equal(seen.claims, 1);
    assert_int_equal(seen.ends, MANY);
    assert_int_equal(seen.claim.count, MANY);
    assert_true(seen.claim.beside);
    assert_true(by_its_own_session(b));
    struct claim second = seen.claim;
    turn_ok(b, &second);
    assert_int_equal(seen.claims, 2);
    bench_count(b, "leases", 1);
    bench_count(b, "work", 0);
    claim_release(&first);
    claim_release(&second);
    claim_release(&seen.claim);
}

static void t02_nothing_is_left(void **state)
{
    struct store_bench *b = *state;
    begin(b);
    put_many(b, MANY);
    struct claim first = bench_claim(b, MANY);
    turn_ok(b, &first);
    assert_int_equal(seen.claims, 1); /* told of, too */
    assert_int_equal(seen.claim.count, 0);
    bench_count(b, "leases", 0);
    claim_release(&first);
}

/* A claim that somebody is in the way of until the first end is told. */
static void with_the_claim_held(struct store_bench *b)
{
    put_many(b, 2 * MANY);
    bench_sql(
        b,
        "INSERT INTO queues (name, paused, limited) VALUES ('default', false, true); INSERT INTO gates (name, concurrency) "
        "VALUES ('queue/default', 1000)");
    struct claim first = bench_claim(b, MANY);
    bench_sql(b, "BEGIN; SELECT FROM gates FOR UPDATE");
    seen.at_end = "ROLLBACK";
    turn_ok(b, &first);
    assert_int_equal(seen.claim.count, MANY);
    claim_release(&first);
    claim_release(&seen.claim);
}

/* Who waits for a task does not wait for the claim. */
static void t03_ends_do_not_wait_for_the_claim(void **state)
{
    begin(*state);
    with_the_claim_held(*state);
}

/* Nor do slots wait for units until ends are stored. */
static void t04_the_claim_does_not_wait_for_ends(void **state)
{
    struct store_bench *b = *state;
    begin(b);
    put_many(b, 2 * MANY);
    struct claim first = bench_claim(b, MANY);
    bench_sql(b, "BEGIN; SELECT FROM leases FOR UPDATE");
    seen.at_claim = "ROLLBACK";
    turn_ok(b, &first);
    assert_int_equal(seen.ends, MANY);
    assert_int_equal(seen.claim.count, MANY);
    claim_release(&first);
    claim_release(&seen.claim);
}

/* Of either session PostgreSQL may be lost: what the other does is done, and nothing is lost. */
static void t05_the_claims_session_ends(void **state)
{
    struct store_bench *b = *state;
    begin(b);
    put_many(b, 3 * MANY);
    struct claim first = bench_claim(b, MANY);
    turn_ok(b, &first);
    struct claim second = seen.claim;
    char sql[80];
    snprintf(sql, sizeof sql, "SELECT pg_terminate_backend(%d, 30000)", PQbackendPID(b->worker->claims.conn));
    bench_sql(b, sql);
    turn_ok(b, &second);
    assert_int_equal(seen.claims, 1);
    assert_int_equal(seen.ends, 2 * MANY);
    assert_true(b->worker->claims_after > clock_now());
    struct claim third = bench_claim(b, MANY);
    b->worker->claims_after = 0; /* much later */
    turn_ok(b, &third);
    assert_int_equal(seen.claims, 2);
    bench_count(b, "leases", 0);
    bench_count(b, "work", 0);
    claim_release(&first);
    claim_release(&second);
    claim_release(&third);
}

static void t06_the_ends_session_ends(void **state)
{
    struct store_bench *b = *state;
    struct err e = ERR_INIT;
    begin(b);
    put_many(b, 2 * MANY);
    struct claim first = bench_claim(b, MANY);
    char sql[80];
    snprintf(sql, sizeof sql, "SELECT pg_terminate_backend(%d, 30000)", PQbackendPID(b->worker->db.conn));
    bench_sql(b, sql);
    assert_false(turn(b, &first, &e));
    assert_int_equal(e.code, ERR_STORE);
    assert_int_equal(seen.ends, 0);
    assert_int_equal(seen.claim.count, MANY); /* and is ours */
    struct claim second = seen.claim;
    turn_ok(b, &first);
    turn_ok(b, &second);
    assert_int_equal(seen.ends, 2 * MANY);
    bench_count(b, "leases", 0);
    bench_count(b, "work", 0);
    claim_release(&first);
    claim_release(&second);
}

/* A server that has no session to spare is one like others, and is left alone. */
static void t07_without_a_session(void **state)
{
    struct store_bench *b = *state;
    begin(b);
    put_many(b, 2 * MANY);
    struct claim first = bench_claim(b, MANY), none = {.count = 0};
    struct conf nowhere = b->conf;
    nowhere.store_url = "host=/nowhere/at/all";
    b->worker->claims.conf = &nowhere;
    static struct finish ends[MANY];
    struct err e = ERR_INIT;
    for (size_t i = 0; i < MANY; i++)
        ends[i] = bench_end(b, &first.units[i], TASK_succeeded, 0);
    assert_true(store_turn(b->worker, ends, MANY, MANY, &none, &e));
    assert_int_equal(seen.claims, 0);
    assert_int_equal(none.count, MANY);
    assert_false(none.beside);
    assert_true(b->worker->claims_after > clock_now());
    claim_release(&first);
    claim_release(&none);
}

/* Where nobody needs it any more it is closed. */
static void t08_it_rests(void **state)
{
    struct store_bench *b = *state;
    begin(b);
    put_many(b, MANY);
    struct claim first = bench_claim(b, MANY);
    turn_ok(b, &first);
    assert_non_null(b->worker->claims.conn);
    b->worker->claims_used = 1; /* long ago */
    struct claim none = bench_claim(b, 1);
    assert_int_equal(none.count, 0);
    assert_null(b->worker->claims.conn);
    claim_release(&first);
}

/* One that hangs while the worker is told to hurry: the ends are stored, nobody waits longer than a second, and the next turns do without. */
static void t09_the_claim_hangs(void **state)
{
    struct store_bench *b = *state;
    int hurry[2];
    begin(b);
    put_many(b, 4 * MANY);
    struct claim first = bench_claim(b, MANY);
    turn_ok(b, &first);
    struct claim second = seen.claim;
    pid_t pid = PQbackendPID(b->worker->claims.conn);
    assert_int_equal(pipe2(hurry, O_CLOEXEC), 0);
    assert_int_equal(write(hurry[1], "x", 1), 1);
    store_worker_bound(b->worker, 0, hurry[0]);
    assert_int_equal(kill(pid, SIGSTOP), 0);
    int64_t began = clock_now();
    turn_ok(b, &second);
    int64_t took = clock_now() - began;
    assert_int_equal(kill(pid, SIGCONT), 0);
    assert_true(took < 15 * NS_PER_S); /* store.timeout is 20 */
    assert_int_equal(seen.ends, 2 * MANY);
    assert_int_equal(seen.claims, 1);
    assert_null(b->worker->claims.conn);
    assert_true(b->worker->claims_after > clock_now());
    store_worker_bound(b->worker, 0, -1);
    close(hurry[0]);
    close(hurry[1]);
    claim_release(&first);
    claim_release(&second);
}

/* Ends that PostgreSQL refuses are told one by one; what was claimed beside them is claimed. */
static void t10_an_end_is_refused(void **state)
{
    struct store_bench *b = *state;
    char sql[512], id[UUID_TEXT];
    begin(b);
    put_many(b, 2 * MANY);
    struct claim first = bench_claim(b, MANY);
    uuid_format(first.units[MANY / 2].task, id);
    snprintf(sql, sizeof sql,
             "ALTER TABLE tasks ADD CONSTRAINT test_refuses CHECK (id <> '%s' OR state <> 'succeeded')", id);
    bench_sql(b, sql);
    turn_ok(b, &first);
    bench_sql(b, "ALTER TABLE tasks DROP CONSTRAINT test_refuses");
    assert_int_equal(seen.claim.count, MANY);
    bench_count(b, "tasks WHERE state = 'succeeded'", MANY - 1);
    bench_count(b, "tasks WHERE state = 'failed'", 1);
    bench_count(b, "leases", 1);
    claim_release(&first);
    claim_release(&seen.claim);
}

/* More than a socket holds: it goes out while either is waited for. */
static void t11_large_ends(void **state)
{
    enum { EACH = 256 * 1024 };
    char *text = mem_alloc(EACH);
    memset(text, '7', EACH - 1);
    text[EACH - 1] = '\n';
    begin(*state);
    seen.results = (struct span){text, EACH};
    with_the_claim_held(*state);
    bench_count(*state, "results WHERE octet_length(bytes) = 262144", MANY);
    mem_free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        STORE_TEST(t01_two_at_once),
        STORE_TEST(t02_nothing_is_left),
        STORE_TEST(t03_ends_do_not_wait_for_the_claim),
        STORE_TEST(t04_the_claim_does_not_wait_for_ends),
        STORE_TEST(t05_the_claims_session_ends),
        STORE_TEST(t06_the_ends_session_ends),
        STORE_TEST(t07_without_a_session),
        STORE_TEST(t08_it_rests),
        STORE_TEST(t09_the_claim_hangs),
        STORE_TEST(t10_an_end_is_refused),
        STORE_TEST(t11_large_ends),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
