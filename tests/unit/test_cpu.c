/* The handlers that compute: sums in every way, bytes of every source, and that all of it can be stopped. */
#include "unit.h"

#include <inttypes.h>

#include "../lib/run_item.h"
#include "core/hmac.h"
#include "core/pack.h"
#include "handlers/filler.h"
#include "handlers/registry.h"
#include "handlers/source.h"
#include "handlers/squares.h"
#include "model/submission.h"

static struct arena arena = ARENA_INIT;
static struct err e;

static const struct handler *find(const char *name)
{
    const struct handler *h = handler_find(span_of(name));
    assert_non_null(h);
    return h;
}

/* The result as text, or "!" and the error's slug. */
static const char *result(const char *name, const char *params, int64_t index, const char *input)
{
    struct run_item run;
    const struct handler *h = find(name);
    void *args = run_args(&arena, h, params, &e);
    if (!args)
        fail_msg("%s %s: %s", name, params, e.text);
    run_item(&run, h, args, index, span_of(input));
    const char *text = run.last == STEP_FAIL ? arena_printf(&arena, "!%s", err_slug(run.it.err.code))
                                             : arena_text(&arena, buf_view(&run.it.out));
    if (run.last == STEP_DONE)
        assert_true(json_check(buf_view(&run.it.out), &e));
    run_end(&run);
    return text;
}

static const struct json *object(const char *text)
{
    const struct json *v;
    if (!json_read(&arena, span_of(text), &v, &e))
        fail_msg("%s: %s", text, e.text);
    return v;
}

/* ---- sums */

/* By the closed form, modulo 2^64. */
static uint64_t closed(uint64_t to)
{
    unsigned __int128 m = to, product = to > 0 ? (m - 1) * m / 2 : 0; /* times (2m - 1) / 3 */
    unsigned __int128 odd = 2 * m - (to > 0);
    return product % 3 == 0 ? (uint64_t)(product / 3 * odd) : (uint64_t)(product * (odd / 3));
}

static void t01_both_ways_of_adding(void **state)
{
    (void)state;
    static const uint64_t starts[] = {0, 1, 7, 65533, UINT32_MAX - 100, UINT32_MAX, 1ull << 33, 999999999900};
    for (size_t i = 0; i < COUNT_OF(starts); i++)
        for (uint64_t n = 0; n < 300; n++) {
            uint64_t from = starts[i], to = from + n, want = closed(to) - closed(from);
            assert_true(squares_sum_plain(from, to) == want);
            assert_true(squares_sum(from, to) == want);
        }
    assert_true(squares_sum(5, 5) == 0 && squares_sum(6, 5) == 0);
    assert_true(squares_sum((1ull << 32) - 70001, (1ull << 32) + 70002) ==
                closed((1ull << 32) + 70002) - closed((1ull << 32) - 70001));
}

static void t02_ranges_and_parts(void **state)
{
    (void)state;
    const char *all = arena_printf(&arena, "%" PRIu64, closed(1000000) & INT64_MAX);
    assert_string_equal(result("cpu.sum_squares", "{}", 3, "{\"to\":1000000}"), all);
    assert_string_equal(result("cpu.sum_squares", "{}", 3, "{\"from\":2,\"to\":4}"), "13");
    assert_string_equal(result("cpu.sum_squares", "{}", 3, "{\"from\":4,\"to\":4}"), "0");
    assert_string_equal(result("cpu.sum_squares", "{}", 3, "{\"from\":4}"), "!bad-field");
    assert_string_equal(result("cpu.sum_squares", "{}", 3, "{\"from\":-1,\"to\":4}"), "!bad-field");
    assert_string_equal(result("cpu.sum_squares", "{}", 3, "{\"from\":1,\"until\":4}"), "!unknown-field");
    for (int64_t parts = 1; parts < 12; parts++) {
        uint64_t sum = 0;
        char params[64];
        snprintf(params, sizeof params, "{\"n\":1000003,\"parts\":%" PRId64 "}", parts);
        for (int64_t i = 0; i < parts; i++)
            sum += (uint64_t)json_as_int(object(result("cpu.sum_squares", params, i, "")));
        assert_true((sum & INT64_MAX) == (closed(1000003) & INT64_MAX));
        assert_string_equal(result("cpu.sum_squares", params, parts, ""), "!bad-field");
    }
}

/* ---- where bytes come from */

