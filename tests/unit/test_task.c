/* The task document: whole, empty and in between. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "core/arena.h"
#include "model/task.h"

#define ID "019a0000-0000-7000-8000-000000000001"
#define PARENT "019a0000-0000-7000-8000-0000000000ff"

static const struct json *written(struct arena *a, const struct task *t)
{
    struct buf b CLEANUP(buf_release) = BUF_INIT(65536);
    struct json_out o = json_out(&b);
    const struct json *v;
    struct err e = ERR_INIT;

    task_write(t, &o);
    assert_false(b.failed);
    if (!json_read(a, buf_view(&b), &v, &e))
        fail_msg("%s in " SPAN_FMT, e.text, SPAN_ARG(buf_view(&b)));
    return v;
}

/* The value at a path like "items.total" as compact text, "-" when there is none. */
static const char *at(struct arena *a, const struct json *v, const char *path)
{
    struct span rest = span_of(path);
    struct buf b CLEANUP(buf_release) = BUF_INIT(65536);

    while (rest.len > 0) {
        v = json_member(v, arena_text(a, span_cut(&rest, '.')));
        if (!v)
            return "-";
    }
    json_emit(&b, v);
    return arena_text(a, buf_view(&b));
}

static struct task whole(void)
{
    struct task t = {
        .state = TASK_failed,
        .handler = SPAN("simulate"),
        .strategy = SPAN("background"),
        .inner = SPAN("hybrid"),
        .queue = SPAN("default"),
        .params = SPAN("{\"ms\":5}"),
        .tags = SPAN("[\"a\"]"),
        .meta = SPAN("{\"k\":1}"),
        .shape = {0, 2, 500, 1},
        .priority = 5,
        .attempt = 2,
        .items_total = 1000,
        .items_done = 750,
        .items_failed = 3,
        .batch_size = 100,
        .workers = 4,
        .units_total = 10,
        .units_done = 7,
        .item_timeout_ms = 50,
        .fail_fast = true,
        .progress = 0.75,
        .created_us = 1763694845123456,
        .started_us = 1763694846000000,
        .finished_us = 1763694847000000,
        .measured = {.wall_us = 1500250,
                     .cpu_us = 1,
                     .wait_us = 2000,
                     .peak_rss_kib = 64,
                     .cached = 3,
                     .predicted_us = 1400000},
        .results = SPAN("{\"i\":0}\n\n{\"i\":1}\n"),
        .err = {.code = ERR_ITEMS_FAILED, .text = "3 of 750 \"items\" failed"},
    };

    assert_true(uuid_parse(SPAN(ID), &t.id));
    assert_true(uuid_parse(SPAN(PARENT), &t.parent));
    return t;
}

static void test_whole(void **unused)
{
    static const char *const want[][2] = {
        {"id", "\"" ID "\""},
        {"parent", "\"" PARENT "\""},
        {"state", "\"failed\""},
        {"cancelling", "false"},
        {"handler", "\"simulate\""},
        {"strategy", "\"background\""},
        {"inner", "\"hybrid\""},
        {"shape", "{\"processes\":0,\"threads\":2,\"width\":500,\"grain\":1}"},
        {"queue", "\"default\""},
        {"priority", "5"},
        {"attempt", "2"},
        {"params", "{\"ms\":5}"},
        {"batch_size", "100"},
        {"workers", "4"},
        {"item_timeout_ms", "50"},
        {"timeout_ms", "0"},
        {"on_item_error", "\"fail\""},
        {"items", "{\"total\":1000,\"done\":750,\"failed\":3}"},
        {"units", "{\"total\":10,\"done\":7}"},
        {"progress", "0.75"},
        {"created_at", "\"2025-11-21T03:14:05.123456Z\""},
        {"measured.wall_ms", "1500.25"},
        {"measured.cpu_ms", "0.001"},
        {"measured.peak_rss_kib", "64"},
        {"measured.cached", "3"},
        {"results", "[{\"i\":0},{\"i\":1}]"},
        {"error.type", "\"/problems/items-failed\""},
        {"error.detail", "\"3 of 750 \\\"items\\\" failed\""},
        {"error.retryable", "true"},
        {"tags", "[\"a\"]"},
        {"meta", "{\"k\":1}"},
        {"links.self", "\"/api/v1/tasks/" ID "\""},
        {"links.results", "\"/api/v1/tasks/" ID "/results\""},
        {"links.log", "\"/api/v1/tasks/" ID "/log\""},
        {"links.cancel", "\"/api/v1/tasks/" ID "\""},
    };
    struct arena a CLEANUP(arena_release) = ARENA_INIT;
    const struct task t = whole();
    const struct json *v = written(&a, &t);

    (void)unused;
    for (size_t i = 0; i < COUNT_OF(want); i++)
        if (strcmp(at(&a, v, want[i][0]), want[i][1]) != 0)
            fail_msg("%s is %s, not %s", want[i][0], at(&a, v, want[i][0]), want[i][1]);
    assert_true(json_as_num(json_member(json_member(v, "measured"), "wait_ms")) == 2.0);
    assert_true(json_as_num(json_member(json_member(v, "measured"), "predicted_ms")) == 1400.0);

    double per_s = json_as_num(json_member(json_member(v, "measured"), "items_per_s"));

    assert_true(per_s > 499.9 && per_s < 500);
}

/* What is not known is null and not zero or "". */
static void test_fresh(void **unused)
{
    static const char *const want[][2] = {
        {"parent", "null"},     {"inner", "-"},          {"shape", "null"},
        {"started_at", "null"}, {"finished_at", "null"}, {"measured", "null"},
        {"results", "[]"},      {"error", "null"},       {"tags", "-"},
        {"meta", "-"},          {"state", "\"queued\""}, {"on_item_error", "\"continue\""},
    };
    struct arena a CLEANUP(arena_release) = ARENA_INIT;
    struct task t = {.state = TASK_queued, .params = SPAN("{}"), .created_us = 1};
    const struct json *v;

    (void)unused;
    assert_true(uuid_parse(SPAN(ID), &t.id));
    v = written(&a, &t);
    for (size_t i = 0; i < COUNT_OF(want); i++)
        assert_string_equal(at(&a, v, want[i][0]), want[i][1]);
}

static void test_no_prediction(void **unused)
{
    struct arena a CLEANUP(arena_release) = ARENA_INIT;
    struct task t = whole();

    (void)unused;
    t.measured.predicted_us = 0;
    assert_string_equal(at(&a, written(&a, &t), "measured.predicted_ms"), "null");
    t.results = SPAN("7");
    assert_string_equal(at(&a, written(&a, &t), "results"), "[7]");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_whole),
        cmocka_unit_test(test_fresh),
        cmocka_unit_test(test_no_prediction),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
