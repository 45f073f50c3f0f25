/* core/log.h */
#include "unit/unit.h"

#include <errno.h>
#include <pthread.h>

#include "core/conf.h"
#include "core/json.h"
#include "core/limits.h"
#include "core/log.h"
#include "core/mem.h"

/* The one line that f logs, from its event on. */
static char *line_of(enum log_format format, void (*f)(void))
{
    log_setup(LOG_INFO, format, "test");
    struct capture c = capture_start(STDERR_FILENO);
    f();
    return capture_stop(c, STDERR_FILENO);
}

static void log_values(void)
{
    log_info("unit.done", "items=%d who=%s rate=%.2f big=%lld pc=%d%% part=%.*s empty=%s", 5, "x y=3 \"q\"",
             1.5, 123456789012LL, 3, 2, "abcd", "");
}

static void t01_logfmt(void **state)
{
    (void)state;
    char *line CLEANUP(mem_free_at) = line_of(LOG_LOGFMT, log_values);
    assert_holds(line, "level=info role=test pid=");
    assert_holds(
        line,
        " event=unit.done items=5 who=\"x y=3 \\\"q\\\"\" rate=1.50 big=123456789012 pc=3% part=ab empty=\"\"\n");
    assert_memory_equal(line, "ts=20", 5);
}

static void t02_json(void **state)
{
    (void)state;
    char *line CLEANUP(mem_free_at) = line_of(LOG_JSON, log_values);
    assert_true(json_check(span_of(line), NULL));
    assert_holds(line, "\"level\":\"info\",\"role\":\"test\",\"pid\":");
    assert_holds(
        line,
        "\"event\":\"unit.done\",\"items\":5,\"who\":\"x y=3 \\\"q\\\"\",\"rate\":1.50,\"big\":123456789012,"
        "\"pc\":\"3%\",\"part\":\"ab\",\"empty\":\"\"}\n");
}

static void log_hostile(void)
{
    log_warn("odd", "a=%s b=%s c=%s nan=%f", "1\nlevel=error", "\x1b[31m\xff", "x b=forged",
             (double)__builtin_nan(""));
}

static void t03_values_stay_values(void **state)
{
    (void)state;
    char *text CLEANUP(mem_free_at) = line_of(LOG_LOGFMT, log_hostile);
    assert_holds(text, " a=\"1\\nlevel=error\" b=\"\\u001b[31m\xef\xbf\xbd\" c=\"x b=forged\" nan=nan\n");
    assert_ptr_equal(strchr(text, '\n'), text + strlen(text) - 1); /* one line */
    char *json CLEANUP(mem_free_at) = line_of(LOG_JSON, log_hostile);
    assert_true(json_check(span_of(json), NULL)); /* no key twice, and nan no number */
    assert_holds(json, "\"nan\":\"nan\"");
}

static void log_error_value(void)
{
    struct err e = ERR_INIT;
    err_at(&e, ERR_STORE, "/x", "no \"route\"");
    log_err("store.lost", &e, "retry_ms=%d", 500);
}

static void t04_errors(void **state)
{
    (void)state;
    char *line CLEANUP(mem_free_at) = line_of(LOG_LOGFMT, log_error_value);
    assert_holds(line, "level=error");
    assert_holds(line, " retry_ms=500 error=store-unavailable pointer=/x detail=\"no \\\"route\\\"\"\n");
}

static int evaluated;

static int evaluate(void)
{
    return ++evaluated;
}

static void log_quietly(void)
{
    log_debug("quiet", "n=%d", evaluate());
}

static void t05_the_level_comes_first(void **state)
{
    (void)state;
    char *line CLEANUP(mem_free_at) = line_of(LOG_LOGFMT, log_quietly);
    assert_string_equal(line, "");
    assert_int_equal(evaluated, 0);
}

static void log_in_context(void)
{
    log_push("task", SPAN("t 1"));
    char longer[200];
    memset(longer, 'x', sizeof longer);
    log_push("request", (struct span){longer, sizeof longer});
    log_info("deep", "n=%d", 1);
    log_pop();
    log_pop();
    for (int i = 0; i < 20; i++) /* more than there is room for: still as many pops */
        log_push("k", SPAN("v"));
    for (int i = 0; i < 20; i++)
        log_pop();
    log_info("after", "n=%d", 2);
}

