/*
 * The schema: migrations on an empty database, again, at once, and on one that is newer; and that the states of tasks are
 * one table, in SQL as in C.
 *
 * log may say: canceling statement due to lock timeout
 * log may say: may not become|begins as|relation "schema_migrations" does not exist|relation "workers" already exists
 */
#include "../lib/test.h"

#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#include "store_bench.h"
#include "store/migrations.h"

#define T "00000000-0000-7000-8000-000000000001"

/* ---- migrations: each test in a database of its own ---- */

struct fresh {
    struct store_bench bench; /* store and admin only */
    char url[512];
};

static void sql_at(const char *url, const char *sql)
{
    PGconn *c = PQconnectdb(url);
    PGresult *r = PQexec(c, sql);
    if (PQresultStatus(r) != PGRES_COMMAND_OK)
        fail_msg("%s: %s", sql, PQerrorMessage(c));
    PQclear(r);
    PQfinish(c);
}

static int fresh_setup(void **state)
{
    struct fresh *f = calloc(1, sizeof *f);
    struct err e = ERR_INIT;
    sql_at(test_pg(), "CREATE DATABASE fresh");
    snprintf(f->url, sizeof f->url, "%s dbname=fresh", test_pg());
    f->bench.conf.store_url = f->url;
    f->bench.conf.store_pool = 4;
    f->bench.conf.store_timeout = 20000;
    assert_true(store_open(&f->bench.conf, "test", &f->bench.store, &e));
    f->bench.admin = PQconnectdb(f->url);
    *state = f;
    return 0;
}

static int fresh_teardown(void **state)
{
    struct fresh *f = *state;
    store_close(f->bench.store);
    PQfinish(f->bench.admin);
    free(f);
    sql_at(test_pg(), "DROP DATABASE fresh WITH (FORCE)");
    return 0;
}

static void count_applied(void *arg, const char *text)
{
    if (strncmp(text, "applied", 7) == 0)
        atomic_fetch_add((_Atomic int *)arg, 1);
}

static void t01_empty_then_again(void **state)
{
    struct fresh *f = *state;
    struct err e = ERR_INIT;
    _Atomic int applied = 0;
    assert_false(store_ready(f->bench.store, &e));
    assert_int_equal(e.code, ERR_SCHEMA);
    assert_true(store_migrate(f->bench.store, count_applied, &applied, &e));
    assert_int_equal(applied, migrations_count);
    assert_true(store_ready(f->bench.store, &e));
    assert_true(store_migrate(f->bench.store, count_applied, &applied, &e));
    assert_int_equal(applied, migrations_count);
    assert_int_equal(bench_number(&f->bench, "SELECT count(*) FROM schema_migrations"), migrations_count);
}

struct at_once {
    struct store *store;
    _Atomic int *applied;
    bool ok;
    struct err err;
};

static void *migrate(void *arg)
{
    struct at_once *a = arg;
    a->ok = store_migrate(a->store, count_applied, a->applied, &a->err);
    return NULL;
}

static void t02_at_once(void **state)
{
    struct fresh *f = *state;
    _Atomic int applied = 0;
    struct at_once all[4];
    pthread_t threads[4];
    for (int i = 0; i < 4; i++) {
        all[i] = (struct at_once){.store = f->bench.store, .applied = &applied};
        assert_int_equal(pthread_create(&threads[i], NULL, migrate, &all[i]), 0);
    }
    for (int i = 0; i < 4; i++) {
        pthread_join(threads[i], NULL);
        if (!all[i].ok)
            fail_msg("%s", all[i].err.text);
    }
    assert_int_equal(applied, migrations_count);
}

static void t03_newer_is_left_alone(void **state)
{
    struct fresh *f = *state;
    struct err e = ERR_INIT;
    _Atomic int applied = 0;
    assert_true(store_migrate(f->bench.store, count_applied, &applied, &e));
    bench_sql(&f->bench,
              "INSERT INTO schema_migrations (version, name, checksum) VALUES (999, '999_later.sql', '')");
    assert_false(store_migrate(f->bench.store, count_applied, &applied, &e));
    assert_int_equal(e.code, ERR_SCHEMA);
    e = (struct err)ERR_INIT;
    assert_false(store_ready(f->bench.store, &e));
    assert_int_equal(e.code, ERR_SCHEMA);
    assert_int_equal(bench_number(&f->bench, "SELECT count(*) FROM schema_migrations"), migrations_count + 1);
}

