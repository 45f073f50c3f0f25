/* core/sig.h and core/cancel.h */
#include "unit/unit.h"

#include <poll.h>
#include <signal.h>
#include <sys/signalfd.h>

#include "core/cancel.h"
#include "core/clock.h"
#include "core/parent.h"
#include "core/sig.h"

static int fd = -1;

static int set_up(void **state)
{
    (void)state;
    sig_block();
    return sig_open(&fd, NULL) ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    return close(fd);
}

static void t01_signals_are_read(void **state)
{
    (void)state;
    static const struct {
        int number;
        enum sig_verb verb;
    } rows[] = {{SIGTERM, SIG_STOP},
                {SIGINT, SIG_STOP},
                {SIGQUIT, SIG_STOP},
                {SIGHUP, SIG_RELOAD},
                {SIGUSR1, SIG_REPLACE}};
    assert_int_equal(sig_read(fd), SIG_NOTHING);
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        kill(getpid(), rows[i].number);
        struct pollfd p = {.fd = fd, .events = POLLIN};
        assert_int_equal(poll(&p, 1, 10000), 1);
        assert_int_equal(sig_read(fd), rows[i].verb);
        assert_int_equal(sig_read(fd), SIG_NOTHING);
    }
    assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
    kill(getpid(), SIGPIPE); /* ignored: a peer that leaves is an error of write(2) */
}

static void t02_a_child_ends(void **state)
{
    (void)state;
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0)
        _exit(3);
    struct pollfd p = {.fd = fd, .events = POLLIN};
    assert_int_equal(poll(&p, 1, 10000), 1);
    assert_int_equal(sig_read(fd), SIG_CHILD);
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(WEXITSTATUS(status), 3);
}

static void stop_parent(void *arg)
{
    (void)arg;
    kill(getppid(), SIGTERM);
}

/* What comes of a stop that somebody else sends. */
static enum sig_verb told_by_another(void)
{
    char said[100];
    enum sig_verb verb, told = SIG_NOTHING;
    in_child(stop_parent, NULL, said, sizeof said);
    while ((verb = sig_read(fd)) != SIG_NOTHING)
        told = verb == SIG_STOP ? verb : told; /* and the CHLD of it */
    return told;
}

static void t05_told_twice(void **state)
{
    (void)state;
    pid_t sender = -1;
    kill(getpid(), SIGTERM);
    assert_int_equal(sig_read_from(fd, &sender), SIG_STOP);
    assert_int_equal(sender, getpid());
    assert_int_equal(told_by_another(), SIG_NOTHING);
    /* the same one again means it, however soon */
    kill(getpid(), SIGTERM);
    kill(getpid(), SIGINT);
    assert_int_equal(sig_read(fd), SIG_STOP);
    assert_int_equal(sig_read(fd), SIG_NOTHING);
    /* and in the end everybody is heard */
    int64_t begun = clock_now();
    while (told_by_another() != SIG_STOP)
        assert_true(clock_now() - begun < 60 * NS_PER_S);
}

static void get_killed(void *arg)
{
    sig_reset_in_child();
    kill(getpid(), *(int *)arg);
    pause();
}

static void t03_a_child_has_the_defaults(void **state)
{
    (void)state;
    static const int numbers[] = {SIGTERM, SIGHUP, SIGPIPE, SIGUSR1};
    for (size_t i = 0; i < COUNT_OF(numbers); i++) {
        char said[100];
        int number = numbers[i], status = in_child(get_killed, &number, said, sizeof said);
        assert_true(WIFSIGNALED(status));
        assert_int_equal(WTERMSIG(status), number);
        while (sig_read(fd) != SIG_NOTHING) /* the CHLD of it */
            ;
    }
}

static void t04_cancel(void **state)
{
    (void)state;
    struct cancel *c = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_true(c != MAP_FAILED);
    assert_false(cancel_raised(c)); /* zeroed memory is a cancel that nobody raised */
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        cancel_raise(c);
        _exit(0);
    }
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    assert_true(cancel_raised(c));
    cancel_raise(c);
    assert_true(cancel_raised(c));
    munmap(c, 4096);
    struct cancel whole = {0}, part = {.parent = &whole};
    assert_false(cancel_raised(NULL));
    cancel_raise(&part);
    assert_true(cancel_raised(&part));
    assert_false(cancel_raised(&whole)); /* a part is stopped without the whole */
    struct cancel other = {.parent = &whole};
    assert_false(cancel_raised(&other));
    cancel_raise(&whole);
    assert_true(cancel_raised(&other));
}

/* The next signal itself, without what sig_read makes of it; 0: none came. */
static int signal_of(int signals, int ms)
{
    struct signalfd_siginfo info;
    struct pollfd p = {.fd = signals, .events = POLLIN};
    return poll(&p, 1, ms) == 1 && read(signals, &info, sizeof info) == sizeof info ? (int)info.ssi_signo : 0;
}

/* A parent that ends without a word, and the process below it that follows; it tells over a pipe how it went. */
static void follow(int out)
{
    int signals;
    char word = 'r';
    parent_follow();
    bool clean = !getenv("LATHE_SUPERVISED") && sig_open(&signals, NULL);
    if (!clean || write(out, &word, 1) != 1)
        _exit(1);
    word = signal_of(signals, 30000) == SIGTERM ? 's' : '?';
    _exit(write(out, &word, 1) == 1 ? 0 : 1);
}

static void t06_a_parent_is_followed(void **state)
{
    (void)state;
    int ends[2];
    char word;
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    pid_t parent = fork();
    assert_true(parent >= 0);
    if (parent == 0) {
        parent_lead();
        if (fork() == 0)
            follow(ends[1]);
        pause();
    }
    close(ends[1]);
    assert_int_equal(read(ends[0], &word, 1), 1);
    assert_int_equal(word, 'r');
    kill(parent, SIGKILL);
    assert_int_equal(waitpid(parent, NULL, 0), parent);
    assert_int_equal(read(ends[0], &word, 1), 1);
    assert_int_equal(word, 's');
    assert_int_equal(read(ends[0], &word, 1), 0);
    close(ends[0]);
    /* it has ended already */
    while (sig_read(fd) != SIG_NOTHING)
        ;
    setenv("LATHE_SUPERVISED", "1000000000", 1);
    parent_follow();
    assert_int_equal(signal_of(fd, 0), SIGTERM);
    /* and nobody is followed who did not ask for it */
    setenv("LATHE_SUPERVISED", "x", 1);
    parent_follow();
    parent_follow();
    parent_ask_successor();
    assert_int_equal(sig_read(fd), SIG_NOTHING);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(t01_signals_are_read),
        cmocka_unit_test(t02_a_child_ends),
        cmocka_unit_test(t03_a_child_has_the_defaults),
        cmocka_unit_test(t04_cancel),
        cmocka_unit_test(t05_told_twice),
        cmocka_unit_test(t06_a_parent_is_followed),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
