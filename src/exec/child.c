#include "exec/child.h"

#include <fcntl.h>
#include <malloc.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/limits.h"
#include "core/mem.h"
#include "core/metrics.h"
#include "core/net.h"
#include "exec/crew.h"
#include "exec/frame.h"
#include "exec/fds.h"
#include "exec/ports.h"
#include "exec/rss.h"

#define FLUSH_BYTES (32u * KIB)
#define FLUSH_NS \
    INT64_C(100000)       /* results are sent at the first end of a step when they are older than this */
#define PATIENCE NS_PER_S /* the socket wakes everybody; this is for a wake-up that was lost */
#define SETTLE_MOST (5 * NS_PER_S)
#define SETTLE_GRACE \
    (200 * NS_PER_MS) /* after a stop: less than herd.c grants then, from the same moment on */

/* What was found out and is still to be sent. The crew's lock is around it. */
struct outbox {
    int sock;
    bool urgent;
    struct buf frames;
    int64_t since; /* the oldest of them */
};

static LATHE_NORETURN void leave(void)
{
    _exit(CHILD_STRANDED);
}

static LATHE_NORETURN void leave_for_memory(void)
{
    _exit(CHILD_NO_MEMORY);
}

static void flush(void *arg)
{
    struct outbox *o = arg;
    struct span rest = buf_view(&o->frames);
    while (rest.len) {
        ssize_t n = send(o->sock, rest.ptr, rest.len, MSG_NOSIGNAL);
        if (n < 0)
            leave(); /* nobody is there to hear of anything */
        span_take(&rest, (size_t)n);
    }
    if (o->frames.cap > 4 * FLUSH_BYTES)
        buf_release(&o->frames);
    buf_clear(&o->frames);
}

static void finished(void *arg, int64_t position, const struct outcome *o)
{
    struct outbox *out = arg;
    /* what the stop did to an item the worker says itself, of all that it has not heard of */
    if (o->kind == OUTCOME_CANCELLED || (o->kind == OUTCOME_FAILED && o->err->code == ERR_TASK_TIMEOUT))
        return;
    int64_t now = clock_now();
    if (out->frames.len == 0)
        out->since = now;
    if (o->snooze_ms > 0)
        frame_put_snooze(&out->frames, position, o->snooze_ms);
    frame_put_result(&out->frames, position, o);
    if (out->frames.len >= FLUSH_BYTES || now - out->since >= FLUSH_NS || o->snooze_ms > 0 ||
        (out->urgent && o->kind == OUTCOME_FAILED))
        flush(out);
}

static void log_line(void *arg, int64_t position, struct span text)
{
    struct outbox *out = arg;
    if (out->frames.len == 0)
        out->since = clock_now();
    frame_put_log(&out->frames, position, text);
    if (out->frames.len >= FLUSH_BYTES)
        flush(out);
}

/* ---- an order */

/* The limit is on top of what the process has already: its image is not the handler's doing. The hard limit stays as it
 * is, since only root could lift it again; a stricter soft one does too. Code that was to be bounded is not run unbounded. */
static void limit_memory(int64_t bytes, struct rlimit *ret_before)
{
    if (getrlimit(RLIMIT_AS, ret_before) < 0)
        _exit(CHILD_NO_LIMIT);
    struct rlimit limit = *ret_before;
    rlim_t wanted = (rlim_t)(rss_space_bytes() + bytes);
    if (wanted < limit.rlim_cur)
        limit.rlim_cur = wanted;
    if (setrlimit(RLIMIT_AS, &limit) < 0)
        _exit(CHILD_NO_LIMIT);
}

static int64_t settle_until(const struct order *order, const struct shared *s)
{
    int64_t stop = atomic_load(&s->data->stopped_at), most = clock_now() + SETTLE_MOST;
    if (stop == 0 || stop > order->deadline)
        stop = order->deadline;
    return stop < most - SETTLE_GRACE ? stop + SETTLE_GRACE : most;
}

/* What items have told servers is carried out before the end is told, and after the last result: a child that has ended its
 * order may be killed at any moment, and nobody looks after its connections until it is given another. */
