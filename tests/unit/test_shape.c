/* Shapes: reading, fitting over a grid, writing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "core/json.h"
#include "core/limits.h"
#include "model/shape.h"

static bool read_shape(const char *text, struct shape *ret, struct err *e)
{
    struct arena a CLEANUP(arena_release) = ARENA_INIT;
    const struct json *v;

    assert_true(json_read(&a, span_of(text), &v, e));
    return fields_read(&shape_fields, v, "/shape", ret, e);
}

static void test_read(void **unused)
{
    struct shape s;
    struct err e = ERR_INIT;

    (void)unused;
    assert_true(read_shape("{\"processes\":2,\"threads\":3,\"width\":4,\"grain\":5}", &s, &e));
    assert_int_equal(s.processes, 2);
    assert_int_equal(s.threads, 3);
    assert_int_equal(s.width, 4);
    assert_int_equal(s.grain, 5);
    assert_int_equal(shape_threads(&s), 6);
    assert_int_equal(shape_in_flight(&s), 24);
    assert_true(read_shape("{}", &s, &e));
    assert_int_equal(shape_threads(&s), 1);
    assert_int_equal(shape_in_flight(&s), 1);
}

static void test_refused(void **unused)
{
    static const struct {
        const char *text, *pointer;
        enum err_code code;
    } bad[] = {
        {"{\"processes\":-1}", "/shape/processes", ERR_BAD_FIELD},
        {"{\"processes\":257}", "/shape/processes", ERR_BAD_FIELD},
        {"{\"threads\":0}", "/shape/threads", ERR_BAD_FIELD},
        {"{\"threads\":\"2\"}", "/shape/threads", ERR_BAD_FIELD},
        {"{\"width\":100001}", "/shape/width", ERR_BAD_FIELD},
        {"{\"width\":1.5}", "/shape/width", ERR_BAD_FIELD},
        {"{\"grain\":null}", "/shape/grain", ERR_BAD_FIELD},
        {"{\"grian\":1}", "/shape/grian", ERR_UNKNOWN_FIELD},
        {"[1,1,1,1]", "/shape", ERR_BAD_FIELD},
    };

    (void)unused;
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        struct shape s;
        struct err e = ERR_INIT;

        assert_false(read_shape(bad[i].text, &s, &e));
        assert_int_equal(e.code, bad[i].code);
        assert_string_equal(e.pointer, bad[i].pointer);
    }
}

static void check_fit(struct shape s, int64_t items, int64_t most)
{
    struct shape f = shape_fit(s, items, most), again = shape_fit(f, items, most);
    int64_t n = items > 0 ? items : 1, own = (n + shape_threads(&f) - 1) / shape_threads(&f);

    assert_in_range(f.processes, 0, most);
    assert_in_range(shape_threads(&f), 1, most);
    assert_true(f.processes <= (s.processes > 0 ? s.processes : 0) && f.processes <= n);
    assert_true(f.threads <= (s.threads > 0 ? s.threads : 1));
    assert_in_range(f.width, 1, own);
    assert_in_range(f.grain, 1, own);
    assert_memory_equal(&f, &again, sizeof f);
}

static void test_fit_grid(void **unused)
{
    static const int64_t numbers[] = {-7, 0, 1, 2, 3, 64, 256, 100000, INT64_MAX / 4};
    static const int64_t items[] = {0, 1, 2, 7, 100, 1000000}, most[] = {1, 2, 5, 256};
    const size_t n = COUNT_OF(numbers);

    (void)unused;
    for (size_t i = 0; i < n * n * n; i++)
        for (size_t j = 0; j < COUNT_OF(items) * COUNT_OF(most); j++)
            check_fit((struct shape){numbers[i % n], numbers[i / n % n], numbers[i / n / n], numbers[i % n]},
                      items[j % COUNT_OF(items)], most[j / COUNT_OF(items)]);
}

/* What can run as it is stays as it is. */
static void test_fit_keeps(void **unused)
{
    struct shape s = {4, 2, 10, 3}, f = shape_fit(s, 1000, 64);

    (void)unused;
    assert_memory_equal(&f, &s, sizeof s);
    f = shape_fit((struct shape){0, 64, 1, 1}, 1000, 8);
    assert_int_equal(f.threads, 8);
    f = shape_fit((struct shape){4, 64, 1, 1}, 1000, 8);
    assert_int_equal(f.processes, 4);
    assert_int_equal(f.threads, 2);
    f = shape_fit((struct shape){0, 2, 5000, 1}, 100, 8);
    assert_int_equal(f.width, 50);
}

static void test_write(void **unused)
{
    struct buf b CLEANUP(buf_release) = BUF_INIT(1024);
    struct json_out o = json_out(&b);

    (void)unused;
    shape_write(&(struct shape){2, 3, 4, 5}, &o);
    assert_true(span_is(buf_view(&b), "{\"processes\":2,\"threads\":3,\"width\":4,\"grain\":5}"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_read),      cmocka_unit_test(test_refused), cmocka_unit_test(test_fit_grid),
        cmocka_unit_test(test_fit_keeps), cmocka_unit_test(test_write),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
