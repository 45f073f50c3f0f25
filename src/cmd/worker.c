#include "worker/worker.h"

#include <stdio.h>

#include "cmd/cmd.h"
#include "core/clock.h"
#include "core/log.h"
#include "core/mem.h"
#include "core/metrics.h"
#include "core/net.h"
#include "core/sig.h"
#include "exec/exec.h"

#define LEAVE_MS 1000 /* for rows that units have gathered, when a thread is left behind */

static void open_metrics(const struct conf *c)
{
    struct err e = ERR_INIT;
    char path[sizeof "/metrics.shm" + 96];
    snprintf(path, sizeof path, "%s/metrics.shm", c->serve_run_dir);
    if (!metrics_open(path, &e))
        log_warn_err("metrics.open", &e, "meaning=this process is not seen in /metrics");
}

static bool work(struct cmd *c, struct err *e)
{
    struct queue *q = NULL;
    int signals CLEANUP(net_close_at) = -1;
    if (!sig_open(&signals, e) || !queue_open(&c->conf, QUEUE_WORKER, &q, e))
        return false;
    /* Behind it: PostgreSQL makes a session meanwhile. What was counted before is not seen. */
    open_metrics(&c->conf);
    net_notify("READY=1");
    enum worker_end end = worker_run(&c->conf, q, signals, e);
    net_notify("STOPPING=1");
    c->exit = end == WORKER_RECYCLE ? WORKER_EXIT_RECYCLE : 0;
    c->leave = end == WORKER_RECYCLE || end == WORKER_LEFT;
    if (c->leave)
        exec_settle(clock_after_ms(LEAVE_MS));
    else
        queue_close(q);
    return end != WORKER_FAILED;
}

static bool run(struct cmd *c, int argc, char **argv, struct err *e)
{
    /* The zygote is forked first: before it there is no thread, no connection, no library state to inherit. */
    if (!cmd_no_arguments(argc, argv, e) || !exec_start(e))
        return false;
    mem_keep(); /* of this process: children, which should stay small, are forked from the one before it */
    bool ok = work(c, e);
    if (!c->leave)
        exec_stop(); /* a thread that is left behind may be in the engine: then the zygote goes when this process does */
    return ok;
}

const struct command command_worker = {
    .name = "worker",
    .summary = "claims units of work and runs them",
    .usage = "lathe worker [--worker.slots=N] [--worker.queues=A,B]",
    .help =
        "Any number of workers, on any hosts, may share one database. SIGTERM drains: what runs may finish until\n"
        "worker.drain is over, what is left is given back, and the exit code is 0. SIGHUP reads the settings again.\n"
        "Exit code 75 asks to be started anew (the worker has grown too large, or a handler does not return).\n",
    .handlers = true,
    .service = true,
    .run = run,
};
