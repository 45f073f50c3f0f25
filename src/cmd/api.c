#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>

#include "api/api.h"
#include "cmd/cmd.h"
#include "core/log.h"
#include "core/mem.h"
#include "core/metrics.h"
#include "core/net.h"
#include "core/reload.h"
#include "core/sig.h"
#include "fcgi/front.h"

enum { BACKLOG = 4096, REST_MS = 10000 };

/* What the thread that reads signals has to know. */
struct service {
    struct cmd *cmd;
    struct queue *queue;
    struct api *api;
    struct front *front;
    int signals, over; /* over: a bell: no more signals are wanted */
};

/* The first signal to stop lets what was begun be answered, the second does not wait for it. */
static void stop(struct service *s, int *stops)
{
    net_notify("STOPPING=1");
    log_info("api.stop", "now=%s", *stops ? "yes" : "no");
    if (*stops == 0 && net_inherited() == 0)
        net_unlink(s->cmd->conf.api_listen); /* so that nobody comes to a listener that is about to go */
    front_stop(s->front);
    if ((*stops)++ == 0)
        api_drain(s->api);
}

static void *read_signals(void *arg)
{
    struct service *s = arg;
    int stops = 0;
    struct pollfd fds[] = {{.fd = s->signals, .events = POLLIN}, {.fd = s->over, .events = POLLIN}};
    for (;;) {
        int n = poll(fds, 2, REST_MS);
        if (n < 0 && errno != EINTR)
            return NULL;
        if (n == 0)
            mem_rest();
        for (enum sig_verb v; (v = sig_read(s->signals)) != SIG_NOTHING;) {
            if (v == SIG_STOP)
                stop(s, &stops);
            else if (v == SIG_RELOAD)
                reload(&s->cmd->conf);
        }
        if (fds[1].revents)
            return NULL;
    }
}

static void open_metrics(const struct conf *c)
{
    struct err e = ERR_INIT;
    char path[sizeof "/metrics.shm" + 96];
    snprintf(path, sizeof path, "%s/metrics.shm", c->serve_run_dir);
    if (!metrics_open(path, &e))
        log_warn_err("metrics.open", &e, "meaning=this process is seen in its own /metrics only");
}

/* From systemd, or our own. Whether one that is handed over waits in accept(2) is its maker's choice; the front's must not. */
static bool listen_here(const struct conf *c, int *ret, struct err *e)
{
    if (net_inherited() == 0)
        return net_listen(c->api_listen, BACKLOG, (unsigned)c->api_socket_mode, ret, e);
    *ret = fcntl(3, F_DUPFD_CLOEXEC, 4);
    int flags = *ret < 0 ? -1 : fcntl(*ret, F_GETFL);
    return (flags >= 0 && fcntl(*ret, F_SETFL, flags | O_NONBLOCK) == 0) ||
           err_errno(e, "the listener that was handed over cannot be used");
}

/* From a front that is ready to the last answer. */
static bool serve(struct service *s, struct err *e)
{
    pthread_t thread;
    struct err unready = ERR_INIT;
    errno = pthread_create(&thread, NULL, read_signals, s);
    if (errno)
        return err_errno(e, "cannot start the thread for signals");
    net_notify("READY=1");
    if (!store_ready(queue_store(s->queue), &unready))
        log_warn_err("api.unready", &unready,
                     "meaning=requests for tasks are answered 503 until it is there");
    /* Not all answered: threads may still be in the middle of a call, and nothing under them can be closed. What was
     * acknowledged is in PostgreSQL. */
    s->cmd->leave = !front_run(s->front);
    if (s->cmd->leave)
        log_warn("api.left", "meaning=calls that were begun were not answered in time");
    net_ring(s->over);
    pthread_join(thread, NULL);
    return true;
}

/* The queue is closed before the front is freed: it may still have callers to answer. */
static bool run_api(struct service *s, int listener, struct err *e)
{
    const struct conf *c = &s->cmd->conf;
    struct front_options o = {.listen_fd = listener,
                              .threads = (int)c->api_threads,
                              .queue = (int)c->api_queue,
                              .waits = api_waits,
                              .pieces = api_pieces,
                              .uploads = (int)c->api_uploads,
                              .drain_ms = c->api_drain};
    if (!queue_open(c, QUEUE_API, &s->queue, e))
        return false;
    bool ok =
        api_new(c, s->queue, &s->api, e) && front_new(&o, api_handle, s->api, &s->front, e) && serve(s, e);
    if (s->cmd->leave)
        return ok;
    if (s->api) {
        api_drain(s->api);
        api_stop(s->api);
    }
    queue_close(s->queue);
    api_free(s->api);
    if (s->front)
        front_free(s->front);
    return ok;
}

static bool run(struct cmd *c, int argc, char **argv, struct err *e)
{
    int listener CLEANUP(net_close_at) = -1, signals CLEANUP(net_close_at) = -1,
                 over CLEANUP(net_close_at) = -1;
    if (!cmd_no_arguments(argc, argv, e) || !sig_open(&signals, e) || !net_bell(&over, e) ||
        !listen_here(&c->conf, &listener, e))
        return false;
    mem_keep();
    open_metrics(&c->conf);
    struct service s = {.cmd = c, .signals = signals, .over = over};
    return run_api(&s, listener, e);
}

const struct command command_api = {
    .name = "api",
    .summary = "answers HTTP requests that nginx hands over by FastCGI",
    .usage = "lathe api [--api.listen=unix:/run/lathe/api.sock]",
    .help =
        "SIGTERM lets what was begun be answered (callers that wait for a task get 202 and its Location); a second one\n"
        "does not wait for that. SIGHUP reads the settings again. Takes over a listener from systemd if there is one.\n",
    .handlers = true,
    .service = true,
    .run = run,
};
