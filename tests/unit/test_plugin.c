/*
 * handlers/plugin.h: what a plug-in exports is looked through before anything of it is called, and what its steps say is not
 * believed. The plug-ins here are tables of this file; shared objects are for tests/integration/test_plugins.py.
 */
#include "../lib/test.h"

#include <fcntl.h>
#include <lathe/handler.h>
#include <unistd.h>

#include "../lib/run_item.h"
#include "core/limits.h"
#include "handlers/plugin.h"
#include "handlers/registry.h"

static struct arena arena = ARENA_INIT;
static struct run_item run;
static struct err e;

static int clean(void **unused)
{
    (void)unused;
    run_end(&run);
    run = (struct run_item){0};
    arena_release(&arena);
    return 0;
}

/* What was built with ABI 1 lies like this for ever; a change here is a new ABI. */
static void test_layout(void **unused)
{
    (void)unused;
    if (sizeof(void *) != 8)
        skip();
    assert_int_equal(LATHE_ABI, 1);
    assert_int_equal(offsetof(struct lathe_plugin, handlers), 32);
    assert_int_equal(sizeof(struct lathe_plugin), 40);
    assert_int_equal(offsetof(struct lathe_handler, drop), 72);
    assert_int_equal(sizeof(struct lathe_handler), 80);
    assert_int_equal(offsetof(struct lathe_field, words), 72);
    assert_int_equal(sizeof(struct lathe_field), 80);
    assert_int_equal(offsetof(struct lathe_item, tries), 48);
    assert_int_equal(sizeof(struct lathe_item), 56);
    assert_int_equal(offsetof(struct lathe_host, snooze), 104);
    assert_int_equal(sizeof(struct lathe_host), 112);
}

/* ---- tables */

static enum lathe_step answer(struct lathe_item *it)
{
    lathe_print(it, "%lld", (long long)it->index);
    return LATHE_DONE;
}

struct params {
    int64_t whole;
    double part;
    int word;
    bool flag;
    char text[9];
};

static const char *const words[] = {"red", "green", NULL};
static const char *const no_words[] = {NULL};

static const struct lathe_field good_fields[] = {
    {.name = "whole",
     .summary = "s",
     .type = LATHE_INT,
     .offset = offsetof(struct params, whole),
     .min = -5,
     .max = 5},
    {.name = "part",
     .summary = "s",
     .type = LATHE_NUM,
     .offset = offsetof(struct params, part),
     .max = 2,
     .def_num = 1.5},
    {.name = "word",
     .summary = "s",
     .type = LATHE_WORD,
     .offset = offsetof(struct params, word),
     .words = words,
     .def = 1},
    {.name = "flag", .summary = "s", .type = LATHE_BOOL, .offset = offsetof(struct params, flag), .def = 1},
    {.name = "text",
     .summary = "s",
     .type = LATHE_TEXT,
     .offset = offsetof(struct params, text),
     .max = 8,
     .def_text = "a\"b"},
};

/* A plug-in of one handler, to be spoiled. */
struct subject {
    struct lathe_field fields[COUNT_OF(good_fields)];
    struct lathe_handler handler;
    struct lathe_plugin plugin;
};

static struct subject *good(const char *name)
{
    struct subject *s = arena_alloc(&arena, sizeof *s);
    memcpy(s->fields, good_fields, sizeof s->fields);
    s->handler = (struct lathe_handler){.name = name,
                                        .summary = "answers",
                                        .fields = s->fields,
                                        .fields_n = COUNT_OF(good_fields),
                                        .params_size = sizeof(struct params),
                                        .step = answer};
    s->plugin = (struct lathe_plugin){.magic = LATHE_MAGIC,
                                      .abi = LATHE_ABI,
                                      .plugin_size = sizeof(struct lathe_plugin),
                                      .handler_size = sizeof(struct lathe_handler),
                                      .field_size = sizeof(struct lathe_field),
                                      .item_size = sizeof(struct lathe_item),
                                      .host_size = sizeof(struct lathe_host),
                                      .handlers_n = 1,
                                      .handlers = &s->handler};
    return s;
}

