#include "exec/command_guard.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/clock.h"
#include "core/net.h"

#define GRACE_MS 500

enum word_kind { WORD_WATCH, WORD_FORGET, WORD_END };

struct word {
    enum word_kind kind;
    pid_t group;
};

/* ---- the guard: forked from a process with threads, so nothing here may allocate or lock */

struct ward {
    pid_t group;
    int64_t until; /* it is killed then */
};

static struct ward wards[GUARD_MOST]; /* of the guard's copy alone */
static int ward_count;

static struct ward *find(pid_t group)
{
    for (int i = 0; i < ward_count; i++)
        if (wards[i].group == group)
            return &wards[i];
    return NULL;
}

static void hear(const struct word *w)
{
    struct ward *known = find(w->group);
    if (w->kind == WORD_WATCH && !known && ward_count < GUARD_MOST)
        wards[ward_count++] = (struct ward){w->group, CLOCK_NEVER};
    else if (w->kind == WORD_FORGET && known)
        *known = wards[--ward_count];
    else if (w->kind == WORD_END && known)
        known->until = clock_after_ms(GRACE_MS);
}

/* Returns when the next is due. */
static int64_t kill_due(int64_t now)
{
    int64_t next = CLOCK_NEVER;
    for (int i = 0; i < ward_count; i++) {
        if (wards[i].until <= now) {
            kill(-wards[i].group, SIGKILL);
            wards[i].until = CLOCK_NEVER;
        }
        if (wards[i].until < next)
            next = wards[i].until;
    }
    return next;
}

static LATHE_NORETURN void guard_main(int sock)
{
    struct sigaction ignore = {.sa_handler = SIG_IGN};
    static const int deaf[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2, SIGPIPE};
    struct word w;
    for (size_t i = 0; i < COUNT_OF(deaf); i++)
        sigaction(deaf[i], &ignore, NULL);
    setpgid(0, 0);
    prctl(PR_SET_PDEATHSIG, 0);
    prctl(PR_SET_NAME, "lathe-guard");
    if (dup2(sock, 0) < 0)
        _exit(1);
    closefrom(1);
    for (;;) {
        struct pollfd ready = {.fd = 0, .events = POLLIN};
        int64_t next = kill_due(clock_now());
        if (poll(&ready, 1, clock_poll_ms(next)) <= 0)
            continue;
        if (recv(0, &w, sizeof w, 0) != sizeof w)
            break;
        hear(&w);
    }
    for (int i = 0; i < ward_count; i++)
        kill(-wards[i].group, SIGKILL);
    _exit(0);
}

/* ---- here */

static struct {
    pthread_mutex_t lock;
    int sock; /* 0: there is none; it is never standard input */
    pid_t pid;
} guard = {.lock = PTHREAD_MUTEX_INITIALIZER};

static bool start(struct err *e)
{
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
        return err_errno(e, "no socket for the guard of commands");
    pid_t pid = fork();
    if (pid == 0)
        guard_main(pair[1]);
    close(pair[1]);
    if (pid < 0) {
        err_errno(e, "no process to guard commands");
        close(pair[0]);
        return false;
    }
    guard.pid = pid;
    guard.sock = pair[0];
    return true;
}

bool guard_open(struct err *e)
{
    pthread_mutex_lock(&guard.lock);
    bool ok = guard.sock > 0 || start(e);
    pthread_mutex_unlock(&guard.lock);
    return ok;
}

static void say(enum word_kind kind, pid_t group)
{
    struct word w = {kind, group};
    while (send(guard.sock, &w, sizeof w, MSG_NOSIGNAL) < 0 && errno == EINTR)
        continue;
}

void guard_watch(pid_t group)
{
    say(WORD_WATCH, group);
}

void guard_forget(pid_t group)
{
    say(WORD_FORGET, group);
}

void guard_end(pid_t group)
{
    kill(-group, SIGTERM);
    say(WORD_END, group);
}

void guard_close(void)
{
    pthread_mutex_lock(&guard.lock);
    if (guard.sock > 0) {
        close(guard.sock);
        guard.sock = 0;
        while (waitpid(guard.pid, NULL, 0) < 0 && errno == EINTR)
            continue;
    }
    pthread_mutex_unlock(&guard.lock);
}
