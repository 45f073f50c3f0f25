/* cmd/supervise.h, compiled in: cmd/ is in no archive. The processes that it starts are this program again. */
#include "unit/unit.h"

#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>

#include "cmd/supervise.c" /* its statics are what is tested */
#include "core/json.h"
#include "core/mem.h"

#define AGO(seconds) (clock_now() - (seconds)*NS_PER_S)

static int told[2], signals; /* the children write into told[1], whose number they are given */
static char told_text[16];

/* ---- what a child does: argv is {name, "child", what, descriptor} */

static void tell(int fd, const char *words)
{
    if (write(fd, words, strlen(words)) < 0)
        _exit(9);
}

static int child(const char *what, int fd)
{
    char line[100];
    int in;
    if (strncmp(what, "exit-", 5) == 0)
        return (int)strtol(what + 5, NULL, 10);
    sig_block();
    parent_follow();
    if (!sig_open(&in, NULL))
        return 9;
    snprintf(line, sizeof line, "%s %d group=%d parent=%d\n", what, (int)getpid(), (int)getpgrp(),
             (int)getppid());
    tell(fd, line);
    if (strcmp(what, "ask") == 0)
        parent_ask_successor();
    if (strcmp(what, "deaf") == 0) {
        pause();
        return 9;
    }
    for (int stops = 0; stops < (strcmp(what, "stubborn") == 0 ? 2 : 1);) {
        struct pollfd p = {.fd = in, .events = POLLIN};
        poll(&p, 1, 60000);
        enum sig_verb verb = sig_read(in);
        stops += verb == SIG_STOP;
        if (verb == SIG_RELOAD || verb == SIG_STOP)
            tell(fd, verb == SIG_STOP ? "stop\n" : "reload\n");
    }
    return 0;
}

/* ---- */

static struct supervised made(const char *what)
{
    static char name[] = "test", mode[] = "child", whats[4][16], *argvs[4][5];
    static size_t used;
    size_t i = used++ % COUNT_OF(argvs);
    snprintf(whats[i], sizeof whats[i], "%s", what);
    memcpy(argvs[i], (char *[]){name, mode, whats[i], told_text, NULL}, sizeof argvs[i]);
    return (struct supervised){.role = "worker", .argv = argvs[i]};
}

/* Waits for a line of a child: nothing here depends on how long it takes. */
static void heard(const char *part, char line[200])
{
    size_t n = 0;
    struct pollfd p = {.fd = told[0], .events = POLLIN};
    do {
        assert_int_equal(poll(&p, 1, 30000), 1);
        assert_int_equal(read(told[0], line + n, 1), 1);
    } while (line[n++] != '\n' && n < 199);
    line[n] = '\0';
    assert_holds(line, part);
}

/* The number behind the word. */
static int number(const char *line, const char *word)
{
    const char *at = strstr(line, word);
    assert_non_null(at);
    return (int)strtol(at + strlen(word), NULL, 10);
}

/* Starts it, lets it end, and has it reaped as if it had lived for so many seconds. */
static bool lives(struct supervised *s, int64_t seconds)
{
    struct supervision v = {.list = s, .count = 1, .signals = signals};
    start(s);
    assert_true(s->pid > 0);
    s->started = AGO(seconds);
    siginfo_t info;
    assert_int_equal(waitid(P_PID, (id_t)s->pid, &info, WEXITED | WNOWAIT), 0);
    bool sane = reap(&v, false);
    assert_int_equal(s->pid, 0);
    return sane;
}