static void t06_context(void **state)
{
    (void)state;
    char *lines CLEANUP(mem_free_at) = line_of(LOG_LOGFMT, log_in_context);
    assert_holds(lines, " event=deep task=\"t 1\" request=xxxxxxxx");
    assert_holds(lines, "xx n=1\n");
    assert_holds(lines, " event=after n=2\n");
    const char *request = strstr(lines, "request=") + strlen("request=");
    assert_int_equal(strspn(request, "x"), 63);
}

static void log_too_much(void)
{
    char big[3000];
    memset(big, '"', sizeof big - 1);
    big[sizeof big - 1] = '\0';
    log_info("big", "a=%s b=%s c=%s d=%s", big, big, big, big);
}

static void t07_a_line_has_an_end(void **state)
{
    (void)state;
    for (int f = LOG_LOGFMT; f <= LOG_JSON; f++) {
        char *line CLEANUP(mem_free_at) = line_of((enum log_format)f, log_too_much);
        assert_true(strlen(line) <= LIMIT_LOG_LINE);
        assert_int_equal(line[strlen(line) - 1], '\n');
        assert_holds(line, "cut");
        if (f == LOG_JSON)
            assert_true(json_check(span_of(line), NULL));
    }
}

static void *log_often(void *arg)
{
    log_push("thread", span_of(arg));
    for (int i = 0; i < 500; i++)
        log_info("often", "i=%d text=%s", i, "a b c");
    log_pop();
    return NULL;
}

static void log_from_threads(void)
{
    pthread_t threads[4];
    static char names[4][2] = {"a", "b", "c", "d"};
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, log_often, names[i]), 0);
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
}

static void t08_lines_do_not_mix(void **state)
{
    (void)state;
    char *lines CLEANUP(mem_free_at) = line_of(LOG_JSON, log_from_threads);
    struct span rest = span_of(lines);
    int n = 0;
    for (; rest.len; n++)
        assert_true(json_check(span_cut(&rest, '\n'), NULL));
    assert_int_equal(n, 2000);
}

static void t09_errno_is_kept(void **state)
{
    (void)state;
    errno = ENOTTY;
    char *line CLEANUP(mem_free_at) = line_of(LOG_LOGFMT, log_values);
    assert_non_null(line);
    errno = ENOTTY;
    int full = open("/dev/full", O_WRONLY | O_CLOEXEC);
    struct capture c = capture_start(STDERR_FILENO);
    dup2(full, STDERR_FILENO);
    errno = ENOTTY;
    log_info("lost", "n=%d", 1);
    int after = errno;
    char *none CLEANUP(mem_free_at) = capture_stop(c, STDERR_FILENO);
    close(full);
    assert_int_equal(after, ENOTTY);
    assert_string_equal(none, "");
}

static void log_error_only(void)
{
    log_warn("quiet", "n=%d", 1);
    log_error("loud", "n=%d", 2);
}

static void t10_the_settings(void **state)
{
    (void)state;
    struct conf conf = {.log_level = "error", .log_format = "json"};
    char *first CLEANUP(mem_free_at) = line_of(LOG_LOGFMT, log_values); /* as "test" */
    assert_non_null(first);
    log_apply(&conf, NULL); /* a reload */
    struct capture c = capture_start(STDERR_FILENO);
    log_error_only();
    char *line CLEANUP(mem_free_at) = capture_stop(c, STDERR_FILENO);
    assert_null(strstr(line, "quiet"));
    assert_holds(line, "\"level\":\"error\",\"role\":\"test\"");
    conf = (struct conf){.log_level = "debug", .log_format = "logfmt"};
    log_apply(&conf, "other");
    assert_int_equal(log_threshold, LOG_DEBUG);
    c = capture_start(STDERR_FILENO);
    log_error_only();
    char *both CLEANUP(mem_free_at) = capture_stop(c, STDERR_FILENO);
    assert_holds(both, "level=warn role=other");
    assert_holds(both, "event=loud n=2\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(t01_logfmt),
        cmocka_unit_test(t02_json),
        cmocka_unit_test(t03_values_stay_values),
        cmocka_unit_test(t04_errors),
        cmocka_unit_test(t05_the_level_comes_first),
        cmocka_unit_test(t06_context),
        cmocka_unit_test(t07_a_line_has_an_end),
        cmocka_unit_test(t08_lines_do_not_mix),
        cmocka_unit_test(t09_errno_is_kept),
        cmocka_unit_test(t10_the_settings),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
