/* http_client.c: clients: curl's sockets and its timer behind one descriptor, those that are kept for the next run, and what the
 * process has of all. */
#include <curl/curl.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/timerfd.h>

#include "core/clock.h"
#include "core/file.h"
#include "core/limits.h"
#include "core/mem.h"
#include "core/net.h"
#include "exec/http_call.h"

#define IDLE_MOST 8       /* clients that are kept for the next run */
#define IDLE_CALLS 64     /* one that had more calls at once has too many connections to be kept */
#define FILES_MOST 131072 /* descriptors: a table that large costs 1 MiB */

/* ---- curl's sockets and its one timer, in the client's descriptor */

static int on_socket(CURL *easy, curl_socket_t fd, int what, void *arg, void *known)
{
    struct http *h = arg;
    struct epoll_event ev = {.data.fd = fd};
    (void)easy;
    if (what == CURL_POLL_REMOVE) {
        epoll_ctl(h->sockets, EPOLL_CTL_DEL, fd, NULL);
        return 0;
    }
    ev.events = (what & CURL_POLL_IN ? EPOLLIN : 0u) | (what & CURL_POLL_OUT ? EPOLLOUT : 0u);
    if (epoll_ctl(h->sockets, known ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, fd, &ev) < 0 &&
        (errno == EEXIST || errno == ENOENT))
        epoll_ctl(h->sockets, errno == EEXIST ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, fd, &ev);
    curl_multi_assign(h->multi, fd, h);
    return 0;
}

static void arm(struct http *h, int64_t at)
{
    struct itimerspec t = {.it_value = {.tv_sec = at / NS_PER_S, .tv_nsec = at % NS_PER_S}};
    h->armed = at;
    timerfd_settime(h->alarm, TFD_TIMER_ABSTIME, &t, NULL);
}

/* curl's next time moves with every call that ends, nearly always further away: the alarm is left then, and rings in vain once. */
static int on_timer(CURLM *multi, long ms, void *arg)
{
    struct http *h = arg;
    (void)multi;
    h->due = ms < 0 ? CLOCK_NEVER : clock_after_ms(ms);
    if (h->due < h->armed)
        arm(h, h->due);
    return 0;
}

bool http_alarm_due(struct http *h)
{
    uint64_t ticks;
    if (read(h->alarm, &ticks, sizeof ticks) < 0)
        return false; /* set anew by what came before */
    h->armed = CLOCK_NEVER;
    if (h->due <= clock_now())
        return true;
    if (h->due != CLOCK_NEVER)
        arm(h, h->due);
    return false;
}

/* ---- whom all trust */

static const char *ca_file;

/* libcurl reads it anew for its connections: looked at here so that a wrong path is told at start, not by each item. */
bool http_trust(const char *path, struct err *e)
{
    static const char mark[] = "-----BEGIN CERTIFICATE-----";
    struct buf text CLEANUP(buf_release) = BUF_INIT(LIMIT_CA_FILE);
    ca_file = path[0] ? path : NULL;
    if (!ca_file)
        return true;
    if (!file_read(path, &text, e)) {
        e->code = ERR_CONFIG;
        return err_prefix(e, "http.ca_file");
    }
    struct span all = buf_view(&text);
    if (all.len == 0 || !memmem(all.ptr, all.len, mark, sizeof mark - 1))
        return err_set(e, ERR_CONFIG, "http.ca_file: %s holds no certificate (PEM)", path);
    return true;
}

const char *http_ca_file(void)
{
    return ca_file;
}

/* ---- clients */

static struct {
    pthread_mutex_t lock;
    struct http *list;
    int count;
} idle = {.lock = PTHREAD_MUTEX_INITIALIZER};

static pthread_once_t once = PTHREAD_ONCE_INIT;
static CURLcode ready = CURLE_FAILED_INIT;
static int64_t process_most; /* calls in progress of all threads: three quarters of the descriptors */
static _Atomic int64_t process_calls;

/* A call has a socket. */
static void raise_files(void)
{
    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files) == 0 && files.rlim_cur < files.rlim_max) {
        files.rlim_cur = files.rlim_max < FILES_MOST ? files.rlim_max : FILES_MOST;
        setrlimit(RLIMIT_NOFILE, &files);
    }
    if (getrlimit(RLIMIT_NOFILE, &files) < 0)
        files.rlim_cur = 1024;
    process_most = (int64_t)(files.rlim_cur - files.rlim_cur / 4);
}