static void run(int sock, const struct order *order, const struct shared *s, struct frame_end *ret)
{
    struct work w = {.task = order->task,
                     .handler = order->handler,
                     .first = order->first,
                     .count = order->count,
                     .width = order->width,
                     .grain = order->grain,
                     .item_timeout = order->item_timeout,
                     .deadline = order->deadline,
                     .item_retries = order->item_retries,
                     .backoff = order->backoff,
                     .tries_before = order->tries,
                     .memo = order->memo,
                     .bell = sock,
                     .patience = PATIENCE};
    shared_work(s, order->list, &w);
    struct outbox out = {
        .sock = sock, .urgent = order->urgent, .frames = BUF_INIT(LIMIT_FRAME + 2 * FLUSH_BYTES)};
    struct sink sink = {
        .finished = finished, .pause = flush, .log = order->log ? log_line : NULL, .arg = &out};
    struct tally t;
    crew_run(&w, order->threads, &sink, s->board->lanes + order->lane, &t);
    flush(&out);
    buf_release(&out.frames);
    ports_settle(settle_until(order, s));
    ret->first_step = t.first_step;
}

static void obey(int sock, int marker, const struct order *order, const int fds[2])
{
    struct shared s;
    if (!shared_map(&s, fds[0], order->data_size, fds[1], order->board_size))
        leave();
    close(fds[0]);
    close(fds[1]);
    rss_mark(marker);
    struct rlimit before;
    if (order->memory)
        limit_memory(order->memory, &before);
    struct frame_end end;
    run(sock, order, &s, &end);
    end.peak_kib = rss_peak_kib() - rss_shared_kib();
    if (order->memory && setrlimit(RLIMIT_AS, &before) < 0)
        leave();
    shared_release(&s);
    end.peak_kib = end.peak_kib > 0 ? end.peak_kib : 0;
    end.cpu = clock_process_cpu();
    struct buf counted CLEANUP(buf_release) = BUF_INIT(LIMIT_FRAME);
    metrics_take(&counted);
    end.counted = buf_view(&counted);
    struct outbox out = {.sock = sock, .frames = BUF_INIT(LIMIT_FRAME)};
    frame_put_end(&out.frames, &end);
    flush(&out);
    buf_release(&out.frames);
}

/* False when there will be none: nobody wants this child any more. */
static bool next_order(int sock, struct order *ret, int fds[2])
{
    struct pollfd ready = {.fd = sock, .events = POLLIN};
    if (poll(&ready, 1, CHILD_IDLE_MS) != 1)
        return false;
    int count;
    ssize_t n = fds_receive(sock, ret, sizeof *ret, fds, 2, &count);
    if (n == 0)
        return false;
    /* orders are small and sent whole */
    if (n != sizeof *ret || count != (ret->kind == ORDER_RUN ? 2 : 0))
        leave();
    return true;
}

/* ---- the beginning */

/* Everything that was the zygote's goes; close-on-exec is of no help where nothing is exec'ed. */
static int keep_only(int sock)
{
    int kept = 3;
    if (sock != kept && dup2(sock, kept) < 0)
        leave();
    closefrom(kept + 1);
    return kept;
}

static int settle(int parent)
{
    struct rlimit none = {0, 0};
    sigset_t unblocked;
    sigemptyset(&unblocked);
    sigprocmask(SIG_SETMASK, &unblocked, NULL);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) /* it died before the line above */
        leave();
    prctl(PR_SET_NAME, "lathe-child");
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    setrlimit(RLIMIT_CORE, &none);
    int marker = rss_open(); /* closed to a process that is not dumpable */
    prctl(PR_SET_DUMPABLE, 0);
    mem_on_exhausted(leave_for_memory);
    mallopt(M_ARENA_MAX, 2); /* each arena takes 64 MiB of address space, which is limited here */
    return marker;
}

/* What the process counted that this one is a copy of is not its own to tell. */
static void forget_counts(void)
{
    struct buf counted CLEANUP(buf_release) = BUF_INIT(LIMIT_FRAME);
    metrics_take(&counted);
}

void child_main(int sock, int parent)
{
    sock = keep_only(sock);
    forget_counts();
    int marker = settle(parent), fds[2];
    struct order order;
    while (next_order(sock, &order, fds))
        if (order.kind == ORDER_RUN)
            obey(sock, marker, &order, fds);
    _exit(0);
}