static void t01_pauses(void **state)
{
    (void)state;
    static const struct {
        const char *what;
        int64_t life, pause_ms;
    } rows[] = {
        {"exit-75", 0, 100},   {"exit-75", 0, 200},  {"exit-75", 4, 400}, /* cannot reach PostgreSQL */
        {"exit-75", 6, 0},                                                /* wants to be replaced */
        {"exit-0", 0, 100},    {"exit-1", 6, 200},   {"exit-1", 29, 400},  {"exit-1", 31, 0},
        {"exit-70", 0, 100},   {"exit-70", 0, 200},  {"exit-70", 0, 400},  {"exit-70", 0, 800},
        {"exit-70", 0, 1600},  {"exit-70", 0, 3200}, {"exit-70", 0, 6400}, {"exit-70", 0, 10000},
        {"exit-70", 0, 10000},
    };
    struct supervised s = made("exit-0");
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        s.argv = made(rows[i].what).argv;
        assert_true(lives(&s, rows[i].life));
        assert_int_equal(s.pause_ms, rows[i].pause_ms);
        assert_true(s.start_at <= clock_after_ms(rows[i].pause_ms));
        assert_true(s.start_at > clock_after_ms(rows[i].pause_ms) - 30 * NS_PER_S);
    }
}

static void t02_refused(void **state)
{
    (void)state;
    struct supervised s = made("exit-78");
    assert_false(lives(&s, 0));
    assert_false(lives(&s, 6)); /* it waited for PostgreSQL: no proof of anything */
    s.argv = made("exit-1").argv;
    assert_true(lives(&s, 31));
    s.argv = made("exit-78").argv; /* somebody edited the file since */
    assert_true(lives(&s, 0));
    assert_int_equal(s.pause_ms, 100);
    assert_true(lives(&s, 0));
    assert_int_equal(s.pause_ms, 200);
}

static void t03_log_lines(void **state)
{
    (void)state;
    struct supervised s = made("exit-78");
    s.settled = true;
    log_setup(LOG_INFO, LOG_JSON, "serve");
    struct capture c = capture_start(STDERR_FILENO);
    lives(&s, 0);
    char *text CLEANUP(mem_free_at) = capture_stop(c, STDERR_FILENO);
    log_setup(LOG_ERROR, LOG_LOGFMT, NULL);
    struct span rest = span_of(text);
    int n = 0;
    for (; rest.len; n++) {
        struct span line = span_cut(&rest, '\n');
        struct err e = ERR_INIT;
        if (!json_check(line, &e)) /* a key twice is none */
            fail_msg("%s: " SPAN_FMT, e.text, SPAN_ARG(line));
    }
    assert_int_equal(n, 3);
    assert_holds(text, "\"role\":\"serve\"");
    assert_holds(text, "\"event\":\"serve.ended\",\"child_role\":\"worker\",\"child_pid\":");
    assert_holds(text, "\"event\":\"serve.refused\"");
}

/* A supervisor in a process of its own, which the test can tell and kill. */
static pid_t supervisor(struct supervised *list, int count, int64_t stop_ms,
                        void (*on_reload)(struct supervision *v))
{
    struct supervision v = {
        .list = list, .count = count, .signals = signals, .stop_ms = stop_ms, .reload = on_reload};
    fflush(NULL);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        struct err e = ERR_INIT;
        prctl(PR_SET_PDEATHSIG, SIGKILL); /* a test that fails leaves nothing behind */
        close(told[0]);
        _exit(supervise(&v, &e) ? 0 : err_exit(e.code));
    }
    return pid;
}

