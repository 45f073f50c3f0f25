/*
 * Rows that handlers put, on a real PostgreSQL: what gathers, whose fault is whose, and what a repeated run finds.
 *
 * log may say: duplicate key value violates unique constraint
 * log may say: violates check constraint "no_(bob|teapot|fifth)"
 * log may say: terminating connection due to administrator command|canceling statement|connection to client lost
 */
#include "../lib/test.h"

#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>

#include "../lib/http_server.h"
#include "core/mem.h"
#include "core/metrics.h"
#include "core/net_guard.h"
#include "exec/exec.h"
#include "handlers/registry.h"
#include "model/outgoing.h"
#include "model/port.h"
#include "model/rows.h"
#include "model/strategy.h"
#include "store_bench.h"

#define MOST 6000

struct seen {
    enum outcome_kind kind[MOST];
    enum err_code code[MOST];
    char text[MOST][160]; /* the result, or why it failed */
    int64_t reports;
    int64_t cancel_after;
    struct cancel cancel;
};

static struct seen *seen;
static struct http_server server;
static struct conf conf; /* what the port is told: it lasts as long as the process */

static void on_item(void *arg, const struct outcome *o)
{
    struct span text = o->kind == OUTCOME_OK ? o->result : span_of(o->err->text);
    (void)arg;
    seen->kind[o->index] = o->kind;
    seen->code[o->index] = o->kind == OUTCOME_OK ? ERR_NONE : o->err->code;
    snprintf(seen->text[o->index], sizeof seen->text[0], SPAN_FMT, SPAN_ARG(text));
    if (++seen->reports == seen->cancel_after)
        cancel_raise(&seen->cancel);
}

/* A run of a task that is its own, or of the one that is given. */
struct run {
    const struct handler *handler;
    const char *params;
    const char *const *inputs; /* NULL: counted */
    int64_t count, retries, cancel_after;
    struct shape shape;
    struct uuid task;
};

static struct exec_report run(const struct run *r)
{
    struct arena a CLEANUP(arena_release) = ARENA_INIT;
    const struct json *params = NULL;
    void *args = arena_alloc(&a, r->handler->params.size);
    struct span *inputs = arena_array(&a, (size_t)r->count, sizeof *inputs);
    struct exec_report report;
    struct err e = ERR_INIT;
    for (int64_t i = 0; r->inputs && i < r->count; i++)
        inputs[i] = span_of(r->inputs[i]);
    memset(seen, 0, sizeof *seen);
    seen->cancel_after = r->cancel_after;
    assert_true(!r->params || json_read(&a, span_of(r->params), &params, &e));
    if (!fields_read(&r->handler->params, params, "", args, &e))
        fail_msg("%s", e.text);
    struct plan p = {
        .handler = r->handler,
        .args = args,
        .inputs = r->inputs ? inputs : NULL,
        .task = uuid_is_nil(r->task) ? uuid_v7() : r->task,
        .count = r->count,
        .shape = r->shape.threads ? r->shape : (struct shape){.threads = 1, .width = r->count, .grain = 1},
        .deadline = CLOCK_NEVER,
        .item_retries = r->retries,
        .backoff = {.base_ms = 10, .factor = 1, .max_ms = 10},
        .cancel = &seen->cancel,
        .done = on_item,
    };
    if (!exec_run(&p, &report, &e))
        fail_msg("%s", e.text);
    assert_int_equal(seen->reports, r->count);
    return report;
}

static void is(int64_t item, const char *begins)
{
    if (strncmp(seen->text[item], begins, strlen(begins)) != 0)
        fail_msg("item %d says %s, not %s", (int)item, seen->text[item], begins);
}

static void has(int64_t item, const char *part)
{
    if (!strstr(seen->text[item], part))
        fail_msg("item %d says %s, without %s", (int)item, seen->text[item], part);
}

static int setup(void **state)
{
    store_bench_setup(state);
    struct store_bench *b = *state;
    bench_sql(b, "ALTER TABLE users DROP CONSTRAINT IF EXISTS no_bob, DROP CONSTRAINT IF EXISTS no_fifth");
    bench_sql(b, "TRUNCATE users, data_records, outgoing");
    conf.store_timeout = 20000;
    return 0;
}

/* ---- tests */