static void refused(struct subject *s, const char *why)
{
    assert_false(plugin_add(&s->plugin, &e));
    assert_int_equal(e.code, ERR_CONFIG);
    if (!strstr(e.text, why))
        fail_msg("\"%s\" does not say \"%s\"", e.text, why);
    assert_null(handler_find(SPAN("bad.one")));
}

/* SPOILED(what is said, what is wrong): *s is a good one until then. */
#define SPOILED(why, ...)                    \
    do {                                     \
        struct subject *s = good("bad.one"); \
        __VA_ARGS__;                         \
        refused(s, why);                     \
    } while (0)

static void test_head(void **unused)
{
    (void)unused;
    SPOILED("LATHE_MAGIC", s->plugin.magic ^= 1);
    SPOILED("for ABI 2", s->plugin.abi++);
    SPOILED("for ABI 0", s->plugin.abi--);
    SPOILED("newer lathe/handler.h: its struct lathe_plugin", s->plugin.plugin_size += 8);
    SPOILED("newer lathe/handler.h: its struct lathe_handler", s->plugin.handler_size += 8);
    SPOILED("newer lathe/handler.h: its struct lathe_field", s->plugin.field_size += 8);
    SPOILED("newer lathe/handler.h: its struct lathe_item", s->plugin.item_size += 8);
    SPOILED("newer lathe/handler.h: its struct lathe_host", s->plugin.host_size += 8);
    SPOILED("never had less", s->plugin.handler_size -= 8);
    SPOILED("no handlers", s->plugin.handlers_n = 0);
    SPOILED("no handlers", s->plugin.handlers = NULL);
    SPOILED("257 handlers", s->plugin.handlers_n = LIMIT_HANDLERS + 1);
}

static void test_handler(void **unused)
{
    (void)unused;
    SPOILED("handler bad.one: it has no step", s->handler.step = NULL);
    SPOILED("no summary", s->handler.summary = NULL);
    SPOILED("no summary", s->handler.summary = "two\nlines");
    SPOILED("no summary", s->handler.summary = "no utf-8: \xff");
    SPOILED("of its items", s->handler.item = "");
    SPOILED("flags", s->handler.flags = 8);
    SPOILED("params or state", s->handler.state_size = LIMIT_PLUGIN_STATE + 1);
    SPOILED("params or state", s->handler.params_size = LIMIT_PARAMS + 1);
    SPOILED("65 fields", s->handler.fields_n = LIMIT_PLUGIN_FIELDS + 1);
    SPOILED("no table", s->handler.fields = NULL);
    SPOILED("no name", s->handler.name = NULL);
    SPOILED("no name", s->handler.name = "with a blank");
    SPOILED("handler \"echo\" already", s->handler.name = "echo");
    SPOILED("handler \"test.crash\" already", s->handler.name = "test.crash");
}

static void test_fields(void **unused)
{
    (void)unused;
    SPOILED("field 1: its name", s->fields[1].name = NULL);
    SPOILED("field 1: its name", s->fields[1].name = "Part");
    SPOILED("field 1: its name", s->fields[1].name = "a.b");
    SPOILED("field whole: there is another", s->fields[1].name = "whole");
    SPOILED("field part: it has no summary", s->fields[1].summary = "");
    SPOILED("field part: its type", s->fields[1].type = (enum lathe_type)9);
    SPOILED("inside the params struct", s->fields[1].offset = sizeof(struct params));
    SPOILED("inside the params struct", s->fields[1].offset = SIZE_MAX - 3);
    SPOILED("inside the params struct", s->handler.params_size = offsetof(struct params, text) + 8);
    SPOILED("aligned", s->fields[1].offset = 12);
    SPOILED("field part: it lies over the field whole", s->fields[1].offset = 0);
    SPOILED("min is above", s->fields[0].min = 6);
    SPOILED("outside min..max", s->fields[0].def = 6);
    SPOILED("outside min..max", s->fields[1].def_num = 2.5);
    SPOILED("outside min..max", s->fields[1].def_num = 0.0 / 0.0);
    SPOILED("none of its words", s->fields[2].def = 2);
    SPOILED("1 to 64 words", s->fields[2].words = NULL);
    SPOILED("1 to 64 words", s->fields[2].words = no_words);
    SPOILED("neither 0 nor 1", s->fields[3].def = 2);
    SPOILED("no lengths", s->fields[4].max = -1);
    SPOILED("no lengths", s->fields[4].max = INT64_MAX);
    SPOILED("shorter than min", s->fields[4].min = 4);
    SPOILED("longer than max", s->fields[4].def_text = "too long for it");
    SPOILED("its defaults are refused", s->fields[4].def_text = "a\tb");
}

