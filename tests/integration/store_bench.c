#include "store_bench.h"

#include <arpa/inet.h>
#include <pthread.h>

#include "core/clock.h"
#include "core/mem.h"
#include "store/db.h"
#include "../lib/test.h"

const struct stmt bench_found_stmt = {
    "bench_found", "SELECT idx_tup_fetch FROM pg_stat_xact_user_tables WHERE relid = $1::text::regclass"};

static void say_nothing(void *arg, const char *text)
{
    (void)arg;
    (void)text;
}

int store_bench_setup(void **state)
{
    struct store_bench *b = mem_alloc(sizeof *b);
    struct err e = ERR_INIT;
    b->conf.store_url = test_pg();
    b->conf.store_pool = 4;
    b->conf.store_timeout = 20000;
    b->conf.worker_lease = 600000;
    b->conf.worker_attempts = 3;
    assert_true(store_open(&b->conf, "test", &b->store, &e));
    if (!store_migrate(b->store, say_nothing, NULL, &e))
        fail_msg("%s", e.text);
    b->admin = PQconnectdb(test_pg());
    assert_int_equal(PQstatus(b->admin), CONNECTION_OK);
    bench_sql(b, "SET client_min_messages = warning");
    bench_sql(
        b,
        "TRUNCATE tasks, work, waiting, expiring, logs, leases, inputs, results, uniques, deps, checks, dead, schedules, workers, profiles, "
        "corrections, queues, gates, inside, tenants");
    assert_true(store_writer_new(b->store, &b->writer, &e));
    b->info = (struct worker_info){
        .name = SPAN("w1"), .host = SPAN("here"), .queues = SPAN("default"), .pid = 1, .slots = 8};
    assert_true(store_worker_new(b->store, &b->info, &b->worker, &e));
    *state = b;
    return 0;
}

int store_bench_teardown(void **state)
{
    struct store_bench *b = *state;
    store_worker_free(b->worker);
    store_writer_free(b->writer);
    store_close(b->store);
    PQfinish(b->admin);
    arena_release(&b->arena);
    mem_free(b);
    return 0;
}

void bench_sql(struct store_bench *b, const char *sql)
{
    PGresult *r = PQexec(b->admin, sql);
    if (PQresultStatus(r) != PGRES_COMMAND_OK && PQresultStatus(r) != PGRES_TUPLES_OK)
        fail_msg("%s: %s", sql, PQresultErrorMessage(r));
    PQclear(r);
}

int64_t bench_number(struct store_bench *b, const char *sql)
{
    PGresult *r = PQexec(b->admin, sql);
    if (PQresultStatus(r) != PGRES_TUPLES_OK || PQntuples(r) != 1)
        fail_msg("%s: %s", sql, PQresultErrorMessage(r));
    int64_t n = strtoll(PQgetvalue(r, 0, 0), NULL, 10);
    PQclear(r);
    return n;
}

void bench_count(struct store_bench *b, const char *table, int64_t rows)
{
    char sql[128];
    snprintf(sql, sizeof sql, "SELECT count(*) FROM %s", table);
    if (bench_number(b, sql) != rows)
        fail_msg("%s has %lld rows, not %lld", table, (long long)bench_number(b, sql), (long long)rows);
}

/* ---- submission ---- */

