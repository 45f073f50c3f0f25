/*
 * stream.c: a steady stream of one request, and how long each took from when it was due. In C, because a client in an interpreter was a
 * third of what it measured.
 *
 *     bench/stream PORT PATH BODY RATE SECONDS [CALLERS]
 *
 * POSTs the JSON BODY to 127.0.0.1, RATE times a second, by CALLERS (8) threads in turn, each with a connection that it keeps and one
 * request at a time: one that is late because the one before it was slow counts from when it was due. RATE 0: each caller's next is due
 * when the one before has ended. 4,000,000 at most. Prints the milliseconds of each request, a line each; ends with 1 where an answer is not 200, 201 or 202.
 */
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "core/buf.h"
#include "core/clock.h"
#include "core/limits.h"
#include "core/mem.h"

#define CALLERS_MOST 1024
#define ANSWER_MOST MIB
#define COUNT_MOST 4000000

static int port, callers = 8;
static int64_t start, step, end; /* ns: the first is due, and one after the other; step 0: until then */
static size_t count;
static double *took; /* ms, of each request */
static struct span request;

LATHE_NORETURN static void die(const char *what)
{
    perror(what);
    exit(1);
}

static int dial(void)
{
    struct sockaddr_in in = {
        .sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int yes = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || connect(fd, (struct sockaddr *)&in, sizeof in) < 0 ||
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes) < 0)
        die("connect");
    return fd;
}

/* Bytes of the answer that begins in text; 0: its head is not all there. */
static size_t length_of(char *text, size_t len)
{
    text[len] = '\0';
    const char *body = strstr(text, "\r\n\r\n"), *length = strcasestr(text, "\r\nContent-Length:");
    if (!body)
        return 0;
    if (!length || length > body || strncmp(text, "HTTP/1.1 20", 11) != 0) {
        fprintf(stderr, "stream: %.200s\n", text);
        exit(1);
    }
    return (size_t)(body - text) + 4 + strtoul(length + 17, NULL, 10);
}

static void ask(int fd, char *text)
{
    size_t len = 0, whole = 0;
    if (send(fd, request.ptr, request.len, MSG_NOSIGNAL) != (ssize_t)request.len)
        die("send");
    while (whole == 0 || len < whole) {
        ssize_t n = len < ANSWER_MOST ? recv(fd, text + len, ANSWER_MOST - len, 0) : 0;
        if (n <= 0)
            die("recv");
        len += (size_t)n;
        whole = whole > 0 ? whole : length_of(text, len);
    }
}

static void *call(void *arg)
{
    char *text CLEANUP(mem_free_at) = mem_alloc(ANSWER_MOST + 1);
    int fd = dial();
    for (size_t i = (size_t)(intptr_t)arg; i < count; i += (size_t)callers) {
        int64_t due = step > 0 || clock_now() < start ? start + (int64_t)i * step : clock_now();
        if (due >= end)
            break;
        struct timespec t = {.tv_sec = due / NS_PER_S, .tv_nsec = due % NS_PER_S};
        while (clock_now() < due && clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL) != 0)
            continue;
        ask(fd, text);
        took[i] = (double)(clock_now() - due) / 1e6;
    }
    close(fd);
    return NULL;
}

int main(int argc, char **argv)
{
    struct buf text CLEANUP(buf_release) = BUF_INIT(MIB);
    if (argc < 6 || argc > 7) {
        fprintf(stderr, "usage: stream PORT PATH BODY RATE SECONDS [CALLERS]\n");
        return 2;
    }
    port = (int)strtol(argv[1], NULL, 10);
    double rate = strtod(argv[4], NULL), seconds = strtod(argv[5], NULL);
    callers = argc > 6 ? (int)strtol(argv[6], NULL, 10) : callers;
    if (port < 1 || port > 65535 || !(rate == 0 || (rate >= 1 && rate <= 1e6)) ||
        !(seconds > 0 && seconds <= 3600) || callers < 1 || callers > CALLERS_MOST) {
        fprintf(stderr,
                "stream: PORT, RATE (0, or 1 to 1000000), SECONDS (to 3600) or CALLERS (1 to %d) is none\n",
                CALLERS_MOST);
        return 2;
    }
    buf_printf(
        &text,
        "POST %s HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n\r\n%s",
        argv[2], strlen(argv[3]), argv[3]);
    request = buf_view(&text);
    count = rate > 0 && rate * seconds < COUNT_MOST ? (size_t)(rate * seconds) : COUNT_MOST;
    step = rate > 0 ? (int64_t)(1e9 / rate) : 0;
    took = mem_array(count + 1, sizeof *took);
    start = clock_after_ms(200);
    end = rate > 0 ? CLOCK_NEVER : start + (int64_t)(seconds * 1e9);
    pthread_t threads[CALLERS_MOST];
    for (int i = 0; i < callers; i++)
        if (pthread_create(&threads[i], NULL, call, (void *)(intptr_t)i) != 0)
            die("a thread");
    for (int i = 0; i < callers; i++)
        pthread_join(threads[i], NULL);
    for (size_t i = 0; i < count; i++)
        if (took[i] > 0)
            printf("%.3f\n", took[i]);
    mem_free(took);
    return 0;
}
