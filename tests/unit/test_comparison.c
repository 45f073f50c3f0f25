/* The table of a compare task. */
#include <string.h>

#include "api/comparison.h"
#include "core/attr.h"
#include "core/limits.h"
#include "../lib/test.h"

static struct task child(const char *strategy, enum task_state s, int64_t wall_us, int64_t failed)
{
    return (struct task){.id = uuid_v7(),
                         .strategy = span_of(strategy),
                         .state = s,
                         .items_total = 100,
                         .items_done = 100,
                         .items_failed = failed,
                         .measured = {.wall_us = wall_us, .cpu_us = 1000, .predicted_us = wall_us / 2}};
}

static void t01_winner_and_speedup(void **state)
{
    (void)state;
    struct arena a CLEANUP(arena_release) = ARENA_INIT;
    struct task c[] = {child("sequential", TASK_succeeded, 8000000, 0),
                       child("hybrid", TASK_succeeded, 2000000, 0),
                       child("threading", TASK_succeeded, 1000000, 3), child("auto", TASK_failed, 100, 0),
                       child("background", TASK_queued, 0, 0)};
    struct comparison t = comparison_of(&a, c, COUNT_OF(c));
    assert_int_equal(t.count, 5);
    assert_int_equal(t.done, 4);
    assert_ptr_equal(t.winner, &t.rows[1]); /* not the faster one that failed items */
    assert_true(t.rows[1].speedup > 3.99 && t.rows[1].speedup < 4.01);
    assert_true(t.rows[1].items_per_s > 49.9 && t.rows[1].items_per_s < 50.1);
    assert_true(t.rows[1].predicted_error > 0.49 && t.rows[1].predicted_error < 0.51);
    assert_false(t.rows[3].ended);
    assert_false(t.rows[4].ended);
}

static void t02_no_baseline_no_speedup(void **state)
{
    (void)state;
    struct arena a CLEANUP(arena_release) = ARENA_INIT;
    struct task c[] = {child("hybrid", TASK_succeeded, 2000000, 0)};
    struct comparison t = comparison_of(&a, c, 1);
    assert_true(t.rows[0].speedup == 0);
    assert_ptr_equal(t.winner, &t.rows[0]);
    assert_null(comparison_of(&a, NULL, 0).winner);
}

static void t03_document(void **state)
{
    (void)state;
    struct arena a CLEANUP(arena_release) = ARENA_INIT;
    struct buf b CLEANUP(buf_release) = BUF_INIT(64 * KIB);
    struct json_out o = json_out(&b);
    struct task c[] = {child("sequential", TASK_succeeded, 8000000, 0), child("hybrid", TASK_queued, 0, 0)};
    struct comparison t = comparison_of(&a, c, 2);
    comparison_write(&t, &o);
    const struct json *doc;
    assert_true(json_read(&a, buf_view(&b), &doc, NULL));
    assert_true(span_is(json_as_text(json_member(doc, "winner")), "sequential"));
    const struct json *rows = json_member(doc, "strategies"), *first = json_at(rows, 0),
                      *second = json_at(rows, 1);
    assert_int_equal(json_len(rows), 2);
    assert_true(json_as_num(json_member(first, "duration_ms")) == 8000);
    assert_true(json_as_num(json_member(first, "speedup")) == 1);
    assert_true(json_as_num(json_member(first, "prediction_error_pct")) == 50);
    assert_int_equal(json_type(json_member(second, "duration_ms")), JSON_NULL);
    assert_int_equal(json_type(json_member(second, "speedup")), JSON_NULL);
    assert_true(span_is(json_as_text(json_member(second, "state")), "queued"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(t01_winner_and_speedup),
        cmocka_unit_test(t02_no_baseline_no_speedup),
        cmocka_unit_test(t03_document),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
