/*
 * The store when PostgreSQL is not well: frozen, losing connections, or starting again in the middle of things.
 *
 * log may say: terminating connection|terminated by signal|connection to client lost|unexpected EOF|canceling statement
 * log may say: in recovery mode|the database system is|could not send data to client
 */
#include "../lib/test.h"

#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

#include "core/clock.h"
#include "core/mem.h"
#include "store_bench.h"
#include "store/inside.h"

/* ---- the server's processes ---- */

static pid_t backends[128];
static int backends_n;

static void find_backends(struct store_bench *b)
{
    PGresult *r = PQexec(b->admin, "SELECT pid FROM pg_stat_activity WHERE application_name = 'lathe-test'");
    backends_n = PQntuples(r);
    assert_in_range(backends_n, 1, 128);
    for (int i = 0; i < backends_n; i++)
        backends[i] = (pid_t)strtol(PQgetvalue(r, i, 0), NULL, 10);
    PQclear(r);
}

/* All of it that we talk to: the postmaster, so that nobody gets in, and who serves us. */
static void freeze(struct store_bench *b)
{
    find_backends(b);
    assert_int_equal(kill(test_pg_pid(), SIGSTOP), 0);
    for (int i = 0; i < backends_n; i++)
        assert_int_equal(kill(backends[i], SIGSTOP), 0);
}

static void thaw(void)
{
    for (int i = 0; i < backends_n; i++)
        kill(backends[i], SIGCONT);
    kill(test_pg_pid(), SIGCONT);
}

static void wait_ready(struct store_bench *b)
{
    int64_t deadline = clock_after_ms(60000);
    struct err e = ERR_INIT;
    while (!store_ready(b->store, &e))
        if (clock_now() > deadline)
            fail_msg("not ready again: %s", e.text);
    PQreset(b->admin);
    assert_int_equal(PQstatus(b->admin), CONNECTION_OK);
}

/* ---- frozen ---- */

static void t01_a_frozen_server_holds_nobody(void **state)
{
    struct store_bench *b = *state;
    struct new_task n = bench_task(1, 1), m = bench_task(1, 1);
    struct err e = ERR_INIT;
    struct task t;
    struct claim c = {.count = 0};
    bench_put_ok(b, &n, 1);
    bench_get(b, n.id);
    c = bench_claim(b, 1);
    b->conf.store_timeout = 300;
    freeze(b);
    assert_false(store_get(b->store, &b->arena, n.id, &t, &e));
    assert_int_equal(e.code, ERR_STORE);
    e = (struct err)ERR_INIT;
    assert_false(store_ready(b->store, &e));
    assert_int_equal(e.code, ERR_STORE);
    e = (struct err)ERR_INIT;
    assert_int_equal(bench_put(b, &m, 1).code, ERR_STORE);
    struct finish f = bench_end(b, c.units, TASK_succeeded, 0);
    struct claim none = {.count = 0};
    assert_false(store_turn(b->worker, &f, 1, 1, &none, &e));
    assert_int_equal(e.code, ERR_STORE);
    assert_int_equal(none.count, 0);
    thaw();
    b->conf.store_timeout = 20000;
    wait_ready(b);

    /* Whatever became of the first finish, the second is the same. */
    int64_t deadline = clock_after_ms(60000);
    while (!store_turn(b->worker, &f, 1, 0, &none, &e))
        assert_true(clock_now() < deadline);
    assert_true(f.applied && f.final);
    STATE_IS(b, n.id, "succeeded");
    assert_int_equal(bench_number(b, "SELECT count(*) FROM tasks WHERE result IS NOT NULL"), 1);
    claim_release(&c);
}

/* Who can do without an answer does not wait for it as long as others. */
static void t03_a_profile_has_its_deadline(void **state)
{
    struct store_bench *b = *state;
    struct correction c[16];
    struct profile p;
    struct err e = ERR_INIT;
    assert_true(store_profile(b->store, SPAN("echo"), 7, CLOCK_NEVER, &p, c, COUNT_OF(c), &e));
    b->conf.store_timeout = 600000;
    freeze(b);
    int64_t begin = clock_now();
    assert_false(store_profile(b->store, SPAN("echo"), 7, clock_after_ms(300), &p, c, COUNT_OF(c), &e));
    assert_int_equal(e.code, ERR_STORE);
    thaw();
    assert_true(clock_now() - begin < 120 * NS_PER_S); /* and not 600 s */
    b->conf.store_timeout = 20000;
    wait_ready(b);
}