static void t03_filler(void **state)
{
    (void)state;
    enum { N = 5000 };
    char whole[N + FILLER_SLACK], parts[N + FILLER_SLACK];
    struct filler f;
    filler_begin(&f, 7);
    filler_take(&f, whole, N);
    for (size_t piece = 1; piece < 200; piece += 11) {
        filler_begin(&f, 7);
        for (size_t at = 0; at < N; at += piece)
            filler_take(&f, parts + at, piece < N - at ? piece : N - at);
        assert_memory_equal(whole, parts, N);
    }
    for (size_t i = 0; i < N; i++)
        assert_true(whole[i] == ' ' || (whole[i] >= 'a' && whole[i] <= 'z'));
    filler_begin(&f, 8);
    filler_take(&f, parts, N);
    assert_memory_not_equal(whole, parts, 100);
}

/* The same digest by every way of saying the same bytes. */
static void t04_hash(void **state)
{
    (void)state;
    static const char want[] =
        "{\"bytes\":3,\"digest\":\"sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad\"}";
    assert_string_equal(result("cpu.hash", "{}", 0, "\"abc\""), want);
    assert_string_equal(result("cpu.hash", "{}", 9, "{\"data\":\"abc\"}"), want);
    assert_string_equal(result("cpu.hash", "{}", 0, "{\"data\":\"YWJj\",\"encoding\":\"base64\"}"), want);
    assert_string_equal(result("cpu.hash", "{\"method\":\"crc32\"}", 0, "\"123456789\""),
                        "{\"bytes\":9,\"digest\":\"crc32:cbf43926\"}");
    assert_string_equal(
        result("cpu.hash", "{\"bytes\":0}", 0, ""),
        "{\"bytes\":0,\"digest\":\"sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855\"}");
    const char *counted = result("cpu.hash", "{\"bytes\":100000,\"seed\":5}", 4, "");
    assert_string_equal(result("cpu.hash", "{}", 0, "{\"bytes\":100000,\"seed\":9}"), counted);
    char *text = arena_alloc(&arena, 100000 + FILLER_SLACK), hex[65];
    unsigned char sum[SHA256_BYTES];
    struct filler f;
    filler_begin(&f, 9);
    filler_take(&f, text, 100000);
    sha256((struct span){text, 100000}, sum);
    for (size_t i = 0; i < sizeof sum; i++)
        snprintf(hex + 2 * i, 3, "%02x", sum[i]);
    assert_holds(counted, hex);
}

static void t05_items_that_are_no_bytes(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "3",
        "null",
        "[]",
        "{}",
        "{\"data\":3}",
        "{\"data\":\"a\",\"bytes\":3}",
        "{\"data\":\"a\",\"seed\":3}",
        "{\"bytes\":-1}",
        "{\"bytes\":2000000000}",
        "{\"seed\":1}",
        "{\"bytes\":1,\"encoding\":\"text\"}",
        "{\"data\":\"a\",\"encoding\":\"latin\"}",
        "{\"data\":\"a!\",\"encoding\":\"base64\"}",
    };
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        assert_string_equal(result("cpu.hash", "{}", 0, bad[i]), "!bad-field");
        assert_string_equal(result("cpu.compress", "{}", 0, bad[i]), "!bad-field");
    }
}

/* ---- packing */

static void gather(void *arg, struct span bytes)
{
    buf_span(arg, bytes);
}

static void t06_compress(void **state)
{
    (void)state;
    for (int kind = PACK_ZLIB; pack_names[kind]; kind++) {
        struct buf b CLEANUP(buf_release) = BUF_INIT(1 << 20),
                     packed CLEANUP(buf_release) = BUF_INIT(1 << 20);
        struct pack *p;
        const char *params =
            arena_printf(&arena, "{\"method\":\"%s\",\"keep\":true,\"digest\":\"md5\"}", pack_names[kind]);
        const struct json *said = object(result("cpu.compress", params, 0, "\"abcabcabcabcabc\""));
        assert_int_equal(json_as_int(json_member(said, "bytes")), 15);
        assert_true(base64_read(&packed, json_as_text(json_member(said, "data"))));
        assert_int_equal(json_as_int(json_member(said, "packed")), packed.len);
        assert_true(pack_open(&p, (enum pack_kind)kind, 3, 15, &e));
        assert_true(pack_add(p, SPAN("abcabcabcabcabc"), false, gather, &b, &e));
        assert_true(pack_add(p, SPAN(""), true, gather, &b, &e));
        pack_close(p);
        assert_true(span_eq(buf_view(&b), buf_view(&packed)));
        assert_true(span_starts(json_as_text(json_member(said, "digest")), "md5:"));
    }
    const struct json *said = object(result("cpu.compress", "{\"bytes\":1048576}", 0, ""));
    double ratio = json_as_num(json_member(said, "ratio"));
    assert_int_equal(json_as_int(json_member(said, "bytes")), 1048576);
    assert_true(ratio > 2 && ratio < 4); /* about what prose has */
    assert_null(json_member(said, "data"));
    assert_string_equal(result("cpu.compress", "{\"bytes\":8388608,\"level\":1,\"keep\":true}", 0, ""),
                        "!item-too-large");
    object(result("cpu.compress", "{\"bytes\":0}", 0, ""));
}