static const struct params *read_params(const char *json)
{
    const struct params *p = run_args(&arena, handler_find(SPAN("good.one")), json, &e);
    if (!p)
        fail_msg("%s: %s", json, e.text);
    return p;
}

/* It is a handler like any other: found, described, its params read and refused by name. */
static void test_added(void **unused)
{
    static struct subject kept;
    struct buf b CLEANUP(buf_release) = BUF_INIT(LIMIT_PARAMS);
    struct json_out o = json_out(&b);
    (void)unused;
    kept = *good("good.one");
    kept.handler.fields = kept.fields;
    kept.plugin.handlers = &kept.handler;
    assert_true(plugin_add(&kept.plugin, &e));
    const struct handler *h = handler_find(SPAN("good.one"));
    assert_non_null(h);
    assert_false(h->process_only);
    const struct params *p = read_params("{}");
    assert_true(p->whole == 0 && p->part == 1.5 && p->word == 1 && p->flag && strcmp(p->text, "a\"b") == 0);
    p = read_params("{\"whole\":-5,\"part\":2,\"word\":\"red\",\"flag\":false,\"text\":\"12345678\"}");
    assert_true(p->whole == -5 && p->part == 2 && p->word == 0 && !p->flag &&
                strcmp(p->text, "12345678") == 0);
    assert_null(run_args(&arena, h, "{\"whole\":6}", &e));
    assert_string_equal(e.pointer, "/params/whole");
    assert_null(run_args(&arena, h, "{\"wohle\":5}", &e));
    assert_non_null(strstr(e.text, "did you mean \"whole\""));
    fields_write(&h->params, read_params("{}"), &o);
    buf_char(&b, '\0');
    assert_string_equal(b.ptr,
                        "{\"whole\":0,\"part\":1.5,\"word\":\"green\",\"flag\":true,\"text\":\"a\\\"b\"}");
    run_item(&run, h, p, 7, SPAN(""));
    assert_int_equal(run.last, STEP_DONE);
    assert_true(span_is(buf_view(&run.it.out), "7"));
    assert_false(plugin_add(&kept.plugin, &e));
    assert_non_null(strstr(e.text, "already"));
}

/* ---- steps: each is put in the place of that of one handler */

static enum lathe_step (*now_doing)(struct lathe_item *it);
static int drops;

static enum lathe_step act(struct lathe_item *it)
{
    return now_doing(it);
}

static void count_drop(struct lathe_item *it)
{
    assert_non_null(it->state);
    drops++;
}

static const struct lathe_handler actor = {.name = "good.actor",
                                           .summary = "does as told",
                                           .flags = LATHE_PROCESS_ONLY,
                                           .state_size = 8,
                                           .step = act,
                                           .drop = count_drop};

static const struct handler *acting(void)
{
    static struct lathe_plugin plugin;
    const struct handler *h = handler_find(SPAN("good.actor"));
    if (h)
        return h;
    plugin = good("x")->plugin;
    plugin.handlers = &actor;
    assert_true(plugin_add(&plugin, &e));
    return handler_find(SPAN("good.actor"));
}

/* "ok RESULT", or the slug and the reason. */
static const char *comes_to(enum lathe_step (*step)(struct lathe_item *it), const char *input)
{
    int before = drops;
    now_doing = step;
    run_end(&run);
    run_item(&run, acting(), NULL, 3, span_of(input));
    assert_int_equal(drops, before + 1);
    if (run.last == STEP_DONE)
        return arena_printf(&arena, "ok " SPAN_FMT, SPAN_ARG(buf_view(&run.it.out)));
    return arena_printf(&arena, "%s %s", err_slug(run.it.err.code), run.it.err.text);
}

