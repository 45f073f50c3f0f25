/*
 * memo_probe.h: the handler of test_memo: it counts what it is asked, in memory that children share; what is seen of a
 * run; and how it is run, beside a Redis of its own.
 */
#ifndef LATHE_MEMO_PROBE_H
#define LATHE_MEMO_PROBE_H

#include <stdatomic.h>
#include <unistd.h>

#include "../lib/redis_server.h"
#include "../lib/test.h"
#include "exec/exec.h"
#include "model/handler.h"

struct tape {
    _Atomic int computed;
    atomic_bool held; /* who has begun to compute waits until it is let go */
};
static struct tape *tape;

struct orders {
    int64_t ms, bytes;
    bool fail, crash;
};

struct work_state {
    bool begun;
    int64_t until;
};

static enum step count_step(struct item *it)
{
    const struct orders *o = it->args;
    struct work_state *s = it->state;
    if (!s->begun) {
        int n = atomic_fetch_add(&tape->computed, 1) + 1;
        s->begun = true;
        s->until = clock_after_ms(o->ms);
        if (o->crash && n == 1)
            _exit(3);
    }
    if (clock_now() < s->until)
        return item_wait_until(it, s->until);
    if (atomic_load(&tape->held))
        return item_wait_until(it, clock_after_ms(1));
    if (o->fail)
        return item_fail(it, "as it was asked");
    buf_puts(&it->out, "{\"is\":");
    if (it->input.len)
        buf_span(&it->out, it->input);
    else
        buf_int(&it->out, it->index);
    if (o->bytes) {
        buf_puts(&it->out, ",\"more\":\"");
        for (int64_t i = 0; i < o->bytes; i++)
            buf_char(&it->out, 'x');
        buf_char(&it->out, '"');
    }
    buf_char(&it->out, '}');
    return STEP_DONE;
}

static const struct field orders_list[] = {
    {.name = "ms", .type = FIELD_INT, .offset = offsetof(struct orders, ms), .max = 1000000},
    {.name = "bytes", .type = FIELD_INT, .offset = offsetof(struct orders, bytes), .max = 1000000},
    {.name = "fail", .type = FIELD_BOOL, .offset = offsetof(struct orders, fail)},
    {.name = "crash", .type = FIELD_BOOL, .offset = offsetof(struct orders, crash)},
};

static const struct handler counting = {
    .name = "counting",
    .summary = "counts",
    .item = "anything",
    .params = {orders_list, COUNT_OF(orders_list), sizeof(struct orders)},
    .state_size = sizeof(struct work_state),
    .step = count_step,
};

#define MOST 512 /* items */

struct seen {
    struct plan plan;
    struct exec_report report;
    int reports[MOST], count;
    bool cached[MOST];
    char text[MOST][160]; /* of results as far as it fits, or the slug of the error */
};

static void on_item(void *arg, const struct outcome *o)
{
    struct seen *s = arg;
    assert_in_range(o->index, 0, MOST - 1);
    s->reports[o->index]++;
    s->cached[o->index] = o->cached;
    if (o->cached)
        assert_true(o->kind == OUTCOME_OK && o->cpu_ns == 0 && o->wait_ns == 0);
    if (o->kind == OUTCOME_OK)
        snprintf(s->text[o->index], sizeof s->text[0], SPAN_FMT, SPAN_ARG(o->result));
    else
        snprintf(s->text[o->index], sizeof s->text[0], "%s", err_slug(o->err->code));
}

static struct redis_server server;
static struct conf conf;

/* ---- runs */

static struct plan plan_of(struct seen *s, const struct handler *h, const void *args,
                           const struct span *inputs, int64_t count, struct shape shape)
{
    assert_in_range(count, 0, MOST);
    memset(s, 0, sizeof *s);
    atomic_store(&tape->computed, 0);
    return (struct plan){.handler = h,
                         .args = args,
                         .inputs = inputs,
                         .count = count,
                         .shape = shape_fit(shape, count, LIMIT_WORKERS),
                         .deadline = clock_after_ms(120000),
                         .cache_ttl_ms = 600000,
                         .done = on_item,
                         .arg = s};
}

static void run(struct plan *p, struct seen *s)
{
    struct err e = ERR_INIT;
    if (!exec_run(p, &s->report, &e))
        fail_msg("%s", e.text);
    int64_t cached = 0;
    for (int64_t i = 0; i < p->count; i++) {
        assert_int_equal(s->reports[i], 1);
        cached += s->cached[i];
    }
    assert_int_equal(s->report.cached, cached);
}

static void flush_redis(void)
{
    char reply[64];
    redis_server_ask(&server, "FLUSHALL", reply, sizeof reply);
}

static long keys(void)
{
    return redis_server_number(&server, "DBSIZE");
}

#endif
