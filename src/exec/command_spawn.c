#include "exec/command_spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/net.h"
#include "exec/command_guard.h"

#define GROUPS_MOST 64
#define ENVIRONMENT_MOST 16
#define STATUS_FD 3

/* Made before the fork: behind it nothing may allocate or lock, since other threads may hold what it needs. */
struct recipe {
    const struct command *command;
    char *environment[ENVIRONMENT_MOST + 1];
    bool other_user;
    uid_t uid;
    gid_t gid, groups[GROUPS_MOST];
    int group_count;
    int in, out, log, status;
};

/* What the child says if it gets no further: where, and why. */
struct failure {
    int error;
    char what[32];
};

/* Settings of ours and of libpq stand in the environment, passwords among them: only what is named here is passed on. */
static void choose_environment(struct recipe *r)
{
    static const char *const names[] = {"PATH", "HOME", "LANG", "LC_ALL", "TZ", "TMPDIR"};
    int n = 0;
    for (char **v = environ; v && *v && n < ENVIRONMENT_MOST; v++)
        for (size_t i = 0; i < COUNT_OF(names); i++) {
            size_t len = strlen(names[i]);
            if (strncmp(*v, names[i], len) == 0 && (*v)[len] == '=') {
                r->environment[n++] = *v;
                break;
            }
        }
    r->environment[n] = NULL;
}

static bool choose_user(struct recipe *r, struct err *e)
{
    const char *name = r->command->user;
    struct passwd pw, *found = NULL;
    char text[4096];
    if (!*name)
        return true;
    if (getpwnam_r(name, &pw, text, sizeof text, &found) != 0 || !found)
        return err_set(e, ERR_COMMAND, "there is no user \"%s\" here, as whom it is to run", name);
    r->uid = pw.pw_uid;
    r->gid = pw.pw_gid;
    r->other_user = r->uid != geteuid();
    r->group_count = GROUPS_MOST;
    if (getgrouplist(name, pw.pw_gid, r->groups, &r->group_count) < 0)
        r->group_count = GROUPS_MOST; /* the first of them */
    return true;
}

/* ---- in the child */

static LATHE_NORETURN void give_up(const char *what)
{
    struct failure f = {.error = errno};
    for (size_t i = 0; i < sizeof f.what - 1 && what[i]; i++)
        f.what[i] = what[i];
    if (write(STATUS_FD, &f, sizeof f) < 0)
        _exit(126);
    _exit(127);
}

static void limit(__rlimit_resource_t what, int64_t most)
{
    struct rlimit l;
    if (getrlimit(what, &l) < 0)
        give_up("getrlimit");
    l.rlim_cur = l.rlim_max; /* a child of Lathe has a limit of its own, which is not meant for others */
    if (most > 0 && (rlim_t)most < l.rlim_max)
        l.rlim_cur = l.rlim_max = (rlim_t)most;
    if (setrlimit(what, &l) < 0)
        give_up("setrlimit");
}

static void set_limits(const struct command *c)
{
    struct rlimit none = {0, 0};
    setrlimit(RLIMIT_CORE, &none);
    limit(RLIMIT_AS, c->memory);
    if (c->cpu_s > 0)
        limit(RLIMIT_CPU, c->cpu_s);
    if (c->files > 0)
        limit(RLIMIT_NOFILE, c->files);
}

static void offer_to_oom_killer(void)
{
    int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
    if (fd >= 0 && write(fd, "500", 3) < 0)
        (void)0; /* it is advice */
    net_close(fd);
}

static void forget_signals(void)
{
    struct sigaction usual = {.sa_handler = SIG_DFL};
    sigset_t unblocked;
    for (int n = 1; n < NSIG; n++)
        sigaction(n, &usual, NULL);
    sigemptyset(&unblocked);
    sigprocmask(SIG_SETMASK, &unblocked, NULL);
}

