#include "exec/zygote.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/clock.h"
#include "core/net.h"
#include "exec/child.h"
#include "exec/fds.h"
#include "exec/graves.h"

#define ANSWER_S 10 /* a zygote that does not answer for so long is taken for dead */

enum request_kind { REQUEST_FORK, REQUEST_COLLECT };

struct request {
    enum request_kind kind;
    int count;
    pid_t pid;
};

struct reply {
    pid_t pid;
    int error; /* errno of what failed; then there is no child */
    struct child_end end;
};

/* ---- in the zygote */

static struct child_end end_of(int status, const struct rusage *use)
{
    int64_t us = (use->ru_utime.tv_sec + use->ru_stime.tv_sec) * INT64_C(1000000) + use->ru_utime.tv_usec +
                 use->ru_stime.tv_usec;
    return (struct child_end){.known = true, .status = status, .cpu = us * 1000};
}

static void reap(struct graves *g)
{
    struct rusage use;
    int status;
    for (pid_t pid; (pid = wait4(-1, &status, WNOHANG, &use)) > 0;) {
        struct child_end end = end_of(status, &use);
        graves_dig(g, pid, &end);
    }
}

static struct reply collect(struct graves *g, pid_t pid)
{
    struct reply r = {.pid = pid};
    reap(g);
    if (!graves_open(g, pid, &r.end))
        r.error = ESRCH;
    return r;
}

/* Forks one and sends it. False: it could not, and has said so. */
static bool fork_one(int control)
{
    int pair[2], pidfd = -1;
    struct reply r = {0};
    pid_t self = getpid();
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0) {
        r.pid = fork();
        if (r.pid == 0)
            child_main(pair[1], self);
        r.error = errno;
        close(pair[1]);
        if (r.pid > 0)
            pidfd = (int)syscall(SYS_pidfd_open, r.pid, 0);
        if (r.pid > 0 && pidfd < 0) {
            r.error = errno;
            kill(r.pid, SIGKILL);
        }
    } else {
        pair[0] = -1;
        r.error = errno;
    }
    bool ok = pidfd >= 0;
    if (ok)
        r.error = 0;
    fds_send(control, &r, sizeof r, (int[]){pair[0], pidfd}, ok ? 2 : 0, 0);
    net_close(pair[0]);
    net_close(pidfd);
    return ok;
}

static void serve(int control, int signals)
{
    struct graves graves = {0};
    struct pollfd ready[2] = {{.fd = control, .events = POLLIN}, {.fd = signals, .events = POLLIN}};
    for (;;) {
        if (poll(ready, 2, -1) < 0 && errno != EINTR) /* no deadline: the worker's death is an event too */
            return;
        struct signalfd_siginfo info;
        if (ready[1].revents && read(signals, &info, sizeof info) > 0)
            reap(&graves);
        if (!ready[0].revents)
            continue;
        struct request q;
        if (recv(control, &q, sizeof q, 0) != sizeof q)
            return;
        if (q.kind == REQUEST_FORK) {
            for (int i = 0; i < q.count && fork_one(control); i++)
                continue;
        } else {
            struct reply r = collect(&graves, q.pid);
            fds_send(control, &r, sizeof r, NULL, 0, 0);
        }
    }
}

/* Ctrl-C and a service manager's TERM go to whole groups: who ends when is the worker's business alone. */
static int settle_signals(void)
{
    static const int deaf[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2};
    struct sigaction ignore = {.sa_handler = SIG_IGN}, usual = {.sa_handler = SIG_DFL};
    for (int n = 1; n < NSIG; n++)
        sigaction(n, &usual, NULL);
    for (size_t i = 0; i < COUNT_OF(deaf); i++)
        sigaction(deaf[i], &ignore, NULL);
    sigset_t child;
    sigemptyset(&child);
    sigaddset(&child, SIGCHLD);
    sigprocmask(SIG_SETMASK, &child, NULL);
    return signalfd(-1, &child, SFD_CLOEXEC | SFD_NONBLOCK);
}

