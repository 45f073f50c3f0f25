/* Running again what is over: which units, what becomes of results, counters and leases, and what is refused. */
#include "../lib/test.h"

#include <stdarg.h>
#include <string.h>

#include "store_bench.h"

static struct err retry(struct store_bench *b, struct uuid id, bool failed_only)
{
    struct err why = ERR_INIT, e = ERR_INIT;
    if (!store_retry(b->store, &id, 1, failed_only, &why, &e))
        fail_msg("%s", e.text);
    return why;
}

static void retry_ok(struct store_bench *b, struct uuid id, bool failed_only)
{
    struct err why = retry(b, id, failed_only);
    if (why.code != ERR_NONE)
        fail_msg("%s", why.text);
}

static void refused(struct store_bench *b, struct uuid id, bool failed_only, enum err_code code,
                    const char *word)
{
    struct err why = retry(b, id, failed_only);
    assert_int_equal(why.code, code);
    if (!strstr(why.text, word))
        fail_msg("\"%s\" does not say %s", why.text, word);
}

/* Claims `want` units and ends them; unit `bad` (-1: none) as failed with all its items. */
static void work_off(struct store_bench *b, int want, int64_t bad)
{
    struct claim c = bench_claim(b, want);
    struct finish ends[16];
    assert_int_equal(c.count, want);
    for (size_t i = 0; i < c.count; i++) {
        bool fails = c.units[i].seq == bad;
        ends[i] =
            bench_end(b, &c.units[i], fails ? TASK_failed : TASK_succeeded, fails ? c.units[i].count : 0);
    }
    bench_finish(b, ends, c.count);
    for (size_t i = 0; i < c.count; i++)
        assert_true(ends[i].applied);
    claim_release(&c);
}

static void t01_all_of_it(void **state)
{
    struct store_bench *b = *state;
    struct new_task t = bench_task(6, 2);
    bench_put_ok(b, &t, 1);
    work_off(b, 3, 1);
    STATE_IS(b, t.id, "failed");
    bench_count(b, "dead", 1);
    retry_ok(b, t.id, false);
    struct task now = bench_get(b, t.id);
    STATE_IS(b, t.id, "queued");
    assert_int_equal(now.items_done, 0);
    assert_int_equal(now.items_failed, 0);
    assert_int_equal(now.units_done, 0);
    assert_int_equal(now.measured.cpu_us, 0);
    assert_int_equal(now.finished_us, 0);
    assert_int_equal(now.started_us, 0);
    bench_count(b, "dead", 0);
    bench_count(b, "results", 0);
    bench_count(b, "work", 3);
    work_off(b, 3, -1);
    STATE_IS(b, t.id, "succeeded");
    assert_int_equal(bench_get(b, t.id).items_done, 6);
    assert_int_equal(bench_number(b, "SELECT (terms->>'redriven')::integer FROM tasks"), 1);
}

static void t02_what_failed(void **state)
{
    struct store_bench *b = *state;
    struct new_task t = bench_task(5, 2);
    bench_put_ok(b, &t, 1);
    work_off(b, 3, 1);
    retry_ok(b, t.id, true);
    struct task now = bench_get(b, t.id);
    assert_int_equal(now.items_done, 3);
    assert_int_equal(now.items_failed, 0);
    assert_int_equal(now.units_done, 2);
    assert_true(now.measured.cpu_us > 0 && now.started_us > 0);
    assert_int_equal(bench_number(b, "SELECT seq FROM work"), 1);
    bench_count(b, "results", 2);
    work_off(b, 1, -1);
    STATE_IS(b, t.id, "succeeded");
    assert_int_equal(bench_get(b, t.id).items_done, 5);
}

/* A task that succeeded, but for some items. */
static void t03_some_items(void **state)
{
    struct store_bench *b = *state;
    struct new_task t = bench_task(4, 2);
    bench_put_ok(b, &t, 1);
    struct claim c = bench_claim(b, 2);
    struct finish ends[] = {bench_end(b, &c.units[0], TASK_succeeded, 1),
                            bench_end(b, &c.units[1], TASK_succeeded, 0)};
    bench_finish(b, ends, 2);
    STATE_IS(b, t.id, "succeeded");
    refused(b, t.id, false, ERR_CONFLICT, "failed_only");
    retry_ok(b, t.id, true);
    assert_int_equal(bench_number(b, "SELECT seq FROM work"), c.units[0].seq);
    work_off(b, 1, -1);
    STATE_IS(b, t.id, "succeeded");
    assert_int_equal(bench_get(b, t.id).items_failed, 0);
    refused(b, t.id, true, ERR_CONFLICT, "succeeded");
    claim_release(&c);
}

