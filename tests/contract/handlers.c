/*
 * The contract of a handler, over every one of the registry: it may be stepped early, dropped at any point, told to stop
 * at any time, and says the same of the same item whenever and beside whomever it runs.
 */
#include "probe.h"

/* Small enough to be quick, various enough to be refused by some. */
static const struct span inputs[] = {{NULL, 0}, {"3", 1}, {"\"ab\"", 4}, {"{\"k\":[1,2]}", 11}, {"null", 4}};

#define EARLY 7

struct subject {
    struct arena arena;
    const struct handler *handler;
    const void *args;
};

/* Calls test(subject, input) for every handler that this process survives. */
static void each_handler(void (*test)(struct subject *s, struct span input))
{
    for (size_t h = 0; handler_at(h); h++)
        for (size_t i = 0; i < COUNT_OF(inputs) && !handler_at(h)->dangerous; i++) {
            struct subject s = {.handler = handler_at(h)};

            s.args = quick_args(&s.arena, handler_at(h));
            test(&s, inputs[i]);
            arena_release(&s.arena);
        }
}

static const char *said(struct subject *s, const struct run_item *r)
{
    return outcome_text(&s->arena, r->last == STEP_DONE, buf_view(&r->it.out), &r->it.err);
}

/* One JSON value on one line, or a failure with a text; the same when it is done again. */
static void check_result(struct subject *s, struct span input)
{
    for (int64_t index = 0; index < 3; index++) {
        struct run_item r;
        struct err e = ERR_INIT;

        run_item(&r, s->handler, s->args, index, input);
        if (r.last == STEP_DONE) {
            if (r.it.out.len > 0 && !json_check(buf_view(&r.it.out), &e))
                fail_msg("%s: item %d: %s", s->handler->name, (int)index, e.text);
            assert_true(r.it.out.len == 0 || !memchr(r.it.out.ptr, '\n', r.it.out.len));
        } else {
            assert_int_not_equal(r.it.err.code, ERR_NONE);
            assert_true(r.it.err.text[0] != '\0');
        }
        assert_true(r.it.progress >= 0 && r.it.progress <= 1);
        assert_string_equal(said(s, &r), reference(&s->arena, s->handler, s->args, index, input));
        run_end(&r);
    }
}

/* Steps that come before what was waited for change nothing. */
static void check_early(struct subject *s, struct span input)
{
    struct run_item r;

    run_begin(&r, s->handler, s->args, 1, input, LIMIT_ITEM_RESULT);
    while (run_step(&r) == STEP_WAIT) {
        enum step again = STEP_WAIT;

        for (int i = 0; i < EARLY && again == STEP_WAIT; i++)
            again = run_step(&r);
        if (again != STEP_WAIT)
            break;
        assert_true(r.it.wait.fd >= 0 || r.it.wait.until != CLOCK_NEVER);
        run_wait(&r);
    }
    run_drop(&r);
    if (strcmp(said(s, &r), reference(&s->arena, s->handler, s->args, 1, input)) != 0)
        fail_msg("%s says %s when it is stepped early", s->handler->name, said(s, &r));
    run_end(&r);
}

/* Dropped after its first step, its second, …: what it holds is released (leak checkers look), descriptors too. */
static void check_drop(struct subject *s, struct span input)
{
    int before = count_descriptors();
    bool over = false;

    for (int steps = 1; !over && steps < 100; steps++) {
        struct run_item r;

        run_begin(&r, s->handler, s->args, 2, input, LIMIT_ITEM_RESULT);
        for (int i = 0; i < steps && !over; i++) {
            if (i > 0)
                run_wait(&r);
            over = run_step(&r) != STEP_WAIT;
        }
        run_drop(&r);
        run_end(&r);
    }
    assert_true(over);
    assert_int_equal(count_descriptors(), before);
}

/* The result does not fit: no matter what it then says, it returns, and nothing is written past the end. */
static void check_no_room(struct subject *s, struct span input)
{
    for (size_t max = 0; max < 40; max += 13) {
        struct run_item r;

        run_begin(&r, s->handler, s->args, 0, input, max);
        while (run_step(&r) == STEP_WAIT)
            run_wait(&r);
        assert_true(r.it.out.len <= max);
        if (r.last == STEP_DONE && !r.it.out.failed)
            assert_true(json_check(buf_view(&r.it.out), NULL));
        run_drop(&r);
        run_end(&r);
    }
}

