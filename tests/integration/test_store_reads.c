/* The store on a PostgreSQL of its own: streams of results, and lists. */
#include "../lib/test.h"

#include <string.h>

#include "core/limits.h"
#include "store_bench.h"

static struct uuid uuid_of(const struct new_task *t)
{
    return t->id;
}

/* ---- results ---- */

/* Reads everything by pieces of `piece` bytes. */
static struct buf read_results(struct store_bench *b, struct uuid id, int64_t from, int64_t limit,
                               size_t piece)
{
    struct buf all = BUF_INIT(64 * MIB);
    struct store_results r = {.id = id, .next = from, .limit = limit};
    struct err e = ERR_INIT;
    for (bool end = false; !end;) {
        struct buf out = BUF_INIT(piece);
        if (!store_results_more(b->store, &r, &out, &end, &e))
            fail_msg("%s", e.text);
        assert_false(out.failed);
        buf_span(&all, buf_view(&out));
        assert_true(out.len > 0 || end);
        buf_release(&out);
    }
    return all;
}

static void assert_lines(struct buf *got, int64_t from, int64_t to)
{
    struct span rest = buf_view(got);
    for (int64_t i = from; i < to; i++) {
        char expected[96];
        snprintf(expected, sizeof expected, "{\"index\":%lld,\"state\":\"succeeded\",\"result\":%lld}",
                 (long long)i, (long long)i * 10);
        struct span line = span_cut(&rest, '\n');
        if (!span_is(line, expected))
            fail_msg("line %lld of %lld..%lld is " SPAN_FMT, (long long)i, (long long)from, (long long)to,
                     SPAN_ARG(line));
    }
    assert_int_equal(rest.len, 0);
    buf_release(got);
}

static void t40_results_in_order(void **state)
{
    struct store_bench *b = *state;
    struct new_task n = bench_task(20000, 9000); /* about 480 KiB a unit: several parts */
    bench_put_ok(b, &n, 1);
    struct claim c = bench_claim(b, 3);
    struct finish f[] = {bench_end(b, &c.units[0], TASK_succeeded, 0),
                         bench_end(b, &c.units[2], TASK_succeeded, 0),
                         bench_end(b, &c.units[1], TASK_succeeded, 0)};
    struct buf got = read_results(b, n.id, 0, 1000000, 100000);
    assert_lines(&got, 0, 0);
    bench_finish(b, &f[0], 2);
    assert_true(bench_number(b, "SELECT max(part) FROM results") > 1);
    got = read_results(b, n.id, 0, 1000000, 100000);
    assert_lines(&got, 0, 9000); /* unit 1 is not there: a gap */
    bench_finish(b, &f[2], 1);
    static const size_t pieces[] = {33, 5000, 131072, 4 * MIB};
    for (size_t i = 1; i < COUNT_OF(pieces); i++) {
        got = read_results(b, n.id, 0, 1000000, pieces[i]);
        assert_lines(&got, 0, 20000);
    }
    got = read_results(b, n.id, 8990, 20, pieces[0]);
    assert_lines(&got, 8990, 9010);
    got = read_results(b, n.id, 17999, 1, 131072);
    assert_lines(&got, 17999, 18000);
    got = read_results(b, n.id, 19999, 100, 131072);
    assert_lines(&got, 19999, 20000);
    got = read_results(b, n.id, 20000, 100, 131072);
    assert_lines(&got, 20000, 20000);
    claim_release(&c);
}

/* What was cancelled leaves gaps that nobody waits for. */
static void t41_results_with_gaps(void **state)
{
    struct store_bench *b = *state;
    struct new_task n = bench_task(30, 10);
    bench_put_ok(b, &n, 1);
    struct claim c = bench_claim(b, 1);
    struct finish f = bench_end(b, c.units, TASK_cancelled, 0);
    f.results = SPAN("{\"index\":3,\"state\":\"succeeded\",\"result\":30}\n");
    bench_cancel(b, n.id);
    bench_finish(b, &f, 1);
    STATE_IS(b, n.id, "cancelled");
    struct buf got = read_results(b, n.id, 0, 100, 1000);
    assert_lines(&got, 3, 4);
    got = read_results(b, n.id, 4, 100, 1000);
    assert_lines(&got, 4, 4);
    claim_release(&c);
}

/* A line may be longer than a piece. */
static void t42_a_long_line(void **state)
{
    struct store_bench *b = *state;
    struct new_task n = bench_task(3, 3);
    bench_put_ok(b, &n, 1);
    struct claim c = bench_claim(b, 1);
    struct buf lines CLEANUP(buf_release) = BUF_INIT(8 * MIB);
    for (int i = 0; i < 3; i++) {
        buf_printf(&lines, "{\"index\":%d,\"result\":\"", i);
        for (int k = 0; k < 300000; k++)
            buf_char(&lines, (char)('a' + (k * 7 + k / 1000) % 26));
        buf_puts(&lines, "\"}\n");
    }
    struct finish f = bench_end(b, c.units, TASK_succeeded, 0);
    f.results = buf_view(&lines);
    bench_finish(b, &f, 1);
    struct buf got = read_results(b, n.id, 0, 3, 65536);
    assert_true(span_eq(buf_view(&got), buf_view(&lines)));
    buf_release(&got);
    got = read_results(b, n.id, 1, 1, 65536);
    assert_int_equal(got.len, lines.len / 3);
    assert_memory_equal(got.ptr, lines.ptr + lines.len / 3, got.len);
    buf_release(&got);
    claim_release(&c);
}

/* ---- lists ---- */

