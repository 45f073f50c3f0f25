/*
 * The store on a PostgreSQL of its own: large results, and what a worker does when PostgreSQL takes them too slowly, refuses
 * what comes with them, or is left with a claim of which nobody knows.
 *
 * log may say: canceling statement due to lock timeout|violates check constraint "nothing_goes"|"profiles" does not exist
 * log may say: canceling statement due to statement timeout|connection to client lost
 */
#include "../lib/test.h"

#include <string.h>

#include "core/mem.h"
#include "store/inside.h"
#include "store_bench.h"

/* `items` lines of a MiB, as test.huge makes them. */
static struct buf huge_lines(int64_t items)
{
    struct buf b = BUF_INIT(2 * LIMIT_UNIT_RESULT);
    char *line = mem_alloc(MIB);
    memset(line, 'x', MIB);
    for (int64_t i = 0; i < items; i++) {
        char head[64];
        int n = snprintf(head, sizeof head, "{\"index\":%lld,\"state\":\"succeeded\",\"result\":\"",
                         (long long)i);
        buf_puts(&b, head);
        buf_span(&b, (struct span){line, MIB - (size_t)n - 3});
        buf_puts(&b, "\"}\n");
    }
    mem_free(line);
    assert_false(b.failed);
    return b;
}

static void t01_as_large_as_may_be(void **state)
{
    struct store_bench *b = *state;
    enum { ITEMS = LIMIT_UNIT_RESULT / MIB };
    struct new_task n = bench_task(ITEMS, ITEMS);
    struct buf lines CLEANUP(buf_release) = huge_lines(ITEMS);
    bench_put_ok(b, &n, 1);
    struct claim c = bench_claim(b, 1);
    struct finish f = bench_end(b, c.units, TASK_succeeded, 0);
    f.results = buf_view(&lines);
    b->conf.store_timeout = 10000;
    bench_finish(b, &f, 1);
    assert_true(f.applied && f.final);
    assert_int_equal(bench_number(b, "SELECT sum(octet_length(bytes)) FROM results"), lines.len);
    claim_release(&c);
}

/* PostgreSQL lives, but will not take this one: it must not stand in the way of all others for ever. */
static void t02_too_slow_again_and_again(void **state)
{
    struct store_bench *b = *state;
    struct new_task n = bench_task(2, 2);
    struct buf lines CLEANUP(buf_release) = huge_lines(2);
    struct claim none = {.count = 0};
    struct err e = ERR_INIT;
    struct uuid *cancelled;
    size_t cancelled_n;
    bench_put_ok(b, &n, 1);
    struct claim c = bench_claim(b, 1);
    struct finish f = bench_end(b, c.units, TASK_succeeded, 0);
    f.results = buf_view(&lines);
    b->conf.store_timeout = 200;
    db_close(&b->worker->db); /* a session with that setting */
    bench_sql(b, "BEGIN; SELECT FROM leases FOR UPDATE");
    for (int i = 0; i < 2; i++) {
        assert_false(store_turn(b->worker, &f, 1, 0, &none, &e));
        assert_false(
            store_turn(b->worker, &f, 1, 0, &none, &e)); /* it did nothing since: that says nothing */
        assert_false(store_turn(b->worker, &f, 1, 0, &none, &e));
        assert_int_equal(f.state, TASK_succeeded);
        assert_true(store_beat(b->worker, &b->arena, &b->info, NULL, 0, NULL, &cancelled, &cancelled_n, &e));
    }
    assert_false(store_turn(b->worker, &f, 1, 0, &none, &e));
    assert_int_equal(f.state, TASK_failed);
    bench_sql(b, "ROLLBACK");
    b->conf.store_timeout = 20000;
    bench_finish(b, &f, 1);
    assert_true(f.applied && f.final);
    struct task t = bench_get(b, n.id);
    assert_string_equal(state_name(t.state), "failed");
    assert_int_equal(t.err.code, ERR_STORE);
    claim_release(&c);
}

