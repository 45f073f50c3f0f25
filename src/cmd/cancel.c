#include "cmd/client.h"
#include "cmd/cmd.h"
#include "cmd/options.h"

struct cancelling {
    bool json;
};

static const struct field fields[] = {
    {.name = "json",
     .type = FIELD_BOOL,
     .offset = offsetof(struct cancelling, json),
     .summary = "print the task document of the HTTP API"},
};
static const struct fields options = FIELDS(fields, struct cancelling);

static void explain(const struct task *t)
{
    if (t->state == TASK_cancelled)
        puts("cancelled: nothing of it runs any more");
    else if (state_final(t->state))
        printf("it had ended before, as %s: there was nothing to cancel\n", state_name(t->state));
    else
        puts(
            "being cancelled: what runs of it stops at the next step; lathe status --wait tells when it is over");
}

static bool run(struct cmd *c, int argc, char **argv, struct err *e)
{
    struct arena a CLEANUP(arena_release) = ARENA_INIT;
    struct queue *q CLEANUP(client_close) = NULL;
    struct cancelling s;
    struct uuid id;
    struct task t;
    fields_defaults(&options, &s);
    if (!options_take(&options, NULL, &argc, argv, &s, e) || !options_words(argc, argv, 1, 1, e) ||
        !client_id(argv[argc - 1], &id, e) || !queue_open(&c->conf, QUEUE_CLIENT, &q, e) ||
        !queue_cancel(q, &a, id, &t, e))
        return false;
    if (s.json)
        print_task_json(&t, NULL);
    else
        explain(&t);
    return true;
}

const struct command command_cancel = {
    .name = "cancel",
    .summary = "stops a task, queued or running",
    .usage = "lathe cancel [--json] ID",
    .options = &options,
    .help =
        "Safe to do again; a task that has ended stays as it is. Exits with 0 when there is such a task, 66 when not.\n",
    .run = run,
};
