/*
 * Tasks that know each other, at the store: unique work, dependencies, their ends, and what two sessions make of each
 * other while they put and finish.
 */
#include "../lib/test.h"

#include <pthread.h>
#include <stdarg.h>
#include <string.h>

#include "core/mem.h"
#include "store/inside.h"
#include "store_bench.h"

#define MANY 10000

/* ---- moves ---- */

static struct new_task with_terms(struct store_bench *b, const char *format, ...) LATHE_PRINTF(2, 3);

static struct new_task with_terms(struct store_bench *b, const char *format, ...)
{
    char text[512];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    struct new_task t = bench_task(1, 1);
    t.terms = arena_copy(&b->arena, span_of(text));
    return t;
}

static const char *id_text(struct store_bench *b, struct uuid id)
{
    char text[UUID_TEXT];
    uuid_format(id, text);
    return arena_text(&b->arena, span_of(text));
}

static struct new_task needing(struct store_bench *b, struct uuid id)
{
    struct new_task t = with_terms(b, "{\"depends_on\": [\"%s\"]}", id_text(b, id));
    t.waits = true;
    return t;
}

static struct new_task needing_end(struct store_bench *b, struct uuid id)
{
    struct new_task t = with_terms(b, "{\"depends_on\": [\"%s\"], \"depends_if\": \"end\"}", id_text(b, id));
    t.waits = true;
    return t;
}

struct waiter {
    pthread_mutex_t mutex;
    pthread_cond_t cond;
    bool done;
    struct err err;
};

static void on_done(void *arg, const struct err *e)
{
    struct waiter *w = arg;
    pthread_mutex_lock(&w->mutex);
    if (e)
        w->err = *e;
    w->done = true;
    pthread_cond_signal(&w->cond);
    pthread_mutex_unlock(&w->mutex);
}

static void put(struct store_bench *b, const struct new_task *list, size_t n, struct put_verdict *verdicts)
{
    struct waiter w = {.mutex = PTHREAD_MUTEX_INITIALIZER, .cond = PTHREAD_COND_INITIALIZER};
    struct new_tasks t = {.list = list, .count = n, .verdicts = verdicts, .done = on_done, .arg = &w};
    if (!store_put(b->writer, &t, &w.err))
        fail_msg("%s", w.err.text);
    pthread_mutex_lock(&w.mutex);
    while (!w.done)
        pthread_cond_wait(&w.cond, &w.mutex);
    pthread_mutex_unlock(&w.mutex);
    if (w.err.code != ERR_NONE)
        fail_msg("%s", w.err.text);
}

static struct put_verdict put_one(struct store_bench *b, const struct new_task *t)
{
    struct put_verdict v = {0};
    put(b, t, 1, &v);
    return v;
}

static void put_taken(struct store_bench *b, const struct new_task *list, size_t n)
{
    struct put_verdict *v CLEANUP(mem_free_at) = mem_array(n, sizeof *v);
    put(b, list, n, v);
    for (size_t i = 0; i < n; i++)
        assert_true(uuid_is_nil(v[i].existing) && v[i].bad_need == 0 && !v[i].held);
}

/* Claims what there is and ends it so. */
static size_t run_all(struct store_bench *b, enum task_state state)
{
    struct claim c = bench_claim(b, 1000);
    struct finish ends[1000];
    size_t n = c.count;
    for (size_t i = 0; i < n; i++)
        ends[i] = bench_end(b, &c.units[i], state, 0);
    if (n > 0)
        bench_finish(b, ends, n);
    claim_release(&c);
    return n;
}

/* In how many milliseconds to look again. */
static int64_t wake_next(struct store_bench *b)
{
    int64_t woken, next, fire;
    struct err e = ERR_INIT;
    if (!store_wake(b->worker, 1000, &woken, &next, &fire, &e))
        fail_msg("%s", e.text);
    return next;
}

static void wake(struct store_bench *b)
{
    (void)wake_next(b);
}

static void nothing_left(struct store_bench *b)
{
    bench_count(b, "deps", 0);
    bench_count(b, "checks", 0);
    bench_count(b, "uniques", 0);
    bench_count(b, "work", 0);
}

/* ---- dependencies ---- */

