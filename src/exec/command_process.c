#include "exec/command_process.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/mem.h"
#include "core/net.h"
#include "exec/command_guard.h"
#include "exec/command_spawn.h"

#define IDLE_MOST 64   /* processes that are kept for the next run, of all commands */
#define ENDING_MOST 64 /* that were told to end and have not yet; what is more is waited for */
#define LOG_READS 32   /* of 4 KiB: more than a pipe holds */
#define PAUSE_MOST 60000
#define END_MS 600 /* the guard's half a second, and a little */

static struct {
    pthread_mutex_t lock;
    struct process *idle;
    int idle_count;
    pid_t ending[ENDING_MOST];
    int ending_count;
} all = {.lock = PTHREAD_MUTEX_INITIALIZER};

/* ---- the end */

/* Its group first, while its number is still taken. */
static void bury(pid_t pid)
{
    kill(-pid, SIGKILL);
    guard_forget(pid);
    while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
        continue;
}

static bool has_ended(pid_t pid, siginfo_t *info)
{
    *info = (siginfo_t){0};
    return waitid(P_PID, (id_t)pid, info, WEXITED | WNOHANG | WNOWAIT) < 0 || info->si_pid == pid;
}

static void bury_ended(void)
{
    siginfo_t info;
    pthread_mutex_lock(&all.lock);
    for (int i = all.ending_count - 1; i >= 0; i--)
        if (has_ended(all.ending[i], &info)) {
            bury(all.ending[i]);
            all.ending[i] = all.ending[--all.ending_count];
        }
    pthread_mutex_unlock(&all.lock);
}

static void end_pid(pid_t pid)
{
    siginfo_t info;
    if (has_ended(pid, &info)) {
        bury(pid);
        return;
    }
    guard_end(pid);
    pthread_mutex_lock(&all.lock);
    bool room = all.ending_count < ENDING_MOST;
    if (room)
        all.ending[all.ending_count++] = pid;
    pthread_mutex_unlock(&all.lock);
    if (!room) {
        kill(-pid, SIGKILL);
        bury(pid);
    }
}

void process_end(struct process *p)
{
    net_close(p->in);
    net_close(p->out);
    net_close(p->log);
    net_close(p->pidfd);
    end_pid(p->pid);
    mem_free(p);
}

bool process_over(const struct process *p, char *text, size_t size)
{
    siginfo_t info;
    if (!has_ended(p->pid, &info))
        return false;
    if (info.si_code == CLD_EXITED)
        snprintf(text, size, "it ended with exit code %d", info.si_status);
    else
        snprintf(text, size, "it was ended by signal %d", info.si_status);
    return true;
}

/* ---- the beginning */

static struct process *take_idle(const struct command *c)
{
    pthread_mutex_lock(&all.lock);
    struct process **at = &all.idle;
    while (*at && (*at)->command != c)
        at = &(*at)->next;
    struct process *p = *at;
    if (p) {
        *at = p->next;
        all.idle_count--;
    }
    pthread_mutex_unlock(&all.lock);
    return p;
}

/* It lives, and has said nothing since. */
static bool is_fit(const struct process *p)
{
    struct pollfd ready[2] = {{.fd = p->pidfd, .events = POLLIN}, {.fd = p->out, .events = POLLIN}};
    return poll(ready, 2, 0) == 0;
}

/* What it wrote to standard error after its last item is of none that comes now. */
static void drop_log(const struct process *p)
{
    char bytes[4096];
    for (int i = 0; i < LOG_READS && read(p->log, bytes, sizeof bytes) > 0; i++)
        continue;
}

/* Writing to a program that is gone would kill a process that did not ask: children of the zygote have not. */
static void prepare(void)
{
    struct sigaction usual;
    if (sigaction(SIGPIPE, NULL, &usual) == 0 && usual.sa_handler == SIG_DFL) {
        struct sigaction ignore = {.sa_handler = SIG_IGN};
        sigaction(SIGPIPE, &ignore, NULL);
    }
}