static void t01_gathered(void **state)
{
    struct store_bench *b = *state;
    struct exec_report r = run(&(struct run){.handler = &handler_db_users, .count = 3000});
    assert_int_equal(r.ok, 3000);
    bench_count(b, "users", 3000);
    bench_count(b, "users WHERE email = 'user-' || item || '@example.com' AND name = 'user ' || item", 3000);
    /* Each commit has a number of its own: they were few. */
    int64_t commits = bench_number(b, "SELECT count(DISTINCT xmin::text) FROM users");
    if (commits > 30)
        fail_msg("%d commits for 3000 users of one thread", (int)commits);
}

static void t02_duplicates_of_each_other(void **state)
{
    static const char *const users[] = {
        "{\"email\": \"ann@example.com\", \"name\": \"Ann\", \"age\": 30}",
        "{\"email\": \"bo@example.com\", \"meta\": {\"k\": [1, \"\\u00e4\"]}}",
        "{\"email\": \"ANN@Example.com\"}",
        "{\"email\": \"cy@example.com\"}",
        "{\"email\": \"ann@example.com\"}",
    };
    struct store_bench *b = *state;
    struct run r = {.handler = &handler_db_users, .inputs = users, .count = 5};
    struct exec_report report = run(&r);
    assert_int_equal(report.ok, 3);
    assert_int_equal(seen->code[2], ERR_DUPLICATE);
    assert_int_equal(seen->code[4], ERR_DUPLICATE);
    has(2, "ann@example.com");
    has(0, "\"created\":true");
    bench_count(b, "users", 3);
    bench_count(b, "users WHERE email = 'ann@example.com' AND item = 0 AND name = 'Ann' AND age = 30", 1);
    bench_count(b, "users WHERE email = 'bo@example.com' AND age IS NULL AND meta = '{\"k\": [1, \"ä\"]}'",
                1);

    r.params = "{\"on_duplicate\": \"report\"}";
    report = run(&r); /* another task: all are there already */
    if (report.ok != 5)
        fail_msg("%s", seen->text[0]);
    for (int i = 0; i < 5; i++)
        has(i, "\"created\":false,\"duplicate\":true");
    bench_count(b, "users", 3);
}

static void t03_no_address(void **state)
{
    static const char *const users[] = {
        "{\"email\": \"a@b@c\"}",
        "{\"email\": \"@b\"}",
        "{\"email\": \"ab@\"}",
        "{\"email\": \"a b@c\"}",
        "{\"name\": \"x\"}",
        "\"a@b\"",
        "{\"email\": \"a@b\", \"meta\": 1}",
        "{\"email\": \"a@b\", \"colour\": 1}",
        "{\"email\": \"a@b\"}",
    };
    struct store_bench *b = *state;
    struct exec_report r =
        run(&(struct run){.handler = &handler_db_users, .inputs = users, .count = 9, .retries = 3});
    assert_int_equal(r.ok, 1);
    for (int i = 0; i < 7; i++)
        assert_int_equal(seen->code[i], ERR_BAD_FIELD);
    assert_int_equal(seen->code[7], ERR_UNKNOWN_FIELD);
    bench_count(b, "users", 1);
}

/* One that PostgreSQL refuses fails alone, wherever it stands, and is told what PostgreSQL said. */
static void t04_refused_among_good_ones(void **state)
{
    static char text[500][64];
    static const char *users[500];
    struct store_bench *b = *state;
    bench_sql(b, "ALTER TABLE users ADD CONSTRAINT no_bob CHECK (name <> 'Bob')");
    for (int i = 0; i < 500; i++) {
        snprintf(text[i], sizeof text[i], "{\"email\": \"u%d@example.com\", \"name\": \"%s\"}", i,
                 i % 100 == 7 ? "Bob" : "Al");
        users[i] = text[i];
    }
    struct exec_report r = run(&(struct run){.handler = &handler_db_users, .inputs = users, .count = 500});
    assert_int_equal(r.ok, 495);
    for (int i = 7; i < 500; i += 100) {
        assert_int_equal(seen->code[i], ERR_DATA);
        has(i, "no_bob");
    }
    bench_count(b, "users", 495);
}