static enum lathe_step broken_json(struct lathe_item *it)
{
    lathe_print(it, "{\"a\":%d", 1);
    return LATHE_DONE;
}

static enum lathe_step two_values(struct lathe_item *it)
{
    lathe_print(it, "1\n2");
    return LATHE_DONE;
}

static enum lathe_step lines(struct lathe_item *it)
{
    lathe_print(it, "[1,\r\n%300d]\n", 2);
    return LATHE_DONE;
}

static enum lathe_step nothing(struct lathe_item *it)
{
    (void)it;
    return LATHE_DONE;
}

static enum lathe_step no_reason(struct lathe_item *it)
{
    (void)it;
    return LATHE_FAIL;
}

static enum lathe_step no_step(struct lathe_item *it)
{
    (void)it;
    return (enum lathe_step)99;
}

static enum lathe_step waits_for_nothing(struct lathe_item *it)
{
    (void)it;
    return LATHE_WAIT;
}

static enum lathe_step waits_for_ever(struct lathe_item *it)
{
    return lathe_wait_until(it, LATHE_NEVER);
}

static enum lathe_step snoozes_for_nothing(struct lathe_item *it)
{
    (void)it;
    return LATHE_SNOOZE;
}

static enum lathe_step rejected(struct lathe_item *it)
{
    return lathe_fail(it, LATHE_REJECTED, "no %d\n\xff\xc3\xa9", 5);
}

static enum lathe_step too_long(struct lathe_item *it)
{
    return lathe_fail(it, LATHE_UNREACHABLE, "%400s\xc3\xa9", "");
}

static enum lathe_step string_of(struct lathe_item *it)
{
    lathe_text(it, "a\"\n\xff", 4);
    return LATHE_DONE;
}

static enum lathe_step twice_the_input(struct lathe_item *it)
{
    int64_t n = 21;
    if (!lathe_input_int(it, 0, 100, &n))
        return LATHE_FAIL;
    lathe_print(it, "%lld", (long long)(2 * n));
    return LATHE_DONE;
}

static enum lathe_step short_text(struct lathe_item *it)
{
    char text[5] = "?";
    if (!lathe_input_text(it, text, sizeof text))
        return LATHE_FAIL;
    lathe_text(it, text, strlen(text));
    return LATHE_DONE;
}

static void test_steps(void **unused)
{
    (void)unused;
    assert_true(acting()->process_only);
    assert_non_null(
        strstr(comes_to(broken_json, ""), "item-failed the result that the handler wrote is not JSON"));
    assert_non_null(
        strstr(comes_to(two_values, ""), "item-failed the result that the handler wrote is not JSON"));
    const char *joined = comes_to(lines, "");
    assert_true(span_starts(span_of(joined), "ok [1,   ") && !strchr(joined, '\n') && !strchr(joined, '\r'));
    assert_string_equal(comes_to(nothing, ""), "ok ");
    assert_string_equal(comes_to(no_reason, ""), "none "); /* the engine has words for that */
    assert_string_equal(comes_to(no_step, ""), "item-failed the handler answered 99, which is no step");
    assert_string_equal(comes_to(waits_for_nothing, ""),
                        "item-failed the handler waits, and has not said for what");
    assert_string_equal(comes_to(waits_for_ever, ""),
                        "item-failed the handler waits, and has not said for what");
    assert_string_equal(comes_to(snoozes_for_nothing, ""),
                        "item-failed the handler waits, and has not said for what");
    assert_string_equal(comes_to(rejected, ""), "rejected no 5 ?\xc3\xa9");
    assert_true(span_starts(span_of(comes_to(too_long, "")), "unreachable  "));
    assert_string_equal(comes_to(string_of, ""), "ok \"a\\\"\\n\xef\xbf\xbd\"");
}

