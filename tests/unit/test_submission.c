/* Submissions: defaults, every field, every way to be refused; and the pairs of a query string. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "model/submission.h"

/* A handler of the test's own: model/ knows none by name. */
struct mill_args {
    int64_t turns;
    bool simulate_db_delay, simulate_redis_delay;
};

static bool mill_check(const void *args, struct err *e)
{
    const struct mill_args *a = args;

    return a->turns != 13 || err_at(e, ERR_BAD_FIELD, "/params/turns", "thirteen is bad luck");
}

static const struct field mill_fields[] = {
    {.name = "turns",
     .type = FIELD_INT,
     .offset = offsetof(struct mill_args, turns),
     .min = 0,
     .max = 100,
     .def = 7},
    {.name = "simulate_db_delay",
     .type = FIELD_BOOL,
     .offset = offsetof(struct mill_args, simulate_db_delay)},
    {.name = "simulate_redis_delay",
     .type = FIELD_BOOL,
     .offset = offsetof(struct mill_args, simulate_redis_delay),
     .def = 1},
};
static const struct handler mill = {.name = "simulate",
                                    .params = FIELDS(mill_fields, struct mill_args),
                                    .check = mill_check};
static const struct handler plain = {.name = "plain"};

static const struct handler *lookup(struct span name)
{
    return span_is(name, mill.name) ? &mill : span_is(name, plain.name) ? &plain : NULL;
}

static struct arena arena = ARENA_INIT;
static struct submission got;
static struct err e;

static int clean(void **unused)
{
    (void)unused;
    arena_release(&arena);
    return 0;
}

/* `strategy` NULL is /compare; `body` NULL is none. */
static bool reads(const char *strategy, const char *body, const char *query)
{
    const struct json *v = NULL;

    e = (struct err)ERR_INIT;
    memset(&got, 0xee, sizeof got);
    if (body && !json_read(&arena, span_of(body), &v, &e))
        fail_msg("%s: %s", body, e.text);
    return submission_read(&arena, strategy ? strategy_find(span_of(strategy)) : NULL, v, span_of(query),
                           lookup, &got, &e);
}

static void expect(bool ok)
{
    if (!ok)
        fail_msg("%s: %s", e.pointer, e.text);
}

static void test_defaults(void **unused)
{
    static const char *const bodies[] = {
        NULL, "{}", "null", "{\"params\":null,\"items\":null,\"shape\":null,\"tags\":null,\"meta\":null}"};

    (void)unused;
    for (size_t i = 0; i < COUNT_OF(bodies); i++) {
        expect(reads("hybrid", bodies[i], ""));
        assert_ptr_equal(got.handler, &mill);
        assert_string_equal(got.strategy->name, "hybrid");
        assert_null(got.inner);
        assert_null(got.items_json);
        assert_null(got.tags);
        assert_null(got.meta);
        assert_null(got.compared[0]);
        assert_int_equal(got.items, 100);
        assert_int_equal(got.batch_size, 100);
        assert_int_equal(got.workers, 4);
        assert_int_equal(got.priority, 5);
        assert_string_equal(got.queue, "default");
        assert_false(got.has_shape);
        assert_int_equal(got.on_item_error, 0);
        assert_true(
            span_is(got.params, "{\"turns\":7,\"simulate_db_delay\":false,\"simulate_redis_delay\":true}"));
    }
}