static void t01_a_chain(void **state)
{
    struct store_bench *b = *state;
    struct new_task list[3] = {bench_task(1, 1)};
    list[1] = needing(b, list[0].id);
    list[2] = needing(b, list[1].id);
    put_taken(b, list, 3);
    STATE_IS(b, list[0].id, "queued");
    STATE_IS(b, list[1].id, "scheduled");
    for (int i = 0; i < 3; i++) {
        bench_count(b, "work", 1);
        assert_int_equal(run_all(b, TASK_succeeded), 1);
        STATE_IS(b, list[i].id, "succeeded");
    }
    nothing_left(b);
}

static void t02_the_last_of_a_group_releases(void **state)
{
    struct store_bench *b = *state;
    struct new_task group[3] = {bench_task(1, 1), bench_task(2, 1), bench_task(1, 1)};
    put_taken(b, group, 3);
    struct new_task chord =
        with_terms(b, "{\"depends_on\": [\"%s\",\"%s\",\"%s\",\"%s\"]}", id_text(b, group[0].id),
                   id_text(b, group[1].id), id_text(b, group[2].id), id_text(b, group[0].id));
    chord.waits = true;
    put_taken(b, &chord, 1);
    for (int left = 4; left > 0; left--) {
        STATE_IS(b, chord.id, "scheduled");
        struct claim c = bench_claim(b, 1);
        struct finish f = bench_end(b, c.units, TASK_succeeded, 0);
        bench_finish(b, &f, 1);
        claim_release(&c);
    }
    STATE_IS(b, chord.id, "queued");
    assert_int_equal(run_all(b, TASK_succeeded), 1);
    nothing_left(b);
}

static void t03_what_needs_a_failure_fails(void **state)
{
    struct store_bench *b = *state;
    struct new_task list[5] = {bench_task(1, 1)};
    list[1] = needing(b, list[0].id);
    list[2] = needing(b, list[1].id);
    list[3] = needing_end(b, list[0].id);
    list[4] = needing_end(b, list[2].id);
    put_taken(b, list, 5);
    assert_int_equal(run_all(b, TASK_failed), 1);
    struct task t = bench_get(b, list[2].id);
    assert_string_equal(state_name(t.state), "failed");
    assert_int_equal(t.err.code, ERR_DEPENDENCY);
    assert_non_null(strstr(t.err.text, id_text(b, list[1].id)));
    STATE_IS(b, list[1].id, "failed");
    STATE_IS(b, list[3].id, "queued");
    STATE_IS(b, list[4].id, "queued");
    assert_int_equal(run_all(b, TASK_succeeded), 2);
    nothing_left(b);
}

static void t04_cancelling_cancels_what_needs_it(void **state)
{
    struct store_bench *b = *state;
    struct new_task list[4] = {bench_task(1, 1)};
    list[1] = needing(b, list[0].id);
    list[2] = needing(b, list[1].id);
    list[3] = needing_end(b, list[1].id);
    put_taken(b, list, 4);
    struct ended ended;
    bench_cancel_ends(b, list[1].id, &ended);
    assert_int_equal(ended.count, 2);
    assert_true(ended.released);
    STATE_IS(b, list[0].id, "queued");
    STATE_IS(b, list[1].id, "cancelled");
    STATE_IS(b, list[2].id, "cancelled");
    STATE_IS(b, list[3].id, "queued");
    assert_int_equal(run_all(b, TASK_succeeded), 2);
    nothing_left(b);
}

static void t05_what_has_ended_before(void **state)
{
    struct store_bench *b = *state;
    struct new_task good = bench_task(1, 1), bad = bench_task(1, 1);
    put_taken(b, &good, 1);
    run_all(b, TASK_succeeded);
    put_taken(b, &bad, 1);
    run_all(b, TASK_failed);
    struct new_task list[3] = {needing(b, good.id), needing(b, bad.id), needing_end(b, bad.id)};
    put_taken(b, list, 3);
    STATE_IS(b, list[0].id, "queued");
    STATE_IS(b, list[1].id, "failed");
    STATE_IS(b, list[2].id, "queued");
    run_all(b, TASK_succeeded);
    nothing_left(b);
}

static void t06_what_does_not_exist(void **state)
{
    struct store_bench *b = *state;
    struct uuid nobody = uuid_v7();
    struct new_task list[4] = {bench_task(1, 1)};
    list[1] = with_terms(b, "{\"depends_on\": [\"%s\", \"%s\"]}", id_text(b, list[0].id), id_text(b, nobody));
    list[1].waits = true;
    list[2] = needing(b, list[1].id);
    list[3] = needing(b, list[0].id);
    struct put_verdict v[4] = {0};
    put(b, list, 4, v);
    assert_int_equal(v[0].bad_need, 0);
    assert_int_equal(v[1].bad_need, 2);
    assert_int_equal(v[2].bad_need, 1);
    assert_int_equal(v[3].bad_need, 0);
    bench_count(b, "tasks", 2);
    run_all(b, TASK_succeeded);
    run_all(b, TASK_succeeded);
    nothing_left(b);
}

