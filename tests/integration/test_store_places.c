/*
 * An end says where its lease lists the unit (sql/026_finish_many.sql): what that saves, and that nothing is ended by it which the lease
 * does not hold any more.
 */
#include "../lib/test.h"

#include "store/inside.h"
#include "store/rows.h"
#include "store_bench.h"

enum { MOST = 8 };

/* Ends as one call of lathe_finish_many tells them, in the order of their tasks. */
struct call {
    struct finish ends[MOST], *list[MOST], *sorted[MOST];
    size_t n;
};

static void end(struct store_bench *b, struct call *c, struct unit *u)
{
    c->ends[c->n] = bench_end(b, u, TASK_succeeded, 0);
    c->list[c->n] = &c->ends[c->n];
    c->n++;
}

/* Rows of leases that were found by an index meanwhile. */
static int64_t run(struct store_bench *b, struct call *c)
{
    struct params p CLEANUP(params_release_at) = PARAMS_INIT, table CLEANUP(params_release_at) = PARAMS_INIT;
    struct err e = ERR_INIT;
    finish_many_params(&p, c->sorted, c->n, 0);
    params_text(&table, SPAN("leases"));
    struct step steps[] = {{.stmt = &bench_found_stmt, .params = &table},
                           {.stmt = &finish_many_stmt, .params = &p},
                           {.stmt = &bench_found_stmt, .params = &table, .sync = true}};
    if (!db_run(&b->worker->db, steps, COUNT_OF(steps), clock_after_ms(20000), &e))
        fail_msg("%s", e.text);
    for (size_t i = 0; i < COUNT_OF(steps); i++)
        if (steps[i].err.code != ERR_NONE)
            fail_msg("%s", steps[i].err.text);
    finish_many_answers(steps[1].result, c->sorted, c->n);
    struct row before = row_at(steps[0].result, 0), after = row_at(steps[2].result, 0);
    int64_t rows = row_int(&after) - row_int(&before);
    db_steps_clear(steps, COUNT_OF(steps));
    return rows;
}

static int64_t finish(struct store_bench *b, struct call *c)
{
    assert_int_equal(finish_sort(c->list, c->n, c->sorted), c->n);
    return run(b, c);
}

static void put(struct store_bench *b, size_t n)
{
    struct new_task list[MOST];
    for (size_t i = 0; i < n; i++) {
        list[i] = bench_task(1, 1);
        list[i].priority = i % 2 ? 9 : 1; /* they are claimed in another order than they are put */
    }
    bench_put_ok(b, list, n);
}

static void give_back(struct store_bench *b, const struct unit *u)
{
    struct ended ended;
    struct err e = ERR_INIT;
    assert_true(store_release(b->worker, &b->arena, &u, 1, false, &ended, &e));
}

/* As the lease lists them, so the claim brings them. */
static void t01_places(void **state)
{
    struct store_bench *b = *state;
    char sql[160], id[UUID_TEXT];
    put(b, MOST);
    struct claim c = bench_claim(b, MOST);
    assert_int_equal(c.count, MOST);
    for (size_t i = 0; i < MOST; i++) {
        uuid_format(c.units[i].task, id);
        snprintf(sql, sizeof sql, "SELECT array_position(tasks, '%s') FROM leases", id);
        assert_int_equal(c.units[i].place, bench_number(b, sql));
    }
    claim_release(&c);
}

static void t02_a_unit_that_is_alone_has_one(void **state)
{
    struct store_bench *b = *state;
    put(b, 1);
    struct claim c = bench_claim(b, 1);
    assert_int_equal(c.count, 1);
    assert_int_equal(c.units[0].place, 1);
    claim_release(&c);
}

