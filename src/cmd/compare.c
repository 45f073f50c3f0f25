#include <unistd.h>

#include "cmd/client.h"
#include "cmd/cmd.h"
#include "cmd/options.h"
#include "cmd/work.h"

struct compare {
    bool json;
};

static const struct field fields[] = {
    {.name = "json",
     .type = FIELD_BOOL,
     .offset = offsetof(struct compare, json),
     .summary = "print the task document of the HTTP API, with the table"},
};
static const struct fields options = FIELDS(fields, struct compare);

static bool table_of(struct queue *q, struct arena *a, struct uuid id, struct comparison *ret, struct err *e)
{
    struct task *children;
    size_t n;
    if (!store_children(queue_store(q), a, id, &children, &n, e))
        return false;
    *ret = comparison_of(a, children, n);
    return true;
}

static const struct task *running(const struct comparison *t)
{
    for (size_t i = 0; i < t->count; i++)
        if (!state_final(t->rows[i].task->state))
            return t->rows[i].task;
    return NULL;
}

/* One look at the children: on a terminal a line that is written over, elsewhere a line whenever one more has ended. */
static bool show_progress(struct queue *q, struct uuid id, size_t *done, struct err *e)
{
    struct arena look CLEANUP(arena_release) = ARENA_INIT;
    struct comparison table;
    if (!table_of(q, &look, id, &table, e))
        return false;
    const struct task *now = running(&table);
    if (isatty(STDERR_FILENO)) {
        struct task live;
        double part = now && queue_get(q, &look, now->id, &live, NULL) ? live.progress : 0;
        fprintf(stderr, "\r[%zu of %zu] " SPAN_FMT " %.0f %%\x1b[K", table.done, table.count,
                SPAN_ARG(now ? now->strategy : SPAN("done")), now ? 100 * part : 100);
    } else if (table.done > *done) {
        fprintf(stderr, "%zu of %zu strategies have ended\n", table.done, table.count);
    }
    *done = table.done;
    return true;
}

static bool watch(struct queue *q, struct arena *a, struct uuid id, struct task *ret, struct err *e)
{
    enum { LOOK_MS = 250 };
    size_t done = 0;
    for (;;) {
        struct arena look CLEANUP(arena_release) = ARENA_INIT;
        struct task t;
        if (!client_wait(q, &look, id, LOOK_MS, &t, e) || !show_progress(q, id, &done, e))
            return false;
        if (state_final(t.state))
            break;
    }
    if (isatty(STDERR_FILENO))
        fputs("\r\x1b[K", stderr);
    return queue_get(q, a, id, ret, e);
}

static bool end(struct cmd *c, struct queue *q, struct arena *a, struct uuid id, bool json, struct err *e)
{
    char text[UUID_TEXT];
    struct task t;
    struct comparison table;
    uuid_format(id, text);
    fprintf(stderr, "task %s: lathe status shows it later, lathe cancel stops it\n", text);
    client_warn_idle(q, a);
    if (!watch(q, a, id, &t, e) || !table_of(q, a, id, &table, e))
        return false;
    c->exit = client_exit(&t);
    if (json)
        print_task_json(&t, &table);
    else
        print_comparison(&table);
    return true;
}

static bool run(struct cmd *c, int argc, char **argv, struct err *e)
{
    struct arena a CLEANUP(arena_release) = ARENA_INIT;
    struct queue *q CLEANUP(client_close) = NULL;
    struct compare s;
    struct submission work;
    struct uuid id;
    fields_defaults(&options, &s);
    return options_take(&options, NULL, &argc, argv, &s, e) && work_read(&a, NULL, &argc, argv, &work, e) &&
           options_words(argc, argv, 0, 0, e) && queue_open(&c->conf, QUEUE_API, &q, e) &&
           client_put(q, &a, &work, &id, e) && end(c, q, &a, id, s.json, e);
}

const struct command command_compare = {
    .name = "compare",
    .summary = "runs one workload under every strategy and shows a table",
    .usage = "lathe compare [--handler=NAME] [--items-count=N] [--workers=N] [--strategies=A,B] [OPTION…]",
    .options = &options,
    .more_options = work_help,
    .help =
        "One strategy after another, on the workers that are running. Exits with 0 when all succeeded, 1 when one failed.\n"
        "\n"
        "    lathe compare --handler=simulate -n 100 -w 4\n"
        "    lathe compare --handler=cpu.sum_squares --strategies=sequential,threading,multiprocessing\n",
    .handlers = true,
    .run = run,
};