static void t50_list(void **state)
{
    struct store_bench *b = *state;
    struct new_task n[10];
    for (size_t i = 0; i < COUNT_OF(n); i++) {
        n[i] = bench_task(1, 1);
        if (i % 2)
            n[i].handler = SPAN("odd");
    }
    bench_put_ok(b, n, COUNT_OF(n));
    struct task *list;
    size_t count;
    struct uuid next;
    struct err e = ERR_INIT;
    struct task_filter f = {.limit = 4};
    for (int page = 0; page < 3; page++) {
        assert_true(store_list(b->store, &b->arena, &f, &list, &count, &next, &e));
        assert_int_equal(count, page < 2 ? 4 : 2);
        for (size_t i = 0; i < count; i++)
            assert_true(uuid_eq(list[i].id, n[9 - page * 4 - (int)i].id));
        f.before = list[count - 1].id;
    }
    f = (struct task_filter){.limit = 100, .handler = SPAN("odd")};
    assert_true(store_list(b->store, &b->arena, &f, &list, &count, &next, &e));
    assert_int_equal(count, 5);

    struct claim c = bench_claim(b, 3);
    f = (struct task_filter){.limit = 100, .by_state = true, .state = TASK_running};
    assert_true(store_list(b->store, &b->arena, &f, &list, &count, &next, &e));
    assert_int_equal(count, 3);
    assert_true(uuid_eq(list[2].id, n[0].id));
    f.state = TASK_queued;
    assert_true(store_list(b->store, &b->arena, &f, &list, &count, &next, &e));
    assert_int_equal(count, 7);
    f = (struct task_filter){.limit = 100, .since_us = uuid_wall_ms(n[0].id) * 1000 + 3600000000};
    assert_true(store_list(b->store, &b->arena, &f, &list, &count, &next, &e));
    assert_int_equal(count, 0);
    f = (struct task_filter){.limit = 100, .until_us = uuid_wall_ms(n[0].id) * 1000 + 3600000000};
    assert_true(store_list(b->store, &b->arena, &f, &list, &count, &next, &e));
    assert_int_equal(count, 10);
    claim_release(&c);
}

/* A filter that fits few of very many tasks: each call is bounded, and going on finds all. */
static void t50b_list_is_bounded(void **state)
{
    struct store_bench *b = *state;
    struct new_task oldest = bench_task(1, 1);
    struct task *list;
    size_t count;
    struct uuid next;
    struct err e = ERR_INIT;
    oldest.handler = SPAN("odd");
    bench_put_ok(b, &oldest, 1);
    bench_sql(
        b,
        "ALTER TABLE tasks DISABLE TRIGGER USER; INSERT INTO tasks SELECT (jsonb_populate_record(t, jsonb_build_object("
        "'id', 'ffffffff-0000-7000-8000-' || lpad(i::text, 12, '0'), 'handler', 'echo'))).* "
        "FROM tasks t, generate_series(1, 25000) i; ALTER TABLE tasks ENABLE TRIGGER USER");
    struct task_filter f = {.limit = 10, .handler = SPAN("odd")};
    assert_true(store_list(b->store, &b->arena, &f, &list, &count, &next, &e));
    assert_int_equal(count, 0);
    assert_false(uuid_is_nil(next));
    f.before = next;
    assert_true(store_list(b->store, &b->arena, &f, &list, &count, &next, &e));
    assert_true(count == 1 && uuid_eq(list[0].id, oldest.id));
    assert_true(uuid_is_nil(next));

    f = (struct task_filter){.limit = 10}; /* without a filter there is no such bound */
    assert_true(store_list(b->store, &b->arena, &f, &list, &count, &next, &e));
    assert_true(count == 10 && uuid_is_nil(next));
}

static void t50c_list_of_children(void **state)
{
    struct store_bench *b = *state;
    struct new_task n[] = {bench_task(1, 1), bench_task(1, 1), bench_task(1, 1)};
    struct task *list;
    size_t count;
    struct uuid next;
    struct err e = ERR_INIT;
    n[0].container = true;
    n[1].parent = n[2].parent = n[0].id;
    n[2].handler = SPAN("odd");
    bench_put_ok(b, n, 3);
    struct task_filter f = {.limit = 10, .parent = n[0].id};
    assert_true(store_list(b->store, &b->arena, &f, &list, &count, &next, &e));
    assert_true(count == 2 && uuid_eq(list[0].id, n[2].id) && uuid_eq(list[1].id, n[1].id));
    f.handler = SPAN("odd");
    assert_true(store_list(b->store, &b->arena, &f, &list, &count, &next, &e));
    assert_true(count == 1 && uuid_eq(list[0].id, n[2].id));
}

static void t51_get_many(void **state)
{
    struct store_bench *b = *state;
    struct new_task n[] = {bench_task(1, 1), bench_task(1, 1)};
    bench_put_ok(b, n, 2);
    bench_cancel(b, n[1].id);
    struct uuid ids[] = {uuid_of(&n[0]), uuid_of(&n[1]), uuid_v7()};
    struct task *list;
    size_t count;
    struct err e = ERR_INIT;
    assert_true(store_get_many(b->store, &b->arena, ids, 3, false, &list, &count, &e));
    assert_int_equal(count, 2);
    assert_true(store_get_many(b->store, &b->arena, ids, 3, true, &list, &count, &e));
    assert_int_equal(count, 1);
    assert_true(uuid_eq(list[0].id, n[1].id));
    assert_true(store_get_many(b->store, &b->arena, ids, 0, true, &list, &count, &e));
    assert_int_equal(count, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        STORE_TEST(t40_results_in_order), STORE_TEST(t41_results_with_gaps),
        STORE_TEST(t42_a_long_line),      STORE_TEST(t50_list),
        STORE_TEST(t50b_list_is_bounded), STORE_TEST(t50c_list_of_children),
        STORE_TEST(t51_get_many),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
