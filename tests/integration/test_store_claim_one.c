/* The claim for one unit (sql/021_claim_one.sql): it brings what the large one brings, and leaves to it what it does not do. */
#include "../lib/test.h"

#include "core/clock.h"
#include "store/inside.h"
#include "store_bench.h"

static void assert_same_unit(const struct unit *a, const struct unit *b)
{
    assert_true(uuid_eq(a->task, b->task));
    assert_true(a->seq == b->seq && a->first == b->first && a->count == b->count);
    assert_true(a->attempt == b->attempt && a->tries == b->tries);
    assert_true(span_eq(a->handler, b->handler) && span_eq(a->strategy, b->strategy) &&
                span_eq(a->inner, b->inner));
    assert_true(span_eq(a->queue, b->queue) && span_eq(a->params, b->params) && span_eq(a->terms, b->terms));
    assert_true(a->digest == b->digest && a->has_shape == b->has_shape);
    assert_memory_equal(&a->shape, &b->shape, sizeof a->shape);
    assert_true(a->batch_size == b->batch_size && a->workers == b->workers);
    assert_true(a->item_timeout_ms == b->item_timeout_ms && a->timeout_ms == b->timeout_ms);
    assert_true(a->fail_fast == b->fail_fast && a->single == b->single && a->alone == b->alone);
    assert_true(span_eq(a->inputs, b->inputs));
}

/* What one_after remembers of earlier claims is forgotten. */
static struct claim claim(struct store_bench *b, bool quiet, int want)
{
    b->worker->quiet = quiet;
    b->worker->one_after = 0;
    return bench_claim(b, want);
}

static void give_back(struct store_bench *b, const struct claim *c, bool count)
{
    const struct unit *u = c->units;
    struct ended ended;
    struct err e = ERR_INIT;
    assert_int_equal(c->count, 1);
    assert_true(store_release(b->worker, &b->arena, &u, 1, count, &ended, &e));
}

/* The next unit, by both; it stays with the worker. `inputs`: what it has. */
static void claim_both_ways(struct store_bench *b, struct span inputs)
{
    struct claim one = claim(b, true, 2);
    assert_int_equal(one.count, 1);
    assert_true(b->worker->quiet && !b->worker->more && b->worker->one_after == 0);
    give_back(b, &one, false);
    struct claim large = claim(b, false, 1);
    assert_int_equal(large.count, 1);
    assert_false(b->worker->quiet);
    assert_same_unit(one.units, large.units);
    assert_true(span_eq(one.units->inputs, inputs));
    assert_false(uuid_eq(one.lease, large.lease));
    claim_release(&one);
    claim_release(&large);
}

static void t01_plain(void **state)
{
    struct store_bench *b = *state;
    struct new_task n = bench_task(7, 7);
    n.params = SPAN("{\"a\": 1}");
    n.digest = 0x8000000000000001;
    n.has_shape = true;
    n.shape = (struct shape){2, 3, 4, 5};
    n.item_timeout_ms = 1234;
    n.timeout_ms = 56789;
    n.fail_fast = true;
    n.priority = 3;
    n.batch_size = 3;
    n.workers = 5;
    bench_put_ok(b, &n, 1);
    claim_both_ways(b, SPAN(""));

    n = bench_task(1, 1);
    n.terms = SPAN("{\"retries\": 1}");
    bench_put_ok(b, &n, 1);
    claim_both_ways(b, SPAN(""));
}

/* A parent with four items in chunks of two, and a child that reads them in units of another size. */
static void put_family(struct store_bench *b, int64_t unit_size)
{
    struct new_task family[2] = {bench_task(4, 2), bench_task(4, unit_size)};
    struct span lines[] = {SPAN("1\n2\n"), SPAN("3\n4\n")};
    family[0].container = true;
    family[0].inputs = lines;
    family[1].parent = family[1].inputs_of = family[0].id;
    family[1].order = 1;
    bench_put_ok(b, family, 2);
}

/* The only unit of a child, which has all items of its parent. */
static void t01b_a_child(void **state)
{
    struct store_bench *b = *state;
    put_family(b, 4);
    claim_both_ways(b, SPAN("1\n2\n3\n4\n"));
}

static void t02_again(void **state)
{
    struct store_bench *b = *state;
    struct new_task n = bench_task(1, 1);
    bench_put_ok(b, &n, 1);
    struct claim c = claim(b, false, 1);
    give_back(b, &c, true);
    claim_release(&c);
    c = claim(b, true, 2);
    assert_int_equal(c.units[0].attempt, 2);
    give_back(b, &c, false);
    claim_release(&c);
    claim_both_ways(b, SPAN(""));
}

