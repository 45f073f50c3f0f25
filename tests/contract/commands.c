/*
 * Handlers that are programs, over every strategy and free shapes: the examples of conf/examples do what they say, and
 * tests/lib/naughty.py, which crashes, hangs, floods and lies, spoils the item that made it do so and no other.
 */
#include "runs.h"

#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>

#include "core/conf_table.h"
#include "guards.h"
#include "handlers/command.h"

#define COUNT 40

static struct conf conf;
static char folder[PATH_MAX];

static struct plan plan_with(struct seen *s, struct arena *a, const char *name, const char *params,
                             int64_t count, size_t shape)
{
    return plan_of(s, find(name), args_of(a, name, params), count, shapes[shape]);
}

static size_t shape_named(const char *name)
{
    for (size_t i = 0; i < shapes_n; i++)
        if (strcmp(shape_names[i], name) == 0)
            return i;
    fail();
    return 0;
}

static void assert_what(const struct seen *s, int64_t i, const char *want, const char *shape)
{
    if (strcmp(s->what[i], want) != 0)
        fail_msg("%s: item %d is \"%s\", not \"%s\"", shape, (int)i, s->what[i], want);
}

/* ---- the examples */

static void test_examples(void **unused)
{
    static const struct span some[] = {
        {"3", 1}, {"\"a\\u00fcb\"", 10}, {"{\"k\":[1,\n2]}", 12}, {"null", 4}, {"-0.5", 4}};
    static const char *const echoed[] = {"ok 3", "ok \"a\303\274b\"", "ok {\"k\":[1,2]}", "ok null",
                                         "ok -0.5"};
    struct span inputs[COUNT];
    (void)unused;
    for (size_t i = 0; i < COUNT; i++)
        inputs[i] = some[i % COUNT_OF(some)];
    for (size_t i = 0; i < shapes_n; i++) {
        struct arena a CLEANUP(arena_release) = ARENA_INIT;
        static struct seen s;
        struct plan p = plan_with(&s, &a, "py.echo", "{}", COUNT, i);
        run(&p, &s, shape_names[i]);
        for (int64_t k = 0; k < COUNT; k++)
            assert_what(&s, k, arena_printf(&a, "ok %d", 1000 + (int)k), shape_names[i]);
        arena_release(&s.arena);
        p = plan_with(&s, &a, "py.echo", "{}", COUNT, i);
        p.inputs = inputs;
        run(&p, &s, shape_names[i]);
        for (int64_t k = 0; k < COUNT; k++)
            assert_what(&s, k, echoed[k % 5], shape_names[i]);
        arena_release(&s.arena);
        p = plan_with(&s, &a, "sh.count", "{\"x\":1}", COUNT, i);
        p.inputs = inputs;
        run(&p, &s, shape_names[i]);
        for (int64_t k = 0; k < COUNT; k++)
            assert_what(&s, k, arena_printf(&a, "ok %zu", inputs[k].len), shape_names[i]);
        arena_release(&s.arena);
    }
}

/* ---- what goes wrong */

static struct span inputs[COUNT];

/* One at the tenth place and the others as they should be. */
static void set_inputs(struct arena *a, const char *odd)
{
    for (int i = 0; i < COUNT; i++)
        inputs[i] = span_of(i == 10 ? odd : arena_printf(a, "{\"n\":%d}", i));
}

static void check_others(const struct seen *s, struct arena *a, const char *what, const char *shape)
{
    for (int64_t k = 0; k < COUNT; k++)
        if (k != 10)
            assert_what(s, k, arena_printf(a, "ok " SPAN_FMT, SPAN_ARG(inputs[k])),
                        arena_printf(a, "%s, %s", what, shape));
}

static void spoil(const char *odd, enum err_code code, const char *text, size_t shape, int64_t limit)
{
    struct arena a CLEANUP(arena_release) = ARENA_INIT;
    static struct seen s;
    struct plan p = plan_with(&s, &a, "naughty", "{}", COUNT, shape);
    set_inputs(&a, odd);
    p.inputs = inputs;
    p.item_timeout_ms = limit;
    run(&p, &s, shape_names[shape]);
    check_others(&s, &a, odd, shape_names[shape]);
    if (s.code[10] != code || !strstr(s.what[10], text))
        fail_msg("%s, %s: %s", odd, shape_names[shape], s.what[10]);
    arena_release(&s.arena);
}

/* Starting a program costs tens of milliseconds, so only the crash is tried under all shapes. */
static const char *const some[] = {"sequential", "async-batch", "multiprocessing"};

