#include "follow_bench.h"

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

void put(struct store_bench *b, const struct new_task *list, size_t n, struct put_verdict *verdicts)
{
    struct err e = bench_put_told(b, list, n, verdicts);
    if (e.code != ERR_NONE)
        fail_msg("%s", e.text);
}

void put_taken(struct store_bench *b, const struct new_task *list, size_t n)
{
    struct put_verdict *v CLEANUP(mem_free_at) = mem_array(n, sizeof *v);
    put(b, list, n, v);
    for (size_t i = 0; i < n; i++)
        assert_true(uuid_is_nil(v[i].existing) && v[i].bad_need == 0 && !v[i].held);
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