static void t04_another_text(void **state)
{
    struct fresh *f = *state;
    struct err e = ERR_INIT;
    _Atomic int applied = 0;
    assert_true(store_migrate(f->bench.store, count_applied, &applied, &e));
    bench_sql(&f->bench, "UPDATE schema_migrations SET checksum = 'x' WHERE version = 1");
    assert_false(store_migrate(f->bench.store, count_applied, &applied, &e));
    assert_int_equal(e.code, ERR_SCHEMA);
    assert_non_null(strstr(e.text, "001_"));
}

/* A migration that fails leaves nothing behind: not its first half, and no record. */
static void t05_one_that_fails(void **state)
{
    struct fresh *f = *state;
    struct err e = ERR_INIT;
    _Atomic int applied = 0;
    bench_sql(&f->bench, "CREATE TABLE workers (x integer)"); /* in the way of the first one's last tables */
    assert_false(store_migrate(f->bench.store, count_applied, &applied, &e));
    assert_non_null(strstr(e.text, "001_"));
    assert_int_equal(
        bench_number(&f->bench, "SELECT count(*) FROM pg_class WHERE relname IN ('tasks', 'work')"), 0);
    bench_sql(&f->bench, "DROP TABLE workers");
    assert_true(store_migrate(f->bench.store, count_applied, &applied, &e));
    assert_int_equal(applied, migrations_count);
}

/* Somebody reads what the first migration writes. */
static void stand_in_the_way(struct fresh *f)
{
    f->bench.conf.store_timeout = 1000;
    bench_sql(&f->bench, "CREATE TABLE schema_migrations (version integer PRIMARY KEY, name text NOT NULL, "
                         "checksum text NOT NULL, applied_at timestamptz NOT NULL DEFAULT now())");
    bench_sql(&f->bench, "SET application_name = 'a report'");
    bench_sql(&f->bench, "BEGIN; LOCK TABLE schema_migrations IN SHARE MODE");
}

struct told {
    struct fresh *fresh;
    int waits, applied;
};

static void go_away_when_told(void *arg, const char *text)
{
    struct told *t = arg;
    t->applied += strncmp(text, "applied", 7) == 0;
    if (!strstr(text, "001_tables.sql waits for a lock (held: schema_migrations by process "))
        return;
    if (t->waits++ == 0)
        bench_sql(&t->fresh->bench, "COMMIT");
}

/* It waits shortly, lets others go on, and tries again. */
static void t06_a_lock_that_comes_free(void **state)
{
    struct fresh *f = *state;
    struct err e = ERR_INIT;
    struct told told = {.fresh = f};
    stand_in_the_way(f);
    if (!store_migrate(f->bench.store, go_away_when_told, &told, &e))
        fail_msg("%s", e.text);
    assert_int_equal(told.waits, 1);
    assert_int_equal(told.applied, migrations_count);
}

/* Not for ever: it says who has what. */
static void t07_a_lock_that_does_not(void **state)
{
    struct fresh *f = *state;
    struct err e = ERR_INIT;
    _Atomic int applied = 0;
    stand_in_the_way(f);
    assert_false(store_migrate(f->bench.store, count_applied, &applied, &e));
    if (!strstr(e.text, "001_tables.sql did not get a lock") ||
        !strstr(e.text, "held: schema_migrations by process ") ||
        !strstr(e.text, "\"a report\", idle in transaction") || !strstr(e.text, "End that, and run"))
        fail_msg("%s", e.text);
    bench_sql(&f->bench, "COMMIT");
    assert_true(store_migrate(f->bench.store, count_applied, &applied, &e));
    assert_int_equal(applied, migrations_count);
}

/* ---- states ---- */

#define EACH(s) for (int s = 0; s < TASK_STATES; s++)

static void t10_states_are_the_same(void **state)
{
    struct store_bench *b = *state;
    char sql[256];
    assert_int_equal(bench_number(b, "SELECT count(*) FROM pg_enum WHERE enumtypid = 'task_state'::regtype"),
                     TASK_STATES);
    EACH(s)
    {
        const char *name = state_name((enum task_state)s);
        snprintf(sql, sizeof sql, "SELECT lathe_final('%s')::integer", name);
        assert_int_equal(bench_number(b, sql), state_final((enum task_state)s));
        snprintf(sql, sizeof sql, "SELECT count(*) FROM unnest(enum_range(NULL, '%s'::task_state))", name);
        assert_int_equal(bench_number(b, sql), s + 1); /* in the order of state.def */
    }
}