static void test_everything(void **unused)
{
    (void)unused;
    expect(reads(
        "background",
        "{\"handler\":\"simulate\",\"params\":{\"turns\":9},\"items_count\":1000000,\"batch_size\":5,"
        "\"workers\":256,\"shape\":{\"threads\":2,\"width\":3},\"simulate_db_delay\":true,"
        "\"simulate_redis_delay\":false,\"queue\":\"a.b-C_9\",\"priority\":9,\"inner\":\"threads\","
        "\"item_timeout_ms\":1,\"timeout_ms\":2,\"on_item_error\":\"fail\",\"tags\":[\"x\"],\"meta\":{\"a\":[1]}}",
        ""));
    assert_int_equal(got.items, 1000000);
    assert_int_equal(((struct mill_args *)got.args)->turns, 9);
    assert_true(((struct mill_args *)got.args)->simulate_db_delay);
    assert_false(((struct mill_args *)got.args)->simulate_redis_delay);
    assert_true(got.has_shape);
    assert_int_equal(got.shape.threads, 2);
    assert_int_equal(got.shape.width, 3);
    assert_string_equal(got.inner->name, "threading");
    assert_string_equal(got.queue, "a.b-C_9");
    assert_int_equal(got.item_timeout_ms, 1);
    assert_int_equal(got.timeout_ms, 2);
    assert_int_equal(got.on_item_error, 1);
    assert_int_equal(json_len(got.tags), 1);
    assert_int_equal(json_len(got.meta), 1);
}

static void test_items(void **unused)
{
    (void)unused;
    expect(reads("sequential", "{\"handler\":\"plain\",\"items\":[1,\"two\",null,{\"a\":[]}]}", ""));
    assert_int_equal(got.items, 4);
    assert_true(span_is(got.lines, "1\n\"two\"\nnull\n{\"a\":[]}\n"));
    assert_true(span_is(got.params, "{}"));
}