/* Sent again, as after a commit of which nobody knows: nothing is added, and nothing of it goes back. */
static void t07_sent_again(void **state)
{
    struct store_bench *b = *state;
    struct new_task list[3] = {bench_task(1, 1)};
    list[1] = needing(b, list[0].id);
    list[2] = with_terms(b, "{\"unique\": {\"key\": \"k\"}}");
    put_taken(b, list, 3);
    put_taken(b, list, 3);
    assert_int_equal(run_all(b, TASK_succeeded), 2);
    STATE_IS(b, list[1].id, "queued");
    put_taken(b, list, 3);
    bench_count(b, "tasks", 3);
    assert_int_equal(run_all(b, TASK_succeeded), 1);
    put_taken(b, list, 3);
    nothing_left(b);
}

/* A chain as long as a batch, made in one commit, fails as a whole when its first task does. */
static void t08_a_long_chain_fails(void **state)
{
    struct store_bench *b = *state;
    struct new_task *list CLEANUP(mem_free_at) = mem_array(MANY, sizeof *list);
    for (int k = 0; k < MANY / 500; k++) {
        for (int i = 0; i < 500; i++) {
            struct new_task *t = &list[k * 500 + i];
            *t = t == list ? bench_task(1, 1) : needing(b, t[-1].id);
        }
        put_taken(b, list + (ptrdiff_t)k * 500, 500);
    }
    assert_int_equal(run_all(b, TASK_failed), 1);
    bench_count(b, "tasks WHERE state = 'failed'", MANY);
    for (int i = 0; i < 10; i++)
        wake(b);
    nothing_left(b);
}

/* ---- unique work ---- */

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
    run_all(b, TASK_failed);
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
    run_all(b, TASK_succeeded);
    nothing_left(b);
}

static void t12_for_a_time(void **state)
{
    struct store_bench *b = *state;
    const char *terms = "{\"unique\": {\"key\": \"k\", \"for_s\": 600}}";
    struct new_task first = with_terms(b, "%s", terms), second = with_terms(b, "%s", terms);
    put_taken(b, &first, 1);
    run_all(b, TASK_succeeded);
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
    run_all(b, TASK_succeeded);
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
    assert_int_equal(run_all(b, TASK_succeeded), 2);
    assert_int_equal(run_all(b, TASK_succeeded), 1);
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
    assert_int_equal(run_all(b, TASK_succeeded), 2);
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
    run_all(b, TASK_succeeded);
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
    run_all(b, TASK_succeeded);
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
    run_all(b, TASK_succeeded);
    run_all(b, TASK_succeeded);
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

struct other {
    PGconn *conn;
};

static struct other other_open(void)
{
    struct other o = {PQconnectdb(test_pg())};
    assert_int_equal(PQstatus(o.conn), CONNECTION_OK);
    return o;
}

static void other_sql(struct other *o, const char *sql)
{
    PGresult *r = PQexec(o->conn, sql);
    if (PQresultStatus(r) != PGRES_COMMAND_OK && PQresultStatus(r) != PGRES_TUPLES_OK)
        fail_msg("%s: %s", sql, PQresultErrorMessage(r));
    PQclear(r);
}

/* What is needed ends in a transaction that is open when the dependent is put: nobody waits, nobody is forgotten. */
static void t20_it_ends_at_that_moment(void **state)
{
    struct store_bench *b = *state;
    struct other o = other_open();
    struct new_task need = bench_task(1, 1), after = needing(b, need.id), doomed = needing(b, need.id);
    put_taken(b, &need, 1);
    struct claim c = bench_claim(b, 1);
    char sql[1024];
    snprintf(
        sql, sizeof sql,
        "BEGIN; SELECT * FROM lathe_finish(0, '{%s}', '{%s}', '{0}', '{succeeded}', '{1}', '{0}', '{0}', '{1}', "
        "'{1}', '{1}', '{1}', '{1}', '{1}', '{1}', '{0}', '{0}', '{0}', '{NULL}', '{NULL}', '{NULL}', '{0}', "
        "'{1}', '{0}', '{0}', '{\"\"}')",
        id_text(b, c.lease), id_text(b, need.id));
    other_sql(&o, sql);
    put_taken(b, &after, 1);
    STATE_IS(b, after.id, "scheduled");
    bench_count(b, "checks", 1);
    wake(b); /* cannot tell yet */
    STATE_IS(b, after.id, "scheduled");
    bench_count(b, "checks", 1);
    other_sql(&o, "COMMIT");
    put_taken(b, &doomed, 1);
    STATE_IS(b, doomed.id, "queued");
    wake(b);
    STATE_IS(b, after.id, "queued");
    claim_release(&c);
    run_all(b, TASK_succeeded);
    nothing_left(b);
    PQfinish(o.conn);
}

/* The dependent is locked when what it needs fails: the end of that does not wait for it, and is not forgotten. */
static void t21_the_dependent_is_held(void **state)
{
    struct store_bench *b = *state;
    struct other o = other_open();
    struct new_task list[3] = {bench_task(1, 1)};
    list[1] = needing(b, list[0].id);
    list[2] = needing(b, list[1].id);
    put_taken(b, list, 3);
    char sql[256];
    snprintf(sql, sizeof sql, "BEGIN; SELECT FROM tasks WHERE id = '%s' FOR UPDATE", id_text(b, list[1].id));
    other_sql(&o, sql);
    assert_int_equal(run_all(b, TASK_failed), 1);
    STATE_IS(b, list[1].id, "scheduled");
    wake(b);
    STATE_IS(b, list[1].id, "scheduled");
    other_sql(&o, "ROLLBACK");
    wake(b);
    STATE_IS(b, list[1].id, "failed");
    STATE_IS(b, list[2].id, "failed");
    wake(b);
    nothing_left(b);
    PQfinish(o.conn);
}

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
    assert_int_equal(run_all(b, TASK_succeeded), 3);
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
    assert_int_equal(run_all(b, TASK_succeeded), 1);
    nothing_left(b);
    PQfinish(o.conn);
}