/* What the caller asks for is what is done: prose becomes smaller with each step. */
static void t09_levels(void **state)
{
    (void)state;
    for (int kind = PACK_ZLIB; pack_names[kind]; kind++) {
        int64_t before = INT64_MAX;
        for (int level = 1; level <= 9; level += 4) {
            const char *params = arena_printf(&arena, "{\"method\":\"%s\",\"bytes\":262144,\"level\":%d}",
                                              pack_names[kind], level);
            int64_t packed =
                json_as_int(json_member(object(result("cpu.compress", params, 0, "")), "packed"));
            if (packed <= 0 || packed >= before)
                fail_msg("%s", params);
            before = packed;
        }
    }
}

/* ---- stopping */

static const struct {
    const char *handler, *params;
} long_work[] = {
    {"cpu.sum_squares", "{\"n\":1000000000000}"},
    {"cpu.hash", "{\"bytes\":1073741824}"},
    {"cpu.hash", "{\"bytes\":1073741824,\"method\":\"blake2b\"}"},
    {"cpu.compress", "{\"bytes\":1073741824}"},
    {"cpu.compress", "{\"bytes\":1073741824,\"level\":9}"},
    {"cpu.compress", "{\"bytes\":1073741824,\"method\":\"gzip\",\"level\":9}"},
};

/* Seconds of work end when the time is over. By the thread's own processor time, which others do not use up. */
static void t07_stopped_within_milliseconds(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(long_work); i++) {
        const struct handler *h = find(long_work[i].handler);
        struct run_item run;
        run_begin(&run, h, run_args(&arena, h, long_work[i].params, &e), 0, SPAN(""), LIMIT_ITEM_RESULT);
        run.it.deadline = clock_after_ms(2);
        int64_t before = clock_thread_cpu();
        run_step(&run);
        int64_t took = clock_thread_cpu() - before;
        run_drop(&run);
        run_end(&run);
        if (took > 1000 * NS_PER_MS) /* whole, each takes seconds; half a block here, also with sanitizers */
            fail_msg("%s %s worked on for %d ms", h->name, long_work[i].params, (int)(took / NS_PER_MS));
    }
}

/* Profiles and remembered results are kept by what params are written as: a row that moves in a table makes strangers of all. */
static void t08_params_are_written_as_ever(void **state)
{
    (void)state;
    static const struct {
        const char *handler;
        uint64_t digest;
    } known[] = {{"cpu.hash", UINT64_C(0x9843c8a2be68fb1c)},
                 {"cpu.compress", UINT64_C(0x7e8824ff66ecd2a8)},
                 {"fetch.process", UINT64_C(0xc987ed9f48f9a8d9)}};
    for (size_t i = 0; i < COUNT_OF(known); i++) {
        struct buf b CLEANUP(buf_release) = BUF_INIT(LIMIT_PARAMS);
        struct json_out o = json_out(&b);
        const struct handler *h = find(known[i].handler);
        fields_write(&h->params, run_args(&arena, h, "{}", &e), &o);
        uint64_t digest = submission_digest(h->name, buf_view(&b));
        if (digest != known[i].digest)
            fail_msg("%s: %#" PRIx64 " of " SPAN_FMT, h->name, digest, SPAN_ARG(buf_view(&b)));
    }
}

static int clean(void **state)
{
    (void)state;
    arena_release(&arena);
    return 0;
}

static int release(void **state)
{
    (void)state;
    pack_release();
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(t01_both_ways_of_adding, clean),
        cmocka_unit_test_teardown(t02_ranges_and_parts, clean),
        cmocka_unit_test_teardown(t03_filler, clean),
        cmocka_unit_test_teardown(t04_hash, clean),
        cmocka_unit_test_teardown(t05_items_that_are_no_bytes, clean),
        cmocka_unit_test_teardown(t06_compress, clean),
        cmocka_unit_test_teardown(t09_levels, clean),
        cmocka_unit_test_teardown(t07_stopped_within_milliseconds, clean),
        cmocka_unit_test_teardown(t08_params_are_written_as_ever, clean),
    };
    return cmocka_run_group_tests(tests, NULL, release);
}