static void t04_cancelled(void **state)
{
    struct store_bench *b = *state;
    struct new_task t = bench_task(4, 2);
    bench_put_ok(b, &t, 1);
    work_off(b, 1, -1);
    bench_cancel(b, t.id);
    STATE_IS(b, t.id, "cancelled");
    bench_count(b, "dead", 0);
    retry_ok(b, t.id, true);
    bench_count(b, "work", 1); /* the other one was done */
    work_off(b, 1, -1);
    STATE_IS(b, t.id, "succeeded");
}

static void t05_refused(void **state)
{
    struct store_bench *b = *state;
    struct new_task t = bench_task(2, 2);
    bench_put_ok(b, &t, 1);
    refused(b, uuid_v7(), false, ERR_NO_TASK, "no such task");
    refused(b, t.id, false, ERR_CONFLICT, "not over");
    work_off(b, 1, -1);
    refused(b, t.id, false, ERR_CONFLICT, "succeeded");
    refused(b, t.id, true, ERR_CONFLICT, "succeeded");

    struct new_task family[2] = {bench_task(2, 2), bench_task(2, 2)};
    family[0].container = true;
    family[1].parent = family[0].id;
    bench_put_ok(b, family, 2);
    work_off(b, 1, 0);
    STATE_IS(b, family[0].id, "failed");
    refused(b, family[0].id, false, ERR_CONFLICT, "comparison");
    refused(b, family[1].id, false, ERR_CONFLICT, "comparison");
}

/* The lease lists the unit that is finished as long as it has others. What was finished under it must neither be finished
 * once more by a worker that did not hear the answer, nor be given back when the lease ends. */
static void t06_old_lease(void **state)
{
    struct store_bench *b = *state;
    struct new_task two[2] = {bench_task(1, 1), bench_task(1, 1)};
    bench_put_ok(b, two, 2);
    struct claim c = bench_claim(b, 2);
    assert_int_equal(c.count, 2);
    struct finish end = bench_end(b, &c.units[0], TASK_failed, 1), again = end;
    bench_finish(b, &end, 1);
    assert_true(end.applied);
    retry_ok(b, c.units[0].task, false);
    bench_finish(b, &again, 1);
    assert_false(again.applied);
    STATE_IS(b, c.units[0].task, "queued");
    bench_expire(b);
    struct reaped r = bench_reap(b);
    assert_int_equal(r.requeued, 1);
    bench_count(b, "work", 2);
    work_off(b, 2, -1);
    STATE_IS(b, two[0].id, "succeeded");
    STATE_IS(b, two[1].id, "succeeded");
    claim_release(&c);
}

/* A result may say anything. */
static void t10_words_in_results(void **state)
{
    struct store_bench *b = *state;
    struct new_task t = bench_task(2, 1);
    bench_put_ok(b, &t, 1);
    struct claim c = bench_claim(b, 2);
    struct finish ends[] = {bench_end(b, &c.units[0], TASK_succeeded, 0),
                            bench_end(b, &c.units[1], TASK_failed, 1)};
    char line[128];
    snprintf(line, sizeof line, "{\"index\":%d,\"state\":\"succeeded\",\"result\":{\"state\":\"failed\"}}\n",
             (int)c.units[0].first);
    ends[0].results = span_of(line);
    bench_finish(b, ends, 2);
    retry_ok(b, t.id, true);
    bench_count(b, "results", 1);
    assert_int_equal(bench_number(b, "SELECT seq FROM work"), c.units[1].seq);
    claim_release(&c);
}

/* Cancelled when all was done: there is no unit to keep the others for. */
static void t11_nothing_failed(void **state)
{
    struct store_bench *b = *state;
    struct new_task t = bench_task(2, 1);
    bench_put_ok(b, &t, 1);
    struct claim c = bench_claim(b, 2);
    struct finish ends[] = {bench_end(b, &c.units[0], TASK_succeeded, 0),
                            bench_end(b, &c.units[1], TASK_succeeded, 0)};
    bench_cancel(b, t.id);
    bench_finish(b, ends, 2);
    STATE_IS(b, t.id, "cancelled");
    retry_ok(b, t.id, true);
    bench_count(b, "work", 2);
    work_off(b, 2, -1);
    STATE_IS(b, t.id, "succeeded");
    claim_release(&c);
}

