/* core/buf.h */
#include "unit/unit.h"

static void t01_puts(void **state)
{
    (void)state;
    struct buf b CLEANUP(buf_release) = BUF_INIT(1000);
    assert_span(buf_view(&b), "");
    buf_puts(&b, "a");
    buf_char(&b, 'b');
    buf_span(&b, SPAN("cd"));
    buf_span(&b, (struct span){NULL, 0});
    buf_int(&b, INT64_MIN);
    buf_printf(&b, "%s", "");
    buf_printf(&b, "<%05d>", 42);
    assert_span(buf_view(&b), "abcd-9223372036854775808<00042>");
    assert_false(b.failed);
}

static void t02_the_maximum_holds_to_the_byte(void **state)
{
    (void)state;
    struct buf b CLEANUP(buf_release) = BUF_INIT(5);
    buf_puts(&b, "12345");
    assert_false(b.failed);
    buf_put(&b, "", 0);
    assert_false(b.failed);
    buf_char(&b, '6');
    assert_true(b.failed);
    assert_span(buf_view(&b), "12345");
    buf_clear(&b);
    assert_false(b.failed);
    buf_puts(&b, "123");
    buf_puts(&b, "456"); /* not a part of it */
    assert_true(b.failed);
    buf_puts(&b, "4"); /* would fit, but the text would have a hole */
    assert_span(buf_view(&b), "123");
    assert_null(buf_reserve(&b, 1));
    assert_true(b.cap <= 5);
}

static void t03_printf_near_the_maximum(void **state)
{
    (void)state;
    for (int width = 250; width <= 260; width++) { /* around its inner buffer */
        struct buf b CLEANUP(buf_release) = BUF_INIT((size_t)width);
        buf_printf(&b, "%*d", width, 7);
        assert_false(b.failed);
        assert_int_equal(b.len, width);
        assert_int_equal(b.ptr[width - 1], '7');
        buf_printf(&b, "%s", "x");
        assert_true(b.failed);
    }
    struct buf b CLEANUP(buf_release) = BUF_INIT(300);
    buf_printf(&b, "%*d", 100000, 7);
    assert_true(b.failed);
    assert_int_equal(b.len, 0);
}

static void t04_reserve_advance_consume(void **state)
{
    (void)state;
    struct buf b CLEANUP(buf_release) = BUF_INIT(10000);
    for (int i = 0; i < 100; i++) {
        char *room = buf_reserve(&b, 100);
        assert_non_null(room);
        memset(room, 'a' + i % 26, 100);
        buf_advance(&b, 100);
    }
    assert_false(b.failed);
    assert_int_equal(b.len, 10000);
    buf_consume(&b, 9900);
    assert_int_equal(b.len, 100);
    assert_int_equal(b.ptr[0], 'a' + 99 % 26);
    buf_consume(&b, 0);
    buf_consume(&b, 100);
    assert_span(buf_view(&b), "");
    struct buf empty CLEANUP(buf_release) = BUF_INIT(10);
    buf_consume(&empty, 0);
    buf_release(&b);
    assert_int_equal(b.max, 10000);
    buf_puts(&b, "again");
    assert_span(buf_view(&b), "again");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(t01_puts),
        cmocka_unit_test(t02_the_maximum_holds_to_the_byte),
        cmocka_unit_test(t03_printf_near_the_maximum),
        cmocka_unit_test(t04_reserve_advance_consume),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
