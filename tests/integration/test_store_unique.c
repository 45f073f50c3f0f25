/*
 * Unique work, at the store: who has a key and for how long, and what two sessions make of one.
 */
#include "../lib/test.h"

#include "core/mem.h"
#include "follow_bench.h"

static struct put_verdict put_one(struct store_bench *b, const struct new_task *t)
{
    struct put_verdict v = {0};
    put(b, t, 1, &v);
    return v;
}

static void t10_the_same_work_once(void **state)
{
    struct store_bench *b = *state;
    struct new_task first = with_terms(b, "{\"unique\": {\"key\": \"k\"}}");
    struct new_task second = with_terms(b, "{\"unique\": {\"key\": \"k\"}}");
    struct new_task other = with_terms(b, "{\"unique\": {\"key\": \"l\"}}");
    put_taken(b, &first, 1);
    struct put_verdict v = put_one(b, &second);
    assert_true(uuid_eq(v.existing, first.id));
    assert_int_equal(v.state, TASK_queued);
    put_taken(b, &other, 1);
    bench_count(b, "tasks", 2);
    struct claim c = bench_claim(b, 10); /* running is unfinished too */
    v = put_one(b, &second);
    assert_true(uuid_eq(v.existing, first.id));
    struct finish ends[2] = {bench_end(b, &c.units[0], TASK_succeeded, 0),
                             bench_end(b, &c.units[1], TASK_succeeded, 0)};
    bench_finish(b, ends, 2);
    claim_release(&c);
    put_taken(b, &second, 1);
    bench_run_all(b, TASK_failed);
    nothing_left(b);
}

static void t11_only_while_it_is_queued(void **state)
{
    struct store_bench *b = *state;
    const char *terms = "{\"unique\": {\"key\": \"k\", \"while\": \"queued\"}}";
    struct new_task first = with_terms(b, "%s", terms), second = with_terms(b, "%s", terms),
                    third = with_terms(b, "%s", terms);
    put_taken(b, &first, 1);
    assert_true(uuid_eq(put_one(b, &second).existing, first.id));
    struct claim c = bench_claim(b, 10);
    put_taken(b, &second, 1);
    assert_true(uuid_eq(put_one(b, &third).existing, second.id));
    struct finish f = bench_end(b, c.units, TASK_succeeded, 0);
    bench_finish(b, &f, 1);
    claim_release(&c);
    assert_true(uuid_eq(put_one(b, &third).existing, second.id)); /* the end of the first does not free it */
    bench_run_all(b, TASK_succeeded);
    nothing_left(b);
}

static void t12_for_a_time(void **state)
{
    struct store_bench *b = *state;
    const char *terms = "{\"unique\": {\"key\": \"k\", \"for_s\": 600}}";
    struct new_task first = with_terms(b, "%s", terms), second = with_terms(b, "%s", terms);
    put_taken(b, &first, 1);
    bench_run_all(b, TASK_succeeded);
    struct put_verdict v = put_one(b, &second);
    assert_true(uuid_eq(v.existing, first.id));
    assert_int_equal(v.state, TASK_succeeded);
    bench_sql(b, "UPDATE uniques SET until = now() - interval '1 second'");
    put_taken(b, &second, 1);
    /* Housekeeping lets a key go that nobody asks for any more, and no other. */
    bench_sql(
        b, "UPDATE uniques SET until = now() - interval '1 second', look_at = now() - interval '1 second'");
    bench_reap(b);
    bench_count(b, "uniques", 1);
    bench_run_all(b, TASK_succeeded);
    nothing_left(b);
    put_taken(b, &first, 1); /* it is there: nothing */
    bench_count(b, "uniques", 0);
    bench_sql(
        b,
        "INSERT INTO uniques VALUES (gen_random_uuid(), gen_random_uuid(), now() - interval '1 hour', now() - interval '1 s')");
    bench_reap(b);
    bench_count(b, "uniques", 0);
}

