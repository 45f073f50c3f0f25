/*
 * limits_bench.h: what the tests of limits and those of queues do with a store_bench.
 */
#ifndef LATHE_TEST_LIMITS_BENCH_H
#define LATHE_TEST_LIMITS_BENCH_H

#include "../lib/test.h"
#include "core/mem.h"
#include "store_bench.h"

#define MOST 3
#define LIMIT_3 "{\"limit\":{\"key\":\"k\",\"concurrency\":3}}"

static inline void put(struct store_bench *b, int n, int64_t items, int64_t unit_size, const char *terms)
{
    struct new_task list[512];
    assert_true(n <= (int)COUNT_OF(list));
    for (int i = 0; i < n; i++) {
        list[i] = bench_task(items, unit_size);
        list[i].terms = span_of(terms);
    }
    bench_put_ok(b, list, (size_t)n);
}

static inline int64_t wake(struct store_bench *b, int64_t *ret_next_ms)
{
    int64_t woken, next_ms, fires_ms;
    struct err e = ERR_INIT;
    if (!store_wake(b->worker, 1000, &woken, &next_ms, &fires_ms, &e))
        fail_msg("%s", e.text);
    if (ret_next_ms)
        *ret_next_ms = next_ms;
    return woken;
}

static inline void finish_all(struct store_bench *b, struct claim *c, enum task_state state)
{
    struct finish *ends = mem_array(c->count + 1, sizeof *ends);
    for (size_t i = 0; i < c->count; i++)
        ends[i] = bench_end(b, &c->units[i], state, 0);
    bench_finish(b, ends, c->count);
    for (size_t i = 0; i < c->count; i++)
        assert_true(ends[i].applied);
    mem_free(ends);
    claim_release(c);
}

static inline int64_t claimed(struct store_bench *b)
{
    struct claim c = bench_claim(b, 1000);
    int64_t n = (int64_t)c.count;
    claim_release(&c);
    return n;
}

#endif