/* A finish is good also when what was learned from it is refused; that is noticed, once. */
static void t03_refused_evidence(void **state)
{
    struct store_bench *b = *state;
    struct new_task n[] = {bench_task(1, 1), bench_task(1, 1)};
    bench_put_ok(b, n, 2);
    struct claim c = bench_claim(b, 2);
    struct finish f[] = {bench_end(b, &c.units[0], TASK_succeeded, 0),
                         bench_end(b, &c.units[1], TASK_succeeded, 0)};
    bench_sql(b, "ALTER TABLE profiles ADD CONSTRAINT nothing_goes CHECK (false) NOT VALID");
    bench_finish(b, &f[0], 1);
    bench_sql(b, "ALTER TABLE profiles DROP CONSTRAINT nothing_goes");
    assert_true(f[0].applied && b->worker->deaf);
    bench_finish(b, &f[1], 1);
    assert_true(f[1].applied && !b->worker->deaf);
    claim_release(&c);
}

/* And when a session finds nowhere to put it; the claim of that turn is good too. */
static void t03a_evidence_that_cannot_be_prepared(void **state)
{
    struct store_bench *b = *state;
    struct new_task n[] = {bench_task(1, 1), bench_task(1, 1)};
    struct claim c, next = {.count = 0};
    struct err e = ERR_INIT;
    bench_put_ok(b, n, 2);
    c = bench_claim(b, 1);
    struct finish f = bench_end(b, c.units, TASK_succeeded, 0);
    bench_sql(b, "ALTER TABLE profiles RENAME TO nowhere");
    db_close(&b->worker->db);
    bool done = store_turn(b->worker, &f, 1, 1, &next, &e);
    bench_sql(b, "ALTER TABLE nowhere RENAME TO profiles");
    assert_true(done && f.applied && b->worker->deaf);
    assert_int_equal(next.count, 1);
    f = bench_end(b, next.units, TASK_succeeded, 0);
    bench_finish(b, &f, 1);
    assert_true(f.applied && !b->worker->deaf);
    bench_count(b, "profiles", 1);
    claim_release(&c);
    claim_release(&next);
}

static struct {
    struct store_bench *bench;
    bool locked;
    int64_t runs; /* that were learned of when it was told */
} told;

static void on_told(void *arg, const struct finish *f)
{
    (void)arg, (void)f;
    told.runs = bench_number(told.bench, "SELECT runs FROM profiles");
    if (told.locked)
        bench_sql(told.bench, "COMMIT");
}

static void end_one(struct store_bench *b, const struct unit *u, bool familiar)
{
    struct finish f = bench_end(b, u, TASK_succeeded, 0);
    f.familiar = familiar;
    bench_finish(b, &f, 1);
}

static int64_t runs_known(struct store_bench *b)
{
    return bench_number(b, "SELECT runs FROM profiles");
}

/* Who waits is told when the lesson is stored; where it is familiar he need not wait for that, and the lesson for others. */
static void t03b_told_before_or_after_the_lesson(void **state)
{
    struct store_bench *b = *state;
    struct err e = ERR_INIT;
    struct new_task n[8];
    for (size_t i = 0; i < COUNT_OF(n); i++)
        n[i] = bench_task(1, 1);
    bench_put_ok(b, n, COUNT_OF(n));
    struct claim c = bench_claim(b, COUNT_OF(n));
    end_one(b, &c.units[0], false); /* all is prepared */
    told.bench = b;
    store_worker_tell(b->worker, on_told, NULL);

    told.locked = false;
    end_one(b, &c.units[1], false);
    assert_int_equal(told.runs, 2);

    told.locked = true;
    bench_sql(b, "BEGIN");
    bench_sql(b, "LOCK TABLE profiles IN EXCLUSIVE MODE"); /* until it is told */
    end_one(b, &c.units[2], true);
    assert_int_equal(told.runs, 2);
    assert_int_equal(runs_known(b), 2);

    told.locked = false;
    end_one(b, &c.units[3], false); /* with it all that has gathered */
    assert_int_equal(runs_known(b), 4);

    end_one(b, &c.units[4], true);
    assert_int_equal(runs_known(b), 4);
    b->worker->lessons.since -= NS_PER_S; /* or when it has waited for long enough */
    struct claim none = bench_claim(b, 1);
    assert_int_equal(none.count, 0);
    assert_int_equal(runs_known(b), 5);

    end_one(b, &c.units[5], true);
    db_close(&b->worker->db); /* what could not be told is told later, once */
    end_one(b, &c.units[6], true);
    assert_int_equal(runs_known(b), 5);
    end_one(b, &c.units[7], true);
    store_worker_free(b->worker); /* and all of it at the end */
    assert_int_equal(runs_known(b), 8);
    assert_true(store_worker_new(b->store, &b->info, &b->worker, &e));
    claim_release(&c);
    claim_release(&none);
}