static void test_blame(void **unused)
{
    (void)unused;
    for (size_t i = 0; i < shapes_n; i++)
        spoil("{\"do\":\"crash\"}", ERR_ITEM_CRASHED, "signal 11", i, 0);
    for (size_t k = 0; k < COUNT_OF(some); k++) {
        size_t i = shape_named(some[k]);
        spoil("{\"do\":\"exit\"}", ERR_ITEM_CRASHED, "exit code 3", i, 0);
        spoil("{\"do\":\"mute\"}", ERR_ITEM_CRASHED, "closed its standard output", i, 0);
        spoil("{\"do\":\"junk\"}", ERR_COMMAND, "this is no JSON", i, 0);
        spoil("{\"do\":\"error\"}", ERR_ITEM_FAILED, "it did not work", i, 0);
        spoil("{\"do\":\"list\"}", ERR_COMMAND, "no JSON object", i, 0);
        spoil("{\"do\":\"type\"}", ERR_COMMAND, "wrong types", i, 0);
        spoil("{\"do\":\"flood\"}", ERR_COMMAND, "does not have in hand", i, 0);
        spoil("{\"do\":\"long\"}", ERR_COMMAND, "a line of more than", i, 0);
        spoil("{\"do\":\"large\"}", ERR_ITEM_TOO_LARGE, "more than", i, 0);
        spoil("{\"do\":\"final\"}", ERR_REJECTED, "it never will", i, 0);
    }
}

/* It is deaf to SIGTERM and has a child; both are gone at the end of the suite, and no neighbour is timed out with it. */
static void test_time_limit(void **unused)
{
    (void)unused;
    for (size_t k = 0; k < COUNT_OF(some); k++)
        spoil("{\"do\":\"hang\"}", ERR_ITEM_TIMEOUT, "item_timeout_ms", shape_named(some[k]), 4000);
}

static void test_one_death_is_forgiven(void **unused)
{
    (void)unused;
    for (size_t n = 0; n < COUNT_OF(some); n++) {
        size_t i = shape_named(some[n]);
        struct arena a CLEANUP(arena_release) = ARENA_INIT;
        static struct seen s;
        char *path = arena_printf(&a, "%s/once", folder);
        const char *odd = arena_printf(&a, "{\"do\":\"crash_once\",\"path\":\"%s\"}", path);
        struct plan p = plan_with(&s, &a, "naughty", "{}", COUNT, i);
        set_inputs(&a, odd);
        p.inputs = inputs;
        run(&p, &s, shape_names[i]);
        check_others(&s, &a, "once", shape_names[i]);
        assert_what(&s, 10, arena_printf(&a, "ok %s", odd), shape_names[i]);
        assert_int_equal(unlink(path), 0);
        arena_release(&s.arena);
    }
}

static void test_retries(void **unused)
{
    static const struct {
        const char *input;
        int64_t tries;
    } rows[] = {{"{\"do\":\"error\"}", 2}, {"{\"do\":\"final\"}", 0}, {"{\"do\":\"crash\"}", 2}};
    (void)unused;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct arena a CLEANUP(arena_release) = ARENA_INIT;
        static struct seen s;
        struct span input = span_of(rows[i].input);
        struct plan p = plan_with(&s, &a, "naughty", "{}", 1, shape_named("sequential"));
        p.inputs = &input;
        p.item_retries = 2;
        run(&p, &s, "sequential");
        assert_int_equal(s.report.failed, 1);
        assert_int_equal(s.tries[0], rows[i].tries);
        arena_release(&s.arena);
    }
}

static void test_programs_that_do_not_run(void **unused)
{
    static const struct {
        const char *name, *text;
        enum err_code code;
    } rows[] = {{"broken", "exit code 1", ERR_ITEM_CRASHED},
                {"missing", "could not be started", ERR_COMMAND}};
    (void)unused;
    for (size_t r = 0; r < COUNT_OF(rows); r++)
        for (size_t n = 0; n < COUNT_OF(some); n++) {
            size_t i = shape_named(some[n]);
            struct arena a CLEANUP(arena_release) = ARENA_INIT;
            static struct seen s;
            struct plan p = plan_with(&s, &a, rows[r].name, "{}", PROBE_ITEMS, i);
            run(&p, &s, shape_names[i]);
            for (int64_t k = 0; k < s.count; k++)
                if (s.code[k] != rows[r].code || !strstr(s.what[k], rows[r].text))
                    fail_msg("%s, %s: %s", rows[r].name, shape_names[i], s.what[k]);
            arena_release(&s.arena);
        }
}