/* When memory is short, children go first. */
static void offer_to_oom_killer(void)
{
    int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
    if (fd >= 0 && write(fd, "500", 3) < 0)
        (void)0; /* it is advice */
    net_close(fd);
}

static LATHE_NORETURN void zygote_main(int control, pid_t worker)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != worker)
        _exit(0);
    prctl(PR_SET_NAME, "lathe-zygote");
    if (control != 3 && dup2(control, 3) < 0)
        _exit(1);
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    for (int fd = STDIN_FILENO; null >= 0 && fd <= STDOUT_FILENO; fd++)
        dup2(null, fd);
    closefrom(4);
    offer_to_oom_killer();
    serve(3, settle_signals());
    _exit(0);
}

/* ---- in the worker */

static struct {
    pthread_mutex_t lock; /* around every conversation */
    int control;          /* -1: there is no zygote */
    pid_t pid;
    _Atomic bool broken;
} zygote = {.lock = PTHREAD_MUTEX_INITIALIZER, .control = -1};

bool zygote_start(struct err *e)
{
    assert(zygote.control < 0);
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
        return err_errno(e, "no socket for the process that forks children");
    pid_t worker = getpid(), pid = fork();
    if (pid == 0) {
        close(pair[0]);
        zygote_main(pair[1], worker);
    }
    close(pair[1]);
    if (pid < 0) {
        err_errno(e, "no process to fork children from");
        close(pair[0]);
        return false;
    }
    struct timeval patience = {.tv_sec = ANSWER_S};
    setsockopt(pair[0], SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    zygote.control = pair[0];
    zygote.pid = pid;
    return true;
}

void zygote_stop(void)
{
    pthread_mutex_lock(&zygote.lock);
    int control = zygote.control, status;
    zygote.control = -1;
    pthread_mutex_unlock(&zygote.lock);
    if (control < 0)
        return;
    close(control); /* which it takes as the end */
    while (waitpid(zygote.pid, &status, 0) < 0 && errno == EINTR)
        continue;
}

bool zygote_running(void)
{
    pthread_mutex_lock(&zygote.lock);
    bool running = zygote.control >= 0;
    pthread_mutex_unlock(&zygote.lock);
    return running;
}

bool zygote_broken(void)
{
    return zygote.broken;
}

/* What comes later on this socket could be the answer to an older question: it is not used again. */
static bool gone(struct err *e)
{
    shutdown(zygote.control, SHUT_RDWR);
    zygote.broken = true;
    return err_set(e, ERR_SYSTEM, "the process that forks children has died; restart the worker");
}

int zygote_fork(int n, void (*got)(void *arg, const struct newborn *child), void *arg, struct err *e)
{
    struct request q = {.kind = REQUEST_FORK, .count = n};
    int came = 0, count = 2;
    pthread_mutex_lock(&zygote.lock);
    bool ok = fds_send(zygote.control, &q, sizeof q, NULL, 0, 0) || gone(e);
    for (; ok && came < n; came++) {
        struct reply r;
        int fds[2];
        if (fds_receive(zygote.control, &r, sizeof r, fds, 2, &count) != sizeof r) {
            ok = gone(e);
        } else if (r.error || count != 2) {
            errno = r.error;
            ok = err_errno(e, "a child could not be forked");
        } else {
            got(arg, &(struct newborn){r.pid, fds[0], fds[1]});
        }
        if (!ok)
            break;
    }
    pthread_mutex_unlock(&zygote.lock);
    return came;
}

struct child_end zygote_collect(pid_t pid)
{
    struct request q = {.kind = REQUEST_COLLECT, .pid = pid};
    struct reply r = {0};
    int fds[2], count;
    pthread_mutex_lock(&zygote.lock);
    bool ok = fds_send(zygote.control, &q, sizeof q, NULL, 0, 0) &&
              fds_receive(zygote.control, &r, sizeof r, fds, 2, &count) == sizeof r;
    if (!ok)
        gone(NULL);
    pthread_mutex_unlock(&zygote.lock);
    return ok && r.error == 0 ? r.end : (struct child_end){.known = false};
}
