/* core/sig.h and core/cancel.h */
#include "unit/unit.h"

#include <poll.h>
#include <signal.h>

#include "core/cancel.h"
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
                {SIGUSR1, SIG_REOPEN}};
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(t01_signals_are_read),
        cmocka_unit_test(t02_a_child_ends),
        cmocka_unit_test(t03_a_child_has_the_defaults),
        cmocka_unit_test(t04_cancel),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