static void test_inputs(void **unused)
{
    (void)unused;
    assert_string_equal(comes_to(twice_the_input, ""), "ok 42");
    assert_string_equal(comes_to(twice_the_input, "50"), "ok 100");
    assert_string_equal(comes_to(twice_the_input, "101"),
                        "bad-field the input must be an integer from 0 to 100");
    assert_string_equal(comes_to(short_text, ""), "ok \"?\"");
    assert_string_equal(comes_to(short_text, "\"\""), "ok \"\"");
    assert_string_equal(comes_to(short_text, "\"1234\""), "ok \"1234\"");
    assert_string_equal(comes_to(short_text, "\"12345\""),
                        "bad-field the input must be a string of at most 4 bytes, not 5");
    assert_true(
        span_starts(span_of(comes_to(short_text, "\"a\\u0000\"")), "bad-json ")); /* none holds a NUL */
    assert_string_equal(comes_to(short_text, "7"), "bad-field the input must be a string, not an integer");
}

/* ---- waiting, progress, the log, stopping, snoozing */

static enum lathe_step wait_for_byte(struct lathe_item *it)
{
    int fd = *(const int *)it->params;
    char byte;
    lathe_progress(it, 0.5);
    lathe_progress(it, 7);
    lathe_progress(it, 0.0 / 0.0);
    if (read(fd, &byte, 1) != 1)
        return lathe_wait_fd(it, fd, POLLIN, lathe_now(it) + 60000 * LATHE_MS);
    lathe_log(it, "got %c\n%s", byte, "\xff");
    return lathe_snooze(it, 5000);
}

static char logged[64];

static void keep_line(const struct item *it, struct span text)
{
    (void)it;
    snprintf(logged, sizeof logged, SPAN_FMT, SPAN_ARG(text));
}

static void test_waiting(void **unused)
{
    int fds[2];
    (void)unused;
    assert_int_equal(pipe2(fds, O_CLOEXEC | O_NONBLOCK), 0);
    now_doing = wait_for_byte;
    run_begin(&run, acting(), &fds[0], 0, SPAN(""), LIMIT_ITEM_RESULT);
    run.it.log = keep_line;
    assert_int_equal(run_step(&run), STEP_WAIT);
    assert_int_equal(run.it.wait.fd, fds[0]);
    assert_int_equal(run.it.wait.events, POLLIN);
    assert_true(run.it.wait.until > clock_now());
    assert_true(run.it.progress == 0.5);
    assert_int_equal(write(fds[1], "x", 1), 1);
    run_wait(&run);
    assert_int_equal(run_step(&run), STEP_SNOOZE);
    assert_int_equal(run.it.snooze_ms, 5000);
    assert_string_equal(logged, "got x ?");
    run_drop(&run);
    close(fds[0]);
    close(fds[1]);
}

static enum lathe_step until_stopped(struct lathe_item *it)
{
    while (!lathe_stopping(it))
        continue;
    return LATHE_DONE;
}

static void test_stopping(void **unused)
{
    (void)unused;
    now_doing = until_stopped;
    run_begin(&run, acting(), NULL, 0, SPAN(""), LIMIT_ITEM_RESULT);
    run.it.deadline = clock_after_ms(5);
    run_step(&run);
    run.it.deadline = CLOCK_NEVER;
    cancel_raise(&run.never);
    run_step(&run);
    run_drop(&run);
}

static enum lathe_step without_end(struct lathe_item *it)
{
    char piece[5000];
    memset(piece, '1', sizeof piece);
    for (int i = 0; i < 1000; i++) {
        lathe_write(it, piece, sizeof piece);
        lathe_print(it, "%5000d", 1);
    }
    return LATHE_DONE;
}

static void test_too_large(void **unused)
{
    (void)unused;
    comes_to(without_end, "");
    assert_int_equal(run.last, STEP_DONE);
    assert_true(run.it.out.failed && run.it.out.len <= LIMIT_ITEM_RESULT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_layout, clean),   cmocka_unit_test_teardown(test_head, clean),
        cmocka_unit_test_teardown(test_handler, clean),  cmocka_unit_test_teardown(test_fields, clean),
        cmocka_unit_test_teardown(test_added, clean),    cmocka_unit_test_teardown(test_steps, clean),
        cmocka_unit_test_teardown(test_inputs, clean),   cmocka_unit_test_teardown(test_waiting, clean),
        cmocka_unit_test_teardown(test_stopping, clean), cmocka_unit_test_teardown(test_too_large, clean),
    };
    handlers_allow_hidden(true);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
