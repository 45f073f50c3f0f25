/* Every handler by hand: results computed again in another way, waits that are waited, stops that are seen. */
#include "../lib/test.h"

#include <inttypes.h>
#include <unistd.h>

#include "../lib/run_item.h"
#include "handlers/registry.h"

static struct arena arena = ARENA_INIT;
static struct run_item run;
static struct err e;

static int clean(void **unused)
{
    (void)unused;
    run_end(&run);
    arena_release(&arena);
    return 0;
}

static const struct handler *find(const char *name)
{
    const struct handler *h = handler_find(span_of(name));

    assert_non_null(h);
    return h;
}

/* The result as text, or "!" and the error's slug. */
static const char *result(const char *name, const char *params, int64_t index, const char *input)
{
    const struct handler *h = find(name);
    void *args = run_args(&arena, h, params, &e);

    if (!args)
        fail_msg("%s %s: %s", name, params, e.text);
    run_end(&run);
    run_item(&run, h, args, index, span_of(input));
    if (run.last == STEP_FAIL)
        return arena_printf(&arena, "!%s", err_slug(run.it.err.code));
    assert_true(json_check(buf_view(&run.it.out), &e));
    return arena_text(&arena, buf_view(&run.it.out));
}

static void test_registry(void **unused)
{
    (void)unused;
    for (size_t i = 0; handler_at(i); i++) {
        struct buf b CLEANUP(buf_release) = BUF_INIT(LIMIT_PARAMS);
        struct json_out o = json_out(&b);
        const struct handler *h = handler_at(i);

        for (size_t j = 0; j < i; j++)
            assert_string_not_equal(handler_at(j)->name, h->name);
        assert_true(strlen(h->name) <= LIMIT_NAME && h->summary && *h->summary && h->step);
        assert_true(!h->dangerous || h->hidden);
        for (size_t f = 0; f < h->params.count; f++)
            assert_non_null(h->params.list[f].summary);
        fields_schema(&h->params, &o);
        assert_true(json_check(buf_view(&b), &e));
        handlers_allow_hidden(false);
        assert_ptr_equal(handler_find(span_of(h->name)), h->hidden ? NULL : h);
        handlers_allow_hidden(true);
        assert_ptr_equal(handler_find(span_of(h->name)), h);
    }
    assert_null(handler_find(SPAN("nope")));
    assert_null(handler_find(SPAN("")));
}

/* What is added is found and listed after the built-in ones; a name is had once. The limit is last: what is added stays. */
static void test_added(void **unused)
{
    static struct handler more[LIMIT_HANDLERS + 1];
    static char names[LIMIT_HANDLERS + 1][LIMIT_NAME + 2];
    size_t before = 0;

    (void)unused;
    while (handler_at(before))
        before++;
    for (size_t i = 0; i < COUNT_OF(more); i++) {
        more[i] = (struct handler){.name = names[i], .summary = "echo", .step = find("echo")->step};
        snprintf(names[i], sizeof names[i], "more.%d", (int)i);
    }
    static const char *const bad[] = {"", "a b", "a/b", "\xc3\xa9", "echo", "test.crash", "webhook"};
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        assert_false(handlers_add(&(struct handler){.name = bad[i]}, &e));
        assert_int_equal(e.code, ERR_CONFIG);
        assert_non_null(strstr(e.text, bad[i]));
    }
    memset(names[0], 'x', LIMIT_NAME + 1);
    assert_false(handlers_add(&more[0], &e));
    names[0][LIMIT_NAME] = '\0';
    for (size_t i = 0; i < LIMIT_HANDLERS; i++) {
        assert_true(handlers_add(&more[i], &e));
        assert_ptr_equal(handler_at(before + i), &more[i]);
        assert_ptr_equal(handler_find(span_of(names[i])), &more[i]);
        assert_null(handler_at(before + i + 1));
        assert_false(handlers_add(&more[i], &e));
        assert_non_null(strstr(e.text, "already"));
    }
    assert_false(handlers_add(&more[LIMIT_HANDLERS], &e));
    assert_non_null(strstr(e.text, "limit"));
}

