/* What store.retention deletes and what it leaves. Old tasks are made old: nothing here waits for a clock. */
#include "../lib/test.h"

#include <string.h>

#include "store_bench.h"

#define DAY_MS (24 * 3600 * 1000LL)
#define AGE "UPDATE tasks SET finished_at = finished_at - interval '2 days'" /* where it is over */

/* ---- moves ---- */

static struct new_task old_task(int64_t items, int64_t unit_size)
{
    struct new_task t = bench_task(items, unit_size);
    struct uuid day_before = uuid_floor((uuid_wall_ms(t.id) - 2 * DAY_MS) * 1000);
    memcpy(t.id.b, day_before.b, 6); /* the time; the rest keeps them apart and in order */
    t.inputs_of = t.id;
    return t;
}

static struct uuid put_old(struct store_bench *b, const char *terms)
{
    struct new_task t = old_task(1, 1);
    t.terms = span_of(terms);
    bench_put_ok(b, &t, 1);
    return t.id;
}

/* Everything that can be claimed, of which the first `keep` are not finished. */
static struct claim finish_all_but(struct store_bench *b, size_t keep, int64_t failed)
{
    struct claim c = bench_claim(b, 100);
    struct finish f[100];
    for (size_t i = keep; i < c.count; i++)
        f[i - keep] = bench_end(b, &c.units[i], TASK_succeeded, failed);
    if (c.count > keep)
        bench_finish(b, f, c.count - keep);
    return c;
}

static void finish_all(struct store_bench *b)
{
    struct claim c = finish_all_but(b, 0, 0);
    claim_release(&c);
}

static void beat(struct store_bench *b)
{
    struct uuid *cancelled;
    size_t n;
    bool lost;
    struct err e = ERR_INIT;
    assert_true(store_beat(b->worker, &b->arena, &b->info, NULL, 0, &lost, &cancelled, &n, &e));
}

static int64_t forget_some(struct store_bench *b, int room, bool *ret_more)
{
    int64_t deleted;
    struct err e = ERR_INIT;
    b->conf.store_retention = DAY_MS;
    if (!store_forget(b->worker, room, &deleted, ret_more, &e))
        fail_msg("%s", e.text);
    return deleted;
}

static void forgets(struct store_bench *b, int64_t want)
{
    bool more;
    beat(b);
    assert_int_equal(forget_some(b, 100, &more), want);
    assert_false(more);
}

/* ---- tests ---- */

static void t01_with_all_that_belongs_to_them(void **state)
{
    static const char *const tables[] = {"tasks",   "inputs", "results", "logs",     "dead",  "deps",
                                         "uniques", "work",   "waiting", "expiring", "inside"};
    static const struct span lines[] = {SPAN("1\n"), SPAN("2\n")};
    struct store_bench *b = *state;
    struct new_task n = old_task(2, 1); /* two units: results of their own; every item fails: dead */
    n.inputs = lines;
    n.terms = SPAN(
        "{\"unique\":{\"key\":\"k\",\"while\":\"unfinished\",\"for_s\":0},\"expires_us\":4000000000000000}");
    bench_put_ok(b, &n, 1);
    struct claim c = finish_all_but(b, 0, 1);
    claim_release(&c);
    STATE_IS(b, n.id, "failed");
    bench_sql(b, "INSERT INTO logs SELECT id, now(), 0, id, 'x' FROM tasks");
    bench_sql(
        b,
        "INSERT INTO uniques SELECT lathe_unique_key(handler, 'k'), id, now(), now() FROM tasks ON CONFLICT DO NOTHING");
    bench_sql(b, "INSERT INTO deps SELECT id, id, true FROM tasks"); /* of which both ends are over */
    assert_int_equal(
        bench_number(b, "SELECT (SELECT count(*) FROM inputs) * (SELECT count(*) FROM results) * (SELECT "
                        "count(*) FROM dead) * (SELECT count(*) FROM expiring)"),
        4);
    forgets(b, 0); /* it was not over for long enough */
    bench_count(b, "tasks", 1);
    bench_sql(b, AGE);
    forgets(b, 1);
    for (size_t i = 0; i < COUNT_OF(tables); i++)
        bench_count(b, tables[i], 0);
    forgets(b, 0);
}

