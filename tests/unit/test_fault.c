/* core/fault.h. The points are compiled in here, however the rest was configured; each case is a child with an
 * environment of its own. */
#ifndef LATHE_FAULT_POINTS
#define LATHE_FAULT_POINTS 1
#endif
#include "core/fault.c"

#include "unit/unit.h"

static char said[4096];

static void pass_and_print(void *arg)
{
    setenv("LATHE_FAULT", arg, 1);
    for (int i = 0; i < 4; i++)
        dprintf(STDERR_FILENO, "%d%d ", fault_hit("a.b"), fault_hit("c"));
}

static int run(const char *text)
{
    char copy[200];
    snprintf(copy, sizeof copy, "%s", text);
    return in_child(pass_and_print, copy, said, sizeof said);
}

static void t01_drop(void **state)
{
    (void)state;
    assert_int_equal(run(""), 0);
    assert_string_equal(said, "00 00 00 00 ");
    assert_int_equal(run("a.b:3:drop"), 0);
    assert_string_equal(said, "00 00 10 00 ");
    assert_int_equal(run("a.b:1:drop,c:2:drop,a.b:4:drop"), 0);
    assert_string_equal(said, "10 01 00 10 ");
    assert_int_equal(run("a:1:drop,a.b.c:1:drop"), 0); /* names are whole */
    assert_string_equal(said, "00 00 00 00 ");
    assert_int_equal(run("c:2:delay=1"), 0);
    assert_string_equal(said, "00 00 00 00 ");
}

static void t02_kill(void **state)
{
    (void)state;
    int status = run("c:2:kill");
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), SIGKILL);
    assert_string_equal(said, "00 ");
}

static void t03_stop(void **state)
{
    (void)state;
    fflush(NULL);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        setenv("LATHE_FAULT", "x:1:stop", 1);
        _exit(fault_hit("x") ? 1 : 7);
    }
    int status;
    assert_int_equal(waitpid(pid, &status, WUNTRACED), pid);
    assert_true(WIFSTOPPED(status));
    kill(pid, SIGCONT);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(WEXITSTATUS(status), 7);
}

static void t04_what_is_no_rule_ends_it(void **state)
{
    (void)state;
    static const char *const bad[] = {"a",           "a:1",     "a:0:drop",  "a:x:drop",
                                      "a:1:explode", ":1:drop", "a:1:delay", "a:1:delay=x"};
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        assert_true(WIFSIGNALED(run(bad[i])));
        assert_holds(said, "cannot use");
        assert_holds(said, bad[i]);
    }
}

static void count_some(void *arg)
{
    setenv("LATHE_FAULT_COUNT", arg, 1);
    fault_hit("one");
    fault_hit("two");
    fault_hit("one");
}

static void t05_counting(void **state)
{
    (void)state;
    char dir[64], path[100], text[100] = "";
    make_dir(dir);
    snprintf(path, sizeof path, "%s/count", dir);
    assert_int_equal(in_child(count_some, path, said, sizeof said), 0);
    assert_int_equal(in_child(count_some, path, said, sizeof said), 0);
    FILE *f = fopen(path, "re");
    assert_non_null(f);
    assert_int_equal(fread(text, 1, sizeof text - 1, f), 24);
    assert_string_equal(text, "one\ntwo\none\none\ntwo\none\n");
    fclose(f);
    unlink(path);
    rmdir(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(t01_drop),     cmocka_unit_test(t02_kill),
        cmocka_unit_test(t03_stop),     cmocka_unit_test(t04_what_is_no_rule_ends_it),
        cmocka_unit_test(t05_counting),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
