/* The store on a PostgreSQL of its own: the end of a task with a callback makes one delivery, in the same commit. */
#include "../lib/test.h"

#include "store_bench.h"

#define DELIVERIES "SELECT count(*) FROM tasks WHERE handler = 'webhook'"

static struct new_task calling(struct store_bench *b, int64_t items, int64_t unit_size)
{
    struct new_task t = bench_task(items, unit_size);
    t.terms = SPAN(
        "{\"callback\":{\"url\":\"http://example.com/a?b=\\\"c\\\"\",\"retries\":3,\"backoff\":{\"base_ms\":7}}}");
    (void)b;
    return t;
}

static void finish_one(struct store_bench *b)
{
    struct claim c = bench_claim(b, 1);
    assert_int_equal(c.count, 1);
    struct finish f = bench_end(b, c.units, TASK_succeeded, 0);
    bench_finish(b, &f, 1);
    assert_true(f.applied);
    claim_release(&c);
}

static void t01_the_last_unit_makes_it(void **state)
{
    struct store_bench *b = *state;
    struct new_task n = calling(b, 4, 2);
    bench_put_ok(b, &n, 1);
    finish_one(b);
    assert_int_equal(bench_number(b, DELIVERIES), 0);
    finish_one(b);
    assert_int_equal(bench_number(b, DELIVERIES), 1);
}

static void t02_what_it_carries(void **state)
{
    struct store_bench *b = *state;
    struct new_task n = calling(b, 1, 1), other = bench_task(1, 1);
    bench_put_ok(b, &n, 1);
    finish_one(b);
    bench_put_ok(b, &other, 1);
    struct claim c = bench_claim(b, 1);
    const struct unit *u = c.units; /* before what came after its task */
    assert_int_equal(c.count, 1);
    assert_true(span_is(u->handler, "webhook") && span_is(u->strategy, "sequential") && u->count == 1);
    assert_true(uuid_wall_ms(u->task) >= uuid_wall_ms(n.id));
    struct arena a = ARENA_INIT;
    const struct json *input, *event, *terms;
    struct err e = ERR_INIT;
    struct span line = u->inputs;
    assert_true(json_read(&a, span_cut(&line, '\n'), &input, &e));
    assert_int_equal(line.len, 0);
    struct uuid id;
    assert_true(uuid_parse(json_as_text(json_member(input, "id")), &id) && uuid_eq(id, u->task));
    assert_true(span_is(json_as_text(json_member(input, "url")), "http://example.com/a?b=\"c\""));
    event = json_member(input, "event");
    assert_true(span_is(json_as_text(json_member(event, "type")), "task.succeeded"));
    assert_true(uuid_parse(json_as_text(json_member(json_member(event, "data"), "id")), &id) &&
                uuid_eq(id, n.id));
    assert_true(json_read(&a, u->terms, &terms, &e));
    assert_int_equal(json_as_int(json_member(terms, "retries")), 3);
    assert_int_equal(json_as_int(json_member(json_member(terms, "backoff"), "base_ms")), 7);
    arena_release(&a);
    claim_release(&c);
}

static void t03_told_once_however_often_it_is_finished(void **state)
{
    struct store_bench *b = *state;
    struct new_task n = calling(b, 1, 1);
    bench_put_ok(b, &n, 1);
    struct claim c = bench_claim(b, 1);
    struct finish f = bench_end(b, c.units, TASK_succeeded, 0);
    bench_finish(b, &f, 1);
    f = bench_end(b, c.units, TASK_succeeded, 0);
    bench_finish(b, &f, 1); /* as after an answer that was lost */
    bench_cancel(b, n.id);
    assert_int_equal(bench_number(b, DELIVERIES), 1);
    claim_release(&c);
}

static void t04_every_way_to_end(void **state)
{
    struct store_bench *b = *state;
    struct new_task list[3] = {calling(b, 1, 1), calling(b, 1, 1), calling(b, 1, 1)};
    bench_put_ok(b, list, 3);
    bench_cancel(b, list[0].id);
    assert_int_equal(bench_number(b, DELIVERIES), 1);
    bench_sql(b, "UPDATE work SET attempt = 100 WHERE task IN (SELECT id FROM tasks WHERE handler = 'echo')");
    struct claim c = bench_claim(b, 3);
    bench_expire(b);
    bench_reap(b); /* lost once too often */
    assert_int_equal(bench_number(b, DELIVERIES), 3);
    assert_int_equal(
        bench_number(
            b,
            "SELECT count(*) FROM inputs WHERE convert_from(bytes, 'UTF8') LIKE '%worker-lost%task.failed%'"),
        2);
    claim_release(&c);
}

static void t05_a_delivery_tells_nobody(void **state)
{
    struct store_bench *b = *state;
    struct new_task n = calling(b, 1, 1);
    bench_put_ok(b, &n, 1);
    finish_one(b);
    finish_one(b);
    assert_int_equal(bench_number(b, DELIVERIES), 1);
    bench_count(b, "work", 0);
}

static void t06_an_end_that_comes_again_is_told_again(void **state)
{
    struct store_bench *b = *state;
    struct new_task n = calling(b, 1, 1);
    bench_put_ok(b, &n, 1);
    bench_cancel(b, n.id);
    assert_int_equal(bench_number(b, DELIVERIES), 1);
    finish_one(b); /* the delivery */
    assert_int_equal(
        bench_number(
            b, "SELECT count(*) FROM lathe_retry(ARRAY(SELECT id FROM tasks WHERE handler = 'echo'), false) "
               "WHERE refusal IS NULL"),
        1);
    finish_one(b);
    STATE_IS(b, n.id, "succeeded");
    assert_int_equal(bench_number(b, DELIVERIES), 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        STORE_TEST(t01_the_last_unit_makes_it),
        STORE_TEST(t02_what_it_carries),
        STORE_TEST(t03_told_once_however_often_it_is_finished),
        STORE_TEST(t04_every_way_to_end),
        STORE_TEST(t05_a_delivery_tells_nobody),
        STORE_TEST(t06_an_end_that_comes_again_is_told_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