static void test_echo(void **unused)
{
    (void)unused;
    assert_string_equal(result("echo", "{}", 7, ""), "7");
    assert_string_equal(result("echo", "{}", 7, "{\"a\":[1,null]}"), "{\"a\":[1,null]}");
}

static void test_sleep(void **unused)
{
    int64_t start = clock_now();

    (void)unused;
    assert_string_equal(result("sleep", "{\"ms\":30}", 0, ""), "30");
    assert_true(clock_now() - start >= 30 * NS_PER_MS);
    start = clock_now();
    assert_string_equal(result("sleep", "{\"ms\":3600000}", 0, "20"), "20");
    assert_true(clock_now() - start >= 20 * NS_PER_MS);
    assert_string_equal(result("sleep", "{}", 0, "0"), "0");
    assert_string_equal(result("sleep", "{}", 0, "-1"), "!bad-field");
    assert_string_equal(result("sleep", "{}", 0, "3600001"), "!bad-field");
    assert_string_equal(result("sleep", "{}", 0, "1.5"), "!bad-field");
    assert_string_equal(result("sleep", "{}", 0, "\"5\""), "!bad-field");
}

/* By the closed form (n-1)n(2n-1)/6 in 128 bits. */
static int64_t sum_squares(int64_t n)
{
    unsigned __int128 m = (unsigned __int128)n, sum = n > 0 ? (m - 1) * m * (2 * m - 1) / 6 : 0;

    return (int64_t)(sum & INT64_MAX);
}

static void test_sum_squares(void **unused)
{
    static const int64_t numbers[] = {0, 1, 2, 3, 1000, 65535, 65536, 65537, 5000000};

    (void)unused;
    for (size_t i = 0; i < COUNT_OF(numbers); i++) {
        const char *n = arena_printf(&arena, "%" PRId64, numbers[i]);
        const char *want = arena_printf(&arena, "%" PRId64, sum_squares(numbers[i]));

        assert_string_equal(result("cpu.sum_squares", "{\"n\":9}", 0, n), want);
        assert_string_equal(result("cpu.sum_squares", arena_printf(&arena, "{\"n\":%s}", n), 0, ""), want);
    }
    assert_string_equal(result("cpu.sum_squares", "{}", 0, "\"x\""), "!bad-field");
    assert_string_equal(result("cpu.sum_squares", "{}", 0, "-1"), "!bad-field");
}

/* The formulas of simulate.c's head, done plainly. */
static const char *simulated(int64_t index, int64_t db, int64_t low, int64_t high, int loops, int outer,
                             int inner)
{
    int64_t redis = high < 0 ? 0 : low + ((index * 2654435761) % 4294967296) % (high - low + 1);
    int64_t x = index % 2147483648, nested = 0;

    for (int i = 0; i < loops; i++)
        x = (1103515245 * x + 12345) % 2147483648;
    for (int i = 0; i < outer; i++)
        for (int j = 0; j < inner; j++)
            nested += ((int64_t)i * j + index % 2147483648) % 97;
    return arena_printf(&arena,
                        "{\"index\":%" PRId64 ",\"db_ms\":%" PRId64 ",\"redis_ms\":%" PRId64
                        ",\"loop\":%" PRId64 ",\"nested\":%" PRId64 "}",
                        index, db, redis, x, nested);
}

static void test_simulate(void **unused)
{
    static const int64_t indexes[] = {0, 1, 2, 99, 999999};
    int64_t start;

    (void)unused;
    for (size_t i = 0; i < COUNT_OF(indexes); i++)
        assert_string_equal(result("simulate", "{}", indexes[i], ""),
                            simulated(indexes[i], 0, 1, 10, 20000, 100, 100));

    start = clock_now();
    assert_string_equal(
        result("simulate",
               "{\"simulate_db_delay\":true,\"db_delay_ms\":20,\"redis_min_ms\":15,\"redis_max_ms\":15,"
               "\"loop_iterations\":0,\"nested_outer\":0}",
               5, ""),
        simulated(5, 20, 15, 15, 0, 0, 0));
    assert_true(clock_now() - start >= 35 * NS_PER_MS);
    assert_true(run.waits >= 2);

    assert_string_equal(
        result("simulate",
               "{\"simulate_redis_delay\":false,\"loop_iterations\":200000,\"nested_outer\":3,"
               "\"nested_inner\":70000}",
               3, ""),
        simulated(3, 0, 0, -1, 200000, 3, 70000));
    assert_int_equal(run.waits, 0);
}

