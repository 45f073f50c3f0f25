#include "follow_bench.h"

#include <pthread.h>
#include <stdarg.h>

#include "../lib/test.h"
#include "core/mem.h"

struct new_task with_terms(struct store_bench *b, const char *format, ...)
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

const char *id_text(struct store_bench *b, struct uuid id)
{
    char text[UUID_TEXT];
    uuid_format(id, text);
    return arena_text(&b->arena, span_of(text));
}

struct new_task needing(struct store_bench *b, struct uuid id)
{
    struct new_task t = with_terms(b, "{\"depends_on\": [\"%s\"]}", id_text(b, id));
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

void put(struct store_bench *b, const struct new_task *list, size_t n, struct put_verdict *verdicts)
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

void put_taken(struct store_bench *b, const struct new_task *list, size_t n)
{
    struct put_verdict *v CLEANUP(mem_free_at) = mem_array(n, sizeof *v);
    put(b, list, n, v);
    for (size_t i = 0; i < n; i++)
        assert_true(uuid_is_nil(v[i].existing) && v[i].bad_need == 0 && !v[i].held);
}

size_t run_all(struct store_bench *b, enum task_state state)
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

void nothing_left(struct store_bench *b)
{
    bench_count(b, "deps", 0);
    bench_count(b, "checks", 0);
    bench_count(b, "uniques", 0);
    bench_count(b, "work", 0);
}

struct other other_open(void)
{
    struct other o = {PQconnectdb(test_pg())};
    assert_int_equal(PQstatus(o.conn), CONNECTION_OK);
    return o;
}

void other_sql(struct other *o, const char *sql)
{
    PGresult *r = PQexec(o->conn, sql);
    if (PQresultStatus(r) != PGRES_COMMAND_OK && PQresultStatus(r) != PGRES_TUPLES_OK)
        fail_msg("%s: %s", sql, PQresultErrorMessage(r));
    PQclear(r);
}