static const struct bad {
    const char *strategy, *body, *pointer;
    enum err_code code;
} bad[] = {
    /* the whole */
    {"hybrid", "[]", "", ERR_BAD_FIELD},
    {"hybrid", "7", "", ERR_BAD_FIELD},
    {"hybrid", "{\"itemscount\":1}", "/itemscount", ERR_UNKNOWN_FIELD},
    {"hybrid", "{\"a/b~c\":1}", "/a~1b~0c", ERR_UNKNOWN_FIELD},
    {"hybrid", "{\"retry\":1}", "/retry", ERR_UNKNOWN_FIELD},
    /* time */
    {"hybrid", "{\"retries\":1001}", "/retries", ERR_BAD_FIELD},
    {"hybrid", "{\"retries\":-1}", "/retries", ERR_BAD_FIELD},
    {"hybrid", "{\"item_retries\":101}", "/item_retries", ERR_BAD_FIELD},
    {"hybrid", "{\"backoff\":5}", "/backoff", ERR_BAD_FIELD},
    {"hybrid", "{\"backoff\":{\"factor\":0.5}}", "/backoff/factor", ERR_BAD_FIELD},
    {"hybrid", "{\"backoff\":{\"jitter\":2}}", "/backoff/jitter", ERR_BAD_FIELD},
    {"hybrid", "{\"backoff\":{\"base\":2}}", "/backoff/base", ERR_UNKNOWN_FIELD},
    {"hybrid", "{\"expires\":\"2001-01-01T00:00:00Z\"}", "/expires", ERR_BAD_FIELD},
    {"hybrid", "{\"expires\":\"tomorrow\"}", "/expires", ERR_BAD_FIELD},
    {"hybrid", "{\"expires\":0}", "/expires", ERR_BAD_FIELD},
    {"hybrid", "{\"expires\":-5}", "/expires", ERR_BAD_FIELD},
    {"hybrid", "{\"expires\":true}", "/expires", ERR_BAD_FIELD},
    {"hybrid", "{\"expires\":1e300}", "/expires", ERR_BAD_FIELD},
    {"hybrid", "{\"expires\":60,\"delay\":60}", "/expires", ERR_BAD_FIELD},
    {NULL, "{\"retries\":1}", "/run_at", ERR_BAD_FIELD},
    /* counts */
    {"hybrid", "{\"items_count\":0}", "/items_count", ERR_BAD_FIELD},
    {"hybrid", "{\"items_count\":-1}", "/items_count", ERR_BAD_FIELD},
    {"hybrid", "{\"items_count\":1000001}", "/items_count", ERR_BAD_FIELD},
    {"hybrid", "{\"items_count\":9223372036854775807}", "/items_count", ERR_BAD_FIELD},
    {"hybrid", "{\"items_count\":\"5\"}", "/items_count", ERR_BAD_FIELD},
    {"hybrid", "{\"items_count\":5.0}", "/items_count", ERR_BAD_FIELD},
    {"hybrid", "{\"items_count\":true}", "/items_count", ERR_BAD_FIELD},
    {"hybrid", "{\"items_count\":null}", "/items_count", ERR_BAD_FIELD},
    {"hybrid", "{\"batch_size\":0}", "/batch_size", ERR_BAD_FIELD},
    {"hybrid", "{\"workers\":0}", "/workers", ERR_BAD_FIELD},
    {"hybrid", "{\"workers\":257}", "/workers", ERR_BAD_FIELD},
    {"hybrid", "{\"priority\":10}", "/priority", ERR_BAD_FIELD},
    {"hybrid", "{\"priority\":-1}", "/priority", ERR_BAD_FIELD},
    {"hybrid", "{\"timeout_ms\":-1}", "/timeout_ms", ERR_BAD_FIELD},
    {"hybrid", "{\"item_timeout_ms\":604800001}", "/item_timeout_ms", ERR_BAD_FIELD},
    /* handler and params */
    {"hybrid", "{\"handler\":\"nope\"}", "/handler", ERR_NO_HANDLER},
    {"hybrid", "{\"handler\":\"\"}", "/handler", ERR_BAD_FIELD},
    {"hybrid", "{\"handler\":7}", "/handler", ERR_BAD_FIELD},
    {"hybrid", "{\"handler\":\"a\\tb\"}", "/handler", ERR_BAD_FIELD},
    {"hybrid", "{\"params\":[]}", "/params", ERR_BAD_FIELD},
    {"hybrid", "{\"params\":\"{}\"}", "/params", ERR_BAD_FIELD},
    {"hybrid", "{\"params\":{\"turns\":101}}", "/params/turns", ERR_BAD_FIELD},
    {"hybrid", "{\"params\":{\"turns\":13}}", "/params/turns", ERR_BAD_FIELD},
    {"hybrid", "{\"params\":{\"turn\":1}}", "/params/turn", ERR_UNKNOWN_FIELD},
    {"hybrid", "{\"handler\":\"plain\",\"params\":{\"turns\":1}}", "/params/turns", ERR_UNKNOWN_FIELD},
    {"hybrid", "{\"handler\":\"plain\",\"simulate_db_delay\":false}", "/simulate_db_delay",
     ERR_UNKNOWN_FIELD},
    {"hybrid", "{\"handler\":\"plain\",\"simulate_redis_delay\":true}", "/simulate_redis_delay",
     ERR_UNKNOWN_FIELD},
    {"hybrid", "{\"simulate_db_delay\":1}", "/simulate_db_delay", ERR_BAD_FIELD},
    {"hybrid", "{\"simulate_db_delay\":true,\"params\":{\"simulate_db_delay\":true}}", "/simulate_db_delay",
     ERR_BAD_FIELD},
    /* items */
    {"hybrid", "{\"items\":[]}", "/items", ERR_BAD_FIELD},
    {"hybrid", "{\"items\":{}}", "/items", ERR_BAD_FIELD},
    {"hybrid", "{\"items\":5}", "/items", ERR_BAD_FIELD},
    {"hybrid", "{\"items\":[1],\"items_count\":1}", "/items_count", ERR_BAD_FIELD},
    /* how */
    {"hybrid", "{\"shape\":[]}", "/shape", ERR_BAD_FIELD},
    {"hybrid", "{\"shape\":{\"threads\":0}}", "/shape/threads", ERR_BAD_FIELD},
    {"hybrid", "{\"shape\":{\"depth\":0}}", "/shape/depth", ERR_UNKNOWN_FIELD},
    {"hybrid", "{\"inner\":\"threading\"}", "/inner", ERR_BAD_FIELD},
    {"background", "{\"inner\":\"background\"}", "/inner", ERR_BAD_FIELD},
    {"background", "{\"inner\":\"nope\"}", "/inner", ERR_BAD_FIELD},
    {"hybrid", "{\"on_item_error\":\"stop\"}", "/on_item_error", ERR_BAD_FIELD},
    {"hybrid", "{\"on_item_error\":0}", "/on_item_error", ERR_BAD_FIELD},
    {"hybrid", "{\"queue\":\"a,b\"}", "/queue", ERR_BAD_FIELD},
    {"hybrid", "{\"queue\":\"*\"}", "/queue", ERR_BAD_FIELD},
    {"hybrid", "{\"queue\":\"\"}", "/queue", ERR_BAD_FIELD},
    /* labels */
    {"hybrid", "{\"tags\":\"a\"}", "/tags", ERR_BAD_FIELD},
    {"hybrid", "{\"tags\":[\"a\",\"\"]}", "/tags/1", ERR_BAD_FIELD},
    {"hybrid", "{\"tags\":[7]}", "/tags/0", ERR_BAD_FIELD},
    {"hybrid", "{\"tags\":[1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17]}", "/tags", ERR_BAD_FIELD},
    {"hybrid", "{\"meta\":[]}", "/meta", ERR_BAD_FIELD},
    /* compare */
    {"hybrid", "{\"strategies\":[\"hybrid\"]}", "/strategies", ERR_UNKNOWN_FIELD},
    {NULL, "{\"strategies\":[]}", "/strategies", ERR_BAD_FIELD},
    {NULL, "{\"strategies\":\"hybrid\"}", "/strategies", ERR_BAD_FIELD},
    {NULL, "{\"strategies\":[\"hybrid\",7]}", "/strategies/1", ERR_BAD_FIELD},
    {NULL, "{\"strategies\":[\"hybrid\",\"nope\"]}", "/strategies/1", ERR_BAD_FIELD},
    {NULL, "{\"strategies\":[\"threads\",\"threaded\"]}", "/strategies/1", ERR_BAD_FIELD},
    {NULL, "{\"shape\":{}}", "/shape", ERR_BAD_FIELD},
};

