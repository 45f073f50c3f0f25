/*
 * slow.c: a web server that answers every request after the same while, however many there are: what lies between the delay and
 * what a client of thousands of URLs takes is the client's.
 *
 *     bench/slow MILLISECONDS [BYTES]      prints its port on 127.0.0.1; answers until it is killed
 *
 * One thread. As all requests wait equally long, those that are due next stand first in one queue. Requests have no body and come
 * whole, in one packet.
 */
#include <arpa/inet.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/clock.h"
#include "core/mem.h"

#define WAITING 65536 /* requests, a power of two */

static struct {
    int64_t due;
    int fd;
} queue[WAITING];
static size_t head, tail;
static int64_t delay;
static char *answer;
static size_t answer_len;

LATHE_NORETURN static void die(const char *what)
{
    perror(what);
    exit(1);
}

static void make_answer(size_t bytes)
{
    char line[128];
    int n = snprintf(line, sizeof line,
                     "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %zu\r\n\r\n", bytes);
    answer_len = (size_t)n + bytes;
    answer = mem_alloc(answer_len);
    memset(answer, 'x', answer_len);
    memcpy(answer, line, (size_t)n);
}

static int open_listener(void)
{
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof in;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0 || bind(fd, (struct sockaddr *)&in, sizeof in) < 0 || listen(fd, 16384) < 0 ||
        getsockname(fd, (struct sockaddr *)&in, &len) < 0)
        die("listen");
    printf("%d\n", ntohs(in.sin_port));
    fflush(stdout);
    return fd;
}

static void take_connections(int epoll, int listener)
{
    for (int fd; (fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK)) >= 0;) {
        struct epoll_event ev = {.events = EPOLLIN, .data.fd = fd};
        if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &ev) < 0)
            die("epoll_ctl");
    }
}

static void take_request(int fd)
{
    char request[8192];
    ssize_t n = recv(fd, request, sizeof request, 0);
    if (n <= 0) {
        close(fd);
    } else if (tail - head < WAITING) {
        queue[tail % WAITING].due = clock_now() + delay;
        queue[tail++ % WAITING].fd = fd;
    }
}

/* One whose client has gone answers into nothing; a new client that got its number may be answered early: none of ours goes early. */
static void answer_due(void)
{
    for (int64_t now = clock_now(); head < tail && queue[head % WAITING].due <= now; head++)
        if (send(queue[head % WAITING].fd, answer, answer_len, MSG_NOSIGNAL) < 0)
            continue;
}

int main(int argc, char **argv)
{
    struct epoll_event events[256], ev = {.events = EPOLLIN};
    struct rlimit files;
    if (argc < 2)
        return 2;
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max;
        setrlimit(RLIMIT_NOFILE, &files);
    }
    delay = strtol(argv[1], NULL, 10) * NS_PER_MS;
    make_answer(argc > 2 ? strtoul(argv[2], NULL, 10) : 64);
    int listener = open_listener(), epoll = epoll_create1(EPOLL_CLOEXEC);
    ev.data.fd = listener;
    if (epoll < 0 || epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &ev) < 0)
        die("epoll");
    for (;;) {
        int n = epoll_wait(epoll, events, 256, head < tail ? clock_poll_ms(queue[head % WAITING].due) : -1);
        for (int i = 0; i < n; i++)
            if (events[i].data.fd == listener)
                take_connections(epoll, listener);
            else
                take_request(events[i].data.fd);
        answer_due();
    }
}
