/*
 * The guard of commands by hand: it ends what it is told to, and what is left when it dies, is frozen, or has to do with what does not die.
 */
#include "guards.h"

#include <sys/prctl.h>

/* A group that does not end for a polite word. */
static pid_t new_ward(void)
{
    struct sigaction ignore = {.sa_handler = SIG_IGN};
    pid_t pid = fork();
    if (pid == 0) {
        sigaction(SIGTERM, &ignore, NULL);
        for (;;)
            pause();
    }
    assert_true(pid > 0);
    setpgid(pid, pid);
    guard_watch(pid);
    return pid;
}

static bool is_dead(pid_t pid)
{
    siginfo_t info = {0};
    return waitid(P_PID, (id_t)pid, &info, WEXITED | WNOHANG | WNOWAIT) == 0 && info.si_pid == pid;
}

static void await_death(pid_t pid)
{
    for (int64_t give_up = clock_after_ms(60000); !is_dead(pid); poll(NULL, 0, 2))
        assert_true(clock_now() < give_up);
    guard_forget(pid);
    waitpid(pid, NULL, 0);
}

/* One that takes no more words is replaced: nobody waits for it, and those that it watched over live on. */
static void test_a_guard_that_is_frozen(void **unused)
{
    int64_t give_up = clock_after_ms(60000);
    (void)unused;
    have_guard();
    pid_t frozen = find_guard(), ward = new_ward();
    kill(frozen, SIGSTOP);
    while (kill(frozen, 0) == 0) {
        assert_true(clock_now() < give_up);
        guard_watch(ward);
    }
    have_guard();
    assert_false(is_dead(ward));
    guard_end(ward);
    await_death(ward);
}

/* It heard, and is frozen before it does anything: whoever looks after guards sees who should be dead. */
static void test_a_guard_that_does_nothing(void **unused)
{
    int64_t give_up = clock_after_ms(60000);
    (void)unused;
    have_guard();
    pid_t frozen = find_guard(), ward = new_ward();
    kill(frozen, SIGSTOP);
    guard_end(ward);
    for (; !is_dead(ward) || kill(frozen, 0) == 0; poll(NULL, 0, 20)) {
        assert_true(clock_now() < give_up);
        guard_look();
    }
    await_death(ward);
}

/* It did what it is there for, and something of the group is alive nevertheless: that is no fault of the guard. */
static void test_a_group_that_does_not_die(void **unused)
{
    int64_t give_up = clock_after_ms(60000);
    (void)unused;
    have_guard();
    pid_t guard = find_guard(), ward = new_ward();
    guard_end(ward);
    for (; !is_dead(ward); poll(NULL, 0, 2))
        assert_true(clock_now() < give_up);
    pid_t other = fork();
    while (other == 0)
        pause();
    assert_true(other > 0);
    assert_int_equal(setpgid(other, ward), 0);
    for (; !is_dead(other); poll(NULL, 0, 20)) {
        assert_true(clock_now() < give_up);
        guard_look();
    }
    for (int64_t late = clock_after_ms(6000); clock_now() < late; poll(NULL, 0, 20))
        guard_look(); /* one that does not answer is replaced after five seconds */
    assert_int_equal(kill(guard, 0), 0);
    waitpid(other, NULL, 0);
    await_death(ward);
}

/* While there is none nobody is left alive for want of it. */
static void test_no_guard(void **unused)
{
    (void)unused;
    pid_t told = new_ward(), left = new_ward();
    lose_guard();
    guard_end(told);
    await_death(told);
    assert_false(is_dead(left));
    lose_guard();
    guard_close();
    await_death(left);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_guard_that_is_frozen),
        cmocka_unit_test(test_a_guard_that_does_nothing),
        cmocka_unit_test(test_a_group_that_does_not_die),
        cmocka_unit_test(test_no_guard),
    };
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