/* A worker's calls end earlier when it says so, and when somebody hurries it. */
static void t02_a_frozen_server_and_a_hurry(void **state)
{
    struct store_bench *b = *state;
    struct claim none = {.count = 0};
    struct err e = ERR_INIT;
    int hurry[2];
    assert_int_equal(pipe2(hurry, O_CLOEXEC), 0);
    b->conf.store_timeout = 600000;
    assert_true(store_turn(b->worker, NULL, 0, 1, &none, &e));
    freeze(b);
    int64_t begin = clock_now();
    store_worker_bound(b->worker, 300, -1);
    assert_false(store_turn(b->worker, NULL, 0, 1, &none, &e));
    thaw();
    b->conf.store_timeout = 20000;
    store_worker_bound(b->worker, 0, hurry[0]);
    wait_ready(b);
    while (!store_turn(b->worker, NULL, 0, 1, &none, &e))
        assert_true(clock_now() - begin < 60 * NS_PER_S);

    b->conf.store_timeout = 600000;
    freeze(b);
    assert_int_equal(write(hurry[1], "", 1), 1);
    assert_false(store_turn(b->worker, NULL, 0, 1, &none, &e));
    assert_int_equal(e.code, ERR_STORE);
    thaw();
    assert_true(clock_now() - begin < 120 * NS_PER_S); /* and not 600 s */
    b->conf.store_timeout = 20000;
    wait_ready(b);
    while (!store_turn(b->worker, NULL, 0, 1, &none, &e)) /* it is still hurried, and that is no failure */
        assert_true(clock_now() - begin < 180 * NS_PER_S);
    store_worker_bound(b->worker, 0, -1);
    close(hurry[0]);
    close(hurry[1]);
}

/* ---- connections die under a stream of submissions ---- */

struct many {
    struct new_task task;
    struct new_tasks put;
    struct err err;
    _Atomic bool done;
};

static _Atomic int answered;

static void on_many(void *arg, const struct err *e)
{
    struct many *m = arg;
    if (e)
        m->err = *e;
    atomic_store(&m->done, true);
    atomic_fetch_add(&answered, 1);
}

static void put_many(struct store_bench *b, struct many *m)
{
    struct err e = ERR_INIT;
    *m = (struct many){.task = bench_task(1, 1)};
    m->put = (struct new_tasks){.list = &m->task, .count = 1, .done = on_many, .arg = m};
    assert_true(store_put(b->writer, &m->put, &e));
}

static void wait_answered(int n)
{
    int64_t deadline = clock_after_ms(60000);
    while (atomic_load(&answered) < n)
        assert_true(clock_now() < deadline);
}