static void t02_what_stays(void **state)
{
    struct store_bench *b = *state;
    struct uuid unfinished = put_old(b, "");
    struct new_task young = bench_task(1, 1); /* by its id: it cannot have been over for longer */
    bench_put_ok(b, &young, 1);
    struct uuid keyed = put_old(b, "{\"unique\":{\"key\":\"k\",\"while\":\"unfinished\",\"for_s\":864000}}");
    struct claim c = finish_all_but(b, 1, 0); /* one lease for all */
    assert_true(uuid_eq(c.units[0].task, unfinished));
    bench_sql(b, AGE);
    forgets(b, 0);
    bench_get(b, keyed);

    struct finish f = bench_end(b, c.units, TASK_succeeded, 0);
    bench_finish(b, &f, 1);
    claim_release(&c);
    bench_sql(b, AGE);
    forgets(b, 1); /* no lease any more, but the key is held for ten days */
    bench_get(b, keyed);
    bench_sql(b, "UPDATE uniques SET until = now()");
    forgets(b, 1);
    bench_count(b, "uniques", 0);
    bench_get(b, young.id);
}

/* A batch of which some are still to be done lists those that are: who gives it back asks which. */
static void t03_listed_in_a_lease(void **state)
{
    struct store_bench *b = *state;
    put_old(b, "");
    put_old(b, "");
    struct claim c = finish_all_but(b, 1, 0);
    bench_sql(b, AGE);
    bench_sql(
        b,
        "UPDATE leases SET tasks = ARRAY(SELECT id FROM tasks), seqs = '{0,0}', attempts = '{1,1}', tries = '{0,0}', "
        "firsts = '{0,0}', counts = '{1,1}'");
    forgets(b, 0);
    bench_expire(b);
    assert_int_equal(bench_reap(b).requeued, 1);
    forgets(b, 1);
    bench_count(b, "work", 1);
    claim_release(&c);
}

static void t04_families(void **state)
{
    struct store_bench *b = *state;
    struct new_task family[3];
    for (int i = 0; i < 3; i++) {
        family[i] = old_task(1, 1);
        family[i].order = i;
        if (i > 0) {
            family[i].parent = family[0].id;
            family[i].inputs_of = family[0].id;
        }
    }
    family[0].container = true;
    family[0].items_total = family[0].units = 2;
    family[2].waits = true;
    bench_put_ok(b, family, 3);
    finish_all(b);
    bench_sql(b, AGE);
    STATE_IS(b, family[1].id, "succeeded");
    forgets(b, 0); /* its sibling is to be run, and the parent shows both */
    finish_all(b);
    bench_sql(b, AGE);
    STATE_IS(b, family[0].id, "succeeded");
    bench_sql(b, "UPDATE tasks SET finished_at = now() WHERE ord = 2");
    forgets(b, 0);
    bench_sql(b, AGE);
    forgets(b, 3);
    bench_count(b, "tasks", 0);
}

/* Who depends on it is there, or in a transaction that nobody sees yet. */
static void t05_needed(void **state)
{
    struct store_bench *b = *state;
    int64_t woken, next, fire;
    struct err e = ERR_INIT;
    put_old(b, "");
    finish_all(b);
    bench_sql(b, AGE);
    bench_sql(b, "BEGIN");
    bench_sql(b, "SELECT lathe.submit('echo', depends_on => ARRAY(SELECT id FROM tasks))");
    forgets(b, 0);
    bench_sql(b, "COMMIT");
    forgets(b, 0);
    assert_true(store_wake(b->worker, 100, &woken, &next, &fire, &e));
    assert_int_equal(woken, 1);
    forgets(b, 1);
    bench_count(b, "deps", 0);
    finish_all(b);
    bench_count(b, "tasks WHERE state = 'succeeded'", 1);
}

