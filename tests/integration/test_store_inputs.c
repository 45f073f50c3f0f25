/* How a claim finds the inputs of its units among all chunks of a task: by their numbers, and by nothing else. */
#include "../lib/test.h"

#include "store/inside.h"
#include "store/rows.h"
#include "store_bench.h"

static const struct claim_place beginning = {.rank_us = 0};

/* Of a task that has many chunks, whatever is believed of the table. */
static void claim_finds_its_inputs(struct store_bench *b)
{
    enum { UNITS = 500, WANT = 10 };
    static struct span inputs[UNITS];
    for (size_t i = 0; i < UNITS; i++)
        inputs[i] = SPAN("1\n2\n");
    struct new_task n = bench_task((int64_t)UNITS * 2, 2);
    n.inputs = inputs;
    bench_put_ok(b, &n, 1);

    struct params claim CLEANUP(params_release_at) = PARAMS_INIT;
    struct params table CLEANUP(params_release_at) = PARAMS_INIT;
    claim_params(&claim, b->worker, uuid_v7(), WANT, &beginning);
    params_text(&table, SPAN("inputs"));
    struct step steps[] = {{.stmt = &claim_stmt, .params = &claim},
                           {.stmt = &bench_found_stmt, .params = &table, .sync = true}};
    struct err e = ERR_INIT;
    assert_true(db_run(&b->worker->db, steps, COUNT_OF(steps), clock_after_ms(20000), &e));
    assert_int_equal(steps[0].err.code, ERR_NONE);
    assert_int_equal(steps[1].err.code, ERR_NONE);
    assert_int_equal(PQntuples(steps[0].result), WANT);
    struct row row = row_at(steps[1].result, 0);
    assert_int_equal(row_int(&row), WANT);
    db_steps_clear(steps, COUNT_OF(steps));
}

static void put_chunks_of_others(struct store_bench *b)
{
    bench_sql(b, "INSERT INTO inputs (task, seq, first, count, bytes) SELECT gen_random_uuid(), 0, 0, 1, '1' "
                 "FROM generate_series(1, 1000)");
}

static void t01_by_its_place(void **state)
{
    claim_finds_its_inputs(*state);
}

static void t02_where_others_have_one_chunk(void **state)
{
    put_chunks_of_others(*state);
    bench_sql(*state, "ANALYZE inputs");
    claim_finds_its_inputs(*state);
}

static void t03_where_the_table_was_empty(void **state)
{
    put_chunks_of_others(*state);
    bench_sql(*state, "DELETE FROM inputs");
    bench_sql(*state, "ANALYZE inputs");
    claim_finds_its_inputs(*state);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        STORE_TEST(t01_by_its_place),
        STORE_TEST(t02_where_others_have_one_chunk),
        STORE_TEST(t03_where_the_table_was_empty),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
