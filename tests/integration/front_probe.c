/*
 * front_probe: a FastCGI application made of the front and of nothing behind it, for test_front.py.
 *
 *     front_probe SOCKET [THREADS [QUEUE [DRAIN_MS]]]
 *
 *     /fast /request   answered at once; /request tells what was understood
 *     /park            answered by the next /release, from a thread of neither
 *     /park?MS         answered by a timer
 *     /block           keeps its thread until SIGHUP
 *     /wait            the same, and said to be a call that may wait
 *     /big?N /stream?N /broken?N   N bytes whole, streamed, and streamed with a failure at the end
 *     /echo            the body
 *     /empty /none     204, and a problem document
 *     /status          what was begun, answered, parked, gone, and how many descriptors are open
 *
 * SIGTERM drains and exits 0, or 3 if calls were left.
 */
#include <assert.h>
#include <dirent.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "core/clock.h"
#include "core/json.h"
#include "core/limits.h"
#include "core/log.h"
#include "core/mem.h"
#include "core/net.h"
#include "core/sig.h"
#include "fcgi/front.h"

struct parked {
    struct call *call;
    int64_t until; /* CLOCK_NEVER: /release */
};

static struct {
    pthread_mutex_t lock;
    pthread_cond_t changed; /* blocked was let go, or released, or parked */
    struct parked *parked;
    size_t parked_count;
    bool release, quit;
    unsigned block_turn;
    atomic_int begun, answered, gone, blocked;
    atomic_size_t taken; /* bytes of bodies in pieces */
    struct front *front;
    const char *socket;
} probe = {.lock = PTHREAD_MUTEX_INITIALIZER};

static void answer(struct call *c)
{
    if (atomic_load(&c->gone))
        atomic_fetch_add(&probe.gone, 1);
    atomic_fetch_add(&probe.answered, 1);
    call_send(c);
}

static void answer_text(struct call *c, const char *text)
{
    c->res.status = 200;
    c->res.content_type = "text/plain";
    buf_puts(&c->res.body, text);
    answer(c);
}

static int64_t number(struct span s, int64_t otherwise)
{
    int64_t n = otherwise;
    return span_to_int(s, &n) ? n : otherwise;
}

/* ---- parking */

static void park(struct call *c)
{
    int64_t ms = number(c->req.query, -1);
    pthread_mutex_lock(&probe.lock);
    probe.parked = mem_grow(probe.parked, probe.parked_count + 1, sizeof *probe.parked);
    probe.parked[probe.parked_count++] = (struct parked){c, ms < 0 ? CLOCK_NEVER : clock_after_ms(ms)};
    pthread_cond_broadcast(&probe.changed);
    pthread_mutex_unlock(&probe.lock);
}

static bool take_due(struct call **ret)
{
    int64_t now = clock_now();
    for (size_t i = 0; i < probe.parked_count; i++) {
        struct parked p = probe.parked[i];
        if (p.until > now && !(probe.release && p.until == CLOCK_NEVER))
            continue;
        probe.parked[i] = probe.parked[--probe.parked_count];
        *ret = p.call;
        return true;
    }
    probe.release = false;
    return false;
}

static void wait_changed(void)
{
    int64_t first = CLOCK_NEVER;
    for (size_t i = 0; i < probe.parked_count; i++)
        if (probe.parked[i].until < first)
            first = probe.parked[i].until;
    if (first == CLOCK_NEVER) {
        pthread_cond_wait(&probe.changed, &probe.lock);
        return;
    }
    struct timespec t = {.tv_sec = first / NS_PER_S, .tv_nsec = first % NS_PER_S};
    pthread_cond_timedwait(&probe.changed, &probe.lock, &t);
}

static void *answer_parked(void *arg)
{
    (void)arg;
    pthread_mutex_lock(&probe.lock);
    while (!probe.quit || probe.parked_count > 0) {
        struct call *c;
        if (take_due(&c)) {
            pthread_mutex_unlock(&probe.lock);
            answer_text(c, "parked\n");
            pthread_mutex_lock(&probe.lock);
        } else {
            wait_changed();
        }
    }
    pthread_mutex_unlock(&probe.lock);
    return NULL;
}

static void release(struct call *c)
{
    pthread_mutex_lock(&probe.lock);
    probe.release = true;
    pthread_cond_broadcast(&probe.changed);
    pthread_mutex_unlock(&probe.lock);
    answer_text(c, "released\n");
}