static LATHE_NORETURN void become(const struct recipe *r)
{
    setpgid(0, 0);
    guard_watch_me();
    if (dup2(r->in, 0) < 0 || dup2(r->out, 1) < 0 || dup2(r->log, 2) < 0 || dup2(r->status, STATUS_FD) < 0)
        _exit(126);
    fcntl(STATUS_FD, F_SETFD, FD_CLOEXEC);
    closefrom(STATUS_FD + 1);
    offer_to_oom_killer();
    forget_signals();
    set_limits(r->command);
    if (r->other_user &&
        (setgroups((size_t)r->group_count, r->groups) < 0 || setgid(r->gid) < 0 || setuid(r->uid) < 0))
        give_up("becoming its user");
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    if (chdir("/") < 0)
        give_up("chdir");
    execve(r->command->words[0], r->command->words, r->environment);
    give_up(r->command->words[0]);
}

/* ---- here */

static bool make_pipes(struct recipe *r, struct spawned *s, int *ret_status, struct err *e)
{
    int pipes[4][2];
    for (int i = 0; i < 4; i++)
        if (pipe2(pipes[i], O_CLOEXEC) < 0) {
            err_errno(e, "no pipes for the command %s", r->command->name);
            while (i-- > 0) {
                close(pipes[i][0]);
                close(pipes[i][1]);
            }
            return false;
        }
    r->in = pipes[0][0];
    s->in = pipes[0][1];
    s->out = pipes[1][0];
    r->out = pipes[1][1];
    s->log = pipes[2][0];
    r->log = pipes[2][1];
    *ret_status = pipes[3][0];
    r->status = pipes[3][1];
    const int ours[] = {s->in, s->out, s->log};
    for (size_t i = 0; i < COUNT_OF(ours); i++)
        fcntl(ours[i], F_SETFL, O_NONBLOCK);
    return true;
}

static void close_all(struct spawned *s)
{
    net_close(s->pidfd);
    net_close(s->in);
    net_close(s->out);
    net_close(s->log);
}

/* Until the program runs, or the child has said why not. */
static bool await(const struct recipe *r, int status, struct err *e)
{
    struct failure f = {0};
    ssize_t n;
    while ((n = read(status, &f, sizeof f)) < 0 && errno == EINTR)
        continue;
    if (n <= 0)
        return true; /* closed by exec; or it died before, which is seen soon */
    errno = f.error;
    err_errno(e, "the command %s could not be started: %.*s", r->command->name, (int)sizeof f.what - 1,
              f.what);
    if (e)
        e->code = ERR_COMMAND;
    return false;
}

static bool fork_one(const struct recipe *r, struct spawned *s, struct err *e)
{
    s->pid = fork();
    if (s->pid == 0)
        become(r);
    if (s->pid < 0)
        return err_errno(e, "no process for the command %s", r->command->name);
    setpgid(s->pid, s->pid); /* whoever comes first */
    guard_watch(s->pid);
    s->pidfd = (int)syscall(SYS_pidfd_open, s->pid, 0);
    return s->pidfd >= 0 || err_errno(e, "the command %s cannot be watched", r->command->name);
}

static void bury(pid_t pid)
{
    kill(-pid, SIGKILL);
    kill(pid, SIGKILL);
    guard_forget(pid);
    while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
        continue;
}

bool command_spawn(const struct command *c, struct spawned *ret, struct err *e)
{
    struct recipe r = {.command = c};
    struct spawned s = {.pid = -1, .pidfd = -1, .in = -1, .out = -1, .log = -1};
    int status;
    choose_environment(&r);
    if (!choose_user(&r, e) || !make_pipes(&r, &s, &status, e))
        return false;
    bool ok = fork_one(&r, &s, e);
    close(r.in);
    close(r.out);
    close(r.log);
    close(r.status);
    ok = ok && await(&r, status, e);
    close(status);
    if (!ok) {
        if (s.pid > 0)
            bury(s.pid);
        close_all(&s);
        return false;
    }
    *ret = s;
    return true;
}