/* Two items in turn on one thread: state is the item's and not the handler's. */
static void check_interleaved(struct subject *s, struct span input)
{
    struct run_item r[2];

    for (int i = 0; i < 2; i++)
        run_begin(&r[i], s->handler, s->args, i, input, LIMIT_ITEM_RESULT);
    while (r[0].last == STEP_WAIT || r[1].last == STEP_WAIT)
        for (int i = 0; i < 2; i++)
            if (r[i].last == STEP_WAIT && run_step(&r[i]) == STEP_WAIT && r[1 - i].last != STEP_WAIT)
                run_wait(&r[i]);
    for (int i = 0; i < 2; i++) {
        run_drop(&r[i]);
        assert_string_equal(said(s, &r[i]), reference(&s->arena, s->handler, s->args, i, input));
        run_end(&r[i]);
    }
}

/* The most work that its params allow, without any wait. */
static void *largest_args(struct arena *a, const struct handler *h)
{
    void *args = quick_args(a, h);

    for (size_t i = 0; i < h->params.count; i++) {
        const struct field *f = &h->params.list[i];

        if (f->type == FIELD_INT)
            *(int64_t *)(void *)((char *)args + f->offset) = named_in_ms(f->name) ? f->min : f->max;
        else if (f->type == FIELD_BOOL)
            *(bool *)((char *)args + f->offset) = true;
    }
    return args;
}

/* Told to stop, every step returns, whatever it was asked for: an hour of computing hangs this test if not. */
static void check_stop(struct subject *s, struct span input)
{
    void *args = largest_args(&s->arena, s->handler);

    for (int way = 0; way < 2; way++) {
        struct run_item r;

        run_begin(&r, s->handler, args, 0, input, LIMIT_ITEM_RESULT);
        if (way == 0)
            cancel_raise(&r.never);
        else
            r.it.deadline = clock_after_ms(2);
        for (int i = 0; i < 3 && run_step(&r) == STEP_WAIT; i++)
            continue;
        run_drop(&r);
        run_end(&r);
    }
}

static void test_results(void **unused)
{
    (void)unused;
    each_handler(check_result);
}

static void test_early_steps(void **unused)
{
    (void)unused;
    each_handler(check_early);
}

static void test_drop_half_way(void **unused)
{
    (void)unused;
    each_handler(check_drop);
}

static void test_no_room(void **unused)
{
    (void)unused;
    each_handler(check_no_room);
}

static void test_interleaved(void **unused)
{
    (void)unused;
    each_handler(check_interleaved);
}

static void test_stop(void **unused)
{
    (void)unused;
    each_handler(check_stop);
}

/* Their params are plain bytes: they go to children as they are, and come back out of their own JSON. */
static void test_params(void **unused)
{
    (void)unused;
    for (size_t h = 0; handler_at(h); h++) {
        struct arena a CLEANUP(arena_release) = ARENA_INIT;
        struct buf b CLEANUP(buf_release) = BUF_INIT(LIMIT_PARAMS);
        struct json_out o = json_out(&b);
        const struct handler *handler = handler_at(h);
        void *args = quick_args(&a, handler), *again;
        struct err e = ERR_INIT;

        for (size_t i = 0; i < handler->params.count; i++)
            assert_int_not_equal(handler->params.list[i].type, FIELD_JSON);
        if (handler->check && !handler->check(args, &e)) { /* one of them has no default that could do */
            assert_true(span_starts(span_of(e.pointer), "/params/"));
            continue;
        }
        fields_write(&handler->params, args, &o);
        buf_char(&b, '\0');
        again = run_args(&a, handler, b.ptr, &e);
        if (!again)
            fail_msg("%s: %s: %s", handler->name, b.ptr, e.text);
        assert_memory_equal(args, again, handler->params.size);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_results),       cmocka_unit_test(test_early_steps),
        cmocka_unit_test(test_drop_half_way), cmocka_unit_test(test_no_room),
        cmocka_unit_test(test_interleaved),   cmocka_unit_test(test_stop),
        cmocka_unit_test(test_params),
    };

    handlers_allow_hidden(true);
    load_plugins();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
