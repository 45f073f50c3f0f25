/* worker/diary.h: what a run says, how much of it is kept, and the worker's own last line. */
#include "unit/unit.h"

#include "core/json.h"
#include "core/limits.h"
#include "worker/diary.h"

static struct unit unit;
static struct diary d;
static struct finish f;

static int set_up(void **state)
{
    (void)state;
    unit = (struct unit){.seq = 3, .tries = 1, .count = 1};
    d = (struct diary){.unit = &unit};
    f = (struct finish){.unit = &unit, .state = TASK_succeeded, .items_done = 1};
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    diary_release(&d);
    return 0;
}

/* The last line, less its time; every line is one JSON object. */
static struct span last_line(size_t *ret_n)
{
    struct span rest = f.log, last = {NULL, 0};
    struct err e;
    for (*ret_n = 0; rest.len > 0; (*ret_n)++) {
        last = span_cut(&rest, '\n');
        assert_true(json_check(last, &e));
    }
    assert_true(span_starts(last, "{\"at\":\""));
    span_take(&last, sizeof "{\"at\":\"2026-11-21T03:14:05.123456Z\"," - 1);
    return last;
}

static void t01_nothing_to_say(void **state)
{
    (void)state;
    diary_end(&d, 0, &f);
    assert_int_equal(f.log.len, 0);
}

static void t02_a_line(void **state)
{
    (void)state;
    size_t n;
    diary_add(&d, 7, SPAN("half\nway \"there\""));
    diary_end(&d, 0, &f);
    assert_span(last_line(&n), "\"unit\":3,\"try\":2,\"index\":7,\"text\":\"half\\nway \\\"there\\\"\"}");
    assert_int_equal(n, 1);
}

static void t03_bounded(void **state)
{
    (void)state;
    size_t n, many = 5000;
    char text[LIMIT_LOG_TEXT];
    memset(text, 1, sizeof text); /* six bytes each in JSON */
    for (size_t i = 0; i < many; i++)
        diary_add(&d, (int64_t)i, i % 2 ? SPAN("short") : (struct span){text, sizeof text});
    f.state = TASK_failed;
    err_set(&f.err, ERR_ITEM_FAILED, "%s", "no");
    diary_end(&d, 0, &f);
    assert_true(f.log.len > LIMIT_RUN_LOG / 2 && f.log.len < LIMIT_RUN_LOG + 8 * KIB);
    assert_span(last_line(&n), "\"unit\":3,\"try\":2,\"text\":\"failed: item-failed: no\"}");
    char dropped[64];
    snprintf(dropped, sizeof dropped, "\"%d more lines were dropped", (int)(many - (n - 2)));
    assert_non_null(memmem(f.log.ptr, f.log.len, dropped, strlen(dropped)));
}

static void t04_tries(void **state)
{
    (void)state;
    size_t n;
    f.state = TASK_failed;
    f.again = f.counts = true;
    f.again_ms = 4000;
    err_set(&f.err, ERR_ITEM_TIMEOUT, "late");
    diary_end(&d, 4, &f);
    assert_span(last_line(&n),
                "\"unit\":3,\"try\":2,\"text\":\"try 2 of 5 failed: item-timeout: late; next in 4.0 s\"}");
}

static void t05_put_off(void **state)
{
    (void)state;
    size_t n;
    f.state = TASK_failed;
    f.again = true;
    f.again_ms = 250;
    diary_end(&d, 4, &f);
    assert_span(last_line(&n), "\"unit\":3,\"try\":2,\"text\":\"put off for 0.2 s\"}");
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {TEST(t01_nothing_to_say), TEST(t02_a_line), TEST(t03_bounded),
                                       TEST(t04_tries), TEST(t05_put_off)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
