/*
 * What the program of a command is started with, what its limits do, and that nothing of a task is a word of it: it tells itself.
 * What comes of programs that misbehave is commands.c's business.
 */
#include "programs.h"

#include <grp.h>
#include <pwd.h>
#include <sys/resource.h>

#define COUNT 12
#define ODD 5

/* ---- what it has */

static void assert_shown(const char *name, const char *what, const char *want, const char *shape)
{
    struct arena a CLEANUP(arena_release) = ARENA_INIT;
    static struct seen s;
    run_one(&s, name, "{}", arena_printf(&a, "{\"show\":\"%s\"}", what), shape);
    if (strcmp(s.what[0], arena_printf(&a, "ok %s", want)) != 0)
        fail_msg("%s, %s: its %s are \"%s\", not \"ok %s\"", name, shape, what, s.what[0], want);
    arena_release(&s.arena);
}

static const char *const some[] = {"sequential", "multiprocessing"};

static void test_what_every_program_has(void **unused)
{
    static const struct {
        const char *what, *want;
    } rows[] = {{"folder", "\"/\""},        {"privileges", "1"}, {"leads", "true"},
                {"descriptors", "[0,1,2]"}, {"blocked", "0"},    {"core", "[0,0]"}};
    (void)unused;
    for (size_t k = 0; k < COUNT_OF(some); k++)
        for (size_t i = 0; i < COUNT_OF(rows); i++)
            assert_shown("plain", rows[i].what, rows[i].want, some[k]);
}

static void test_environment(void **unused)
{
    static const char *const passed[] = {"HOME=/var/of/it",    "LANG=C.UTF-8", "LC_ALL=C.UTF-8",
                                         "PATH=/usr/bin:/bin", "TMPDIR=/tmp",  "TZ=Europe/Berlin"};
    static const char *const hidden[] = {"LATHE_STORE_URL=password=secret", "PATHS=1", "PYTHONPATH=/nowhere",
                                         "LC_TIME=C"};
    struct arena a CLEANUP(arena_release) = ARENA_INIT;
    static struct seen s;
    char **before = environ;
    char *all[COUNT_OF(passed) + COUNT_OF(hidden) + 1];
    size_t n = 0;
    (void)unused;
    for (size_t i = 0; i < COUNT_OF(hidden); i++)
        all[n++] = arena_printf(&a, "%s", hidden[i]);
    for (size_t i = 0; i < COUNT_OF(passed); i++)
        all[n++] = arena_printf(&a, "%s", passed[i]);
    all[n] = NULL;
    environ = all;
    run_one(&s, "fleeting", "{}", "{\"show\":\"environment\"}", "sequential");
    environ = before;
    assert_string_equal(s.what[0],
                        "ok [\"HOME=/var/of/it\",\"LANG=C.UTF-8\",\"LC_ALL=C.UTF-8\",\"PATH=/usr/bin:/bin\","
                        "\"TMPDIR=/tmp\",\"TZ=Europe/Berlin\"]");
    arena_release(&s.arena);
}

static const char *limit_text(struct arena *a, __rlimit_resource_t what, rlim_t most)
{
    struct rlimit l;
    assert_int_equal(getrlimit(what, &l), 0);
    rlim_t is = most > 0 && most < l.rlim_max ? most : l.rlim_max;
    return arena_printf(a, "[%lld,%lld]", (long long)is, (long long)is); /* none is -1, as in Python */
}

/* Those that are set, and of those that are not the highest that there is: the ones of Lathe's children are not passed on. */
static void test_limits(void **unused)
{
    (void)unused;
    for (size_t k = 0; k < COUNT_OF(some); k++) {
        struct arena a CLEANUP(arena_release) = ARENA_INIT;
        assert_shown("bounded", "memory", limit_text(&a, RLIMIT_AS, MEMORY), some[k]);
        assert_shown("bounded", "files", limit_text(&a, RLIMIT_NOFILE, 50), some[k]);
        assert_shown("bounded", "cpu", limit_text(&a, RLIMIT_CPU, 1), some[k]);
        assert_shown("plain", "memory", limit_text(&a, RLIMIT_AS, 0), some[k]);
    }
}

static void test_user(void **unused)
{
    struct arena a CLEANUP(arena_release) = ARENA_INIT;
    static struct seen s;
    const struct passwd *pw = getpwnam("nobody");
    gid_t groups[64];
    int count = COUNT_OF(groups);
    (void)unused;
    run_one(&s, "unknown", "{}", "{\"show\":\"users\"}", "sequential");
    assert_int_equal(s.code[0], ERR_COMMAND);
    assert_non_null(strstr(s.what[0], "there is no user \"no-such-user\""));
    arena_release(&s.arena);
    if (geteuid() != 0)
        skip(); /* only root becomes somebody else */
    assert_true(pw && getgrouplist("nobody", pw->pw_gid, groups, &count) == 1);
    unsigned uid = pw->pw_uid, gid = pw->pw_gid;
    for (size_t k = 0; k < COUNT_OF(some); k++) {
        assert_shown("nobodys", "users", arena_printf(&a, "[%u,%u,%u]", uid, uid, uid), some[k]);
        assert_shown("nobodys", "groups", arena_printf(&a, "[%u,%u,%u,\"and\",%u]", gid, gid, gid, gid),
                     some[k]);
        assert_shown("nobodys", "privileges", "1", some[k]);
        assert_shown("nobodys", "folder", "\"/\"", some[k]);
    }
}

