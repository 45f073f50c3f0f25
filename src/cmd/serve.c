#include <errno.h>
#include <inttypes.h>
#include <sys/stat.h>

#include "cmd/cmd.h"
#include "cmd/supervise.h"
#include "core/arena.h"
#include "core/log.h"
#include "core/net.h"
#include "core/reload.h"
#include "core/sig.h"

#define STOP_MARGIN_MS 5000

/* The longest drain, and what a process may need after it: it still waits for one answer of PostgreSQL. */
static int64_t stop_ms(const struct conf *c)
{
    int64_t api = conf_now(&c->api_drain), worker = conf_now(&c->worker_drain);
    return (api > worker ? api : worker) + conf_now(&c->store_timeout) + STOP_MARGIN_MS;
}

static void on_reload(struct supervision *v)
{
    struct conf *c = v->arg;
    reload(c);
    v->stop_ms = stop_ms(c);
    log_info("serve.reload", "stop_ms=%" PRId64, v->stop_ms);
}

static bool run_dir(const struct conf *c, struct err *e)
{
    if (mkdir(c->serve_run_dir, 0750) != 0 && errno != EEXIST)
        return err_errno(e, "cannot make %s: set serve.run_dir to a directory that this user may write",
                         c->serve_run_dir);
    return true;
}

/* The same settings for the processes that we start: the file that we read, and the options that we were given. */
static char **child_argv(struct arena *a, const char *role, const struct conf *c)
{
    char **argv = arena_array(a, c->option_count + 4, sizeof *argv);
    size_t n = 0;
    argv[n++] = arena_printf(a, "lathe");
    argv[n++] = arena_printf(a, "%s", role);
    if (c->path[0] != '\0')
        argv[n++] = arena_printf(a, "--conf=%s", c->path);
    for (size_t i = 0; i < c->option_count; i++)
        argv[n++] = arena_printf(a, "--%s", c->options[i]);
    return argv;
}

static bool run(struct cmd *c, int argc, char **argv, struct err *e)
{
    struct arena a CLEANUP(arena_release) = ARENA_INIT;
    int signals CLEANUP(net_close_at) = -1;
    if (!cmd_no_arguments(argc, argv, e) || !run_dir(&c->conf, e) || !sig_open(&signals, e))
        return false;

    int workers = (int)c->conf.serve_workers;
    struct supervised *list = arena_array(&a, (size_t)workers + 1, sizeof *list);
    list[0] = (struct supervised){.role = "api", .argv = child_argv(&a, "api", &c->conf)};
    for (int i = 1; i <= workers; i++)
        list[i] = (struct supervised){.role = "worker", .argv = child_argv(&a, "worker", &c->conf)};
    struct supervision v = {.list = list,
                            .count = workers + 1,
                            .signals = signals,
                            .stop_ms = stop_ms(&c->conf),
                            .reload = on_reload,
                            .arg = &c->conf};
    return supervise(&v, e);
}

const struct command command_serve = {
    .name = "serve",
    .summary = "the whole service: an api and its workers, kept running",
    .usage = "lathe serve [--serve.workers=N]",
    .help =
        "Starts `lathe api` and N `lathe worker`, starts again what ends, and hands SIGHUP on. SIGTERM, or Ctrl-C, stops\n"
        "all of them at the same time: the api answers what it has begun, the workers finish or give back what they have.\n"
        "What has not ended after the longest drain, store.timeout and 5 s is killed. A second SIGTERM does not wait. If\n"
        "serve itself is killed, the others stop.\n",
    .handlers = true,
    .service = true,
    .run = run,
};
