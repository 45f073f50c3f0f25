/* queue/put.c: the rows that a submission becomes. The store is the test's own: it keeps what it is given. */
#include "../lib/test.h"

#include "core/limits.h"
#include "core/mem.h"
#include "queue/inside.h"

static struct new_tasks *given;
static bool busy;

bool store_put(struct store_writer *w, struct new_tasks *t, struct err *e)
{
    (void)w;
    if (busy)
        return err_set(e, ERR_BUSY, "full");
    given = t;
    return true;
}

static enum step no_step(struct item *it)
{
    (void)it;
    return STEP_DONE;
}

static const struct handler handler = {.name = "echo", .summary = "", .step = no_step};

static const struct handler *lookup(struct span name)
{
    return span_is(name, "echo") ? &handler : NULL;
}

static struct {
    int calls;
    struct uuid id;
    enum err_code code;
    struct arena *arena;
} answer;

/* Releases the arena, as a call that is over does. */
static void on_done(void *arg, struct uuid id, bool existing, const struct err *e)
{
    (void)arg, (void)existing;
    answer.calls++;
    answer.id = id;
    answer.code = e != NULL ? e->code : ERR_NONE;
    arena_release(answer.arena);
}

static int setup(void **state)
{
    (void)state;
    given = NULL;
    busy = false;
    memset(&answer, 0, sizeof answer);
    return 0;
}

static struct submission *read_body(struct arena *a, const char *strategy, const char *body)
{
    const struct json *json;
    struct submission *s = arena_alloc(a, sizeof *s);
    struct err e = ERR_INIT;
    assert_true(json_read(a, span_of(body), &json, &e));
    if (!submission_read(a, strategy != NULL ? strategy_find(span_of(strategy)) : NULL, json, SPAN(""),
                         lookup, s, &e))
        fail_msg("%s %s", e.pointer, e.text);
    return s;
}

static void put(struct arena *a, const char *strategy, const char *body)
{
    static struct queue q; /* no cache, so no notify */
    struct err e = ERR_INIT;
    answer.arena = a;
    if (!queue_put(&q, a, read_body(a, strategy, body), on_done, NULL, &e))
        fail_msg("%s %s", e.pointer, e.text);
    assert_non_null(given);
}

static void assert_span(struct span got, const char *want)
{
    assert_int_equal(got.len, strlen(want));
    assert_memory_equal(got.ptr, want, got.len);
}

static void t01_one_unit_for_a_synchronous_strategy(void **state)
{
    (void)state;
    struct arena a CLEANUP(arena_release) = ARENA_INIT;
    put(&a, "threading",
        "{\"handler\":\"echo\",\"items\":[1,\"a\\nb\",{\"x\":[]}],\"batch_size\":1,\"workers\":3,\"priority\":7,"
        "\"queue\":\"q\",\"on_item_error\":\"fail\",\"item_timeout_ms\":5,\"timeout_ms\":6,\"tags\":[\"t\"],"
        "\"meta\":{\"m\":1}}");
    assert_int_equal(given->count, 1);
    const struct new_task *t = given->list;
    assert_span(t->handler, "echo");
    assert_span(t->strategy, "threading");
    assert_span(t->inner, "");
    assert_span(t->queue, "q");
    assert_span(t->params, "{}");
    assert_span(t->tags, "[\"t\"]");
    assert_span(t->meta, "{\"m\":1}");
    assert_true(uuid_is_nil(t->parent) && uuid_eq(t->inputs_of, t->id));
    assert_true(t->fail_fast && !t->waits && !t->container && !t->has_shape);
    assert_int_equal(t->priority, 7);
    assert_int_equal(t->workers, 3);
    assert_int_equal(t->item_timeout_ms, 5);
    assert_int_equal(t->timeout_ms, 6);
    assert_int_equal(t->items_total, 3);
    assert_int_equal(t->units, 1);
    assert_int_equal(t->unit_size, 3);
    assert_span(t->inputs[0], "1\n\"a\\nb\"\n{\"x\":[]}\n");
}

static void t02_background_is_cut_into_units(void **state)
{
    (void)state;
    struct arena a CLEANUP(arena_release) = ARENA_INIT;
    put(&a, "background",
        "{\"handler\":\"echo\",\"items\":[0,1,2,3,4,5,6],\"batch_size\":3,\"inner\":\"threaded\"}");
    const struct new_task *t = given->list;
    assert_span(t->strategy, "background");
    assert_span(t->inner, "threading");
    assert_int_equal(t->units, 3);
    assert_int_equal(t->unit_size, 3);
    assert_span(t->inputs[0], "0\n1\n2\n");
    assert_span(t->inputs[1], "3\n4\n5\n");
    assert_span(t->inputs[2], "6\n");
}