/* A lease is looked at once, and not a second time for what it lists. */
static void t03_fewer_reads(void **state)
{
    struct store_bench *b = *state;
    int64_t read[2];
    for (int known = 0; known < 2; known++) {
        struct call call = {.n = 0};
        put(b, MOST);
        struct claim c = bench_claim(b, MOST);
        for (size_t i = 0; i < MOST; i++) {
            end(b, &call, &c.units[i]);
            c.units[i].place *= known;
        }
        read[known] = finish(b, &call); /* 0 is no place */
        for (size_t i = 0; i < MOST; i++)
            assert_true(call.ends[i].applied);
        bench_count(b, "leases", 0);
        claim_release(&c);
    }
    if (read[1] >= read[0])
        fail_msg("%lld rows of leases were read, %lld where no place was known", (long long)read[1],
                 (long long)read[0]);
}

/* Parts of several leases, each behind the other. */
static void t04_of_several_leases(void **state)
{
    struct store_bench *b = *state;
    struct call first = {.n = 0}, rest = {.n = 0};
    struct claim c[3];
    for (size_t k = 0; k < COUNT_OF(c); k++) {
        put(b, 2);
        c[k] = bench_claim(b, 2);
        end(b, &first, &c[k].units[1]);
        end(b, &rest, &c[k].units[0]);
    }
    finish(b, &first);
    bench_count(b, "leases WHERE remaining = 1 AND cardinality(tasks) = 2", 3);
    finish(b, &first); /* as if the answer had been lost */
    bench_count(b, "leases WHERE remaining = 1", 3);
    finish(b, &rest);
    for (size_t k = 0; k < COUNT_OF(c); k++) {
        assert_true(first.ends[k].applied && rest.ends[k].applied);
        claim_release(&c[k]);
    }
    bench_count(b, "leases", 0);
    bench_count(b, "tasks WHERE state = 'succeeded'", 6);
}

/* One was given back: the others stand elsewhere than they stood. */
static void t05_a_lease_that_was_shortened(void **state)
{
    struct store_bench *b = *state;
    struct call call = {.n = 0};
    put(b, 3);
    struct claim c = bench_claim(b, 3);
    give_back(b, &c.units[0]);
    end(b, &call, &c.units[1]);
    end(b, &call, &c.units[2]);
    finish(b, &call);
    assert_true(call.ends[0].applied && call.ends[1].applied);
    bench_count(b, "leases", 0);
    bench_count(b, "work", 1);
    claim_release(&c);
}

/* And is ours again, under the next lease, whose list begins where the place points to. */
static void t06_behind_its_lease_stands_the_next(void **state)
{
    struct store_bench *b = *state;
    struct call call = {.n = 0}, again = {.n = 0};
    put(b, 3);
    struct claim old = bench_claim(b, 2);
    assert_int_equal(old.count, 2);
    give_back(b, &old.units[1]);
    struct claim next = bench_claim(b, 2);
    assert_int_equal(next.count, 2);
    assert_true(uuid_eq(next.units[0].task, old.units[1].task));
    end(b, &call, &old.units[0]);
    end(b, &call, &old.units[1]);
    end(b, &call, &next.units[1]);
    finish(b, &call);
    assert_true(call.ends[0].applied);
    assert_false(call.ends[1].applied);
    assert_true(call.ends[2].applied);
    bench_count(b, "tasks WHERE state = 'succeeded'", 2);
    end(b, &again, &next.units[0]);
    finish(b, &again);
    assert_true(again.ends[0].applied);
    bench_count(b, "leases", 0);
    claim_release(&old);
    claim_release(&next);
}

/* A place is no proof of whose the lease is. */
static void t07_another_lease(void **state)
{
    struct store_bench *b = *state;
    struct call call = {.n = 0};
    put(b, 2);
    struct claim c = bench_claim(b, 2);
    c.units[1].lease = uuid_v7(); /* later than the one there is */
    for (size_t i = 0; i < 2; i++)
        end(b, &call, &c.units[i]);
    finish(b, &call);
    assert_true(call.ends[0].applied);
    assert_false(call.ends[1].applied);
    bench_count(b, "tasks WHERE finished_at IS NULL", 1);
    bench_count(b, "leases WHERE remaining = 1", 1);
    claim_release(&c);
}

