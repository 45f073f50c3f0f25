/*
 * responder: the trivial FastCGI program that benchmarks compare with: plain libfcgi, a thread per connection in hand, no
 * work at all. `responder SOCKET [THREADS]` answers every request "ok" until it is killed. Threads accept by themselves:
 * Linux wakes one, and the mutex that libfcgi's example holds round FCGX_Accept_r would let one kept connection stop all.
 * As an idle kept connection holds a thread, there must be more threads than nginx keeps connections.
 */
#include <fcgiapp.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

static int listener;

static void *serve(void *arg)
{
    (void)arg;
    FCGX_Request r;
    FCGX_InitRequest(&r, listener, 0);
    char sink[8192];
    while (FCGX_Accept_r(&r) == 0) {
        while (FCGX_GetStr(sink, sizeof sink, r.in) > 0)
            continue; /* unread input would be taken for the next request of a kept connection */
        FCGX_PutS("Status: 200\r\nContent-Type: text/plain\r\nContent-Length: 3\r\n\r\nok\n", r.out);
    }
    return NULL;
}

static int listen_unix(const char *path)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || strlen(path) >= sizeof a.sun_path)
        return -1;
    memcpy(a.sun_path, path, strlen(path));
    unlink(path);
    umask(0); /* nginx may be another user */
    if (bind(fd, (struct sockaddr *)&a, sizeof a) < 0 || listen(fd, 4096) < 0)
        return -1;
    return fd;
}

int main(int argc, char **argv)
{
    long threads = argc > 2 ? strtol(argv[2], NULL, 10) : 512;
    if (argc < 2 || argc > 3 || threads < 1 || threads > 4096) {
        fprintf(stderr, "usage: responder SOCKET [THREADS]\n");
        return 64;
    }
    listener = listen_unix(argv[1]);
    if (listener < 0 || FCGX_Init() != 0) {
        perror("responder");
        return 71;
    }
    for (long i = 1; i < threads; i++) {
        pthread_t t;
        if (pthread_create(&t, NULL, serve, NULL) != 0)
            return 71;
    }
    serve(NULL);
    return 70;
}