static void block(struct call *c)
{
    pthread_mutex_lock(&probe.lock);
    atomic_fetch_add(&probe.blocked, 1);
    for (unsigned turn = probe.block_turn; turn == probe.block_turn;)
        pthread_cond_wait(&probe.changed, &probe.lock);
    atomic_fetch_sub(&probe.blocked, 1);
    pthread_mutex_unlock(&probe.lock);
    answer_text(c, "unblocked\n");
}

/* ---- bodies */

/* Byte i of every large body, so that the reader can tell a hole or a swap from the real thing. */
static char pattern(uint64_t i)
{
    return (char)('a' + (i * 7 + i / 26) % 26);
}

static void big(struct call *c)
{
    size_t n = (size_t)number(c->req.query, 0);
    char *room = n ? buf_reserve(&c->res.body, n) : NULL;
    for (size_t i = 0; room && i < n; i++)
        room[i] = pattern(i);
    if (room)
        buf_advance(&c->res.body, n);
    c->res.status = 200;
    c->res.content_type = "text/plain";
    answer(c);
}

struct source {
    uint64_t at, size;
    bool breaks;
};

static bool more(void *arg, struct buf *out, bool *ret_end, struct err *e)
{
    struct source *s = arg;
    for (size_t n = 0; n < 50000 && s->at < s->size; n++)
        buf_char(out, pattern(s->at++));
    *ret_end = s->at == s->size;
    if (*ret_end && s->breaks)
        return err_set(e, ERR_GONE, "as asked");
    return true;
}

static void stream(struct call *c, bool breaks)
{
    struct source *s = arena_alloc(&c->arena, sizeof *s);
    s->size = (uint64_t)number(c->req.query, 0);
    s->breaks = breaks;
    c->res.status = 200;
    c->res.content_type = "text/plain";
    c->res.stream = (struct stream){more, s};
    answer(c);
}

static void put(struct json_out *o, const char *key, struct span value)
{
    json_key(o, key);
    json_put_text(o, value);
}

static void tell_request(struct call *c)
{
    const struct request *r = &c->req;
    c->res.status = 200;
    struct json_out o = json_out(&c->res.body);
    json_open(&o, '{');
    json_key(&o, "method");
    json_put_int(&o, r->method);
    put(&o, "path", r->path);
    put(&o, "query", r->query);
    put(&o, "content_type", r->content_type);
    put(&o, "accept", r->accept);
    put(&o, "prefer", r->prefer);
    put(&o, "if_none_match", r->if_none_match);
    put(&o, "request_id", r->request_id);
    json_key(&o, "body");
    json_put_int(&o, (int64_t)r->body.len);
    json_close(&o, '}');
    answer(c);
}

/* ---- bodies in pieces: their length and a sum come back */

/* "/pieces?N" answers when N bytes have come, "/pieces" at the end; "/pieces-park" then waits for /release. */
static void take_pieces(struct call *c)
{
    struct err e = ERR_INIT;
    char piece[10000];
    size_t n, all = 0;
    uint32_t sum = 0;
    int64_t most = number(c->req.query, INT64_MAX);
    do {
        if (!c->req.pieces.read(c->req.pieces.arg, piece, sizeof piece, &n, &e)) {
            atomic_fetch_add(&probe.answered, 1);
            call_problem(c, &e);
            return;
        }
        for (size_t i = 0; i < n; i++)
            sum = sum * 31 + (unsigned char)piece[i];
        all += n;
        atomic_fetch_add(&probe.taken, n);
    } while (n > 0 && all < (size_t)most);
    if (span_is(c->req.path, "/pieces-park")) {
        c->req.query = SPAN("");
        park(c);
        return;
    }
    c->res.status = 200;
    buf_printf(&c->res.body, "%zu %u\n", all, sum);
    answer(c);
}

/* ---- what the test looks at */

static int open_descriptors(void)
{
    int n = 0;
    DIR *d = opendir("/proc/self/fd");
    assert(d);
    while (readdir(d))
        n++;
    closedir(d);
    return n - 3; /* . and .. and the folder's own */
}

static void tell_status(struct call *c)
{
    pthread_mutex_lock(&probe.lock);
    int parked = (int)probe.parked_count;
    int gone = 0;
    for (size_t i = 0; i < probe.parked_count; i++)
        gone += atomic_load(&probe.parked[i].call->gone);
    pthread_mutex_unlock(&probe.lock);
    c->res.status = 200;
    buf_printf(
        &c->res.body,
        "{\"begun\":%d,\"answered\":%d,\"parked\":%d,\"parked_gone\":%d,\"gone\":%d,\"blocked\":%d,\"fds\":%d,\"taken\":%zu}\n",
        atomic_load(&probe.begun), atomic_load(&probe.answered), parked, gone, atomic_load(&probe.gone),
        atomic_load(&probe.blocked), open_descriptors(), atomic_load(&probe.taken));
    answer(c);
}

