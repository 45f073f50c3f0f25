/* The table of errors is complete: every code can be shown, stored, found again and acted on. */
#include "../lib/test.h"

#include "core/err.h"

#define EACH(code) for (enum err_code code = 0; code < ERR_COUNT; code++)

static void test_slugs(void **unused)
{
    (void)unused;
    EACH(a)
    {
        const char *slug = err_slug(a);
        size_t n = strlen(slug);

        assert_true(n > 0 && n <= 32);
        for (size_t i = 0; i < n; i++)
            assert_true((slug[i] >= 'a' && slug[i] <= 'z') || (slug[i] == '-' && i > 0 && i < n - 1));
        assert_int_equal(err_by_slug(span_of(slug)), a);
        for (enum err_code b = 0; b < a; b++)
            assert_string_not_equal(slug, err_slug(b));
    }
    assert_int_equal(err_by_slug(SPAN("no-such-thing")), ERR_INTERNAL);
    assert_int_equal(err_by_slug(SPAN("")), ERR_INTERNAL);
}

static void test_statuses(void **unused)
{
    (void)unused;
    assert_int_equal(err_status(ERR_NONE), 200);
    EACH(code) if (code != ERR_NONE)
    {
        int status = err_status(code);

        if (!((status >= 400 && status <= 431) || (status >= 500 && status <= 504)))
            fail_msg("%s: %d", err_slug(code), status);
        if (err_retryable(code) && status < 500 && status != 429)
            fail_msg("%s: try again is no answer to %d", err_slug(code), status);
    }
}

/* 0 is success, 64 to 78 are sysexits.h, above 125 is the shell's. */
static void test_exits(void **unused)
{
    (void)unused;
    assert_int_equal(err_exit(ERR_NONE), 0);
    EACH(code)
    if (code != ERR_NONE)
        assert_true(err_exit(code) == 1 || (err_exit(code) >= 64 && err_exit(code) <= 78));
}

static void test_titles(void **unused)
{
    (void)unused;
    EACH(a)
    {
        const char *title = err_title(a);

        assert_true(title[0] >= 'A' && title[0] <= 'Z');
        assert_true(title[strlen(title) - 1] != '.');
        for (enum err_code b = 0; b < a; b++)
            assert_string_not_equal(title, err_title(b));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_slugs),
        cmocka_unit_test(test_statuses),
        cmocka_unit_test(test_exits),
        cmocka_unit_test(test_titles),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