static size_t list_failed(struct store_bench *b, const char *error)
{
    struct task_filter f = {.by_state = true, .state = TASK_failed, .error = span_of(error), .limit = 10};
    struct task *list;
    size_t n;
    struct uuid next;
    struct err e = ERR_INIT;
    if (!store_list(b->store, &b->arena, &f, &list, &n, &next, &e))
        fail_msg("%s", e.text);
    for (size_t i = 0; i < n; i++)
        assert_int_equal(list[i].state, TASK_failed);
    for (size_t i = 1; i < n; i++)
        assert_true(memcmp(list[i - 1].id.b, list[i].id.b, sizeof list[i].id.b) > 0);
    return n;
}

/* A small result of an only unit stands in the task's row. */
static void t12_alone(void **state)
{
    struct store_bench *b = *state;
    struct new_task t = bench_task(2, 2);
    bench_put_ok(b, &t, 1);
    work_off(b, 1, 0);
    STATE_IS(b, t.id, "failed");
    assert_int_equal(list_failed(b, ""), 1);
    retry_ok(b, t.id, true);
    assert_int_equal(bench_number(b, "SELECT count(*) FROM tasks WHERE result IS NULL AND lease IS NULL"), 1);
    assert_int_equal(bench_get(b, t.id).items_done, 0);
    work_off(b, 1, -1);
    STATE_IS(b, t.id, "succeeded");
}

static void t07_listed(void **state)
{
    struct store_bench *b = *state;
    struct new_task t[3] = {bench_task(2, 1), bench_task(2, 1), bench_task(2, 1)};
    bench_put_ok(b, t, 3);
    work_off(b, 6, 0);
    assert_int_equal(list_failed(b, ""), 3);
    assert_int_equal(list_failed(b, "worker-lost"), 0);
    const char *slug = err_slug(bench_get(b, t[0].id).err.code);
    assert_int_equal(list_failed(b, slug), 3);
    retry_ok(b, t[1].id, false);
    assert_int_equal(list_failed(b, slug), 2);
}

static struct new_task needing(struct store_bench *b, struct uuid id)
{
    char text[UUID_TEXT];
    struct new_task t = bench_task(1, 1);
    uuid_format(id, text);
    t.terms = span_of(arena_printf(&b->arena, "{\"depends_on\": [\"%s\"]}", text));
    t.waits = true;
    return t;
}

/* A chain whose first task failed: what depends on it runs again after it, and not before. */
static void t08_chain(void **state)
{
    struct store_bench *b = *state;
    struct new_task first = bench_task(1, 1), second = needing(b, first.id);
    bench_put_ok(b, &first, 1);
    bench_put_ok(b, &second, 1);
    work_off(b, 1, 0);
    STATE_IS(b, second.id, "failed");
    refused(b, second.id, false, ERR_CONFLICT, "depends on");
    retry_ok(b, first.id, false);
    retry_ok(b, second.id, false);
    STATE_IS(b, second.id, "scheduled");
    bench_count(b, "work", 1);
    work_off(b, 1, -1);
    STATE_IS(b, first.id, "succeeded");
    work_off(b, 1, -1);
    STATE_IS(b, second.id, "succeeded");
}

static void t09_unique(void **state)
{
    struct store_bench *b = *state;
    struct new_task one = bench_task(1, 1), other = bench_task(1, 1);
    one.terms = other.terms = SPAN("{\"unique\": {\"key\": \"k\"}}");
    bench_put_ok(b, &one, 1);
    work_off(b, 1, 0);
    bench_put_ok(b, &other, 1);
    refused(b, one.id, false, ERR_CONFLICT, "unique");
    work_off(b, 1, -1);
    retry_ok(b, one.id, false);
    work_off(b, 1, -1);
    STATE_IS(b, one.id, "succeeded");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        STORE_TEST(t01_all_of_it),        STORE_TEST(t02_what_failed),    STORE_TEST(t03_some_items),
        STORE_TEST(t04_cancelled),        STORE_TEST(t05_refused),        STORE_TEST(t06_old_lease),
        STORE_TEST(t07_listed),           STORE_TEST(t08_chain),          STORE_TEST(t09_unique),
        STORE_TEST(t10_words_in_results), STORE_TEST(t11_nothing_failed), STORE_TEST(t12_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