static pthread_once_t once = PTHREAD_ONCE_INIT;

bool process_open(const struct command *c, struct process **ret, int64_t *ret_again, struct err *e)
{
    struct process *p;
    *ret_again = 0;
    pthread_once(&once, prepare);
    bury_ended();
    while ((p = take_idle(c))) {
        if (is_fit(p)) {
            drop_log(p);
            *ret = p;
            return true;
        }
        process_end(p);
    }
    struct spawned s;
    if (!guard_open(ret_again, e) || !command_spawn(c, &s, e))
        return false;
    p = mem_alloc(sizeof *p);
    *p = (struct process){
        .command = c, .pid = s.pid, .pidfd = s.pidfd, .in = s.in, .out = s.out, .log = s.log};
    *ret = p;
    return true;
}

void process_keep(struct process *p)
{
    bool keep = p->command->idle_ms > 0 && is_fit(p);
    p->idle_since = clock_now();
    pthread_mutex_lock(&all.lock);
    keep = keep && all.idle_count < IDLE_MOST;
    if (keep) {
        p->next = all.idle;
        all.idle = p;
        all.idle_count++;
    }
    pthread_mutex_unlock(&all.lock);
    if (!keep)
        process_end(p);
}

/* ---- all of them */

/* Out of the list: one that has been there for too long, or at the end any. */
static struct process *take_old(int64_t now, bool any)
{
    pthread_mutex_lock(&all.lock);
    struct process **at = &all.idle;
    while (*at && !any && now - (*at)->idle_since < (*at)->command->idle_ms * NS_PER_MS)
        at = &(*at)->next;
    struct process *p = *at;
    if (p) {
        *at = p->next;
        all.idle_count--;
    }
    pthread_mutex_unlock(&all.lock);
    return p;
}

bool processes_idle(void)
{
    struct process *p;
    while ((p = take_old(clock_now(), false)))
        process_end(p);
    bury_ended();
    guard_look();
    return false;
}

void processes_release(void)
{
    struct process *p;
    while ((p = take_old(0, true)))
        process_end(p);
    for (int64_t until = clock_after_ms(END_MS); clock_now() < until && all.ending_count > 0;) {
        bury_ended();
        if (all.ending_count > 0)
            poll(NULL, 0, 5);
    }
    while (all.ending_count > 0) {
        pid_t pid = all.ending[--all.ending_count];
        kill(-pid, SIGKILL);
        bury(pid);
    }
    guard_close();
}

/* ---- luck */

struct command_luck {
    pthread_mutex_t lock;
    struct luck now;
};

struct command_luck *command_luck_make(void)
{
    struct command_luck *l = mem_alloc(sizeof *l);
    pthread_mutex_init(&l->lock, NULL);
    l->now = (struct luck){0};
    return l;
}

struct luck luck_now(const struct command *c)
{
    pthread_mutex_lock(&c->luck->lock);
    struct luck l = c->luck->now;
    pthread_mutex_unlock(&c->luck->lock);
    return l;
}

void luck_good(const struct command *c)
{
    pthread_mutex_lock(&c->luck->lock);
    c->luck->now = (struct luck){0};
    pthread_mutex_unlock(&c->luck->lock);
}

void luck_bad(const struct command *c, const struct err *why, bool out)
{
    struct luck *l = &c->luck->now;
    pthread_mutex_lock(&c->luck->lock);
    int64_t ms = c->restart_ms;
    for (int64_t i = 0; i < l->failures && ms < PAUSE_MOST; i++)
        ms *= 2;
    l->failures++;
    l->until = clock_after_ms(ms < PAUSE_MOST ? ms : PAUSE_MOST);
    l->out = out || l->failures >= LUCK_OUT;
    l->err = *why;
    pthread_mutex_unlock(&c->luck->lock);
}