/* ---- what it hears and says */

static void test_lines(void **unused)
{
    (void)unused;
    for (size_t i = 0; i < shapes_n; i++) {
        struct arena a CLEANUP(arena_release) = ARENA_INIT;
        static struct seen s;
        struct span one = SPAN("{\"do\":\"say\"}");
        struct plan p = plan_with(&s, &a, "naughty", "{}", 1, i);
        p.inputs = &one;
        run(&p, &s, shape_names[i]);
        assert_int_equal(s.report.ok, 1);
        assert_int_equal(s.lines[0], 2);
        arena_release(&s.arena);
    }
}

static const char *only(struct seen *s, const char *params, const char *input, const char *shape)
{
    struct arena a CLEANUP(arena_release) = ARENA_INIT;
    struct span one = span_of(input);
    struct plan p = plan_with(s, &a, "naughty", params, 1, shape_named(shape));
    p.inputs = &one;
    run(&p, s, shape);
    return s->what[0];
}

static void test_what_it_is_given(void **unused)
{
    static struct seen s, t;
    (void)unused;
    setenv("LATHE_STORE_URL", "password=geheim", 1);
    setenv("PGPASSWORD", "geheim", 1);
    assert_string_equal(only(&s, "{\"a\":[1,{\"b\":null}]}", "{\"do\":\"params\"}", "threading"),
                        "ok {\"a\":[1,{\"b\":null}]}");
    arena_release(&s.arena);
    assert_string_equal(only(&s, "{}", "{\"do\":\"secret\"}", "sequential"), "ok []");
    arena_release(&s.arena);
    const char *first = only(&s, "{}", "{\"do\":\"pid\"}", "sequential");
    assert_string_equal(only(&t, "{}", "{\"do\":\"pid\"}", "sequential"), first); /* kept warm */
    arena_release(&s.arena);
    arena_release(&t.arena);
    unsetenv("LATHE_STORE_URL");
    unsetenv("PGPASSWORD");
}

/* One process serves many runs: an answer that comes late is for no item of the next one, nor is a line to its log. */
static void test_next_run(void **unused)
{
    struct arena a CLEANUP(arena_release) = ARENA_INIT;
    static struct seen s, t;
    const char *path = arena_printf(&a, "%s/late", folder);
    (void)unused;
    const char *first = only(&s, "{}", "{\"do\":\"id\"}", "sequential");
    assert_string_not_equal(only(&t, "{}", "{\"do\":\"id\"}", "sequential"), first);
    arena_release(&s.arena);
    arena_release(&t.arena);
    only(&s, "{}", arena_printf(&a, "{\"do\":\"late\",\"path\":\"%s\"}", path), "sequential");
    arena_release(&s.arena);
    while (access(path, F_OK) != 0)
        poll(NULL, 0, 2);
    only(&s, "{}", "{\"do\":\"say\"}", "sequential");
    assert_int_equal(s.lines[0], 2);
    arena_release(&s.arena);
    unlink(path);
}

static void test_cancel(void **unused)
{
    (void)unused;
    for (size_t i = 0; i < shapes_n; i++) {
        struct arena a CLEANUP(arena_release) = ARENA_INIT;
        static struct seen s;
        struct plan p = plan_with(&s, &a, "naughty", "{}", COUNT, i);
        set_inputs(&a, "{\"do\":\"hang\"}");
        p.inputs = inputs;
        s.cancel_after = 3;
        run(&p, &s, shape_names[i]);
        assert_true(s.report.cancelled > 0 && s.report.failed == 0);
        arena_release(&s.arena);
    }
}

/* ---- guards */

static const char *pid_of_program(struct seen *s)
{
    arena_release(&s->arena);
    return only(s, "{}", "{\"do\":\"pid\"}", "sequential");
}

/* One that dies is replaced; if they die again and again who needs a new program waits for the next one. */
static void test_guards_that_die(void **unused)
{
    static struct seen s;
    const char *said = pid_of_program(&s);
    (void)unused;
    for (int i = 0; i < 4; i++) {
        assert_int_equal(strncmp(said, "ok ", 3), 0);
        kill((pid_t)strtol(said + 3, NULL, 10), SIGKILL);
        lose_guard();
        said = pid_of_program(&s);
    }
    if (strncmp(said, "ok ", 3) != 0)
        fail_msg("%s", said);
    arena_release(&s.arena);
}

/* ---- who is killed leaves nothing behind */

static bool guard_too;

