/* core/err.h and the table err.def */
#include "unit/unit.h"

#include <errno.h>

#include "core/err.h"

static void t01_set(void **state)
{
    (void)state;
    struct err e = ERR_INIT;
    assert_false(err_at(&e, ERR_BAD_FIELD, "/a", "%d is %s", 5, "bad"));
    assert_int_equal(e.code, ERR_BAD_FIELD);
    assert_string_equal(e.pointer, "/a");
    assert_string_equal(e.text, "5 is bad");
    assert_false(err_set(&e, ERR_BUSY, "because: %s", e.text)); /* its own text as an argument */
    assert_int_equal(e.code, ERR_BUSY);
    assert_string_equal(e.pointer, "");
    assert_string_equal(e.text, "because: 5 is bad");
}

static void t02_nobody_cares(void **state)
{
    (void)state;
    assert_false(err_set(NULL, ERR_BUSY, "x"));
    assert_false(err_at(NULL, ERR_BUSY, "/a", "x"));
    assert_false(err_prefix(NULL, "x"));
    assert_false(err_errno(NULL, "x"));
}

static void t03_prefix_keeps_the_rest(void **state)
{
    (void)state;
    struct err e = ERR_INIT;
    err_at(&e, ERR_STORE, "/x", "gone");
    assert_false(err_prefix(&e, "while %s", "asking"));
    assert_int_equal(e.code, ERR_STORE);
    assert_string_equal(e.pointer, "/x");
    assert_string_equal(e.text, "while asking: gone");
}

static void t04_errno(void **state)
{
    (void)state;
    struct err e = ERR_INIT;
    errno = ENOENT;
    assert_false(err_errno(&e, "cannot open %s", "f"));
    assert_int_equal(e.code, ERR_SYSTEM);
    assert_string_equal(e.text, "cannot open f: No such file or directory");
    assert_int_equal(errno, ENOENT);
}

static void t05_long_texts_are_cut(void **state)
{
    (void)state;
    struct err e = ERR_INIT;
    char big[1000];
    memset(big, 'x', sizeof big);
    big[999] = '\0';
    err_at(&e, ERR_BUSY, big, "%s", big);
    assert_int_equal(strlen(e.text), sizeof e.text - 1);
    assert_int_equal(strlen(e.pointer), sizeof e.pointer - 1);
    err_prefix(&e, "%s", big);
    assert_int_equal(strlen(e.text), sizeof e.text - 1);
    errno = EIO;
    err_errno(&e, "%s", big);
    assert_int_equal(strlen(e.text), sizeof e.text - 1);
}

static void t06_the_table_is_whole(void **state)
{
    (void)state;
    for (int i = 0; i < ERR_COUNT; i++) {
        enum err_code code = (enum err_code)i;
        assert_true(err_title(code)[0] != '\0');
        assert_true(err_status(code) >= 200 && err_status(code) < 600);
        assert_true(err_exit(code) >= 0 && err_exit(code) < 126);
        for (const char *c = err_slug(code); *c; c++)
            assert_true((*c >= 'a' && *c <= 'z') || *c == '-');
        assert_int_equal(err_by_slug(span_of(err_slug(code))), code); /* so no slug is there twice */
        if (i > 0)
            assert_true(err_exit(code) != 0 && err_status(code) >= 400);
    }
    assert_int_equal(err_by_slug(SPAN("no-such-thing")), ERR_INTERNAL);
    assert_int_equal(err_by_slug(SPAN("")), ERR_INTERNAL);
    assert_int_equal(err_status(ERR_BUSY), 503);
    assert_true(err_retryable(ERR_BUSY));
    assert_false(err_retryable(ERR_BAD_JSON));
    assert_string_equal(err_slug((enum err_code)9999), "internal"); /* a number from elsewhere */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(t01_set),
        cmocka_unit_test(t02_nobody_cares),
        cmocka_unit_test(t03_prefix_keeps_the_rest),
        cmocka_unit_test(t04_errno),
        cmocka_unit_test(t05_long_texts_are_cut),
        cmocka_unit_test(t06_the_table_is_whole),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