static void test_simulate_redis_waits_differ(void **unused)
{
    bool seen[11] = {false};

    (void)unused;
    for (int64_t i = 0; i < 100; i++) {
        const struct json *v;
        int64_t ms;

        assert_true(json_read(&arena, span_of(simulated(i, 0, 1, 10, 0, 0, 0)), &v, &e));
        ms = json_as_int(json_member(v, "redis_ms"));
        assert_in_range(ms, 1, 10);
        seen[ms] = true;
    }
    for (int i = 1; i <= 10; i++)
        assert_true(seen[i]);
}

static void test_simulate_check(void **unused)
{
    (void)unused;
    assert_null(run_args(&arena, find("simulate"), "{\"redis_min_ms\":11}", &e));
    assert_string_equal(e.pointer, "/params/redis_min_ms");
}

static void test_word(void **unused)
{
    (void)unused;
    assert_string_equal(
        result("word", "{\"step_ms\":0}", 0, "\"Level\""),
        "{\"word\":\"Level\",\"length\":5,\"upper\":\"LEVEL\",\"lower\":\"level\",\"reversed\":\"leveL\","
        "\"palindrome\":false,\"letters\":5,\"vowels\":2,\"sorted\":\"eellv\",\"hash\":1096112509}");
    assert_string_equal(
        result("word", "{\"step_ms\":0}", 41, ""),
        "{\"word\":\"item-41\",\"length\":7,\"upper\":\"ITEM-41\",\"lower\":\"item-41\","
        "\"reversed\":\"14-meti\",\"palindrome\":false,\"letters\":4,\"vowels\":2,\"sorted\":\"eimt\","
        "\"hash\":1799446666}");
    assert_string_equal(
        result("word", "{\"step_ms\":0}", 0, "\"\xc3\xa9t\xc3\xa9\""),
        "{\"word\":\"\xc3\xa9t\xc3\xa9\",\"length\":3,\"upper\":\"\xc3\xa9T\xc3\xa9\",\"lower\":\"\xc3\xa9t\xc3\xa9\","
        "\"reversed\":\"\xc3\xa9t\xc3\xa9\",\"palindrome\":true,\"letters\":1,\"vowels\":0,\"sorted\":\"t\","
        "\"hash\":4290086935}");
    assert_string_equal(result("word", "{}", 0, "5"), "!bad-field");
    assert_string_equal(
        result("word", "{\"step_ms\":0}", 0, "\"\""),
        "{\"word\":\"\",\"length\":0,\"upper\":\"\",\"lower\":\"\",\"reversed\":\"\",\"palindrome\":true,"
        "\"letters\":0,\"vowels\":0,\"sorted\":\"\",\"hash\":2166136261}");
}

/* Ten waits, ten tenths. */
static void test_word_progress(void **unused)
{
    const struct handler *h = find("word");
    double before = 0;
    int64_t start = clock_now();

    (void)unused;
    run_end(&run);
    run_begin(&run, h, run_args(&arena, h, "{\"step_ms\":2}", &e), 0, SPAN(""), LIMIT_ITEM_RESULT);
    while (run_step(&run) == STEP_WAIT) {
        assert_true(run.it.progress >= before);
        before = run.it.progress;
        run_wait(&run);
    }
    assert_int_equal(run.last, STEP_DONE);
    assert_true(run.it.progress == 1);
    assert_true(run.waits >= 10);
    assert_true(clock_now() - start >= 20 * NS_PER_MS);
    run_drop(&run);
}