static void on_hanging(void *arg, int64_t index, struct span text)
{
    (void)index;
    if (span_is(text, "hangs") && guard_too) {
        kill_guard();
        exec_idle(); /* as a worker does now and then */
    }
    if (span_is(text, "hangs") && write(*(int *)arg, "x", 1) != 1)
        _exit(1);
}

static void on_nothing(void *arg, const struct outcome *o)
{
    (void)arg, (void)o;
}

static void hang_here(int said)
{
    struct arena a CLEANUP(arena_release) = ARENA_INIT;
    struct span one = SPAN("{\"do\":\"hang\"}");
    const struct handler *h = handler_find(SPAN("naughty"));
    struct err e = ERR_INIT;
    struct plan p = {.handler = h,
                     .args = run_args(&a, h, "{}", &e),
                     .inputs = &one,
                     .count = 1,
                     .shape = {.threads = 1, .width = 1, .grain = 1},
                     .deadline = CLOCK_NEVER,
                     .done = on_nothing,
                     .log = on_hanging,
                     .arg = &said};
    if (!exec_run(&p, NULL, &e))
        _exit(2);
    _exit(3);
}

static bool nobody_left(void)
{
    for (int64_t until = clock_after_ms(20000); clock_now() < until; poll(NULL, 0, 2))
        if (waitpid(-1, NULL, WNOHANG) < 0)
            return true;
    return false;
}

/* Before the suite has processes of its own. */
static bool killed_leaves_nothing(void)
{
    int said[2];
    char byte;
    if (pipe2(said, O_CLOEXEC) < 0)
        return false;
    pid_t pid = fork();
    if (pid == 0)
        hang_here(said[1]);
    close(said[1]);
    bool hangs = read(said[0], &byte, 1) == 1;
    close(said[0]);
    kill(pid, SIGKILL);
    return nobody_left() && hangs;
}

static int tests(void)
{
    const struct CMUnitTest list[] = {
        cmocka_unit_test(test_examples),        cmocka_unit_test(test_blame),
        cmocka_unit_test(test_time_limit),      cmocka_unit_test(test_one_death_is_forgiven),
        cmocka_unit_test(test_retries),         cmocka_unit_test(test_programs_that_do_not_run),
        cmocka_unit_test(test_lines),           cmocka_unit_test(test_what_it_is_given),
        cmocka_unit_test(test_cancel),          cmocka_unit_test(test_next_run),
        cmocka_unit_test(test_guards_that_die),
    };
    return cmocka_run_group_tests(list, NULL, NULL);
}

static bool set_up(struct err *e)
{
    struct buf b CLEANUP(buf_release) = BUF_INIT(4 * PATH_MAX);
    const char *top = getenv("top_srcdir");
    char here[PATH_MAX];
    if (!realpath(top ? top : ".", here))
        return false;
    /* what `python3` in the PATH is may be a script that looks for one, for half a second */
    const char *python = access("/usr/bin/python3", X_OK) == 0 ? "/usr/bin/python3" : "/usr/bin/env python3";
    buf_printf(&b, "[command py.echo]\nprogram = %s\n  \"%s/conf/examples/echo.py\"\n", python, here);
    buf_printf(&b, "[command sh.count]\nprogram = /bin/sh\n  '%s/conf/examples/count.sh'\n", here);
    buf_printf(&b, "[command naughty]\nrestart = 1ms\nprogram = %s\n  '%s/tests/lib/naughty.py'\n", python,
               here);
    buf_puts(&b, "[command broken]\nrestart = 1ms\nprogram = /bin/sh -c 'exit 1'\n");
    buf_puts(&b, "[command missing]\nrestart = 1ms\nprogram = /nowhere/at/all\n");
    conf_set_defaults(&conf);
    return conf_read_text(&conf, buf_view(&b), "test", e) && commands_open(&conf, e);
}

int main(void)
{
    struct err e = ERR_INIT;
    snprintf(folder, sizeof folder, "/tmp/lathe-commands-XXXXXX");
    if (!set_up(&e) || !mkdtemp(folder)) {
        printf("Bail out! %s\n", e.text);
        return 1;
    }
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    for (int i = 0; i < 2; i++) {
        guard_too = i > 0;
        if (!killed_leaves_nothing()) {
            printf("Bail out! who is killed leaves processes behind%s\n",
                   i ? ", with its guard before it" : "");
            return 1;
        }
    }
    int failed = run_suite(tests);
    rmdir(folder);
    conf_release(&conf);
    return failed;
}