/* A commit whose answer is lost is sent again; nothing is lost, nothing is there twice. */
static void t10_commits_survive_lost_connections(void **state)
{
    struct store_bench *b = *state;
    static struct many m[2000];
    atomic_store(&answered, 0);
    for (int i = 0; i < (int)COUNT_OF(m); i++) {
        put_many(b, &m[i]);
        if (i % 100 == 99)
            bench_sql(
                b,
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'lathe-test'");
    }
    wait_answered(COUNT_OF(m));
    for (size_t i = 0; i < COUNT_OF(m); i++)
        if (m[i].err.code != ERR_NONE)
            fail_msg("%s", m[i].err.text);
    assert_int_equal(bench_number(b, "SELECT count(*) FROM tasks"), COUNT_OF(m));
    assert_int_equal(bench_number(b, "SELECT count(*) FROM work"), COUNT_OF(m));
}

/* The whole server goes down under its writer, as after a crash, and comes back. */
static void t11_commits_survive_a_crash(void **state)
{
    struct store_bench *b = *state;
    static struct many m[300];
    atomic_store(&answered, 0);
    put_many(b, &m[0]);
    wait_answered(1);
    find_backends(b);
    for (int i = 1; i < (int)COUNT_OF(m); i++) {
        put_many(b, &m[i]);
        if (i == 150)
            assert_int_equal(kill(backends[0], SIGKILL), 0); /* the postmaster then throws everybody out */
    }
    wait_answered(COUNT_OF(m));
    wait_ready(b);
    for (size_t i = 0; i < COUNT_OF(m); i++)
        if (m[i].err.code != ERR_NONE)
            fail_msg("%s", m[i].err.text);
    assert_int_equal(bench_number(b, "SELECT count(*) FROM tasks"), COUNT_OF(m));
    assert_int_equal(bench_number(b, "SELECT count(*) FROM work"), COUNT_OF(m));
}

/* A reader that was connected before does not notice. */
static void t12_reads_go_on(void **state)
{
    struct store_bench *b = *state;
    struct new_task n = bench_task(1, 1);
    bench_put_ok(b, &n, 1);
    for (int i = 0; i < 20; i++) {
        STATE_IS(b, n.id, "queued");
        bench_sql(
            b,
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE application_name = 'lathe-test'");
    }
}

/* ---- bounds ---- */

static void t20_a_full_queue_says_so(void **state)
{
    struct store_bench *b = *state;
    static struct many m[LIMIT_WRITE_QUEUE + 1];
    struct err e = ERR_INIT;
    atomic_store(&answered, 0);
    put_many(b, &m[0]);
    wait_answered(1);
    freeze(b);
    size_t accepted = 1;
    for (size_t i = 1; i < COUNT_OF(m); i++) {
        m[i] = (struct many){.task = bench_task(1, 1)};
        m[i].put = (struct new_tasks){.list = &m[i].task, .count = 1, .done = on_many, .arg = &m[i]};
        if (!store_put(b->writer, &m[i].put, &e))
            break;
        accepted++;
    }
    struct many *one_more = mem_alloc(sizeof *one_more);
    one_more->task = bench_task(1, 1);
    one_more->put = (struct new_tasks){.list = &one_more->task, .count = 1, .done = on_many, .arg = one_more};
    assert_false(store_put(b->writer, &one_more->put, &e));
    assert_int_equal(e.code, ERR_BUSY);
    assert_false(atomic_load(&one_more->done));
    thaw();
    wait_answered((int)accepted);
    mem_free(one_more);
    assert_int_equal(accepted, LIMIT_WRITE_QUEUE + 1); /* the first one had gone */
    assert_int_equal(bench_number(b, "SELECT count(*) FROM tasks"), accepted);
}

/* Large tasks fill it long before the rows do. */
static void t20b_a_queue_is_full_by_bytes(void **state)
{
    struct store_bench *b = *state;
    enum { MOST = 40 };
    static struct many m[MOST];
    struct err e = ERR_INIT;
    char *bytes = mem_alloc(8 * MIB);
    struct span input = {bytes, 8 * MIB};
    static struct many first;
    int accepted = 0;
    atomic_store(&answered, 0);
    put_many(b, &first);
    wait_answered(1);
    freeze(b);
    for (; accepted < MOST; accepted++) {
        struct many *x = &m[accepted];
        *x = (struct many){.task = bench_task(1, 1)};
        x->task.inputs = &input;
        x->put = (struct new_tasks){.list = &x->task, .count = 1, .done = on_many, .arg = x};
        if (!store_put(b->writer, &x->put, &e))
            break;
    }
    thaw();
    wait_answered(accepted + 1);
    assert_int_equal(accepted, LIMIT_WRITE_QUEUE_BYTES / (8 * MIB) - 1); /* each has its params, too */
    assert_int_equal(e.code, ERR_BUSY);
    put_many(b, &m[0]); /* there is room again */
    wait_answered(accepted + 2);
    assert_int_equal(m[0].err.code, ERR_NONE);
    mem_free(bytes);
}

/* What a task depends on is rows to be written, too. */
static void t20c_a_queue_is_full_by_needs(void **state)
{
    struct store_bench *b = *state;
    enum { MOST = 8 };
    static struct many m[MOST], first;
    struct err e = ERR_INIT;
    int accepted = 0;
    atomic_store(&answered, 0);
    put_many(b, &first);
    wait_answered(1);
    freeze(b);
    for (; accepted < MOST; accepted++) {
        struct many *x = &m[accepted];
        *x = (struct many){.task = bench_task(1, 1)};
        x->task.needs = LIMIT_WRITE_QUEUE / 4 - 1;
        x->put = (struct new_tasks){.list = &x->task, .count = 1, .done = on_many, .arg = x};
        if (!store_put(b->writer, &x->put, &e))
            break;
    }
    thaw();
    wait_answered(accepted + 1);
    assert_int_equal(accepted, 4);
    assert_int_equal(e.code, ERR_BUSY);
    put_many(b, &m[0]); /* there is room again */
    wait_answered(accepted + 2);
    assert_int_equal(m[0].err.code, ERR_NONE);
}

/* Stopping is bounded too: what PostgreSQL does not take in time is given up, and said so. */
static void t21_stopping_does_not_wait_for_ever(void **state)
{
    struct store_bench *b = *state;
    static struct many m[2];
    struct err e = ERR_INIT;
    atomic_store(&answered, 0);
    put_many(b, &m[0]);
    wait_answered(1);
    freeze(b);
    put_many(b, &m[1]);
    b->conf.store_timeout = 200;
    store_writer_free(b->writer);
    assert_true(atomic_load(&m[1].done));
    assert_true(m[1].err.code == ERR_STOPPING || m[1].err.code == ERR_STORE);
    b->conf.store_timeout = 20000;
    thaw();
    assert_true(store_writer_new(b->store, &b->writer, &e));
}

/* Much goes out while much comes in: each side's buffers are full, and nobody waits for the other. */
static void t22_both_ways_at_once(void **state)
{
    struct store_bench *b = *state;
    struct buf line CLEANUP(buf_release) = BUF_INIT(16 * MIB),
                    result CLEANUP(buf_release) = BUF_INIT(64 * MIB);
    for (int i = 0; i < 8 * 1024 * 1024; i++)
        buf_char(&line, (char)('a' + (i * 7 + i / 1000) % 26));
    buf_char(&line, '\n');
    buf_puts(&result, "{\"index\":0,\"result\":\"");
    for (int i = 0; i < 24 * 1024 * 1024; i++)
        buf_char(&result, (char)('a' + (i * 11 + i / 999) % 26));
    buf_puts(&result, "\"}\n");
    struct span input = buf_view(&line);
    struct new_task n[3];
    for (size_t i = 0; i < COUNT_OF(n); i++) {
        n[i] = bench_task(1, 1);
        n[i].inputs = &input;
        bench_put_ok(b, &n[i], 1);
    }
    struct claim c = bench_claim(b, 1), more = {.count = 0};
    struct finish f = bench_end(b, c.units, TASK_succeeded, 0);
    struct err e = ERR_INIT;
    f.results = buf_view(&result);
    if (!store_turn(b->worker, &f, 1, 2, &more, &e))
        fail_msg("%s", e.text);
    assert_true(f.applied && f.final);
    assert_int_equal(more.count, 2);
    assert_true(span_eq(more.units[1].inputs, input));
    claim_release(&c);
    claim_release(&more);
}

/* ---- several hosts ---- */

/* A first host that swallows everything leaves time for the second, whether or not it has the rest of the deadline to itself. */
static void t30_a_mute_host_leaves_time_for_the_others(void **state)
{
    struct store_bench *b = *state;
    struct conf conf = b->conf;
    struct store *s;
    struct err e = ERR_INIT;
    char url[512];
    int fd = bench_mute_host(url, sizeof url, true);
    conf.store_url = url;
    conf.store_timeout = 4000;
    assert_true(store_open(&conf, "hosts", &s, &e));
    if (!store_ready(s, &e))
        fail_msg("%s", e.text);
    store_close(s);
    close(fd);
}

/* Claims that do not end count as dear ones, until one that begins elsewhere does not end either. */
static void t31_claims_that_do_not_end(void **state)
{
    struct store_bench *b = *state;
    struct new_task n = bench_task(2, 1);
    struct err e = ERR_INIT;
    struct claim c;
    bench_put_ok(b, &n, 1);
    c = bench_claim(b, 1);
    claim_release(&c);
    b->worker->from.dear = 0; /* this one was planned, which is dear on a slow machine */
    db_close(&b->worker->db); /* a session has its limits from its beginning */
    b->conf.store_timeout = 1000;
    bench_sql(
        b,
        "CREATE FUNCTION test_sleep() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(60); END $$;"
        "CREATE TRIGGER slow BEFORE INSERT ON leases EXECUTE FUNCTION test_sleep()");
    for (int i = 0; i < 3; i++) {
        assert_true(claim_from(&b->worker->from, clock_now()).rank_us == 0);
        assert_false(store_turn(b->worker, NULL, 0, 1, &c, &e));
    }
    assert_true(claim_from(&b->worker->from, clock_now()).rank_us != 0);
    assert_false(store_turn(b->worker, NULL, 0, 1, &c, &e));
    assert_true(claim_from(&b->worker->from, clock_now()).rank_us == 0);
    bench_sql(b, "DROP TRIGGER slow ON leases; DROP FUNCTION test_sleep");
    b->conf.store_timeout = 20000;
    c = bench_claim(b, 9);
    assert_int_equal(c.count, 1);
    claim_release(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        STORE_TEST(t01_a_frozen_server_holds_nobody),
        STORE_TEST(t02_a_frozen_server_and_a_hurry),
        STORE_TEST(t03_a_profile_has_its_deadline),
        STORE_TEST(t10_commits_survive_lost_connections),
        STORE_TEST(t11_commits_survive_a_crash),
        STORE_TEST(t12_reads_go_on),
        STORE_TEST(t20_a_full_queue_says_so),
        STORE_TEST(t20b_a_queue_is_full_by_bytes),
        STORE_TEST(t20c_a_queue_is_full_by_needs),
        STORE_TEST(t21_stopping_does_not_wait_for_ever),
        STORE_TEST(t22_both_ways_at_once),
        STORE_TEST(t30_a_mute_host_leaves_time_for_the_others),
        STORE_TEST(t31_claims_that_do_not_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
