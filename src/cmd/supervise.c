#include "cmd/supervise.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/clock.h"
#include "core/log.h"
#include "core/net.h"
#include "core/sig.h"

#define PAUSE_FIRST_MS 100
#define PAUSE_LAST_MS 10000
#define STEADY_NS (30 * NS_PER_S) /* a process that lived this long starts again without a pause */
#define EXIT_CONFIG 78            /* sysexits.h */

static void start(struct supervised *s)
{
    posix_spawnattr_t attr;
    sigset_t none, all;
    sigemptyset(&none);
    sigfillset(&all);
    posix_spawnattr_init(&attr);
    posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
    posix_spawnattr_setsigmask(&attr, &none);
    posix_spawnattr_setsigdefault(&attr, &all);
    s->started = clock_now();
    int rc = posix_spawn(&s->pid, "/proc/self/exe", NULL, &attr, s->argv, environ);
    posix_spawnattr_destroy(&attr);
    if (rc != 0) {
        s->pid = 0;
        s->pause_ms = s->pause_ms == 0 ? PAUSE_FIRST_MS : s->pause_ms;
        s->start_at = clock_after_ms(s->pause_ms);
        log_error("serve.start", "role=%s error=\"%s\" retry_ms=%lld", s->role, strerrordesc_np(rc),
                  (long long)s->pause_ms);
        return;
    }
    log_info("serve.started", "role=%s pid=%d", s->role, (int)s->pid);
}

/* When to start it again: at once after a long life or a clean end, else after a pause that doubles. */
static void plan_restart(struct supervised *s, bool clean)
{
    bool steady = clock_now() - s->started > STEADY_NS;
    if (clean || steady)
        s->pause_ms = 0;
    else
        s->pause_ms = s->pause_ms == 0 ? PAUSE_FIRST_MS : s->pause_ms * 2;
    if (s->pause_ms > PAUSE_LAST_MS)
        s->pause_ms = PAUSE_LAST_MS;
    s->start_at = clock_after_ms(s->pause_ms);
}

static void tell_end(const struct supervised *s, pid_t pid, int status, bool stopping)
{
    if (WIFSIGNALED(status))
        log_error("serve.died", "role=%s pid=%d signal=%d name=%s restart_ms=%lld", s->role, (int)pid,
                  WTERMSIG(status), sigdescr_np(WTERMSIG(status)), (long long)s->pause_ms);
    else if (stopping && WEXITSTATUS(status) == 0)
        log_info("serve.stopped", "role=%s pid=%d", s->role, (int)pid);
    else
        log_warn("serve.ended", "role=%s pid=%d exit=%d restart_ms=%lld", s->role, (int)pid,
                 WEXITSTATUS(status), (long long)s->pause_ms);
}

/* False: it says that starting again will not help. */
static bool reap(struct supervision *v, bool stopping)
{
    int status;
    pid_t pid;
    bool sane = true;
    while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
        for (int i = 0; i < v->count; i++) {
            struct supervised *s = &v->list[i];
            if (s->pid != pid)
                continue;
            int code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
            s->pid = 0;
            plan_restart(s, code == 0 || code == 75);
            tell_end(s, pid, status, stopping);
            sane = sane && code != EXIT_CONFIG;
            if (v->ended != NULL)
                v->ended(v->arg, s, pid, status);
        }
    }
    return sane;
}

static void pass_on(struct supervision *v, int signal)
{
    for (int i = 0; i < v->count; i++)
        if (v->list[i].pid > 0)
            kill(v->list[i].pid, signal);
}

static int alive(const struct supervision *v)
{
    int n = 0;
    for (int i = 0; i < v->count; i++)
        n += v->list[i].pid > 0;
    return n;
}

static int64_t start_due(struct supervision *v)
{
    int64_t next = CLOCK_NEVER, now = clock_now();
    for (int i = 0; i < v->count; i++) {
        struct supervised *s = &v->list[i];
        if (s->pid == 0 && s->start_at <= now)
            start(s);
        if (s->pid == 0 && s->start_at < next)
            next = s->start_at;
    }
    return next;
}

static void wait_signals(const struct supervision *v, int64_t deadline)
{
    struct pollfd p = {.fd = v->signals, .events = POLLIN};
    poll(&p, 1, clock_poll_ms(deadline));
}

/* Returns when something wants the processes to end; false if one of them gave up. */
static bool watch(struct supervision *v)
{
    for (;;) {
        wait_signals(v, start_due(v));
        enum sig_verb verb;
        while ((verb = sig_read(v->signals)) != SIG_NOTHING) {
            if (verb == SIG_STOP)
                return true;
            if (verb == SIG_RELOAD)
                pass_on(v, SIGHUP);
        }
        if (!reap(v, false))
            return false;
    }
}

static void end_all(struct supervision *v)
{
    int64_t deadline = clock_after_ms(v->stop_ms);
    pass_on(v, SIGTERM);
    while (alive(v) > 0) {
        wait_signals(v, deadline);
        enum sig_verb verb;
        while ((verb = sig_read(v->signals)) != SIG_NOTHING)
            if (verb == SIG_STOP)
                pass_on(v, SIGTERM); /* the second one: leave now */
        reap(v, true);
        if (clock_now() >= deadline && alive(v) > 0) {
            log_error("serve.killing",
                      "processes=%d meaning=they did not stop in time; units run again elsewhere", alive(v));
            pass_on(v, SIGKILL);
            deadline = clock_after_ms(1000);
        }
    }
}

bool supervise(struct supervision *v, struct err *e)
{
    for (int i = 0; i < v->count; i++)
        v->list[i].pid = 0, v->list[i].start_at = 0, v->list[i].pause_ms = 0;
    start_due(v);
    net_notify("READY=1");
    bool sane = watch(v);
    net_notify("STOPPING=1");
    end_all(v);
    if (!sane)
        return err_set(e, ERR_CONFIG,
                       "a process of lathe serve refused to start; its own message, above, says why");
    return true;
}