/* A unit that is due and locked is not asked for all the time, and one whose time never comes stops no other. */
static void t24_what_does_not_move(void **state)
{
    struct store_bench *b = *state;
    struct other o = other_open();
    struct new_task list[2] = {bench_task(1, 1), bench_task(1, 1)};
    put_taken(b, list, 2);
    bench_sql(
        b, "WITH w AS (DELETE FROM work RETURNING *) "
           "INSERT INTO waiting (task, run_at, rank, seq, first, count, kib, attempt, tries, queue) "
           "SELECT task, now() - interval '1 s', rank, seq, first, count, kib, attempt, tries, queue FROM w");
    char sql[256];
    snprintf(sql, sizeof sql, "BEGIN; SELECT FROM waiting WHERE task = '%s' FOR KEY SHARE",
             id_text(b, list[0].id));
    other_sql(&o, sql);
    assert_in_range(wake_next(b), 1, 1000);
    bench_count(b, "work", 1);
    other_sql(&o, "UPDATE waiting SET run_at = 'infinity'; COMMIT");
    assert_in_range(wake_next(b), 1, (uintmax_t)24 * 3600 * 1000);
    assert_int_equal(run_all(b, TASK_succeeded), 1);
    PQfinish(o.conn);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        STORE_TEST(t01_a_chain),
        STORE_TEST(t02_the_last_of_a_group_releases),
        STORE_TEST(t03_what_needs_a_failure_fails),
        STORE_TEST(t04_cancelling_cancels_what_needs_it),
        STORE_TEST(t05_what_has_ended_before),
        STORE_TEST(t06_what_does_not_exist),
        STORE_TEST(t07_sent_again),
        STORE_TEST(t08_a_long_chain_fails),
        STORE_TEST(t10_the_same_work_once),
        STORE_TEST(t11_only_while_it_is_queued),
        STORE_TEST(t12_for_a_time),
        STORE_TEST(t13_within_one_commit),
        STORE_TEST(t14_refused_without_a_key),
        STORE_TEST(t15_nobody_has_a_key),
        STORE_TEST(t16_only_while_it_is_queued_in_one_commit),
        STORE_TEST(t17_a_ring_by_a_key),
        STORE_TEST(t19_many_sent_again),
        STORE_TEST(t20_it_ends_at_that_moment),
        STORE_TEST(t21_the_dependent_is_held),
        STORE_TEST(t22_a_key_is_held),
        STORE_TEST(t23_who_has_the_key_is_refused),
        STORE_TEST(t24_what_does_not_move),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