static void t03_counted_items_have_no_inputs(void **state)
{
    (void)state;
    struct arena a CLEANUP(arena_release) = ARENA_INIT;
    put(&a, "background", "{\"handler\":\"echo\",\"items_count\":20,\"batch_size\":5}");
    const struct new_task *t = given->list;
    assert_null(t->inputs);
    assert_int_equal(t->items_total, 20);
    assert_int_equal(t->units, 4);
    assert_span(t->inner, "auto");
    assert_span(t->tags, "");
    assert_span(t->meta, "");
}

static void t04_units_are_bounded(void **state)
{
    (void)state;
    struct arena a CLEANUP(arena_release) = ARENA_INIT;
    put(&a, "background", "{\"handler\":\"echo\",\"items_count\":1000000,\"batch_size\":1}");
    const struct new_task *t = given->list;
    assert_int_equal(t->units, LIMIT_UNITS);
    assert_int_equal(t->unit_size, 100);
    assert_int_equal(t->batch_size, 100);
    arena_release(&a);
    put(&a, "background", "{\"handler\":\"echo\",\"items_count\":10,\"batch_size\":100}");
    assert_int_equal(given->list->units, 1);
    assert_int_equal(given->list->unit_size, 10);
    assert_int_equal(given->list->batch_size, 100);
}

static void t05_a_comparison_is_a_family(void **state)
{
    (void)state;
    struct arena a CLEANUP(arena_release) = ARENA_INIT;
    put(&a, NULL,
        "{\"handler\":\"echo\",\"items\":[0,1,2,3],\"batch_size\":3,"
        "\"strategies\":[\"hybrid\",\"background\",\"sequential\"]}");
    assert_int_equal(given->count, 4);
    const struct new_task *t = given->list;
    assert_span(t[0].strategy, "compare");
    assert_true(t[0].container && !t[0].waits && uuid_eq(t[0].inputs_of, t[0].id));
    assert_int_equal(t[0].items_total, 12);
    assert_int_equal(t[0].units, 1);
    assert_span(t[0].inputs[0], "0\n1\n2\n3\n");
    static const char *const names[] = {"hybrid", "background", "sequential"};
    for (int i = 1; i < 4; i++) {
        assert_span(t[i].strategy, names[i - 1]);
        assert_true(uuid_eq(t[i].parent, t[0].id));
        assert_int_equal(t[i].order, i - 1);
        assert_int_equal(t[i].waits, i > 1);
        assert_int_equal(t[i].items_total, 4);
        assert_false(t[i].container);
    }
    assert_true(uuid_eq(t[1].inputs_of, t[0].id) && t[1].inputs == NULL);
    assert_true(uuid_eq(t[2].inputs_of, t[2].id)); /* cut otherwise than the parent's */
    assert_int_equal(t[2].units, 2);
    assert_span(t[2].inputs[0], "0\n1\n2\n");
    assert_span(t[2].inputs[1], "3\n");
}

static void t06_the_answer_comes_once_and_the_arena_may_go(void **state)
{
    (void)state;
    struct arena a CLEANUP(arena_release) = ARENA_INIT;
    put(&a, "sequential", "{\"handler\":\"echo\",\"items\":[1]}");
    struct uuid id = given->list[0].id;
    given->done(given->arg, NULL);
    assert_int_equal(answer.calls, 1);
    assert_true(uuid_eq(answer.id, id));
    assert_int_equal(answer.code, ERR_NONE);
    assert_int_equal(a.used, 0);

    put(&a, "sequential", "{\"handler\":\"echo\"}");
    given->done(given->arg, &(struct err){.code = ERR_STORE});
    assert_int_equal(answer.calls, 2);
    assert_int_equal(answer.code, ERR_STORE);
}

static void t07_a_full_writer_is_said_at_once(void **state)
{
    (void)state;
    struct arena a CLEANUP(arena_release) = ARENA_INIT;
    struct queue q = {0};
    struct err e = ERR_INIT;
    busy = true;
    assert_false(queue_put(&q, &a, read_body(&a, "sequential", "{\"handler\":\"echo\"}"), on_done, NULL, &e));
    assert_int_equal(e.code, ERR_BUSY);
    assert_int_equal(answer.calls, 0);
}

#define TEST(f) cmocka_unit_test_setup(f, setup)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(t01_one_unit_for_a_synchronous_strategy),
        TEST(t02_background_is_cut_into_units),
        TEST(t03_counted_items_have_no_inputs),
        TEST(t04_units_are_bounded),
        TEST(t05_a_comparison_is_a_family),
        TEST(t06_the_answer_comes_once_and_the_arena_may_go),
        TEST(t07_a_full_writer_is_said_at_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
