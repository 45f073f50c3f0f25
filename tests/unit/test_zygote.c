/* exec/zygote.h and children.h: children come, are kept warm, and go; nothing of the worker is open in them. */
#include "exec_fixture.h"

#include <dirent.h>
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "core/limits.h"
#include "exec/children.h"
#include "exec/graves.h"
#include "exec/rss.h"

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

static int alive_of(const pid_t *pids, int n)
{
    int count = 0;
    for (int i = 0; i < n; i++)
        count += alive(pids[i]);
    return count;
}

/* As in a container that has one of the machine's processors. */
static void stay_on_one_core(cpu_set_t *ret_before)
{
    cpu_set_t one;
    size_t core = 0;
    assert_int_equal(sched_getaffinity(0, sizeof *ret_before, ret_before), 0);
    while (!CPU_ISSET(core, ret_before))
        core++;
    CPU_ZERO(&one);
    CPU_SET(core, &one);
    assert_int_equal(sched_setaffinity(0, sizeof one, &one), 0);
}

/* Nobody has to ask for a child for the others to go, and their descriptors with them. */
static void t06_idle_ones_are_let_go(void **state)
{
    (void)state;
    struct basket b = {.count = 0};
    struct err e;
    pid_t pids[MANY];
    cpu_set_t cores;
    int before = open_descriptors(), few = 2;
    stay_on_one_core(&cores);
    assert_int_equal(children_take(MANY, collect, &b, &e), MANY);
    for (int i = 0; i < MANY; i++) {
        pids[i] = b.all[i]->pid;
        b.all[i]->next = i + 1 < MANY ? b.all[i + 1] : NULL;
    }
    children_keep(b.all[0]);
    int64_t now = clock_now();
    children_idle(now);
    assert_int_equal(alive_of(pids, MANY), MANY);
    children_idle(now + CHILDREN_SHORT_NS);
    assert_int_equal(alive_of(pids, MANY), few);
    assert_int_equal(open_descriptors(), before + 2 * few);
    assert_int_equal(sched_setaffinity(0, sizeof cores, &cores), 0);
    children_idle(now + CHILDREN_LONG_NS);
    assert_int_equal(alive_of(pids, MANY), 0);
    assert_int_equal(open_descriptors(), before);
}

/* However many there are: what they have had of memory is bounded too. */
static void t07_large_ones_are_let_go(void **state)
{
    (void)state;
    struct basket b = {.count = 0};
    struct err e;
    pid_t pids[4];
    assert_int_equal(children_take(4, collect, &b, &e), 4);
    for (int i = 0; i < 4; i++) {
        pids[i] = b.all[i]->pid;
        b.all[i]->peak_kib = 30 * 1024;
        b.all[i]->next = i < 3 ? b.all[i + 1] : NULL;
    }
    children_keep(b.all[0]);
    assert_int_equal(alive_of(pids, 4), 2); /* 64 MiB altogether */
    children_idle(clock_now() + CHILDREN_SHORT_NS);
    assert_int_equal(alive_of(pids, 4), 0);
}

static void t08_one_that_died_idle_is_buried(void **state)
{
    (void)state;
    struct basket b = {.count = 0};
    struct err e;
    int before = open_descriptors();
    children_take(1, collect, &b, &e);
    pid_t pid = b.all[0]->pid;
    struct pollfd dead = {.fd = b.all[0]->pidfd, .events = POLLIN};
    children_keep(b.all[0]);
    assert_int_equal(kill(pid, SIGKILL), 0);
    assert_int_equal(poll(&dead, 1, 10000), 1);
    children_idle(clock_now());
    assert_int_equal(open_descriptors(), before);
}

/* The worker did not ask after the first one, and its pid came again. */
static void t09_a_grave_speaks_for_its_own(void **state)
{
    (void)state;
    struct graves g = {0};
    struct child_end old = {.known = true, .status = 1}, new = {.known = true, .status = 2}, end;
    graves_dig(&g, 77, &old);
    graves_dig(&g, 78, &old);
    graves_dig(&g, 77, &new);
    assert_true(graves_open(&g, 77, &end));
    assert_int_equal(end.status, 2);
    assert_false(graves_open(&g, 77, &end));
    for (pid_t pid = 1000; pid < 1000 + GRAVES_MOST; pid++)
        graves_dig(&g, pid, &new);
    assert_int_equal(g.count, GRAVES_MOST);
    assert_false(graves_open(&g, 78, &end)); /* the oldest made room */
    assert_true(graves_open(&g, 1000, &end));
    assert_true(graves_open(&g, 1000 + GRAVES_MOST - 1, &end));
    graves_release(&g);
}

