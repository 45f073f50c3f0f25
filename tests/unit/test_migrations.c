/* The migrations that the program carries: numbered from 1 without a gap, and none empty. */
#include "lib/test.h"

#include <string.h>

#include "store/migrations.h"

static void t01_numbers(void **state)
{
    (void)state;
    for (size_t i = 0; i < migrations_count; i++) {
        assert_int_equal(migrations[i].version, i + 1);
        assert_int_equal(strtol(migrations[i].name, NULL, 10), i + 1);
    }
}

static void t02_texts(void **state)
{
    (void)state;
    for (size_t i = 0; i < migrations_count; i++)
        assert_true(strlen(migrations[i].sql) > 10);
    assert_null(migrations[migrations_count].sql);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(t01_numbers), cmocka_unit_test(t02_texts)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