/* Nor does one that points in front of its lease say anything of the lease there. */
static void t09_in_front_of_its_lease(void **state)
{
    struct store_bench *b = *state;
    struct call call = {.n = 0};
    put(b, 2);
    struct claim first = bench_claim(b, 2);
    put(b, 2);
    struct claim second = bench_claim(b, 2);
    struct unit strange = first.units[1]; /* the last that the first lease lists */
    strange.lease = second.lease;
    strange.place = 0;
    end(b, &call, &first.units[0]);
    end(b, &call, &strange);
    finish(b, &call);
    assert_true(call.ends[0].applied);
    assert_false(call.ends[1].applied);
    bench_count(b, "leases WHERE remaining = 2", 1);
    bench_count(b, "leases WHERE remaining = 1", 1);
    claim_release(&first);
    claim_release(&second);
}

/* Nobody sends them so; but what is found by a binary search must not be another's end. */
static void t08_not_in_order(void **state)
{
    struct store_bench *b = *state;
    struct call call = {.n = 0};
    put(b, 4);
    struct claim c = bench_claim(b, 4);
    for (size_t i = 0; i < 4; i++)
        end(b, &call, &c.units[i]);
    assert_int_equal(finish_sort(call.list, 4, call.sorted), 4);
    for (size_t i = 0; i < 4; i++)
        call.list[i] = call.sorted[3 - i];
    for (size_t i = 0; i < 4; i++) {
        call.sorted[i] = call.list[i];
        call.sorted[i]->items_done = (int64_t)i + 1; /* which is whose */
    }
    run(b, &call);
    for (size_t i = 0; i < 4; i++) {
        struct task t = bench_get(b, call.sorted[i]->unit->task);
        if (state_final(t.state))
            assert_int_equal(t.items_done, i + 1);
    }
    claim_release(&c);
}

/* The end of a task finds room beside its beginning (sql/029_room.sql), or it would be in every index once more. */
static void t10_ends_touch_no_index(void **state)
{
    enum { MANY = 500 };
    static const struct stmt elsewhere_stmt = {
        "test_elsewhere",
        "SELECT n_tup_upd, n_tup_upd - n_tup_hot_upd FROM pg_stat_xact_user_tables WHERE relname = 'tasks'"};
    static struct new_task list[MANY];
    static struct finish ends[MANY], *at[MANY], *sorted[MANY];
    struct store_bench *b = *state;
    struct params p CLEANUP(params_release_at) = PARAMS_INIT;
    struct err e = ERR_INIT;
    for (int i = 0; i < MANY; i++)
        list[i] = bench_task(1, 1);
    bench_put_ok(b, list, MANY);
    struct claim c = bench_claim(b, MANY);
    assert_int_equal(c.count, MANY);
    for (int i = 0; i < MANY; i++) {
        ends[i] = bench_end(b, &c.units[i], TASK_succeeded, 0);
        at[i] = &ends[i];
    }
    assert_int_equal(finish_sort(at, MANY, sorted), MANY);
    finish_many_params(&p, sorted, MANY, 0);
    struct step steps[] = {{.stmt = &finish_many_stmt, .params = &p},
                           {.stmt = &elsewhere_stmt, .sync = true}};
    assert_true(db_run(&b->worker->db, steps, COUNT_OF(steps), clock_after_ms(20000), &e));
    assert_int_equal(steps[1].err.code, ERR_NONE);
    struct row row = row_at(steps[1].result, 0);
    assert_int_equal(row_int(&row), MANY);
    assert_int_equal(row_int(&row), 0);
    db_steps_clear(steps, COUNT_OF(steps));
    claim_release(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        STORE_TEST(t01_places),
        STORE_TEST(t02_a_unit_that_is_alone_has_one),
        STORE_TEST(t03_fewer_reads),
        STORE_TEST(t04_of_several_leases),
        STORE_TEST(t05_a_lease_that_was_shortened),
        STORE_TEST(t06_behind_its_lease_stands_the_next),
        STORE_TEST(t07_another_lease),
        STORE_TEST(t08_not_in_order),
        STORE_TEST(t09_in_front_of_its_lease),
        STORE_TEST(t10_ends_touch_no_index),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