/* ---- beyond its limits */

/* Only the odd one fails, and what comes after it is served by another program. */
static void exceed(const char *odd, const char *how, const char *shape)
{
    static struct seen s;
    struct span inputs[COUNT];
    for (int i = 0; i < COUNT; i++)
        inputs[i] = i == ODD ? span_of(odd) : SPAN("{\"show\":\"pid\"}");
    run_some(&s, "bounded", "{}", inputs, COUNT, shape);
    for (int i = 0; i < COUNT; i++)
        if (i != ODD && strncmp(s.what[i], "ok ", 3) != 0)
            fail_msg("%s, %s: item %d: %s", odd, shape, i, s.what[i]);
    if (s.code[ODD] != ERR_ITEM_CRASHED || !strstr(s.what[ODD], how))
        fail_msg("%s, %s: %s", odd, shape, s.what[ODD]);
    for (int i = ODD + 1; i < COUNT; i++)
        assert_string_not_equal(s.what[ODD - 1], s.what[i]);
    arena_release(&s.arena);
}

static void test_beyond_limits(void **unused)
{
    static const char *const in_one[] = {"sequential", "async-batch"};
    (void)unused;
    for (size_t k = 0; k < COUNT_OF(in_one); k++) {
        exceed("{\"grow\":1073741824}", "exit code 42", in_one[k]);
        exceed("{\"spin\":20}", "signal 9", in_one[k]);
    }
}

/* ---- nothing of a task is a word, or is seen by a shell */

/* The word X made the path of a file that is not to be. */
static const char *evil(struct arena *a, const char *form)
{
    const char *x = strchr(form, 'X');
    return x ? arena_printf(a, "%.*s%s/X%s", (int)(x - form), form, folder, x + 1) : form;
}

static void test_injection(void **unused)
{
    static const char *const forms[] = {
        "\"$(touch X)\"",    "\"`touch X`\"", "\"'; touch X; '\"", "\"\\\"; touch X; \\\"\"",
        "\"\\ntouch X\\n\"", "\"-x\"",        "\"| touch X &\"",   "{\"$(touch X)\":\"*\"}"};
    static const char *const both[] = {"sequential", "async-batch"};
    struct arena a CLEANUP(arena_release) = ARENA_INIT;
    const char *words = arena_printf(
        &a, "[\"$(touch %s/X)\",\"`touch %s/X`\",\"it's\",\"-x\",\"*\",\"|\",\"a b\"]", folder, folder);
    static struct seen s;
    (void)unused;
    for (size_t k = 0; k < COUNT_OF(both); k++)
        for (size_t i = 0; i < COUNT_OF(forms); i++) {
            const char *text = evil(&a, forms[i]), *params = arena_printf(&a, "{\"p\":%s}", text);
            run_one(&s, "worded", params, arena_printf(&a, "{\"echo\":%s}", text), both[k]);
            assert_string_equal(s.what[0], arena_printf(&a, "ok [%s,%s,%s]", text, params, words));
            arena_release(&s.arena);
            run_one(&s, "sh.count", params, text, both[k]);
            assert_string_equal(s.what[0], arena_printf(&a, "ok %zu", strlen(text)));
            arena_release(&s.arena);
        }
    assert_false(is_there(evil(&a, "X")));
}

static int tests(void)
{
    const struct CMUnitTest list[] = {
        cmocka_unit_test(test_what_every_program_has),
        cmocka_unit_test(test_environment),
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_user),
        cmocka_unit_test(test_beyond_limits),
        cmocka_unit_test(test_injection),
    };
    return cmocka_run_group_tests(list, NULL, NULL);
}

/* What programs are not to have from us, where they would have it if nobody saw to it. */
static bool burden(void)
{
    const gid_t more[] = {7, 8};
    struct rlimit core;
    if (getrlimit(RLIMIT_CORE, &core) < 0)
        return false;
    core.rlim_cur = core.rlim_max;
    return setrlimit(RLIMIT_CORE, &core) == 0 && fcntl(STDOUT_FILENO, F_DUPFD, 20) >= 20 &&
           (geteuid() != 0 || setgroups(COUNT_OF(more), more) == 0);
}

int main(void)
{
    if (!burden()) {
        printf("Bail out! limits or groups cannot be set\n");
        return 1;
    }
    return run_programs(tests);
}