/* The second unit of a task, whose inputs came with it; likewise the items of another task, cut otherwise; and uploaded. */
static void t03_inputs(void **state)
{
    struct store_bench *b = *state;
    struct span chunks[] = {SPAN("\"a\"\n{\"b\": 1}\n"), SPAN("3\n")};
    struct new_task n = bench_task(3, 2);
    n.inputs = chunks;
    bench_put_ok(b, &n, 1);
    struct claim first = claim(b, false, 1);
    claim_both_ways(b, SPAN("3\n"));
    claim_release(&first);

    put_family(b, 3);
    first = claim(b, false, 1);
    assert_true(span_eq(first.units[0].inputs, SPAN("1\n2\n3\n")));
    claim_both_ways(b, SPAN("4\n"));
    claim_release(&first);

    struct store_upload *u;
    struct err e = ERR_INIT;
    struct put_verdict verdict = {.bad_need = 0};
    struct new_task up = bench_task(4, 2);
    up.uploaded = 8;
    up.uploaded_unit = 4;
    assert_true(store_upload_new(b->store, up.id, &u, &e));
    assert_true(store_upload_add(
        u, (struct input_chunk[]){{0, 2, SPAN("5\n6\n")}, {2, 1, SPAN("7\n")}, {3, 1, SPAN("8\n")}}, 3, &e));
    assert_true(store_upload_end(u, &(struct new_tasks){.list = &up, .count = 1, .verdicts = &verdict}, &e));
    store_upload_free(u);
    first = claim(b, false, 1);
    assert_true(span_eq(first.units[0].inputs, SPAN("5\n6\n")));
    claim_both_ways(b, SPAN("7\n8\n"));
    claim_release(&first);
}

/* Where there is more than one, or a queue that somebody has a word about, the large claim follows in the same call. */
static void t04_the_rest_is_left_to_the_other(void **state)
{
    struct store_bench *b = *state;
    struct new_task n[3] = {bench_task(1, 1), bench_task(1, 1), bench_task(1, 1)};
    bench_put_ok(b, n, 3);
    struct claim c = claim(b, true, 2);
    assert_int_equal(c.count, 2);
    claim_release(&c);
    assert_true(b->worker->one_after > clock_now()); /* and it is not tried again at once */

    bench_sql(b, "INSERT INTO queues (name, paused) VALUES ('default', true)");
    c = claim(b, true, 2);
    assert_int_equal(c.count, 0);
    bench_sql(b, "DELETE FROM queues");
    c = claim(b, true, 2);
    assert_int_equal(c.count, 1);
    claim_release(&c);
}

/* Who wants one takes one, and locks no other. */
static void t04b_one_is_wanted(void **state)
{
    struct store_bench *b = *state;
    struct new_task n[2] = {bench_task(1, 1), bench_task(1, 1)};
    bench_put_ok(b, n, 2);
    struct claim c = claim(b, true, 1);
    assert_int_equal(c.count, 1);
    assert_true(uuid_eq(c.units[0].task, n[0].id));
    assert_false(b->worker->quiet);
    assert_int_equal(b->worker->one_after, 0); /* it was by the small one */
    claim_release(&c);
}

/* Where claims from the beginning are dear it is the large one that makes them: it takes all, and they are seldom. */
static void t04c_not_where_claims_are_dear(void **state)
{
    struct store_bench *b = *state;
    struct new_task n[2] = {bench_task(1, 1), bench_task(1, 1)};
    bench_put_ok(b, n, 2);
    b->worker->from.whole_ns = 1;
    struct claim c = claim(b, true, 2);
    assert_int_equal(c.count, 2);
    assert_int_equal(b->worker->one_after, 0); /* it was not tried */
    claim_release(&c);
}

static void t05_nothing(void **state)
{
    struct store_bench *b = *state;
    struct claim c = claim(b, true, 4);
    assert_int_equal(c.count, 0);
    assert_true(b->worker->quiet);
    assert_int_equal(b->worker->one_after, 0);
    bench_count(b, "leases", 0);
}

#define ONE(names, every)                                                                        \
    "SELECT CASE WHEN u_task IS NULL THEN 0 ELSE 1 END + CASE WHEN more THEN 2 ELSE 0 END FROM " \
    "lathe_claim_one(gen_random_uuid(), gen_random_uuid(), 1000, " names ", " every ", 2)"

/* Of one queue, or of any; of several it says that there may be more. */
static void t06_queues(void **state)
{
    struct store_bench *b = *state;
    struct new_task n[2] = {bench_task(1, 1), bench_task(1, 1)};
    n[1].queue = SPAN("other");
    bench_put_ok(b, n, 2);
    assert_int_equal(bench_number(b, ONE("'{default,other}'", "false")), 2);
    assert_int_equal(bench_number(b, ONE("'{default}'", "true")), 2);
    assert_int_equal(bench_number(b, ONE("'{}'", "true")), 2);
    assert_int_equal(bench_number(b, ONE("'{third}'", "false")), 0);
    bench_count(b, "work", 2);
    assert_int_equal(bench_number(b, ONE("'{other}'", "false")), 1);
    assert_int_equal(bench_number(b, "SELECT count(*) FROM work WHERE queue = 'other'"), 0);
    assert_int_equal(bench_number(b, ONE("'{}'", "true")), 1);
    assert_int_equal(bench_number(b, ONE("'{}'", "true")), 0);
    bench_count(b, "leases", 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {STORE_TEST(t01_plain),
                                       STORE_TEST(t01b_a_child),
                                       STORE_TEST(t04b_one_is_wanted),
                                       STORE_TEST(t04c_not_where_claims_are_dear),
                                       STORE_TEST(t02_again),
                                       STORE_TEST(t03_inputs),
                                       STORE_TEST(t04_the_rest_is_left_to_the_other),
                                       STORE_TEST(t05_nothing),
                                       STORE_TEST(t06_queues)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