static void t13_within_one_commit(void **state)
{
    struct store_bench *b = *state;
    struct new_task list[6] = {
        with_terms(b, "{\"unique\": {\"key\": \"k\"}}"),
        with_terms(b, "{\"unique\": {\"key\": \"k\"}}"),
        with_terms(b, "{\"unique\": {\"key\": \"l\"}}"),
        with_terms(b, "{\"unique\": {\"key\": \"k\"}}"),
    };
    list[4] = needing(b, list[1].id); /* then of the first */
    list[5] = with_terms(b, "{\"depends_on\": [\"%s\"], \"callback_of\": \"%s\"}", id_text(b, list[3].id),
                         id_text(b, list[3].id)); /* there already with the first */
    list[5].waits = true;
    struct put_verdict v[6] = {0};
    put(b, list, 6, v);
    assert_true(uuid_is_nil(v[0].existing) && uuid_is_nil(v[2].existing) && uuid_is_nil(v[4].existing));
    assert_true(uuid_eq(v[1].existing, list[0].id) && uuid_eq(v[3].existing, list[0].id));
    bench_count(b, "tasks", 3);
    bench_count(b, "inputs", 0);
    assert_int_equal(bench_run_all(b, TASK_succeeded), 2);
    assert_int_equal(bench_run_all(b, TASK_succeeded), 1);
    STATE_IS(b, list[4].id, "succeeded");
    nothing_left(b);
}

/* What is refused for what it needs has no key: not afterwards, and not before those beside it. */
static void t14_refused_without_a_key(void **state)
{
    struct store_bench *b = *state;
    struct uuid nobody = uuid_v7();
    static const char missing[] = "{\"unique\": {\"key\": \"%s\", \"for_s\": 600}, \"depends_on\": [\"%s\"]}";
    struct new_task list[4] = {
        with_terms(b, missing, "k", id_text(b, nobody)),
        with_terms(b, missing, "l", id_text(b, nobody)),
        with_terms(b, "{\"unique\": {\"key\": \"l\"}}"),
        with_terms(b, "{\"unique\": {\"key\": \"k\"}}"),
    };
    list[0].waits = list[1].waits = true;
    struct put_verdict v[3] = {0};
    put(b, list, 3, v);
    assert_true(v[0].bad_need == 1 && v[1].bad_need == 1);
    assert_true(uuid_is_nil(v[2].existing) && !v[2].held);
    bench_count(b, "tasks", 1);
    put_taken(b, &list[3], 1);
    assert_int_equal(bench_run_all(b, TASK_succeeded), 2);
    nothing_left(b);
}

/* A key that outlives the end of its task does not outlive its row. */
static void t15_nobody_has_a_key(void **state)
{
    struct store_bench *b = *state;
    bench_sql(
        b,
        "INSERT INTO uniques VALUES (lathe_unique_key('echo', 'k'), gen_random_uuid(), now() + interval '1 hour', "
        "now() - interval '1 s'), (gen_random_uuid(), gen_random_uuid(), now() + interval '1 hour', "
        "now() - interval '1 s')");
    struct new_task t = with_terms(b, "{\"unique\": {\"key\": \"k\"}}");
    put_taken(b, &t, 1);
    bench_reap(b);
    bench_count(b, "uniques", 1);
    bench_run_all(b, TASK_succeeded);
    nothing_left(b);
}

/* Those of one commit have not begun. */
static void t16_only_while_it_is_queued_in_one_commit(void **state)
{
    struct store_bench *b = *state;
    const char *terms = "{\"unique\": {\"key\": \"k\", \"while\": \"queued\"}}";
    struct new_task list[3] = {with_terms(b, "%s", terms), with_terms(b, "%s", terms),
                               with_terms(b, "%s", terms)};
    struct put_verdict v[3] = {0};
    put(b, list, 3, v);
    assert_true(uuid_is_nil(v[0].existing));
    assert_true(uuid_eq(v[1].existing, list[0].id) && uuid_eq(v[2].existing, list[0].id));
    bench_count(b, "tasks", 1);
    struct claim c = bench_claim(b, 10);
    put(b, list + 1, 2, v);
    assert_true(uuid_is_nil(v[0].existing) && uuid_eq(v[1].existing, list[1].id));
    struct finish f = bench_end(b, c.units, TASK_succeeded, 0);
    bench_finish(b, &f, 1);
    claim_release(&c);
    bench_run_all(b, TASK_succeeded);
    nothing_left(b);
}

/* With who does the same work in their place, two come to wait for themselves: they are refused, and who is not in the
 * ring is not. */
static void t17_a_ring_by_a_key(void **state)
{
    struct store_bench *b = *state;
    struct new_task list[5] = {[2] = bench_task(1, 1), [3] = with_terms(b, "{\"unique\": {\"key\": \"k\"}}")};
    list[3].id.b[0]++; /* asks for the key after the first */
    list[1] = needing(b, list[3].id);
    list[0] = with_terms(b, "{\"unique\": {\"key\": \"k\"}, \"depends_on\": [\"%s\", \"%s\"]}",
                         id_text(b, list[2].id), id_text(b, list[1].id));
    list[0].waits = true;
    list[4] = needing(b, list[2].id);
    struct put_verdict v[5] = {0};
    put(b, list, 5, v);
    assert_int_equal(v[0].bad_need, 2);
    assert_int_equal(v[1].bad_need, 1);
    assert_true(v[3].held);
    assert_true(v[2].bad_need == 0 && v[4].bad_need == 0);
    bench_count(b, "tasks", 2);
    bench_run_all(b, TASK_succeeded);
    bench_run_all(b, TASK_succeeded);
    nothing_left(b);
}