/* What is asked for comes to the worker as it was asked. */
static void test_terms(void **unused)
{
    struct terms read;

    (void)unused;
    expect(reads("hybrid", "{}", ""));
    assert_int_equal(terms_write(&arena, &got.terms).len, 0);
    expect(reads("hybrid", "{\"retries\":0,\"backoff\":{\"base_ms\":5}}", ""));
    assert_int_equal(terms_write(&arena, &got.terms).len, 0);
    expect(reads("hybrid", "{\"item_retries\":2,\"backoff\":{\"base_ms\":5,\"factor\":1.5},\"expires\":60.5}",
                 "retries=3"));
    assert_true(terms_read(&arena, terms_write(&arena, &got.terms), &read, &e));
    assert_int_equal(read.retries, 3);
    assert_int_equal(read.item_retries, 2);
    assert_int_equal(read.backoff.base_ms, 5);
    assert_int_equal(read.backoff.max_ms, 3600000);
    assert_true(read.backoff.factor == 1.5 && read.backoff.jitter == 0.5);
    assert_int_equal(read.expires_us, got.terms.expires_us);
    expect(reads("hybrid", "{\"expires\":\"2100-01-01T00:00:00Z\",\"run_at\":\"2099-01-01\"}", ""));
    assert_int_equal(got.terms.expires_us, 4102444800000000);
    assert_true(terms_read(&arena, SPAN(""), &read, &e));
    assert_int_equal(read.retries + read.item_retries + read.expires_us, 0);
    assert_true(terms_read(&arena, SPAN("{\"of\": \"others\"}"), &read, &e));
}

static void test_refused(void **unused)
{
    (void)unused;
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        struct submission untouched;

        if (reads(bad[i].strategy, bad[i].body, ""))
            fail_msg("%s was taken", bad[i].body);
        if (e.code != bad[i].code || strcmp(e.pointer, bad[i].pointer) != 0)
            fail_msg("%s: %s at \"%s\": %s", bad[i].body, err_slug(e.code), e.pointer, e.text);
        assert_true(e.text[0] != '\0');
        memset(&untouched, 0xee, sizeof untouched);
        assert_memory_equal(&got, &untouched, sizeof got);
    }
}

