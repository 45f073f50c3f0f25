/*
 * The contract of exec_run over every strategy with a shape and every handler of the registries, and over random free
 * shapes: each item once, what it comes to is what it comes to by hand, no more in flight than allowed, nothing left. A
 * new strategy or handler is tested without a change here. Handlers that are meant to take their process down (dangerous)
 * run in children only.
 */
#include "runs.h"

#include "exec/children.h"

#define ITEMS 13

/* What a dangerous handler says of an item that went well: its index. */
static const char *tame(struct arena *a, int64_t index)
{
    return arena_printf(a, "ok %d", (int)index);
}

static void check_results(struct seen *s, const struct handler *h, const void *args,
                          const struct span *inputs, const char *shape_name)
{
    for (int64_t i = 0; i < s->count; i++) {
        int64_t index = s->first + i;
        const char *want;

        if (h->dangerous && strncmp(s->what[i], "failed ", 7) == 0)
            continue;
        want = h->dangerous ? tame(&s->arena, index)
                            : reference(&s->arena, h, args, index, inputs ? inputs[i] : SPAN(""));
        if (strcmp(s->what[i], want) != 0)
            fail_msg("%s, %s: item %d is \"%s\", not \"%s\"", shape_name, h->name, (int)index, s->what[i],
                     want);
    }
}

static void run_handler(const struct handler *h, size_t shape, const struct span *inputs)
{
    struct arena a CLEANUP(arena_release) = ARENA_INIT;
    void *args = quick_args(&a, h);
    static struct seen s;
    struct plan p = plan_of(&s, h, args, h->dangerous ? 9 : ITEMS, shapes[shape]);

    p.inputs = inputs;
    p.item_timeout_ms = h->dangerous ? 100 : 0;
    run(&p, &s, shape_names[shape]);
    assert_int_equal(s.report.cancelled, 0);
    check_results(&s, h, args, inputs, shape_names[shape]);
    arena_release(&s.arena);
}

static void test_all(void **unused)
{
    (void)unused;
    for (size_t i = 0; i < shapes_n; i++)
        for (size_t h = 0; handler_at(h); h++)
            if (!handler_at(h)->dangerous || shapes[i].processes > 0)
                run_handler(handler_at(h), i, NULL);
}

/* Inputs that some handlers want and others refuse: refusing has to be the same everywhere too. */
static void test_all_with_inputs(void **unused)
{
    static const struct span some[] = {{"3", 1}, {"\"ab\"", 4}, {"{\"k\":[1,2]}", 11}, {"null", 4}, {"0", 1}};
    struct span inputs[ITEMS];

    (void)unused;
    for (size_t i = 0; i < COUNT_OF(inputs); i++)
        inputs[i] = some[i % COUNT_OF(some)];
    for (size_t i = 0; i < shapes_n; i++)
        for (size_t h = 0; handler_at(h); h++)
            if (!handler_at(h)->dangerous)
                run_handler(handler_at(h), i, inputs);
}

static void test_nothing_to_do(void **unused)
{
    (void)unused;
    for (size_t i = 0; i < shapes_n; i++) {
        struct arena a CLEANUP(arena_release) = ARENA_INIT;
        static struct seen s;
        struct plan p = plan_of(&s, find("echo"), args_of(&a, "echo", "{}"), 0, shapes[i]);

        run(&p, &s, shape_names[i]);
        assert_int_equal(s.total, 0);
    }
}

/* Width is really used: that many wait at once, and not one more. */
static void test_in_flight(void **unused)
{
    (void)unused;
    for (size_t i = 0; i < shapes_n; i++) {
        struct arena a CLEANUP(arena_release) = ARENA_INIT;
        static struct seen s;
        struct plan p = plan_of(&s, find("sleep"), args_of(&a, "sleep", "{\"ms\":10}"), 30, shapes[i]);

        if (p.shape.grain > 1)
            p.shape.grain = 1;
        run(&p, &s, shape_names[i]);
        if (atomic_load(&probed->most) < (p.shape.width + 1) / 2)
            fail_msg("%s: only %d of %d were in flight", shape_names[i], (int)atomic_load(&probed->most),
                     (int)shape_in_flight(&p.shape));
        arena_release(&s.arena);
    }
}

static enum step tell_process(struct item *it)
{
    buf_int(&it->out, getpid());
    return STEP_DONE;
}

/* Never in this process. */
static void test_process_only(void **unused)
{
    static const struct handler h = {
        .name = "alone", .summary = "tells its process", .step = tell_process, .process_only = true};
    char here[32];

    (void)unused;
    snprintf(here, sizeof here, "ok %d", (int)getpid());
    for (size_t i = 0; i < shapes_n; i++) {
        static struct seen s;
        struct plan p = plan_of(&s, find("echo"), NULL, ITEMS, shapes[i]);

        p.handler = &h;
        run(&p, &s, shape_names[i]);
        assert_int_equal(s.report.ok, ITEMS);
        for (int64_t k = 0; k < s.count; k++)
            assert_string_not_equal(s.what[k], here);
        arena_release(&s.arena);
    }
}

static void test_huge(void **unused)
{
    (void)unused;
    for (size_t i = 0; i < shapes_n; i++) {
        struct arena a CLEANUP(arena_release) = ARENA_INIT;
        static struct seen s;
        struct plan p =
            plan_of(&s, find("test.huge"), args_of(&a, "test.huge", "{\"careless\":true}"), 3, shapes[i]);

        run(&p, &s, shape_names[i]);
        for (int64_t k = 0; k < s.count; k++)
            assert_int_equal(s.code[k], ERR_ITEM_TOO_LARGE);
        arena_release(&s.arena);

        p = plan_of(&s, find("test.huge"), args_of(&a, "test.huge", "{\"bytes\":1048574}"), 3, shapes[i]);
        run(&p, &s, shape_names[i]);
        assert_int_equal(s.report.ok, 3);
        assert_int_equal(strlen(s.what[0]), strlen("ok ") + 1048576);
        arena_release(&s.arena);
    }
}

/* Not of a run, and not of a child. How many are kept warm is left to chance (one that grew
 * is not), so that none is when descriptors are counted. */
static void test_no_descriptors_left(void **unused)
{
    (void)unused;
    children_release();
    int before = count_descriptors();
    test_nothing_to_do(NULL);
    test_huge(NULL);
    children_release();
    assert_int_equal(count_descriptors(), before);
}

static int tests(void)
{
    const struct CMUnitTest list[] = {
        cmocka_unit_test(test_all),
        cmocka_unit_test(test_all_with_inputs),
        cmocka_unit_test(test_nothing_to_do),
        cmocka_unit_test(test_in_flight),
        cmocka_unit_test(test_huge),
        cmocka_unit_test(test_process_only),
        cmocka_unit_test(test_no_descriptors_left),
    };

    return cmocka_run_group_tests(list, NULL, NULL);
}

int main(void)
{
    return run_suite(tests);
}
