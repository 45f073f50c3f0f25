/* exec/zygote.h and children.h: children come, are kept warm, and go; nothing of the worker is open in them. */
#include "exec_fixture.h"

#include <dirent.h>
#include <sys/wait.h>

#include "exec/children.h"

#define MANY 40

struct basket {
    struct child *all[2 * MANY];
    int count;
};

static void collect(void *arg, struct child *c)
{
    struct basket *b = arg;
    b->all[b->count++] = c;
}

static int start(void **state)
{
    struct err e;
    (void)state;
    return !zygote_start(&e);
}

static int stop(void **state)
{
    (void)state;
    children_release();
    zygote_stop();
    return waitpid(-1, NULL, WNOHANG) != -1; /* no child of ours is left */
}

static bool alive(pid_t pid)
{
    return kill(pid, 0) == 0;
}

static void t01_many_in_one_request(void **state)
{
    (void)state;
    struct basket b = {.count = 0};
    struct err e;
    assert_int_equal(children_take(MANY, collect, &b, &e), MANY);
    for (int i = 0; i < MANY; i++)
        assert_true(alive(b.all[i]->pid));
    for (int i = 0; i < MANY; i++) {
        pid_t pid = b.all[i]->pid;
        struct child_end end = children_bury(b.all[i]);
        assert_true(end.known && WIFSIGNALED(end.status));
        assert_int_equal(WTERMSIG(end.status), SIGKILL);
        assert_false(alive(pid)); /* not even as a zombie */
    }
}

static void t02_kept_ones_come_back(void **state)
{
    (void)state;
    struct basket b = {.count = 0}, again = {.count = 0};
    struct err e;
    children_take(2, collect, &b, &e);
    pid_t first = b.all[0]->pid, second = b.all[1]->pid;
    b.all[0]->next = b.all[1];
    b.all[1]->next = NULL;
    children_keep(b.all[0]);
    children_take(2, collect, &again, &e);
    assert_int_equal(again.count, 2);
    assert_true(again.all[0]->pid + again.all[1]->pid == first + second);
    children_bury(again.all[0]);
    children_bury(again.all[1]);
}

static void t03_a_dead_one_is_not_handed_out(void **state)
{
    (void)state;
    struct basket b = {.count = 0};
    struct err e;
    children_take(1, collect, &b, &e);
    pid_t pid = b.all[0]->pid;
    struct pollfd dead = {.fd = b.all[0]->pidfd, .events = POLLIN};
    child_kill(b.all[0]);
    assert_int_equal(poll(&dead, 1, 10000), 1);
    children_keep(b.all[0]);
    children_take(1, collect, &b, &e);
    assert_int_not_equal(b.all[1]->pid, pid);
    assert_true(alive(b.all[1]->pid));
    children_bury(b.all[1]);
}

/* Waits until it sleeps in poll: then its beginning is behind it. */
static int descriptors_of(pid_t pid)
{
    char path[64];
    int n;
    for (int tries = 0; tries < 1000; tries++) {
        snprintf(path, sizeof path, "/proc/%d/fd", pid);
        DIR *d = opendir(path);
        if (!d)
            return -1; /* it is closed to us, since it is not dumpable and we are not root */
        n = 0;
        for (struct dirent *entry; (entry = readdir(d));)
            n += entry->d_name[0] != '.';
        closedir(d);
        if (n <= 5)
            return n;
        poll(NULL, 0, 10);
    }
    return n;
}

static void t04_it_has_nothing_of_its_siblings(void **state)
{
    (void)state;
    struct basket b = {.count = 0};
    struct err e;
    children_take(3, collect, &b, &e);
    for (int i = 0; i < 3; i++)
        assert_in_range(descriptors_of(b.all[i]->pid) + 1, 0, 6); /* 0 1 2, the socket, clear_refs */
    for (int i = 0; i < 3; i++)
        children_bury(b.all[i]);
}

static void t05_without_the_zygote_it_says_so(void **state)
{
    (void)state;
    struct basket b = {.count = 0};
    struct err e = ERR_INIT;
    children_take(1, collect, &b, &e);
    pid_t pid = b.all[0]->pid;
    struct child_end end;
    /* find it as our only child */
    siginfo_t info = {0};
    char path[64], line[64] = "";
    snprintf(path, sizeof path, "/proc/self/task/%d/children", getpid());
    FILE *f = fopen(path, "r");
    assert_non_null(f);
    assert_non_null(fgets(line, sizeof line, f));
    fclose(f);
    pid_t zygote = (pid_t)strtol(line, NULL, 10);
    assert_int_equal(kill(zygote, SIGKILL), 0);
    assert_int_equal(waitid(P_PID, (id_t)zygote, &info, WEXITED | WNOWAIT), 0);
    struct pollfd dead = {.fd = b.all[0]->pidfd, .events = POLLIN};
    assert_int_equal(poll(&dead, 1, 10000), 1); /* its children die with it */
    end = children_bury(b.all[0]);
    assert_false(end.known);
    assert_true(pid > 0);
    assert_int_equal(children_take(1, collect, &b, &e), 0);
    assert_int_equal(e.code, ERR_SYSTEM);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(t01_many_in_one_request, start, stop),
        cmocka_unit_test_setup_teardown(t02_kept_ones_come_back, start, stop),
        cmocka_unit_test_setup_teardown(t03_a_dead_one_is_not_handed_out, start, stop),
        cmocka_unit_test_setup_teardown(t04_it_has_nothing_of_its_siblings, start, stop),
        cmocka_unit_test_setup_teardown(t05_without_the_zygote_it_says_so, start, stop),
    };
    int before = open_descriptors();
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    return failed || open_descriptors() != before;
}