#define NIL "'00000000-0000-0000-0000-000000000000'"

static void t06_in_rounds(void **state)
{
    struct store_bench *b = *state;
    bool more;
    struct uuid first = put_old(b, "");
    for (int i = 1; i < 25; i++)
        put_old(b, "");
    struct claim c = finish_all_but(b, 0, 0);
    claim_release(&c);
    bench_sql(b, AGE);
    beat(b);
    assert_int_equal(forget_some(b, 10, &more), 10);
    assert_true(more);
    bench_count(b, "tasks", 15);
    struct task t;
    struct err e = ERR_INIT;
    assert_false(store_get(b->store, &b->arena, first, &t, &e)); /* the oldest went first */

    /* A round looks at so many, whether they may go or not, and the next goes on behind them. */
    bench_sql(b,
              "UPDATE tasks SET finished_at = now() WHERE id IN (SELECT id FROM tasks ORDER BY id LIMIT 5)");
    assert_int_equal(bench_number(b, "SELECT count(*) FROM lathe_forget(" NIL ", 86400000, 10, 5) f, tasks t "
                                     "WHERE f.deleted = 0 AND t.id <= f.upto"),
                     5);
    assert_int_equal(forget_some(b, 10, &more), 10);
    bench_count(b, "tasks", 5);
    if (more)
        assert_int_equal(forget_some(b, 10, &more), 0);
    assert_false(more);
}

/* The one that is alive longest deletes; and without the setting nobody does. */
static void t07_one_of_many(void **state)
{
    struct store_bench *b = *state;
    bool more;
    int64_t deleted;
    struct err e = ERR_INIT;
    put_old(b, "");
    finish_all(b);
    bench_sql(b, AGE);
    beat(b);
    b->conf.store_retention = 0;
    assert_true(store_forget(b->worker, 10, &deleted, &more, &e));
    assert_int_equal(deleted, 0);
    bench_sql(
        b,
        "INSERT INTO workers SELECT (w).* FROM (SELECT jsonb_populate_record(w, '{\"id\": \"00000000-0000-7000-8000-"
        "000000000001\"}') AS w FROM workers w) x");
    assert_int_equal(forget_some(b, 10, &more), 0);
    bench_sql(b, "DELETE FROM workers WHERE id < '01000000-0000-0000-0000-000000000000'");
    assert_int_equal(forget_some(b, 10, &more), 1);
}

/* One that has called more than a round may delete goes in several, itself in the last. */
static void t08_very_many_rows(void **state)
{
    struct store_bench *b = *state;
    bool more;
    put_old(b, "");
    finish_all(b);
    bench_sql(b, AGE);
    bench_sql(b, "INSERT INTO outgoing (task, at, us, item, method, url) "
                 "SELECT t.id, now(), 1, 0, 'GET', 'http://x/' FROM tasks t, generate_series(1, 20001)");
    bench_sql(b, "INSERT INTO data_records (task, item, status, url, digest, body) "
                 "SELECT t.id, 0, 200, 'http://x/', '', '' FROM tasks t");
    beat(b);
    assert_int_equal(forget_some(b, 100, &more), 0);
    assert_true(more);
    bench_count(b, "outgoing", 1);
    bench_count(b, "tasks", 1);
    assert_int_equal(forget_some(b, 100, &more), 1);
    assert_false(more);
    bench_count(b, "outgoing", 0);
    bench_count(b, "data_records", 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        STORE_TEST(t01_with_all_that_belongs_to_them),
        STORE_TEST(t02_what_stays),
        STORE_TEST(t03_listed_in_a_lease),
        STORE_TEST(t04_families),
        STORE_TEST(t05_needed),
        STORE_TEST(t06_in_rounds),
        STORE_TEST(t07_one_of_many),
        STORE_TEST(t08_very_many_rows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