struct new_task bench_task(int64_t items, int64_t unit_size)
{
    struct new_task t = {
        .id = uuid_v7(),
        .handler = SPAN("echo"),
        .strategy = SPAN("sequential"),
        .inner = SPAN(""),
        .queue = SPAN("default"),
        .params = SPAN("{\"a\": 1}"),
        .tags = SPAN(""),
        .meta = SPAN(""),
        .digest = 7,
        .priority = 5,
        .items_total = items,
        .batch_size = unit_size,
        .workers = 2,
        .unit_size = unit_size,
        .units = (items + unit_size - 1) / unit_size,
    };
    t.inputs_of = t.id;
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

struct err bench_put_told(struct store_bench *b, const struct new_task *list, size_t n,
                          struct put_verdict *verdicts)
{
    struct waiter w = {.mutex = PTHREAD_MUTEX_INITIALIZER, .cond = PTHREAD_COND_INITIALIZER};
    struct new_tasks t = {.list = list, .count = n, .verdicts = verdicts, .done = on_done, .arg = &w};
    if (!store_put(b->writer, &t, &w.err))
        return w.err;
    pthread_mutex_lock(&w.mutex);
    while (!w.done)
        pthread_cond_wait(&w.cond, &w.mutex);
    pthread_mutex_unlock(&w.mutex);
    return w.err;
}

struct err bench_put(struct store_bench *b, const struct new_task *list, size_t n)
{
    return bench_put_told(b, list, n, NULL);
}

void bench_put_ok(struct store_bench *b, const struct new_task *list, size_t n)
{
    struct err e = bench_put(b, list, n);
    if (e.code != ERR_NONE)
        fail_msg("%s", e.text);
}

struct task bench_get(struct store_bench *b, struct uuid id)
{
    struct task t = {0};
    struct err e = ERR_INIT;
    if (!store_get(b->store, &b->arena, id, &t, &e))
        fail_msg("%s", e.text);
    return t;
}

/* ---- work ---- */

struct claim bench_claim(struct store_bench *b, int want)
{
    struct claim c = {.count = 0};
    struct err e = ERR_INIT;
    if (!store_turn(b->worker, NULL, 0, want, &c, &e))
        fail_msg("%s", e.text);
    return c;
}

void claim_release(struct claim *c)
{
    arena_release(&c->arena);
}

struct finish bench_end(struct store_bench *b, const struct unit *u, enum task_state state, int64_t failed)
{
    struct buf lines = BUF_INIT(64 * MIB);
    for (int64_t i = u->first; i < u->first + u->count; i++)
        buf_printf(&lines, "{\"index\":%lld,\"state\":\"%s\",\"result\":%lld}\n", (long long)i,
                   i < u->first + failed ? "failed" : "succeeded", (long long)i * 10);
    assert_false(lines.failed);
    struct finish f = {
        .unit = u,
        .state = state,
        .results = arena_copy(&b->arena, buf_view(&lines)),
        .items_done = u->count,
        .items_failed = failed,
        .shape = {.threads = 2, .width = 1, .grain = 1},
        .measured = {.wall_us = 3000 * u->count,
                     .cpu_us = 1000 * u->count,
                     .wait_us = 2000 * u->count,
                     .peak_rss_kib = 1000,
                     .predicted_us = 2500},
        .used = SPAN("threading"),
        .bare_us = 1500 * u->count,
        .item_cpu_ns = 1000000 * u->count,
        .item_wait_ns = 2000000 * u->count,
        .started_us = clock_now() / 1000 - 5000,
        .finished_us = clock_now() / 1000 - 1000,
    };
    if (state == TASK_failed || failed > 0)
        err_set(&f.err, ERR_ITEM_FAILED, "item %lld was bad", (long long)u->first);
    buf_release(&lines);
    return f;
}

void bench_finish(struct store_bench *b, struct finish *f, size_t n)
{
    struct claim c = {.count = 0};
    struct err e = ERR_INIT;
    if (!store_turn(b->worker, f, n, 0, &c, &e))
        fail_msg("%s", e.text);
}

size_t bench_run_all(struct store_bench *b, enum task_state state)
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

void bench_expire(struct store_bench *b)
{
    bench_sql(b, "UPDATE leases SET until = now() - interval '1 second'");
}

struct reaped bench_reap(struct store_bench *b)
{
    struct reaped r = {0};
    struct err e = ERR_INIT;
    if (!store_reap(b->worker, &b->arena, &r, &e))
        fail_msg("%s", e.text);
    assert_true(r.leader);
    return r;
}

struct task bench_cancel(struct store_bench *b, struct uuid id)
{
    struct ended ended;
    return bench_cancel_ends(b, id, &ended);
}

struct task bench_cancel_ends(struct store_bench *b, struct uuid id, struct ended *ret)
{
    struct task t = {0};
    struct err e = ERR_INIT;
    if (!store_cancel(b->store, &b->arena, id, &t, ret, &e))
        fail_msg("%s", e.text);
    return t;
}

int bench_mute_host(char *url, size_t room, bool then)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t len = sizeof a;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&a, len), 0);
    assert_int_equal(listen(fd, 64), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&a, &len), 0);
    struct span rest = span_of(test_pg());
    assert_true(span_starts(rest, "host="));
    span_take(&rest, 5);
    struct span dir = span_cut(&rest, ' ');
    if (then)
        snprintf(url, room, "host=127.0.0.1," SPAN_FMT " port=%d,5432 " SPAN_FMT, SPAN_ARG(dir),
                 ntohs(a.sin_port), SPAN_ARG(rest));
    else
        snprintf(url, room, "host=127.0.0.1 port=%d " SPAN_FMT, ntohs(a.sin_port), SPAN_ARG(rest));
    return fd;
}