/* Which limit of address space an item finds. */
static enum step look_at_limit(struct item *it)
{
    struct counts *c = *(struct counts *const *)it->args;
    struct rlimit found;
    getrlimit(RLIMIT_AS, &found);
    c->limit = (int64_t)found.rlim_cur;
    c->hard_limit = (int64_t)found.rlim_max;
    return STEP_DONE;
}

static bool limit_seen(int64_t memory, int64_t *ret_soft, int64_t *ret_hard)
{
    static const struct handler h = {
        .name = "limit", .params = {NULL, 0, sizeof counts}, .step = look_at_limit};
    struct notes *n = notes_new();
    struct plan p =
        fixture_plan(n, NULL, 1, (struct shape){.processes = 1, .threads = 1, .width = 1, .grain = 1});
    struct exec_report r = {0};
    p.handler = &h;
    p.args = &counts;
    p.child_memory = memory;
    bool ok = exec_run(&p, &r, NULL) && r.ok == 1;
    *ret_soft = counts->limit;
    *ret_hard = counts->hard_limit;
    mem_free(n);
    return ok;
}

/* In a process of its own: 0 if children have the limit that was asked for, and only while it was. */
static int run_below_a_hard_limit(void)
{
    int64_t most = rss_space_bytes() + 64 * 1024 * (int64_t)MIB, soft, hard;
    struct rlimit service = {(rlim_t)most, (rlim_t)most};
    if (setrlimit(RLIMIT_AS, &service) < 0 || (geteuid() == 0 && setresuid(65534, 65534, 65534) < 0))
        return 2;
    if (!exec_start(NULL))
        return 3;
    if (!limit_seen(1024 * (int64_t)MIB, &soft, &hard) || soft >= most || hard != most)
        return 4;
    if (!limit_seen(0, &soft, &hard) || soft != most || hard != most)
        return 5;
    if (!limit_seen(most, &soft, &hard) || soft != most || hard != most)
        return 6; /* more than the service has itself */
    exec_stop();
    return 0;
}

/* Who may not lift a hard limit of the service: the limit of the child holds all the same. */
static void t10_memory_limit_below_a_hard_limit(void **state)
{
    (void)state;
    int status;
    pid_t pid = fork();
    if (pid == 0)
        _exit(run_below_a_hard_limit());
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

/* The kernel refuses every look at the limit of address space and every change of it. */
static bool refuse_limits(void)
{
    struct sock_filter list[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_prlimit64, 0, 3),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[1])),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, RLIMIT_AS, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {COUNT_OF(list), list};
    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
           prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

static int run_without_limits(void)
{
    struct notes *n = notes_new();
    struct orders o = {.counts = counts};
    struct plan p =
        fixture_plan(n, &o, 2, (struct shape){.processes = 1, .threads = 1, .width = 1, .grain = 1});
    struct exec_report r;
    struct err e = ERR_INIT;
    p.child_memory = 64 * MIB;
    if (!refuse_limits())
        return 2;
    if (!exec_start(&e) || !exec_run(&p, &r, &e))
        return 3;
    exec_stop();
    if (r.failed != 2 || n->code[0] != ERR_WORKER_LOST || counts->begun != 0)
        return 4;
    return strstr(n->last.text, "could not set its memory limit of 64 MiB") ? 0 : 5;
}

/* What was to be bounded is not run unbounded, and who asks is told why. */
static void t11_nothing_runs_without_its_memory_limit(void **state)
{
    (void)state;
    int status;
    pid_t pid = fork();
    if (pid == 0)
        _exit(run_without_limits());
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(t01_many_in_one_request, start, stop),
        cmocka_unit_test_setup_teardown(t02_kept_ones_come_back, start, stop),
        cmocka_unit_test_setup_teardown(t03_a_dead_one_is_not_handed_out, start, stop),
        cmocka_unit_test_setup_teardown(t04_it_has_nothing_of_its_siblings, start, stop),
        cmocka_unit_test_setup_teardown(t05_without_the_zygote_it_says_so, start, stop),
        cmocka_unit_test_setup_teardown(t06_idle_ones_are_let_go, start, stop),
        cmocka_unit_test_setup_teardown(t07_large_ones_are_let_go, start, stop),
        cmocka_unit_test_setup_teardown(t08_one_that_died_idle_is_buried, start, stop),
        cmocka_unit_test(t09_a_grave_speaks_for_its_own),
        cmocka_unit_test_setup(t10_memory_limit_below_a_hard_limit, fixture_clear),
        cmocka_unit_test_setup(t11_nothing_runs_without_its_memory_limit, fixture_clear),
    };
    int before = open_descriptors();
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    return failed || open_descriptors() != before;
}
