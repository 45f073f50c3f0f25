#include "redis_server.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/clock.h"
#include "core/net.h"

#define PROGRAM "redis-server"
#define PATIENCE_MS 20000

bool redis_server_missing(void)
{
    const char *path = getenv("PATH");
    for (const char *from = path; from != NULL;) {
        const char *end = strchr(from, ':');
        char file[512];
        snprintf(file, sizeof file, "%.*s/" PROGRAM, end != NULL ? (int)(end - from) : (int)strlen(from),
                 from);
        if (access(file, X_OK) == 0)
            return false;
        from = end != NULL ? end + 1 : NULL;
    }
    return true;
}

void redis_server_init(struct redis_server *s)
{
    *s = (struct redis_server){.dir = "/tmp/lathe-redis-XXXXXX"};
    assert(mkdtemp(s->dir) != NULL);
    snprintf(s->address, sizeof s->address, "unix:%s/redis.sock", s->dir);
}

static void run(const struct redis_server *s)
{
    int quiet = open("/dev/null", O_RDWR);
    (void)dup2(quiet, 0);
    (void)dup2(quiet, 1);
    (void)dup2(quiet, 2);
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    execlp(PROGRAM, PROGRAM, "--port", "0", "--unixsocket", s->address + strlen("unix:"), "--save", "",
           "--appendonly", "no", "--dir", s->dir, s->password != NULL ? "--requirepass" : NULL, s->password,
           (char *)NULL);
    _exit(127);
}

static int connect_to(const struct redis_server *s)
{
    struct err e = ERR_INIT;
    int fd = -1;
    return net_connect(s->address, clock_after_ms(PATIENCE_MS), &fd, &e) ? fd : -1;
}

void redis_server_start(struct redis_server *s)
{
    assert(s->pid == 0);
    unlink(s->address + strlen("unix:"));
    s->pid = fork();
    assert(s->pid >= 0);
    if (s->pid == 0)
        run(s);
    int64_t deadline = clock_after_ms(PATIENCE_MS);
    int fd;
    while ((fd = connect_to(s)) < 0) {
        assert(clock_now() < deadline && waitpid(s->pid, NULL, WNOHANG) == 0);
        poll(NULL, 0, 2); /* there is nothing to wait on before the socket is there */
    }
    close(fd);
}

void redis_server_kill(struct redis_server *s)
{
    if (s->pid == 0)
        return;
    kill(s->pid, SIGKILL);
    assert(waitpid(s->pid, NULL, 0) == s->pid);
    s->pid = 0;
}

void redis_server_freeze(struct redis_server *s)
{
    assert(s->pid > 0 && kill(s->pid, SIGSTOP) == 0);
    int status;
    assert(waitpid(s->pid, &status, WUNTRACED) == s->pid && WIFSTOPPED(status));
}

void redis_server_thaw(struct redis_server *s)
{
    assert(s->pid > 0 && kill(s->pid, SIGCONT) == 0);
}

void redis_server_release(struct redis_server *s)
{
    redis_server_kill(s);
    unlink(s->address + strlen("unix:"));
    assert(rmdir(s->dir) == 0);
}

/* A line, without its end; waits for it. */
static void read_line(int fd, char *line, size_t room)
{
    size_t n = 0;
    for (;;) {
        struct pollfd p = {.fd = fd, .events = POLLIN};
        assert(n + 1 < room && poll(&p, 1, PATIENCE_MS) == 1);
        assert(read(fd, line + n, 1) == 1);
        if (line[n] == '\n')
            break;
        n++;
    }
    line[n > 0 && line[n - 1] == '\r' ? n - 1 : n] = '\0';
}

static void send_line(int fd, const char *text)
{
    char line[512];
    int n = snprintf(line, sizeof line, "%s\r\n", text);
    assert(n > 0 && (size_t)n < sizeof line && write(fd, line, (size_t)n) == n);
}

void redis_server_ask(struct redis_server *s, const char *command, char *reply, size_t room)
{
    char line[512];
    int fd = connect_to(s);
    assert(fd >= 0);
    if (s->password != NULL) {
        snprintf(line, sizeof line, "AUTH %s", s->password);
        send_line(fd, line);
        read_line(fd, line, sizeof line);
    }
    send_line(fd, command);
    read_line(fd, line, sizeof line);
    snprintf(reply, room, "%s", line + 1);
    close(fd);
}

long redis_server_number(struct redis_server *s, const char *command)
{
    char reply[512];
    redis_server_ask(s, command, reply, sizeof reply);
    return strtol(reply, NULL, 10);
}