static void test_too_large(void **unused)
{
    struct buf b CLEANUP(buf_release) = BUF_INIT(4 * MIB);

    (void)unused;
    buf_puts(&b, "{\"items\":[1,\"");
    for (size_t i = 0; i < LIMIT_ITEM_INPUT; i++)
        buf_char(&b, 'x');
    buf_puts(&b, "\"]}");
    buf_char(&b, '\0');
    assert_false(reads("hybrid", b.ptr, ""));
    assert_int_equal(e.code, ERR_TOO_LARGE);
    assert_string_equal(e.pointer, "/items/1");

    buf_clear(&b);
    buf_puts(&b, "{\"meta\":{\"k\":\"");
    for (size_t i = 0; i < LIMIT_PARAMS; i++)
        buf_char(&b, 'x');
    buf_puts(&b, "\"}}");
    buf_char(&b, '\0');
    assert_false(reads("hybrid", b.ptr, ""));
    assert_int_equal(e.code, ERR_TOO_LARGE);
    assert_string_equal(e.pointer, "/meta");
}

static void test_compare(void **unused)
{
    int n = 0;

    (void)unused;
    expect(reads(NULL, NULL, ""));
    for (; strategies[n]; n++)
        assert_ptr_equal(got.compared[n], strategies[n]);
    assert_null(got.compared[n]);
    assert_null(got.strategy);
    assert_string_equal(got.inner->name, "auto");
    expect(reads(NULL, "{\"strategies\":[\"async\",\"hybrid\"],\"inner\":\"hybrid\"}", ""));
    assert_string_equal(got.compared[0]->name, "async-batch");
    assert_string_equal(got.compared[1]->name, "hybrid");
    assert_null(got.compared[2]);
    assert_string_equal(got.inner->name, "hybrid");
}

static void test_query(void **unused)
{
    (void)unused;
    expect(reads(
        NULL, "{\"items_count\":3,\"workers\":2}",
        "items_count=7&simulate_db_delay=true&strategies=threads,+hybrid&params.turns=4&&on_item_error=f%61il"));
    assert_int_equal(got.items, 7);
    assert_int_equal(got.workers, 2);
    assert_int_equal(got.on_item_error, 1);
    assert_string_equal(got.compared[0]->name, "threading");
    assert_string_equal(got.compared[1]->name, "hybrid");
    assert_null(got.compared[2]);
    assert_true(
        span_is(got.params, "{\"turns\":4,\"simulate_db_delay\":true,\"simulate_redis_delay\":true}"));
}

static void test_query_refused(void **unused)
{
    static const struct {
        const char *query, *pointer;
        enum err_code code;
    } list[] = {
        {"items_count=", "items_count", ERR_BAD_FIELD},
        {"items_count", "items_count", ERR_BAD_FIELD},
        {"items_count=1e3", "items_count", ERR_BAD_FIELD},
        {"items_count=-5", "items_count", ERR_BAD_FIELD},
        {"items_count=1&items_count=1", "", ERR_BAD_REQUEST},
        {"item=1", "item", ERR_UNKNOWN_FIELD},
        {"items=[1]", "items", ERR_BAD_FIELD},
        {"params.turns=x", "turns", ERR_BAD_FIELD},
        {"params.nope=1", "nope", ERR_UNKNOWN_FIELD},
        {"simulate_db_delay=true&params.simulate_db_delay=false", "/simulate_db_delay", ERR_BAD_FIELD},
        {"params.simulate_redis_delay=true&simulate_redis_delay=true", "/simulate_redis_delay",
         ERR_BAD_FIELD},
        {"strategies=", "strategies", ERR_BAD_FIELD},
        {"strategies=hybrid,nope", "strategies", ERR_BAD_FIELD},
        {"strategies=hybrid,hybrid", "strategies", ERR_BAD_FIELD},
        {"workers=%", "", ERR_BAD_REQUEST},
        {"workers=%4", "", ERR_BAD_REQUEST},
        {"workers=%zz", "", ERR_BAD_REQUEST},
        {"queue=%00", "", ERR_BAD_REQUEST},
        {"%00=1", "", ERR_BAD_REQUEST},
        {"queue=%c3%28", "queue", ERR_BAD_FIELD},
        {"queue=%0a", "queue", ERR_BAD_FIELD},
    };

    (void)unused;
    for (size_t i = 0; i < COUNT_OF(list); i++) {
        if (reads(NULL, NULL, list[i].query))
            fail_msg("%s was taken", list[i].query);
        if (e.code != list[i].code || strcmp(e.pointer, list[i].pointer) != 0)
            fail_msg("%s: %s at \"%s\": %s", list[i].query, err_slug(e.code), e.pointer, e.text);
    }
    assert_false(reads("hybrid", NULL, "strategies=hybrid"));
    assert_int_equal(e.code, ERR_UNKNOWN_FIELD);
}