/* At the first call of a process, which is after all forks: the zygote has no libcurl in it that was used, and each child
 * comes here by itself. TLS writes with write(2), so that a closed connection would kill a process that did not ask. */
static void prepare(void)
{
    struct sigaction usual;
    if (sigaction(SIGPIPE, NULL, &usual) == 0 && usual.sa_handler == SIG_DFL) {
        struct sigaction ignore = {.sa_handler = SIG_IGN};
        sigaction(SIGPIPE, &ignore, NULL);
    }
    raise_files();
    ready = curl_global_init(CURL_GLOBAL_DEFAULT);
}

bool http_process_room(void)
{
    return atomic_load_explicit(&process_calls, memory_order_relaxed) < process_most;
}

void http_process_count(int more)
{
    atomic_fetch_add_explicit(&process_calls, more, memory_order_relaxed);
}

int64_t http_most_calls(void)
{
    pthread_once(&once, prepare);
    return process_most < LIMIT_HTTP_CALLS ? process_most : LIMIT_HTTP_CALLS;
}

static void free_client(struct http *h)
{
    if (h->multi)
        curl_multi_cleanup(h->multi);
    net_close(h->alarm);
    net_close(h->later);
    net_close(h->sockets);
    mem_free(h);
}

static bool open_client(struct http *h, struct err *e)
{
    struct epoll_event ev = {.events = EPOLLIN};
    h->sockets = epoll_create1(EPOLL_CLOEXEC);
    h->alarm = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    ev.data.fd = h->alarm;
    h->later = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    if (h->sockets < 0 || h->alarm < 0 || h->later < 0 ||
        epoll_ctl(h->sockets, EPOLL_CTL_ADD, h->alarm, &ev) < 0)
        return err_errno(e, "no descriptors for outgoing HTTP");
    ev.data.fd = h->later;
    if (epoll_ctl(h->sockets, EPOLL_CTL_ADD, h->later, &ev) < 0)
        return err_errno(e, "no descriptors for outgoing HTTP");
    h->multi = curl_multi_init();
    if (!h->multi)
        return err_set(e, ERR_SYSTEM, "libcurl could not be started");
    curl_multi_setopt(h->multi, CURLMOPT_SOCKETFUNCTION, on_socket);
    curl_multi_setopt(h->multi, CURLMOPT_SOCKETDATA, h);
    curl_multi_setopt(h->multi, CURLMOPT_TIMERFUNCTION, on_timer);
    curl_multi_setopt(h->multi, CURLMOPT_TIMERDATA, h);
    curl_multi_setopt(h->multi, CURLMOPT_MAX_CONCURRENT_STREAMS, (long)LIMIT_HTTP_STREAMS);
    return true;
}

static struct http *take_idle(void)
{
    pthread_mutex_lock(&idle.lock);
    struct http *h = idle.list;
    if (h) {
        idle.list = h->next;
        idle.count--;
    }
    pthread_mutex_unlock(&idle.lock);
    return h;
}

bool http_open(void **ret, struct err *e)
{
    pthread_once(&once, prepare);
    if (ready != CURLE_OK)
        return err_set(e, ERR_SYSTEM, "libcurl could not be started: %s", curl_easy_strerror(ready));
    struct http *h = take_idle();
    if (!h) {
        h = mem_alloc(sizeof *h);
        h->alarm = h->sockets = h->later = -1;
        h->due = h->armed = CLOCK_NEVER;
        if (!open_client(h, e)) {
            free_client(h);
            return false;
        }
    }
    *ret = h;
    return true;
}

void http_put_away(struct http *h)
{
    bool keep = h->most_calls <= IDLE_CALLS;
    h->most_calls = 0;
    if (keep) {
        pthread_mutex_lock(&idle.lock);
        keep = idle.count < IDLE_MOST;
        if (keep) {
            h->next = idle.list;
            idle.list = h;
            idle.count++;
        }
        pthread_mutex_unlock(&idle.lock);
    }
    if (!keep)
        free_client(h);
}

void http_release(void)
{
    struct http *h;
    while ((h = take_idle()))
        free_client(h);
}

int http_descriptor(const void *client)
{
    return ((const struct http *)client)->sockets;
}