static void test_fail(void **unused)
{
    (void)unused;
    for (int64_t i = 0; i < 9; i++)
        assert_string_equal(result("test.fail", "{\"every\":3}", i, ""),
                            (i + 1) % 3 == 0 ? "!item-failed" : arena_printf(&arena, "%d", (int)i));
    assert_string_equal(result("test.fail", "{\"at\":4}", 4, ""), "!item-failed");
    assert_string_equal(result("test.fail", "{\"at\":4}", 5, ""), "5");
    result("test.fail", "{\"every\":1}", 6, "");
    assert_string_equal(run.it.err.text, "item 6 fails, as it was asked to");
}

static void test_huge(void **unused)
{
    (void)unused;
    assert_int_equal(strlen(result("test.huge", "{\"bytes\":10000}", 0, "")), 10002);
    assert_string_equal(result("test.huge", "{}", 0, ""), "!item-too-large");
    assert_string_equal(result("test.huge", "{\"bytes\":1048576}", 0, ""), "!item-too-large");
    run_end(&run);
    run_item(&run, find("test.huge"), run_args(&arena, find("test.huge"), "{\"careless\":true}", &e), 0,
             SPAN(""));
    assert_int_equal(run.last, STEP_DONE);
    assert_true(run.it.out.failed);
}

/* The dangerous ones where they are tame: what they do when they misbehave is for children, in tests/contract. */
static void test_dangerous_ones_at_rest(void **unused)
{
    const char *path = arena_printf(&arena, "/tmp/lathe-test-once-%d", (int)getpid());
    FILE *mark = fopen(path, "we");

    (void)unused;
    assert_non_null(mark);
    fclose(mark);
    assert_string_equal(result("test.crash", "{\"at\":5}", 4, ""), "4");
    assert_string_equal(result("test.crash", arena_printf(&arena, "{\"at\":5,\"once\":\"%s\"}", path), 5, ""),
                        "5");
    assert_int_equal(unlink(path), 0);
    assert_string_equal(result("test.hang", "{\"at\":5}", 4, ""), "4");
    assert_string_equal(result("test.leak", "{\"bytes\":10000}", 4, ""), "4");
}

/* A raised flag ends every kind of work that would take minutes. */
static void test_stopping(void **unused)
{
    static const char *const long_work[][2] = {
        {"cpu.sum_squares", "{\"n\":1000000000000}"},
        {"simulate", "{\"simulate_redis_delay\":false,\"loop_iterations\":1000000000000}"},
        {"simulate",
         "{\"simulate_redis_delay\":false,\"loop_iterations\":0,\"nested_outer\":1000000,\"nested_inner\":1000000}"},
        {"test.hang", "{\"every\":1,\"polite\":true}"},
    };

    (void)unused;
    for (size_t i = 0; i < COUNT_OF(long_work) * 2; i++) {
        const struct handler *h = find(long_work[i / 2][0]);

        run_end(&run);
        run_begin(&run, h, run_args(&arena, h, long_work[i / 2][1], &e), 0, SPAN(""), LIMIT_ITEM_RESULT);
        if (i % 2)
            cancel_raise(&run.never);
        else
            run.it.deadline = clock_after_ms(5);
        run_step(&run); /* returns: that is the test */
        run_drop(&run);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_registry, clean),
        cmocka_unit_test_teardown(test_echo, clean),
        cmocka_unit_test_teardown(test_sleep, clean),
        cmocka_unit_test_teardown(test_sum_squares, clean),
        cmocka_unit_test_teardown(test_simulate, clean),
        cmocka_unit_test_teardown(test_simulate_redis_waits_differ, clean),
        cmocka_unit_test_teardown(test_simulate_check, clean),
        cmocka_unit_test_teardown(test_word, clean),
        cmocka_unit_test_teardown(test_word_progress, clean),
        cmocka_unit_test_teardown(test_fail, clean),
        cmocka_unit_test_teardown(test_huge, clean),
        cmocka_unit_test_teardown(test_dangerous_ones_at_rest, clean),
        cmocka_unit_test_teardown(test_stopping, clean),
        cmocka_unit_test_teardown(test_added, clean),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