/* Sent again as a whole, what depends on unique work depends on what is there: in time also when it is many. */
static void t19_many_sent_again(void **state)
{
    enum { EACH = 2000 };
    struct store_bench *b = *state;
    struct new_task *list CLEANUP(mem_free_at) = mem_array((size_t)2 * EACH, sizeof *list);
    struct put_verdict *v CLEANUP(mem_free_at) = mem_array((size_t)2 * EACH, sizeof *v);
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < EACH; i++) {
            list[i] = with_terms(b, "{\"unique\": {\"key\": \"k%d\"}}", i);
            list[EACH + i] = needing(b, list[i].id);
        }
        put(b, list, (size_t)2 * EACH, v);
    }
    for (int i = 0; i < EACH; i++)
        assert_true(!uuid_is_nil(v[i].existing) && uuid_is_nil(v[EACH + i].existing) &&
                    v[EACH + i].bad_need == 0);
    bench_count(b, "tasks", 3 * EACH);
    bench_count(b, "deps d JOIN tasks t ON t.id = d.needs AND t.terms ? 'unique'", 2 * EACH);
    bench_count(b, "(SELECT FROM deps GROUP BY needs HAVING count(*) = 2) x", EACH);
}

/* ---- two sessions ---- */

/* Somebody's transaction has taken a key and lasts: neighbours in the same commit are written, this one may try again. */
static void t22_a_key_is_held(void **state)
{
    struct store_bench *b = *state;
    struct other o = other_open();
    other_sql(
        &o,
        "BEGIN; INSERT INTO uniques VALUES (lathe_unique_key('echo', 'k'), gen_random_uuid(), now(), now())");
    struct new_task list[3] = {bench_task(1, 1), with_terms(b, "{\"unique\": {\"key\": \"k\"}}"),
                               with_terms(b, "{\"unique\": {\"key\": \"l\"}}")};
    struct put_verdict v[3] = {0};
    put(b, list, 3, v);
    assert_true(!v[0].held && v[1].held && !v[2].held);
    bench_count(b, "tasks", 2);
    other_sql(&o, "ROLLBACK");
    put_taken(b, &list[1], 1);
    assert_int_equal(bench_run_all(b, TASK_succeeded), 3);
    nothing_left(b);
    PQfinish(o.conn);
}

/* Who got the key is refused later than that, because what it needs was not taken: the other one may try again. */
static void t23_who_has_the_key_is_refused(void **state)
{
    struct store_bench *b = *state;
    struct other o = other_open();
    other_sql(
        &o,
        "BEGIN; INSERT INTO uniques VALUES (lathe_unique_key('echo', 'l'), gen_random_uuid(), now(), now())");
    struct new_task list[3] = {with_terms(b, "{\"unique\": {\"key\": \"l\"}}")};
    list[1] = with_terms(b, "{\"unique\": {\"key\": \"k\", \"for_s\": 600}, \"depends_on\": [\"%s\"]}",
                         id_text(b, list[0].id));
    list[1].waits = true;
    list[2] = with_terms(b, "{\"unique\": {\"key\": \"k\"}}");
    struct put_verdict v[3] = {0};
    put(b, list, 3, v);
    assert_true(v[0].held && v[1].bad_need == 1 && v[2].held);
    bench_count(b, "tasks", 0);
    other_sql(&o, "ROLLBACK");
    put_taken(b, &list[2], 1);
    assert_int_equal(bench_run_all(b, TASK_succeeded), 1);
    nothing_left(b);
    PQfinish(o.conn);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        STORE_TEST(t10_the_same_work_once),
        STORE_TEST(t11_only_while_it_is_queued),
        STORE_TEST(t12_for_a_time),
        STORE_TEST(t13_within_one_commit),
        STORE_TEST(t14_refused_without_a_key),
        STORE_TEST(t15_nobody_has_a_key),
        STORE_TEST(t16_only_while_it_is_queued_in_one_commit),
        STORE_TEST(t17_a_ring_by_a_key),
        STORE_TEST(t19_many_sent_again),
        STORE_TEST(t22_a_key_is_held),
        STORE_TEST(t23_who_has_the_key_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