/* Many lessons do not wait, and each handler's and strategy's sums are its own. */
static void t03c_lessons_of_many(void **state)
{
    struct store_bench *b = *state;
    struct new_task n[70];
    struct finish f[70];
    for (size_t i = 0; i < COUNT_OF(n); i++) {
        n[i] = bench_task(1, 1);
        n[i].digest = 100 + i % 65;
    }
    bench_put_ok(b, n, COUNT_OF(n));
    struct claim c = bench_claim(b, COUNT_OF(n));
    assert_int_equal(c.count, COUNT_OF(n));
    for (size_t i = 0; i < c.count; i++) {
        f[i] = bench_end(b, &c.units[i], TASK_succeeded, 0);
        f[i].familiar = true;
    }
    bench_finish(b, f, COUNT_OF(f));
    bench_count(b, "profiles", 65);
    bench_count(b, "profiles WHERE runs = 2", 5);
    bench_count(b, "corrections WHERE runs = 1", 60);
    bench_count(b, "corrections WHERE runs = 2", 5);
    claim_release(&c);
}

/* A worker that leaves with a claim of which it does not know gives it back. */
static void t04_an_unsure_claim_at_the_end(void **state)
{
    struct store_bench *b = *state;
    struct new_task n = bench_task(1, 1);
    struct err e = ERR_INIT;
    bench_put_ok(b, &n, 1);
    struct claim c = bench_claim(b, 1);
    b->worker->unsure = c.lease;
    db_close(&b->worker->db);
    store_worker_free(b->worker);
    bench_count(b, "leases", 0);
    bench_count(b, "work", 1);
    assert_true(store_worker_new(b->store, &b->info, &b->worker, &e));
    claim_release(&c);
}

/* While somebody fetches the figures, the others do not ask too: also with a PostgreSQL that is slow. */
static void t05_one_asks_for_figures(void **state)
{
    struct store_bench *b = *state;
    struct store_stats stats;
    struct err e = ERR_INIT;
    struct new_task n = bench_task(1, 1);
    assert_true(store_stats(b->store, &stats, &e));
    assert_int_equal(stats.queued, 0);
    bench_put_ok(b, &n, 1);
    b->store->stats_until = 1; /* long ago */
    b->store->stats_asked = true;
    assert_true(store_stats(b->store, &stats, &e));
    assert_int_equal(stats.queued, 0);
    b->store->stats_asked = false;
    assert_true(store_stats(b->store, &stats, &e));
    assert_int_equal(stats.queued, 1);
    assert_false(b->store->stats_asked);
}

/* Evidence of what nobody runs any more goes; a run keeps it. */
static void t06_old_evidence(void **state)
{
    struct store_bench *b = *state;
    struct new_task n = bench_task(1, 1);
    bench_sql(
        b,
        "INSERT INTO profiles SELECT h, 7, 1, 1, 1, 1, 1, 1, 0, current_date - 91 FROM (VALUES ('echo'), ('gone')) x(h);"
        "INSERT INTO profiles VALUES ('young', 7, 1, 1, 1, 1, 1, 1, 0, current_date - 89);"
        "INSERT INTO corrections VALUES ('echo', 7, 'threading', 1, 1, current_date - 91), "
        "('gone', 7, 'threading', 1, 1, current_date - 91)");
    bench_put_ok(b, &n, 1);
    struct claim c = bench_claim(b, 1);
    struct finish f = bench_end(b, c.units, TASK_succeeded, 0);
    bench_finish(b, &f, 1);
    bench_reap(b);
    assert_int_equal(bench_number(b, "SELECT count(*) FROM profiles WHERE handler IN ('echo', 'young')"), 2);
    bench_count(b, "profiles", 2);
    assert_int_equal(bench_number(b, "SELECT count(*) FROM corrections WHERE handler = 'echo'"), 1);
    bench_count(b, "corrections", 1);
    claim_release(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        STORE_TEST(t01_as_large_as_may_be),
        STORE_TEST(t02_too_slow_again_and_again),
        STORE_TEST(t03_refused_evidence),
        STORE_TEST(t03a_evidence_that_cannot_be_prepared),
        STORE_TEST(t03b_told_before_or_after_the_lesson),
        STORE_TEST(t03c_lessons_of_many),
        STORE_TEST(t04_an_unsure_claim_at_the_end),
        STORE_TEST(t05_one_asks_for_figures),
        STORE_TEST(t06_old_evidence),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
