#include "cmd/supervise.h"

#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/clock.h"
#include "core/log.h"
#include "core/net.h"
#include "core/parent.h"
#include "core/sig.h"

#define PAUSE_FIRST_MS 100
#define PAUSE_LAST_MS 10000
#define STEADY_NS (30 * NS_PER_S) /* whoever lived this long starts again without a pause */
#define WILLING_NS (5 * NS_PER_S) /* the same for one that ended of its own will */
#define EXIT_CONFIG 78            /* sysexits.h */

/* At once after a long life, else after a pause that doubles. A code says little: 75 is a worker that wants to be replaced,
 * and also one that cannot reach PostgreSQL. */
static void plan_start(struct supervised *s, int64_t long_life)
{
    int64_t life = clock_now() - s->started;
    s->settled = s->settled || life >= STEADY_NS;
    if (life >= long_life)
        s->pause_ms = 0;
    else
        s->pause_ms = s->pause_ms == 0 ? PAUSE_FIRST_MS : s->pause_ms * 2;
    if (s->pause_ms > PAUSE_LAST_MS)
        s->pause_ms = PAUSE_LAST_MS;
    s->start_at = clock_after_ms(s->pause_ms);
}

/* It begins with our mask: a signal that comes before it can read any waits for it. */
static int spawn(struct supervised *s)
{
    posix_spawnattr_t attr;
    sigset_t all;
    sigfillset(&all);
    posix_spawnattr_init(&attr);
    posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETPGROUP);
    posix_spawnattr_setsigdefault(&attr, &all);
    posix_spawnattr_setpgroup(&attr, 0);
    int refused = posix_spawn(&s->pid, "/proc/self/exe", NULL, &attr, s->argv, environ);
    posix_spawnattr_destroy(&attr);
    return refused;
}

static void start(struct supervised *s)
{
    s->started = clock_now();
    int refused = spawn(s);
    if (refused == 0) {
        log_info("serve.started", "child_role=%s child_pid=%d", s->role, (int)s->pid);
        return;
    }
    s->pid = 0;
    plan_start(s, STEADY_NS);
    log_error("serve.start", "child_role=%s why=%s retry_ms=%" PRId64, s->role, strerrordesc_np(refused),
              s->pause_ms);
}

static void tell_end(const struct supervised *s, pid_t pid, int status)
{
    if (WIFSIGNALED(status))
        log_error("serve.died", "child_role=%s child_pid=%d signal=%d name=%s restart_ms=%" PRId64, s->role,
                  (int)pid, WTERMSIG(status), sigdescr_np(WTERMSIG(status)), s->pause_ms);
    else
        log_warn("serve.ended", "child_role=%s child_pid=%d exit=%d restart_ms=%" PRId64, s->role, (int)pid,
                 WEXITSTATUS(status), s->pause_ms);
}

/* It was to end, or has a successor. */
static void tell_stop(const struct supervised *s, pid_t pid, int status)
{
    if (WIFSIGNALED(status))
        log_error("serve.died", "child_role=%s child_pid=%d signal=%d name=%s", s->role, (int)pid,
                  WTERMSIG(status), sigdescr_np(WTERMSIG(status)));
    else
        log_info("serve.stopped", "child_role=%s child_pid=%d exit=%d", s->role, (int)pid,
                 WEXITSTATUS(status));
}

/* It is to be started again. False: it says that this will not help, and was never of use. */
static bool ended(struct supervised *s, pid_t pid, int status)
{
    int code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
    plan_start(s, code == 0 || code == 75 ? WILLING_NS : STEADY_NS);
    tell_end(s, pid, status);
    if (code != EXIT_CONFIG)
        return true;
    if (s->settled)
        log_error("serve.refused", "child_role=%s meaning=%s", s->role,
                  "its settings or the schema have changed; its own message says how; the others go on");
    return s->settled;
}

/* False: starting again will not help. */
static bool reap(struct supervision *v, bool stopping)
{
    int status;
    pid_t pid;
    bool sane = true;
    while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
        for (int i = 0; i < v->count; i++) {
            struct supervised *s = &v->list[i];
            bool current = s->pid == pid;
            if (!current && s->leaving != pid)
                continue;
            *(current ? &s->pid : &s->leaving) = 0;
            if (stopping || !current)
                tell_stop(s, pid, status);
            else
                sane = ended(s, pid, status) && sane;
        }
    }
    return sane;
}

/* One asks for its successor. Only one at a time may be leaving; the next then gets its successor when it has ended, as
 * does one whose signal met another's and was lost in it. */
static void replace(struct supervision *v, pid_t asking)
{
    for (int i = 0; i < v->count; i++) {
        struct supervised *s = &v->list[i];
        if (s->pid != asking || s->leaving != 0)
            continue;
        s->leaving = asking;
        s->pid = 0;
        plan_start(s, WILLING_NS);
        log_info("serve.replacing", "child_role=%s child_pid=%d start_ms=%" PRId64, s->role, (int)asking,
                 s->pause_ms);
    }
}

static void pass_on(const struct supervision *v, int signal)
{
    for (int i = 0; i < v->count; i++) {
        if (v->list[i].pid > 0)
            kill(v->list[i].pid, signal);
        if (v->list[i].leaving > 0)
            kill(v->list[i].leaving, signal);
    }
}

static int alive(const struct supervision *v)
{
    int n = 0;
    for (int i = 0; i < v->count; i++)
        n += (v->list[i].pid > 0) + (v->list[i].leaving > 0);
    return n;
}

/* Whoever waits for its next start may have been waiting for these settings. */
static void reload(struct supervision *v)
{
    if (v->reload)
        v->reload(v);
    pass_on(v, SIGHUP);
    for (int i = 0; i < v->count; i++)
        v->list[i].start_at = 0;
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
        pid_t sender;
        while ((verb = sig_read_from(v->signals, &sender)) != SIG_NOTHING) {
            if (verb == SIG_STOP)
                return true;
            if (verb == SIG_RELOAD)
                reload(v);
            if (verb == SIG_REPLACE)
                replace(v, sender);
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
        v->list[i] = (struct supervised){.role = v->list[i].role, .argv = v->list[i].argv};
    parent_lead();
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