static int end_of(pid_t pid)
{
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    while (sig_read(signals) != SIG_NOTHING)
        ;
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

static void t04_a_group_of_its_own(void **state)
{
    (void)state;
    struct supervised list[] = {made("stay"), made("stay")};
    char line[200];
    pid_t pid = supervisor(list, 2, 30000, NULL);
    for (int i = 0; i < 2; i++) {
        heard("stay ", line);
        assert_int_equal(number(line, "group="), number(line, "stay ")); /* Ctrl-C does not reach it */
        assert_int_equal(number(line, "parent="), pid);
    }
    kill(pid, SIGHUP);
    heard("reload", line);
    heard("reload", line);
    kill(pid, SIGTERM);
    heard("stop", line);
    heard("stop", line);
    assert_int_equal(end_of(pid), 0);
}

static void t05_a_second_stop(void **state)
{
    (void)state;
    struct supervised list[] = {made("stubborn")};
    char line[200];
    pid_t pid = supervisor(list, 1, 600000, NULL);
    heard("stubborn", line);
    kill(pid, SIGTERM);
    heard("stop", line);
    kill(pid, SIGTERM); /* however soon */
    heard("stop", line);
    assert_int_equal(end_of(pid), 0);
}

static void t06_killed_in_the_end(void **state)
{
    (void)state;
    struct supervised list[] = {made("deaf")};
    char line[200];
    pid_t pid = supervisor(list, 1, 10, NULL);
    heard("deaf", line);
    kill(pid, SIGTERM);
    assert_int_equal(end_of(pid), 0);
}

static void shorter(struct supervision *v)
{
    v->stop_ms = 10;
}

static void t07_reload(void **state)
{
    (void)state;
    struct supervised list[] = {made("deaf"), made("stay")};
    char line[200];
    pid_t pid = supervisor(list, 2, 600000, shorter);
    heard(" group=", line);
    heard(" group=", line);
    kill(pid, SIGHUP);
    heard("reload", line);
    kill(pid, SIGTERM); /* the new deadline holds, or this takes ten minutes */
    heard("stop", line);
    assert_int_equal(end_of(pid), 0);
}

static void t08_the_supervisor_dies(void **state)
{
    (void)state;
    struct supervised list[] = {made("stay")};
    char line[200];
    pid_t pid = supervisor(list, 1, 600000, NULL);
    heard("stay", line);
    kill(pid, SIGKILL);
    heard("stop", line);
    assert_int_equal(end_of(pid), -SIGKILL);
}

static void t09_refused_at_the_start(void **state)
{
    (void)state;
    struct supervised list[] = {made("stay"), made("exit-78")};
    pid_t pid = supervisor(list, 2, 30000, NULL);
    assert_int_equal(end_of(pid), 78);
    char line[200];
    heard("stay", line); /* it was started, and told to end */
    heard("stop", line);
}

/* The second is started while the first still runs; both are told to end. */
static void t10_a_successor(void **state)
{
    (void)state;
    struct supervised list[] = {made("ask")};
    char line[200];
    pid_t pid = supervisor(list, 1, 30000, NULL);
    heard("ask", line);
    int first = number(line, "ask ");
    heard("ask", line);
    int second = number(line, "ask ");
    assert_true(first != second);
    assert_int_equal(kill(first, 0), 0);
    kill(pid, SIGTERM); /* the second has asked as well: nobody is started while the first is there */
    heard("stop", line);
    heard("stop", line);
    assert_int_equal(end_of(pid), 0);
}

static int set_up(void **state)
{
    (void)state;
    sig_block();
    log_setup(LOG_ERROR, LOG_LOGFMT, "test");
    if (!sig_open(&signals, NULL) || pipe2(told, 0) != 0)
        return -1;
    snprintf(told_text, sizeof told_text, "%d", told[1]);
    return 0;
}

int main(int argc, char **argv)
{
    if (argc == 4 && strcmp(argv[1], "child") == 0)
        return child(argv[2], (int)strtol(argv[3], NULL, 10));
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(t01_pauses),
        cmocka_unit_test(t02_refused),
        cmocka_unit_test(t03_log_lines),
        cmocka_unit_test(t04_a_group_of_its_own),
        cmocka_unit_test(t05_a_second_stop),
        cmocka_unit_test(t06_killed_in_the_end),
        cmocka_unit_test(t07_reload),
        cmocka_unit_test(t08_the_supervisor_dies),
        cmocka_unit_test(t09_refused_at_the_start),
        cmocka_unit_test(t10_a_successor),
    };
    return cmocka_run_group_tests(tests, set_up, NULL);
}