static void test_query_limits(void **unused)
{
    struct buf b CLEANUP(buf_release) = BUF_INIT(2 * LIMIT_QUERY);

    (void)unused;
    for (unsigned i = 0; i <= LIMIT_QUERY_PAIRS; i++)
        buf_printf(&b, "p%u=1&", i);
    buf_char(&b, '\0');
    assert_false(reads(NULL, NULL, b.ptr));
    assert_int_equal(e.code, ERR_BAD_REQUEST);
    buf_clear(&b);
    for (unsigned i = 0; i <= LIMIT_QUERY; i++)
        buf_char(&b, 'x');
    buf_char(&b, '\0');
    assert_false(reads(NULL, NULL, b.ptr));
    assert_int_equal(e.code, ERR_BAD_REQUEST);
}

static void test_query_next(void **unused)
{
    struct span query = SPAN("&a+b=c%3Dd%26&=v&n=&x==y&"), name, value;
    static const char *const want[][2] = {{"a b", "c=d&"}, {"", "v"}, {"n", ""}, {"x", "=y"}};

    (void)unused;
    e = (struct err)ERR_INIT;
    for (size_t i = 0; i < COUNT_OF(want); i++) {
        assert_true(query_next(&arena, &query, &name, &value, &e));
        assert_true(span_is(name, want[i][0]));
        assert_true(span_is(value, want[i][1]));
    }
    assert_false(query_next(&arena, &query, &name, &value, &e));
    assert_int_equal(e.code, ERR_NONE);
}

/* The digest is the key of stored profiles: it may not change, and must tell params apart. */
static void test_digest(void **unused)
{
    uint64_t first;

    (void)unused;
    expect(reads("hybrid", "{}", ""));
    first = got.digest;
    assert_true(first == UINT64_C(0x4b30c76640d8b9ad));
    expect(reads("threading", "{\"items_count\":5,\"params\":{\"turns\":7}}", ""));
    assert_true(got.digest == first);
    expect(reads("threading", "{\"params\":{\"turns\":8}}", ""));
    assert_true(got.digest != first);
    expect(reads("threading", "{\"handler\":\"plain\"}", ""));
    assert_true(got.digest != first);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_defaults, clean),
        cmocka_unit_test_teardown(test_everything, clean),
        cmocka_unit_test_teardown(test_items, clean),
        cmocka_unit_test_teardown(test_terms, clean),
        cmocka_unit_test_teardown(test_refused, clean),
        cmocka_unit_test_teardown(test_too_large, clean),
        cmocka_unit_test_teardown(test_compare, clean),
        cmocka_unit_test_teardown(test_query, clean),
        cmocka_unit_test_teardown(test_query_refused, clean),
        cmocka_unit_test_teardown(test_query_limits, clean),
        cmocka_unit_test_teardown(test_query_next, clean),
        cmocka_unit_test_teardown(test_digest, clean),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