static void put_in_state(struct store_bench *b, enum task_state s)
{
    char sql[1024];
    snprintf(
        sql, sizeof sql,
        "TRUNCATE tasks; ALTER TABLE tasks DISABLE TRIGGER tasks_begin; INSERT INTO tasks (id, digest, item_timeout_ms, "
        "timeout_ms, state, ord, items_total, units_total, unit_size, batch_size, workers, priority, container, "
        "fail_fast, handler, strategy, inner_strategy, queue, params, tags, meta, finished_at) VALUES ('" T
        "', 0, 0, 0, "
        "'%s', 0, 1, 1, 1, 1, 1, 5, false, false, '', '', '', '', '', '', '', CASE WHEN lathe_final('%s') THEN now() END);"
        "ALTER TABLE tasks ENABLE TRIGGER tasks_begin",
        state_name(s), state_name(s));
    bench_sql(b, sql);
}

/* What the table itself takes, whoever asks. */
static bool move(struct store_bench *b, enum task_state to)
{
    char sql[256];
    snprintf(
        sql, sizeof sql,
        "UPDATE tasks SET state = '%s', finished_at = CASE WHEN lathe_final('%s') THEN now() END WHERE id = '" T
        "'",
        state_name(to), state_name(to));
    PGresult *r = PQexec(b->admin, sql);
    bool ok = PQresultStatus(r) == PGRES_COMMAND_OK;
    if (!ok)
        assert_string_equal(PQresultErrorField(r, PG_DIAG_SQLSTATE), "LT001");
    PQclear(r);
    return ok;
}

static void t11_moves_are_the_same(void **state)
{
    struct store_bench *b = *state;
    EACH(from)
    {
        put_in_state(b, (enum task_state)from);
        EACH(to)
        {
            char sql[128];
            bool may = state_may((enum task_state)from, (enum task_state)to);
            const char *f = state_name((enum task_state)from), *t = state_name((enum task_state)to);
            snprintf(sql, sizeof sql, "SELECT lathe_may('%s', '%s')::integer", f, t);
            if (bench_number(b, sql) != may)
                fail_msg("%s -> %s: C says %d", f, t, may);
            if (move(b, (enum task_state)to) != (may || from == to))
                fail_msg("%s -> %s: the table does not say %d", f, t, may);
            if (may)
                put_in_state(b, (enum task_state)from);
        }
    }
}

static void t12_no_task_begins_at_its_end(void **state)
{
    struct store_bench *b = *state;
    EACH(s)
    {
        char sql[512];
        snprintf(
            sql, sizeof sql,
            "INSERT INTO tasks (id, digest, item_timeout_ms, timeout_ms, state, ord, items_total, units_total, unit_size, "
            "batch_size, workers, priority, container, fail_fast, handler, strategy, inner_strategy, queue, params, tags, "
            "meta, finished_at) VALUES (gen_random_uuid(), 0, 0, 0, '%s', 0, 1, 1, 1, 1, 1, 5, false, false, '', '', '', "
            "'', '', '', '', CASE WHEN lathe_final('%s') THEN now() END)",
            state_name((enum task_state)s), state_name((enum task_state)s));
        PGresult *r = PQexec(b->admin, sql);
        assert_int_equal(PQresultStatus(r) == PGRES_COMMAND_OK, !state_final((enum task_state)s));
        PQclear(r);
    }
}

#define FRESH(f) cmocka_unit_test_setup_teardown(f, fresh_setup, fresh_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        FRESH(t01_empty_then_again),        FRESH(t02_at_once),
        FRESH(t03_newer_is_left_alone),     FRESH(t04_another_text),
        FRESH(t05_one_that_fails),          FRESH(t06_a_lock_that_comes_free),
        FRESH(t07_a_lock_that_does_not),    STORE_TEST(t10_states_are_the_same),
        STORE_TEST(t11_moves_are_the_same), STORE_TEST(t12_no_task_begins_at_its_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
