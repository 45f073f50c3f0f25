#include "cmd/client.h"
#include "cmd/cmd.h"
#include "cmd/options.h"

struct status {
    bool wait, json;
};

static const struct field fields[] = {
    {.name = "wait",
     .type = FIELD_BOOL,
     .offset = offsetof(struct status, wait),
     .summary = "until it has ended"},
    {.name = "json",
     .type = FIELD_BOOL,
     .offset = offsetof(struct status, json),
     .summary = "print the task document of the HTTP API"},
};
static const struct fields options = FIELDS(fields, struct status);

static bool print(struct queue *q, struct arena *a, const struct task *t, bool json, struct err *e)
{
    struct task *children;
    size_t n;
    if (!span_is(t->strategy, QUEUE_COMPARE)) {
        if (json)
            print_task_json(t, NULL);
        else
            print_task(t);
        return true;
    }
    if (!store_children(queue_store(q), a, t->id, &children, &n, e))
        return false;
    struct comparison table = comparison_of(a, children, n);
    if (json) {
        print_task_json(t, &table);
    } else {
        print_task(t);
        putchar('\n');
        print_comparison(&table);
    }
    return true;
}

static bool run(struct cmd *c, int argc, char **argv, struct err *e)
{
    struct arena a CLEANUP(arena_release) = ARENA_INIT;
    struct queue *q CLEANUP(client_close) = NULL;
    struct status s;
    struct uuid id;
    struct task t;
    fields_defaults(&options, &s);
    if (!options_take(&options, "w=wait", &argc, argv, &s, e) || !options_words(argc, argv, 1, 1, e) ||
        !client_id(argv[argc - 1], &id, e) ||
        !queue_open(&c->conf, s.wait ? QUEUE_API : QUEUE_CLIENT, &q, e) || !queue_get(q, &a, id, &t, e))
        return false;
    if (s.wait && !state_final(t.state) && !client_watch(q, &a, id, 0, &t, e))
        return false;
    c->exit = s.wait ? client_exit(&t) : 0;
    return print(q, &a, &t, s.json, e);
}

const struct command command_status = {
    .name = "status",
    .summary = "how far a task is",
    .usage = "lathe status [--wait] [--json] ID",
    .options = &options,
    .shorts = "w=wait",
    .help =
        "Exits with 0 when there is such a task (66 when not); with --wait with 0 when it succeeded and 1 when it failed or\n"
        "was cancelled. A comparison is shown with its table.\n",
    .run = run,
};
