#include "core/sig.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "core/clock.h"

#define STOPS_APART_NS NS_PER_S

static const struct {
    int number;
    enum sig_verb verb;
} signals[] = {
    {SIGTERM, SIG_STOP},  {SIGINT, SIG_STOP},     {SIGQUIT, SIG_STOP},
    {SIGHUP, SIG_RELOAD}, {SIGUSR1, SIG_REPLACE}, {SIGCHLD, SIG_CHILD},
};

static void fill(sigset_t *set)
{
    sigemptyset(set);
    for (size_t i = 0; i < COUNT_OF(signals); i++)
        sigaddset(set, signals[i].number);
}

static void handle(int number, void (*handler)(int))
{
    struct sigaction action = {.sa_handler = handler};
    sigemptyset(&action.sa_mask);
    int refused = sigaction(number, &action, NULL);
    assert(refused == 0);
    (void)refused;
}

void sig_block(void)
{
    sigset_t set;
    fill(&set);
    int refused = pthread_sigmask(SIG_BLOCK, &set, NULL);
    assert(refused == 0);
    (void)refused;
    /* an ignored CHLD (inherited from whoever started us) would make children vanish unreported */
    handle(SIGCHLD, SIG_DFL);
    handle(SIGPIPE, SIG_IGN);
}

bool sig_open(int *ret_fd, struct err *e)
{
    sigset_t set;
    fill(&set);
    int fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    if (fd < 0)
        return err_errno(e, "cannot make a descriptor for signals");
    *ret_fd = fd;
    return true;
}

/* Has somebody else just said the same? */
static bool is_echo(pid_t sender)
{
    static struct {
        int64_t at; /* 0: never */
        pid_t sender;
    } last;
    int64_t now = clock_now();
    bool echo = last.at && sender != last.sender && now - last.at < STOPS_APART_NS;
    last.sender = sender;
    last.at = echo ? last.at : now;
    return echo;
}

static enum sig_verb verb_of(int number)
{
    for (size_t i = 0; i < COUNT_OF(signals); i++)
        if (signals[i].number == number)
            return signals[i].verb;
    return SIG_NOTHING;
}

enum sig_verb sig_read(int fd)
{
    pid_t sender;
    return sig_read_from(fd, &sender);
}

enum sig_verb sig_read_from(int fd, pid_t *ret_sender)
{
    for (;;) {
        struct signalfd_siginfo info;
        ssize_t n = read(fd, &info, sizeof info);
        if (n < 0 && errno == EINTR)
            continue;
        if (n != (ssize_t)sizeof info)
            return SIG_NOTHING;
        enum sig_verb verb = verb_of((int)info.ssi_signo);
        *ret_sender = (pid_t)info.ssi_pid;
        if (verb != SIG_STOP || !is_echo(*ret_sender))
            return verb;
    }
}

void sig_reset_in_child(void)
{
    for (size_t i = 0; i < COUNT_OF(signals); i++)
        handle(signals[i].number, SIG_DFL);
    handle(SIGPIPE, SIG_DFL);
    sigset_t none;
    sigemptyset(&none);
    pthread_sigmask(SIG_SETMASK, &none, NULL);
}
