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
#include "core/log.h"
#include "core/net.h"

#define GRACE_MS 500
#define HEAR_MS 100             /* a guard that is only busy has listened by then */
#define LATE_NS (5 * NS_PER_S)  /* after which it is asked whether it is there, and has to have said so */
#define CALM_NS (10 * NS_PER_S) /* of life, after which a death is not counted */
#define PAUSE_FIRST_MS 100

enum word_kind { WORD_WATCH, WORD_FORGET, WORD_END, WORD_ASK };

struct word {
    enum word_kind kind;
    pid_t group;
};

/* ---- the guard: forked from a process with threads, so nothing here may allocate or lock */

struct ward {
    pid_t group;
    int64_t until; /* it is killed then */
};

static struct ward wards[GUARD_MOST]; /* the guard's copy, and ours, of which the next guard is made */
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

static void kill_all(void)
{
    for (int i = 0; i < ward_count; i++)
        kill(-wards[i].group, SIGKILL);
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
        if (w.kind == WORD_ASK && send(0, &w, sizeof w, MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
            continue; /* nobody has heard the answers before it either */
    }
    kill_all();
    _exit(0);
}

/* ---- here */

static struct {
    pthread_mutex_t lock; /* over all of this, and our copy of the wards */
    int sock;             /* 0: there is none; it is never standard input */
    pid_t pid;
    int64_t born, until; /* until: it is not started before */
    int64_t asked;       /* since when it owes an answer; 0: it does not */
    int deaths;          /* in a row, each soon after its beginning */
} guard = {.lock = PTHREAD_MUTEX_INITIALIZER};

/* A new one knows from its birth what its predecessor knew: it is a copy of us. */
static bool start(int64_t *ret_again, struct err *e)
{
    int pair[2];
    *ret_again = guard.until > clock_now() ? guard.until : 0;
    if (*ret_again > 0)
        return err_set(e, ERR_COMMAND,
                       "the guard of commands died %d times in a row, and is started again in %.1f s",
                       guard.deaths, (double)(guard.until - clock_now()) / (double)NS_PER_S);
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
    guard.born = clock_now();
    guard.asked = 0;
    return true;
}

/* One that lives nevertheless must not see the end of its socket, at which it kills all; and one that is frozen would never end. */
static void let_go(void)
{
    int sock = guard.sock;
    kill(guard.pid, SIGKILL);
    guard.sock = 0; /* before its number may be another's: guard_watch_me has no lock */
    close(sock);
    while (waitpid(guard.pid, NULL, 0) < 0 && errno == EINTR)
        continue;
}

/* While there is no guard nobody comes back for those that were told to end: they have had their time. */
static void kill_told(void)
{
    kill_due(CLOCK_NEVER - 1);
}

/* It was not we who ended it. At once another one, unless they die like flies. */
static void replace(void)
{
    struct err e;
    int64_t now = clock_now(), pause_ms = PAUSE_FIRST_MS, again;
    let_go();
    guard.deaths = now - guard.born < CALM_NS ? guard.deaths + 1 : 0;
    for (int i = 2; i < guard.deaths && pause_ms < GUARD_PAUSE_MOST_MS; i++)
        pause_ms *= 2;
    if (pause_ms > GUARD_PAUSE_MOST_MS)
        pause_ms = GUARD_PAUSE_MOST_MS;
    guard.until = guard.deaths > 1 ? now + pause_ms * NS_PER_MS : 0;
    log_warn("command.guard_lost",
             "deaths=%d meaning=it was killed, or stopped: programs go on, and another one watches over them",
             guard.deaths);
    if (start(&again, &e))
        return;
    log_debug("command.guard", "error=%s", e.text);
    kill_told();
}

/* Waits for a moment only: one that is frozen listens as little as one that is gone. */
static bool say(const struct word *w)
{
    struct pollfd room = {.fd = guard.sock, .events = POLLOUT};
    int64_t until = clock_after_ms(HEAR_MS);
    while (send(guard.sock, w, sizeof *w, MSG_NOSIGNAL | MSG_DONTWAIT) < 0) {
        if (errno == EAGAIN && poll(&room, 1, clock_poll_ms(until)) == 0)
            return false;
        if (errno != EAGAIN && errno != EINTR)
            return false;
    }
    return true;
}

/* Of those that were told to end: the guard may be frozen, which hears and does nothing, or it killed them and they cannot die. */
static bool is_late(int64_t long_ago)
{
    for (int i = 0; i < ward_count; i++)
        if (wards[i].until <= long_ago)
            return true;
    return false;
}

static bool is_there(bool late, int64_t long_ago)
{
    struct pollfd ready = {.fd = guard.sock, .events = 0};
    struct word w;
    if (poll(&ready, 1, 0) > 0)
        return false;
    while (recv(guard.sock, &w, sizeof w, MSG_DONTWAIT) == sizeof w)
        guard.asked = 0;
    if (!late || guard.asked > 0)
        return guard.asked == 0 || guard.asked > long_ago;
    guard.asked = clock_now();
    return say(&(struct word){WORD_ASK, 0});
}

static void look(void)
{
    int64_t long_ago = clock_now() - LATE_NS;
    bool late = is_late(long_ago);
    if (late)
        kill_due(long_ago);
    if (guard.sock > 0 && !is_there(late, long_ago))
        replace();
}

bool guard_open(int64_t *ret_again, struct err *e)
{
    pthread_mutex_lock(&guard.lock);
    *ret_again = 0;
    look();
    bool ok = guard.sock > 0 || start(ret_again, e);
    pthread_mutex_unlock(&guard.lock);
    return ok;
}

void guard_look(void)
{
    struct err e;
    int64_t again;
    pthread_mutex_lock(&guard.lock);
    look();
    if (guard.sock == 0 && ward_count > 0 && !start(&again, &e))
        log_debug("command.guard", "error=%s", e.text);
    pthread_mutex_unlock(&guard.lock);
}

static void tell(enum word_kind kind, pid_t group)
{
    struct word w = {kind, group};
    pthread_mutex_lock(&guard.lock);
    hear(&w);
    if (guard.sock == 0)
        kill_told();
    else if (!say(&w))
        replace();
    pthread_mutex_unlock(&guard.lock);
}

void guard_watch_me(void)
{
    if (guard.sock > 0)
        say(&(struct word){WORD_WATCH, getpid()});
}

void guard_watch(pid_t group)
{
    tell(WORD_WATCH, group);
}

void guard_forget(pid_t group)
{
    tell(WORD_FORGET, group);
}

void guard_end(pid_t group)
{
    kill(-group, SIGTERM);
    tell(WORD_END, group);
}

void guard_close(void)
{
    pthread_mutex_lock(&guard.lock);
    kill_all();
    if (guard.sock > 0)
        let_go();
    ward_count = 0;
    pthread_mutex_unlock(&guard.lock);
}
