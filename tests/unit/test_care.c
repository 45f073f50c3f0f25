/* What a worker says of what it sees to: a look at how large the tables are. What the store answers is the test's own here. */
#include "unit.h"

#define queue_measure test_measure
#include "worker/care.c" /* what it looks at is a static of it */

static enum err_code answer;

bool test_measure(struct queue_worker *w, struct err *e)
{
    (void)w;
    return answer == ERR_NONE || err_set(e, answer, "what it was");
}

/* Looks that come to this; how many bytes it has to say to that. */
static size_t said_of(struct worker *w, enum err_code code, int looks)
{
    struct capture c = capture_start(STDERR_FILENO);
    answer = code;
    while (looks-- > 0)
        measure(w);
    char *said = capture_stop(c, STDERR_FILENO);
    size_t bytes = strlen(said);
    free(said);
    return bytes;
}

static void t01_a_series_is_told_once(void **state)
{
    static struct worker w;
    (void)state;
    assert_true(said_of(&w, ERR_SCHEMA, 1) > 0);
    assert_int_equal(said_of(&w, ERR_SCHEMA, 3), 0);
    assert_int_equal(said_of(&w, ERR_STORE, 3), 0); /* the store tells of that */
    assert_int_equal(said_of(&w, ERR_SCHEMA, 3), 0);
    assert_int_equal(said_of(&w, ERR_NONE, 1), 0);
    assert_true(said_of(&w, ERR_SCHEMA, 1) > 0);
}

static void t02_an_outage_is_not_ours_to_tell(void **state)
{
    static struct worker w;
    (void)state;
    assert_int_equal(said_of(&w, ERR_STORE, 3), 0);
    assert_true(said_of(&w, ERR_SCHEMA, 1) > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(t01_a_series_is_told_once),
        cmocka_unit_test(t02_an_outage_is_not_ours_to_tell),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
