/*
 * Inputs that come in pieces, in the store: what a claim of their units may bring, and what is said of a commit whose answer
 * was lost.
 *
 * log may say: connection to client lost|unexpected EOF|canceling statement|could not send data to client
 */
#include "../lib/test.h"

#include <poll.h>
#include <pthread.h>

#include "core/clock.h"
#include "core/mem.h"
#include "store_bench.h"

/* A task of `units` items, a unit each, that were uploaded; `largest`: what is said of the bytes of a unit. */
static struct new_task upload(struct store_bench *b, int64_t units, int64_t largest,
                              struct store_upload **ret)
{
    struct new_task n = bench_task(units, 1);
    struct err e = ERR_INIT;
    n.uploaded = 2 * units;
    n.uploaded_unit = largest;
    if (!store_upload_new(b->store, n.id, ret, &e))
        fail_msg("%s", e.text);
    for (int64_t i = 0; i < units; i++) {
        struct input_chunk chunk = {.first = i, .count = 1, .bytes = SPAN("1\n")};
        assert_true(store_upload_add(*ret, &chunk, 1, &e));
    }
    return n;
}

static bool end(struct store_upload *u, const struct new_task *n, struct err *e)
{
    struct put_verdict verdict = {.bad_need = 0};
    struct new_tasks list = {.list = n, .count = 1, .verdicts = &verdict};
    return store_upload_end(u, &list, e);
}

/* As many units as together, if each were as large as the largest, are not too much; and the one that makes it so. */
static void t01_a_claim_is_bounded_by_the_largest(void **state)
{
    struct store_bench *b = *state;
    struct store_upload *u;
    struct err e = ERR_INIT;
    struct new_task n = upload(b, 10, LIMIT_CLAIM_BYTES / 2, &u);
    assert_true(end(u, &n, &e));
    store_upload_free(u);
    struct claim c = bench_claim(b, 10);
    assert_int_equal(c.count, 2);
    claim_release(&c);
}

/* Likewise of inputs that came with the task: the first is large, and the average is not. */
static void t02_also_without_an_upload(void **state)
{
    struct store_bench *b = *state;
    enum { LARGE = 4 * MIB, UNITS = 40 };
    struct span inputs[UNITS];
    struct new_task n = bench_task(UNITS, 1);
    char *large = mem_alloc(LARGE);
    memset(large, '1', LARGE - 1);
    large[LARGE - 1] = '\n';
    for (int i = 0; i < UNITS; i++)
        inputs[i] = i > 0 ? SPAN("1\n") : (struct span){large, LARGE};
    n.inputs = inputs;
    bench_put_ok(b, &n, 1);
    mem_free(large);
    struct claim c = bench_claim(b, UNITS);
    assert_int_equal(c.count, LIMIT_CLAIM_BYTES / LARGE);
    assert_int_equal(c.units[0].inputs.len, LARGE);
    claim_release(&c);
}

/* ---- a commit whose answer is lost ---- */

/* Nothing of `tasks` is committed while the lock 7 is held, whoever gives up meanwhile. */
static const char slow_commit[] =
    "CREATE FUNCTION wait_for_seven() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN LOOP BEGIN "
    "IF pg_try_advisory_xact_lock(7) THEN RETURN NULL; END IF; PERFORM pg_sleep(0.002); "
    "EXCEPTION WHEN query_canceled THEN NULL; END; END LOOP; END $$; "
    "CREATE CONSTRAINT TRIGGER slow AFTER INSERT ON tasks DEFERRABLE INITIALLY DEFERRED "
    "FOR EACH ROW EXECUTE FUNCTION wait_for_seven(); "
    "SELECT pg_advisory_lock(7)";

static const char asked[] = "SELECT count(*) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND "
                            "application_name LIKE 'lathe%' AND query LIKE '%pg_xact_status%'";

struct helper {
    struct store_bench *b;
    const char *sql; /* when it was asked what became of the commit */
};

static void *after_a_look(void *arg)
{
    struct helper *h = arg;
    while (bench_number(h->b, asked) == 0)
        poll(NULL, 0, 2);
    bench_sql(h->b, h->sql);
    return NULL;
}

static bool commit_slowly(struct store_bench *b, const char *sql, struct new_task *n, struct err *e)
{
    struct helper h = {b, sql};
    struct store_upload *u;
    pthread_t thread;
    *n = upload(b, 3, 2, &u);
    bench_sql(b, slow_commit);
    b->conf.store_timeout = 3000;
    assert_int_equal(pthread_create(&thread, NULL, after_a_look, &h), 0);
    bool ok = end(u, n, e);
    pthread_join(thread, NULL);
    store_upload_free(u);
    b->conf.store_timeout = 20000;
    bench_sql(b, "DROP TRIGGER slow ON tasks; DROP FUNCTION wait_for_seven; SELECT pg_advisory_unlock_all()");
    return ok;
}

static void t03_it_was_made_after_all(void **state)
{
    struct store_bench *b = *state;
    struct new_task n;
    struct err e = ERR_INIT;
    if (!commit_slowly(b, "SELECT pg_advisory_unlock(7)", &n, &e))
        fail_msg("%s", e.text);
    STATE_IS(b, n.id, "queued");
    bench_count(b, "work", 3);
}

static void t04_it_was_not(void **state)
{
    struct store_bench *b = *state;
    struct new_task n;
    struct err e = ERR_INIT;
    assert_false(commit_slowly(
        b, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query = 'COMMIT'", &n, &e));
    assert_int_equal(e.code, ERR_STORE);
    bench_count(b, "tasks", 0);
    bench_count(b, "inputs", 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        STORE_TEST(t01_a_claim_is_bounded_by_the_largest),
        STORE_TEST(t02_also_without_an_upload),
        STORE_TEST(t03_it_was_made_after_all),
        STORE_TEST(t04_it_was_not),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