static void problem(struct call *c)
{
    struct err e = ERR_INIT;
    err_at(&e, ERR_BUSY, "/items/3", "as \"asked\" by %s", "/none");
    atomic_fetch_add(&probe.answered, 1);
    call_problem(c, &e);
}

static void handle(void *arg, struct call *c)
{
    (void)arg;
    struct span path = c->req.path;
    atomic_fetch_add(&probe.begun, 1);
    if (c->req.pieces.read) {
        take_pieces(c);
    } else if (span_is(path, "/park")) {
        park(c);
    } else if (span_is(path, "/release")) {
        release(c);
    } else if (span_is(path, "/block") || span_is(path, "/wait")) {
        block(c);
    } else if (span_is(path, "/big")) {
        big(c);
    } else if (span_is(path, "/stream")) {
        stream(c, false);
    } else if (span_is(path, "/broken")) {
        stream(c, true);
    } else if (span_is(path, "/echo")) {
        c->res.status = 200;
        buf_span(&c->res.body, c->req.body);
        answer(c);
    } else if (span_is(path, "/status")) {
        tell_status(c);
    } else if (span_is(path, "/request")) {
        tell_request(c);
    } else if (span_is(path, "/none")) {
        problem(c);
    } else if (span_is(path, "/empty")) {
        c->res.status = 204;
        answer(c);
    } else {
        call_header(c, "X-Path", "%s", "a\r\nb");
        answer_text(c, "ok\n");
    }
}

static bool waits(void *arg, const struct call *c)
{
    (void)arg;
    return span_is(c->req.path, "/wait");
}

static int64_t pieces(void *arg, const struct call *c)
{
    (void)arg;
    return span_starts(c->req.path, "/pieces") ? 64 * MIB : 0;
}

static void *take_signals(void *arg)
{
    int fd = *(int *)arg;
    for (;;) {
        struct pollfd p = {.fd = fd, .events = POLLIN};
        poll(&p, 1, -1);
        switch (sig_read(fd)) {
        case SIG_STOP:
            net_unlink(probe.socket); /* nobody finds the way to a listener that is about to go */
            front_stop(probe.front);
            return NULL;
        case SIG_RELOAD:
            pthread_mutex_lock(&probe.lock);
            probe.block_turn++;
            pthread_cond_broadcast(&probe.changed);
            pthread_mutex_unlock(&probe.lock);
            break;
        case SIG_NOTHING:
        case SIG_CHILD:
        case SIG_REPLACE:
            break;
        }
    }
}

static int argument(int argc, char **argv, int i, int otherwise)
{
    return argc > i ? (int)strtol(argv[i], NULL, 10) : otherwise;
}

int main(int argc, char **argv)
{
    struct err e = ERR_INIT;
    struct front_options o = {.threads = argument(argc, argv, 2, 8),
                              .queue = argument(argc, argv, 3, 1024),
                              .drain_ms = argument(argc, argv, 4, 20000),
                              .waits = waits,
                              .pieces = pieces,
                              .uploads = 2};
    int signals;
    pthread_t signal_thread, park_thread;
    pthread_condattr_t monotonic;
    if (argc < 2)
        return 64;
    probe.socket = argv[1];
    log_setup(LOG_DEBUG, LOG_LOGFMT, "probe");
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&probe.changed, &monotonic);
    sig_block();
    if (!sig_open(&signals, &e) || !net_listen(argv[1], 4096, 0666, &o.listen_fd, &e) ||
        !front_new(&o, handle, NULL, &probe.front, &e)) {
        log_err("probe.start", &e, "socket=%s", argv[1]);
        return 71;
    }
    pthread_create(&signal_thread, NULL, take_signals, &signals);
    pthread_create(&park_thread, NULL, answer_parked, NULL);
    bool drained = front_run(probe.front);
    log_info("probe.end", "begun=%d answered=%d", atomic_load(&probe.begun), atomic_load(&probe.answered));
    pthread_join(signal_thread, NULL);
    if (!drained)
        _exit(3); /* calls are held by threads that nobody joins */
    pthread_mutex_lock(&probe.lock);
    probe.quit = true;
    pthread_cond_broadcast(&probe.changed);
    pthread_mutex_unlock(&probe.lock);
    pthread_join(park_thread, NULL);
    front_free(probe.front);
    close(o.listen_fd);
    close(signals);
    mem_free(probe.parked);
    return 0;
}