static void t05_the_same_task_again(void **state)
{
    struct store_bench *b = *state;
    struct run r = {.handler = &handler_db_users, .count = 1000, .task = uuid_v7()};
    char first[160];
    assert_int_equal(run(&r).ok, 1000);
    memcpy(first, seen->text[500], sizeof first);
    bench_sql(b, "DELETE FROM users WHERE item % 2 = 1"); /* as if the first run had got half as far */
    assert_int_equal(run(&r).ok, 1000);
    is(500, first);
    bench_count(b, "users", 1000);
    r.task = uuid_v7();
    assert_int_equal(run(&r).failed, 1000);
    assert_int_equal(seen->code[999], ERR_DUPLICATE);
    bench_count(b, "users", 1000);
}

static atomic_bool enough;

static void *cut(void *arg)
{
    (void)arg;
    PGconn *c = PQconnectdb(test_pg());
    for (int i = 0; i < 10 && !enough; i++) {
        PQclear(PQexec(
            c,
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'lathe-rows'"));
        poll(NULL, 0, 20);
    }
    PQfinish(c);
    return NULL;
}

/* Connections are lost again and again in the middle of statements and commits. */
static void t06_connections_are_cut(void **state)
{
    struct store_bench *b = *state;
    pthread_t cutter;
    enough = false;
    assert_int_equal(pthread_create(&cutter, NULL, cut, NULL), 0);
    for (int i = 0; i < 5; i++) {
        char params[64];
        snprintf(params, sizeof params, "{\"prefix\": \"p%d\"}", i);
        struct exec_report r = run(&(struct run){.handler = &handler_db_users,
                                                 .params = params,
                                                 .count = MOST,
                                                 .shape = {.threads = 2, .width = 1000, .grain = 1}});
        if (r.ok != MOST)
            for (int k = 0; k < MOST; k++)
                if (seen->kind[k] != OUTCOME_OK)
                    fail_msg("item %d: %s", k, seen->text[k]);
    }
    enough = true;
    pthread_join(cutter, NULL);
    bench_count(b, "users", 5 * MOST);
}

static void t07_every_shape(void **state)
{
    struct store_bench *b = *state;
    int64_t shapes = 0;
    for (size_t i = 0; strategies[i]; i++) {
        const struct ask ask = {.items = 200, .workers = 3, .cores = 2, .batch_size = 100};
        char params[64];
        if (strategies[i]->kind != STRATEGY_SHAPED)
            continue;
        snprintf(params, sizeof params, "{\"prefix\": \"%s\"}", strategies[i]->name);
        struct run r = {.handler = &handler_db_users,
                        .params = params,
                        .count = 200,
                        .shape = shape_fit(strategies[i]->shape(&ask), 200, 4)};
        assert_int_equal(run(&r).ok, 200);
        shapes++;
    }
    bench_count(b, "users", shapes * 200);
}

/* It does not answer: the items fail in their time, may be tried again, and nothing of it is there twice. */
static void t08_server_stands_still(void **state)
{
    struct store_bench *b = *state;
    struct run r = {.handler = &handler_db_users, .count = 100, .task = uuid_v7()};
    conf.store_timeout = 300;
    kill(test_pg_pid(), SIGSTOP);
    bench_sql(b, "SELECT 1"); /* the backends live on: only new ones are not made */
    struct exec_report report = run(&r);
    kill(test_pg_pid(), SIGCONT);
    if (report.failed > 0)
        assert_int_equal(seen->code[0], ERR_STORE);
    conf.store_timeout = 20000;
    assert_int_equal(run(&r).ok, 100);
    bench_count(b, "users", 100);
}

/* A lock that another holds: the same for those that are connected. */
static void t09_a_lock_in_the_way(void **state)
{
    struct store_bench *b = *state;
    struct run r = {.handler = &handler_db_users, .count = 100, .task = uuid_v7()};
    conf.store_timeout = 300;
    bench_sql(b, "BEGIN; LOCK TABLE users IN ACCESS EXCLUSIVE MODE");
    assert_int_equal(run(&r).failed, 100);
    assert_int_equal(seen->code[0], ERR_STORE);
    bench_sql(b, "COMMIT");
    conf.store_timeout = 20000;
    assert_int_equal(run(&r).ok, 100);
    bench_count(b, "users", 100);
}

/* An address that another transaction is about to take: who wants it too fails alone. */
static void t12_a_row_in_the_way(void **state)
{
    struct store_bench *b = *state;
    struct run r = {.handler = &handler_db_users, .count = 200, .task = uuid_v7()};
    bench_sql(b, "BEGIN; INSERT INTO users (email) VALUES ('user-57@example.com')");
    struct exec_report report = run(&r);
    bench_sql(b, "ROLLBACK");
    assert_int_equal(report.ok, 199);
    assert_int_equal(seen->code[57], ERR_STORE);
    bench_count(b, "users", 199);
    assert_int_equal(run(&r).ok, 200);
}

/* Nobody waits for the rows any more: what is under way comes back to nobody. */
static void t10_cancelled(void **state)
{
    struct store_bench *b = *state;
    struct run r = {.handler = &handler_db_users,
                    .count = MOST,
                    .cancel_after = 50,
                    .task = uuid_v7(),
                    .shape = {.threads = 2, .width = 500, .grain = 1}};
    assert_true(run(&r).cancelled > 0);
    r.cancel_after = 0;
    assert_int_equal(run(&r).ok, MOST);
    bench_count(b, "users", MOST);
}

static void t11_records(void **state)
{
    struct store_bench *b = *state;
    char url[15][64];
    const char *inputs[15];
    struct run r = {.handler = &handler_fetch_store, .inputs = inputs, .count = 15, .task = uuid_v7()};
    for (int i = 0; i < 15; i++) {
        snprintf(url[i], sizeof url[i], "\"http://127.0.0.1:%d/echo?%d\"", server.port, i);
        inputs[i] = url[i];
    }
    assert_int_equal(run(&r).ok, 15);
    bench_count(b, "data_records", 15);
    bench_count(
        b, "data_records WHERE position('?' || item || ' ' in encode(body, 'escape')) > 0 AND status = 200",
        15);
    bench_count(b, "data_records WHERE digest = 'sha256:' || encode(sha256(body), 'hex')", 15);
    char first[160];
    memcpy(first, seen->text[3], sizeof first);
    bench_sql(b, "UPDATE data_records SET body = ''");
    assert_int_equal(run(&r).ok, 15); /* replaces what it brought before, under the same number */
    bench_count(b, "data_records WHERE body <> ''", 15);
    assert_int_equal(strcspn(first, ","), strcspn(seen->text[3], ","));
    is(3, "{\"record\":");
    assert_memory_equal(first, seen->text[3], strcspn(first, ","));
}

static int64_t dropped(void)
{
    static const char name[] = "\nlathe_outgoing_dropped_total ";
    struct buf b CLEANUP(buf_release) = BUF_INIT(MIB);
    metrics_write(&b);
    buf_char(&b, '\0');
    const char *at = strstr(b.ptr, name);
    return at ? strtoll(at + strlen(name), NULL, 10) : 0;
}

/* Lines of the log of calls that PostgreSQL refuses: nobody waits for them, so they are counted. Their neighbours are written. */
static void t13_refused_lines_are_counted(void **state)
{
    enum { LINES = 20, BAD = 3 };
    struct store_bench *b = *state;
    int64_t before = dropped(), give_up = clock_after_ms(30000);
    bench_sql(b, "ALTER TABLE outgoing ADD CONSTRAINT no_teapot CHECK (status <> 418)");
    for (int i = 0; i < LINES; i++)
        outgoing_note(&(struct outgoing){.task = uuid_v7(),
                                         .item = i,
                                         .method = SPAN("GET"),
                                         .url = SPAN("http://127.0.0.1/"),
                                         .status = i % 7 == 1 ? 418 : 200});
    while (bench_number(b, "SELECT count(*) FROM outgoing") < LINES - BAD || dropped() < before + BAD) {
        assert_true(clock_now() < give_up);
        poll(NULL, 0, 5);
    }
    assert_int_equal(dropped(), before + BAD);
    bench_count(b, "outgoing", LINES - BAD);
    bench_sql(b, "ALTER TABLE outgoing DROP CONSTRAINT no_teapot");
}

/* Before a process may be ended: what gathers is written then, not when its time has come. */
static void t14_settled(void **state)
{
    struct store_bench *b = *state;
    int64_t quickest = CLOCK_NEVER;
    for (int i = 1; i <= 20; i++) {
        outgoing_note(&(struct outgoing){
            .task = uuid_v7(), .method = SPAN("GET"), .url = SPAN("http://127.0.0.1/"), .status = 200});
        int64_t began = clock_now();
        rows_port.settle(clock_after_ms(60000));
        bench_count(b, "outgoing", i);
        quickest = clock_now() - began < quickest ? clock_now() - began : quickest;
    }
    assert_true(quickest < 150 * NS_PER_MS); /* one at least: their time is 200 */
}

/* The end of a worker. */
static void t15_released(void **state)
{
    struct store_bench *b = *state;
    outgoing_note(&(struct outgoing){
        .task = uuid_v7(), .method = SPAN("GET"), .url = SPAN("http://127.0.0.1/"), .status = 200});
    rows_port.release();
    bench_count(b, "outgoing", 1);
}

/* Each item is told the number of its own row. */
static void ids_are_told(struct store_bench *b, int64_t count)
{
    struct buf sql CLEANUP(buf_release) = BUF_INIT(MIB);
    buf_puts(&sql, "SELECT count(*) FROM users u JOIN unnest('{");
    for (int64_t i = 0; i < count; i++) {
        is(i, "{\"id\":");
        buf_printf(&sql, "%s%lld", i ? "," : "", strtoll(seen->text[i] + strlen("{\"id\":"), NULL, 10));
    }
    buf_printf(&sql, "}'::bigint[]) WITH ORDINALITY t(id, n) ON u.id = t.id AND u.item = t.n - 1%c", '\0');
    assert_int_equal(bench_number(b, sql.ptr), count);
}

/* What a row may hold comes as it is, also beside rows that lack it. */
static void t16_what_rows_hold(void **state)
{
    static const char *const users[] = {
        "{\"email\": \"a@example.com\"}",
        "{\"email\": \"'b\\\"\\\\@example.com\", \"name\": \"it's \\\"\\\\N{},\", \"age\": 0}",
        "{\"email\": \"c@ex\\u00e4mple.com\", \"name\": \"Z\\u00fcr\\ud83d\\ude00\", \"age\": 200, \"meta\": {}}",
        "{\"email\": \"null@example.com\", \"name\": \"NULL\", \"meta\": {\"a\\tb\\n\": [\"'\\\\\", null, 1.5]}}",
    };
    struct store_bench *b = *state;
    run(&(struct run){.handler = &handler_db_users, .inputs = users, .count = 4});
    ids_are_told(b, 4);
    bench_count(b, "users WHERE item = 0 AND name = '' AND age IS NULL AND meta IS NULL", 1);
    bench_count(
        b, "users WHERE email = E'\\'b\"\\\\@example.com' AND name = E'it\\'s \"\\\\N{},' AND age = 0", 1);
    bench_count(
        b, "users WHERE email = 'c@exämple.com' AND name = E'Zür\\U0001F600' AND age = 200 AND meta = '{}'",
        1);
    bench_count(b, "users WHERE name = 'NULL' AND meta = E'{\"a\\\\tb\\\\n\": [\"\\'\\\\\\\\\", null, 1.5]}'",
                1);
}

/* Both writers at once, and others of the database who take numbers meanwhile. */
static void t17_ids_of_many(void **state)
{
    struct store_bench *b = *state;
    struct run r = {
        .handler = &handler_db_users, .count = MOST, .shape = {.threads = 2, .width = MOST / 2, .grain = 1}};
    bench_sql(b, "INSERT INTO users (email) SELECT 'other' || i FROM generate_series(1, 10) i");
    assert_int_equal(run(&r).ok, MOST);
    ids_are_told(b, MOST);
    bench_sql(b, "DELETE FROM users WHERE item % 3 = 0");
    r.params =
        "{\"on_duplicate\": \"report\"}"; /* another task: two thirds are somebody else's, and are told all the same */
    assert_int_equal(run(&r).ok, MOST);
    ids_are_told(b, MOST);
    bench_count(b, "users WHERE item IS NOT NULL", MOST);
}

/* Ends the admin's transaction when a writer waits for it. */
static void *let_go(void *bench)
{
    bench_sql(bench,
              "SET LOCAL statement_timeout = 10000; DO $$ BEGIN LOOP PERFORM pg_stat_clear_snapshot(); "
              "EXIT WHEN EXISTS (SELECT FROM pg_stat_activity WHERE application_name = 'lathe-rows' AND "
              "wait_event_type = 'Lock'); PERFORM pg_sleep(0.001); END LOOP; END $$; ROLLBACK");
    return NULL;
}

/* A writer is held up while others gather: then a statement takes more of them than usual. One of all is refused. */
static void t19_a_flood(void **state)
{
    struct store_bench *b = *state;
    struct run r = {.handler = &handler_db_users, .count = MOST, .task = uuid_v7()};
    pthread_t other;
    bench_sql(b, "ALTER TABLE users ADD CONSTRAINT no_fifth CHECK (email <> 'user-5000@example.com')");
    bench_sql(b, "BEGIN; INSERT INTO users (email) VALUES ('user-0@example.com')");
    assert_int_equal(pthread_create(&other, NULL, let_go, b), 0);
    struct exec_report report = run(&r);
    pthread_join(other, NULL);
    assert_int_equal(report.ok, MOST - 1);
    assert_int_equal(seen->code[5000], ERR_DATA);
    bench_count(b, "users", MOST - 1);
    bench_sql(b, "ALTER TABLE users DROP CONSTRAINT no_fifth");
    assert_int_equal(run(&r).ok, MOST); /* each finds its own, and the last is made */
    ids_are_told(b, MOST);
}

/* Signals the sessions that write rows; how many there are. */
static int64_t signal_sessions(struct store_bench *b, int signal)
{
    PGresult *r = PQexec(b->admin, "SELECT pid FROM pg_stat_activity WHERE application_name = 'lathe-rows'");
    int n = PQntuples(r);
    for (int i = 0; i < n; i++)
        kill((pid_t)strtol(PQgetvalue(r, i, 0), NULL, 10), signal);
    PQclear(r);
    return n;
}

/* A session that hangs in the middle of a statement: the items fail in their time. It may write the rows later: they are there once. */
static void t18_session_stands_still(void **state)
{
    struct store_bench *b = *state;
    struct run r = {.handler = &handler_db_users, .count = 1000, .task = uuid_v7()};
    assert_int_equal(
        run(&(struct run){.handler = &handler_db_users, .count = 1, .params = "{\"prefix\": \"x\"}"}).ok, 1);
    conf.store_timeout = 300;
    assert_true(signal_sessions(b, SIGSTOP) > 0);
    int64_t began = clock_now();
    struct exec_report report = run(&r);
    int64_t took = clock_now() - began;
    signal_sessions(b, SIGCONT);
    conf.store_timeout = 20000;
    assert_int_equal(report.failed, 1000);
    assert_int_equal(seen->code[0], ERR_STORE);
    assert_in_range(took, 300 * NS_PER_MS, 10000 * NS_PER_MS);
    assert_int_equal(run(&r).ok, 1000);
    bench_count(b, "users", 1001);
}

static int begin(void **state)
{
    struct err e = ERR_INIT;
    (void)state;
    http_server_run(&server);
    return net_guard_open("127.0.0.1", &e) ? 0 : -1;
}

static int end(void **state)
{
    (void)state;
    http_server_stop(&server);
    exec_stop();
    return 0;
}

#define ROWS_TEST(f) cmocka_unit_test_setup_teardown(f, setup, store_bench_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        ROWS_TEST(t01_gathered),
        ROWS_TEST(t02_duplicates_of_each_other),
        ROWS_TEST(t03_no_address),
        ROWS_TEST(t04_refused_among_good_ones),
        ROWS_TEST(t05_the_same_task_again),
        ROWS_TEST(t06_connections_are_cut),
        ROWS_TEST(t07_every_shape),
        ROWS_TEST(t08_server_stands_still),
        ROWS_TEST(t09_a_lock_in_the_way),
        ROWS_TEST(t10_cancelled),
        ROWS_TEST(t11_records),
        ROWS_TEST(t12_a_row_in_the_way),
        ROWS_TEST(t13_refused_lines_are_counted),
        ROWS_TEST(t14_settled),
        ROWS_TEST(t15_released),
        ROWS_TEST(t16_what_rows_hold),
        ROWS_TEST(t17_ids_of_many),
        ROWS_TEST(t18_session_stands_still),
        ROWS_TEST(t19_a_flood),
    };
    struct err e = ERR_INIT;
    seen = mem_alloc(sizeof *seen);
    conf.store_url = test_pg();
    conf.store_timeout = 20000;
    rows_configure(&conf);
    if (!metrics_open(NULL, &e))
        return 99;
    http_server_open(&server);
    if (!exec_start(&e)) /* before there is a thread */
        return 99;
    int failed = cmocka_run_group_tests(tests, begin, end);
    mem_free(seen);
    return failed;
}
