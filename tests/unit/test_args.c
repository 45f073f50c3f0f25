/* worker/args.h: params that are the same are read once, and what is kept is never what another unit or handler wants. */
#include "unit.h"

#include <string.h>

#include "core/mem.h"
#include "model/submission.h"
#include "worker/args.h"

struct list {
    int64_t n;
    char word[16];
};

static const struct field field_list[] = {
    {.name = "n", .type = FIELD_INT, .offset = offsetof(struct list, n), .min = 0, .max = 100, .def = 7},
    {.name = "word",
     .type = FIELD_TEXT,
     .offset = offsetof(struct list, word),
     .max = 15,
     .def_text = "none"},
};
static const struct handler first = {.name = "first", .params = FIELDS(field_list, struct list)};
static const struct handler other = {.name = "other", .params = FIELDS(field_list, struct list)};

struct large {
    char word[5000];
};

static const struct field large_list[] = {
    {.name = "word", .type = FIELD_TEXT, .offset = offsetof(struct large, word), .max = 4999, .def_text = ""},
};
static const struct handler large = {.name = "large", .params = FIELDS(large_list, struct large)};

static const struct list *read_ok(struct args *a, const struct handler *h, const char *params)
{
    struct err e = ERR_INIT;
    const struct list *list = args_read(a, h, span_of(params), &e);
    if (list == NULL)
        fail_msg("%s", e.text);
    return list;
}

static void t01_the_same_are_read_once(void **state)
{
    (void)state;
    struct args a CLEANUP(args_release) = ARGS_INIT;
    char again[] = "{\"n\": 5}";
    const struct list *list = read_ok(&a, &first, "{\"n\": 5}");
    assert_true(list->n == 5);
    assert_string_equal(list->word, "none");
    args_rest(&a);
    assert_ptr_equal(read_ok(&a, &first, again), list); /* by what they are, wherever they lie */
    again[6] = '6';
    assert_true(read_ok(&a, &first, again)->n == 6);
    again[6] = '9'; /* it has a copy */
    assert_true(read_ok(&a, &first, "{\"n\": 6}")->n == 6);
    assert_true(read_ok(&a, &first, "")->n == 7);
    assert_true(read_ok(&a, &first, "{}")->n == 7);
}

static void t02_another_handlers(void **state)
{
    (void)state;
    struct args a CLEANUP(args_release) = ARGS_INIT;
    read_ok(&a, &first, "{\"n\": 5}");
    uint64_t digest = args_digest(&a);
    assert_true(digest != 0 && digest == args_digest(&a));
    read_ok(&a, &other, "{\"n\": 5}");
    assert_ptr_equal(a.handler, &other);
    assert_true(args_digest(&a) != digest);
    read_ok(&a, &first, "{\"n\": 6}");
    assert_true(args_digest(&a) != digest);
    read_ok(&a, &first, "{\"word\": \"none\", \"n\": 5}"); /* otherwise written */
    assert_true(args_digest(&a) == digest);
}

/* What cannot be read is not kept, and leaves nothing of what was. */
static void t03_bad_ones(void **state)
{
    (void)state;
    struct args a CLEANUP(args_release) = ARGS_INIT;
    for (int i = 0; i < 2; i++) {
        struct err e = ERR_INIT;
        read_ok(&a, &first, "{\"n\": 5}");
        assert_null(args_read(&a, &first, SPAN("{\"n\": 500}"), &e));
        assert_non_null(strstr(e.text, "n"));
        assert_null(args_read(&a, &first, SPAN("{\"n\": 500}"), &e));
        assert_null(args_read(&a, &first, SPAN("{"), &e));
    }
    args_rest(&a);
    assert_null(a.arena.blocks);
    assert_true(read_ok(&a, &first, "{\"n\": 5}")->n == 5);
}

static void t04_large_ones_are_let_go(void **state)
{
    (void)state;
    struct args a CLEANUP(args_release) = ARGS_INIT;
    char *text = mem_alloc(8001);
    memset(text, ' ', 8000);
    memcpy(text, "{\"n\": 5}", 8);
    assert_true(read_ok(&a, &first, text)->n == 5);
    args_rest(&a);
    assert_null(a.handler);
    assert_true(read_ok(&a, &first, text)->n == 5);
    mem_free(text);
    assert_non_null(read_ok(&a, &large, "{}")); /* small, but not what it is read into */
    args_rest(&a);
    assert_null(a.arena.blocks);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(t01_the_same_are_read_once),
        cmocka_unit_test(t02_another_handlers),
        cmocka_unit_test(t03_bad_ones),
        cmocka_unit_test(t04_large_ones_are_let_go),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
