#include "cmd/client.h"
#include "cmd/cmd.h"
#include "cmd/options.h"
#include "cmd/work.h"

struct submit {
    char strategy[LIMIT_NAME + 1], ndjson[1024];
    bool wait, json;
    int64_t wait_s;
};

static const struct field fields[] = {
    {.name = "strategy",
     .type = FIELD_TEXT,
     .offset = offsetof(struct submit, strategy),
     .max = LIMIT_NAME,
     .def_text = "background",
     .summary = "how it runs; lathe strategies lists them"},
    {.name = "ndjson",
     .type = FIELD_TEXT,
     .offset = offsetof(struct submit, ndjson),
     .max = sizeof((struct submit *)NULL)->ndjson - 1,
     .def_text = "",
     .summary = "a file (-: standard input) of items, a JSON value a line, of any length"},
    {.name = "wait",
     .type = FIELD_BOOL,
     .offset = offsetof(struct submit, wait),
     .summary = "wait until it has ended, and say how"},
    {.name = "wait_s",
     .type = FIELD_INT,
     .offset = offsetof(struct submit, wait_s),
     .max = 604800,
     .summary = "with --wait: give up after N seconds; the task goes on (0: never)"},
    {.name = "json",
     .type = FIELD_BOOL,
     .offset = offsetof(struct submit, json),
     .summary = "print the task document of the HTTP API"},
};
static const struct fields options = FIELDS(fields, struct submit);

static bool end(struct cmd *c, struct queue *q, struct arena *a, struct uuid id, const struct submit *s,
                struct err *e)
{
    char text[UUID_TEXT];
    struct task t;
    uuid_format(id, text);
    if (s->wait) {
        fprintf(stderr, "task %s: lathe cancel stops it, Ctrl-C only this waiting\n", text);
        if (!client_watch(q, a, id, s->wait_s, &t, e))
            return false;
        c->exit = client_exit(&t);
    } else if (!s->json) {
        puts(text); /* all that a script needs */
        return true;
    } else if (!queue_get(q, a, id, &t, e)) {
        return false;
    }
    if (s->json)
        print_task_json(&t, NULL);
    else
        print_task(&t);
    return true;
}

static bool put(struct queue *q, struct arena *a, struct submission *work, const struct submit *s,
                struct uuid *ret, struct err *e)
{
    if (!s->ndjson[0])
        return client_put(q, a, work, ret, e);
    if (work->items_json)
        return err_at(e, ERR_BAD_FIELD, "items", "give --items or --ndjson, not both");
    return client_put_lines(q, a, work, s->ndjson, ret, e);
}

static bool run(struct cmd *c, int argc, char **argv, struct err *e)
{
    struct arena a CLEANUP(arena_release) = ARENA_INIT;
    struct queue *q CLEANUP(client_close) = NULL;
    struct submit s;
    struct submission work;
    struct uuid id;
    fields_defaults(&options, &s);
    if (!options_take(&options, "s=strategy", &argc, argv, &s, e))
        return false;
    const struct strategy *strategy = strategy_find(span_of(s.strategy));
    if (!strategy)
        return err_set(e, ERR_NO_STRATEGY, "there is no strategy \"%s\"; lathe strategies lists them",
                       s.strategy);
    return work_read(&a, strategy, &argc, argv, &work, e) && options_words(argc, argv, 0, 0, e) &&
           queue_open(&c->conf, QUEUE_API, &q, e) && put(q, &a, &work, &s, &id, e) &&
           end(c, q, &a, id, &s, e);
}

const struct command command_submit = {
    .name = "submit",
    .summary = "hands in work",
    .usage =
        "lathe submit [--strategy=NAME] [--handler=NAME] [--items-count=N | --items=FILE | --ndjson=FILE] [--wait] [OPTION…]",
    .options = &options,
    .shorts = "s=strategy",
    .more_options = work_help,
    .help =
        "Prints the id of the task. With --wait it waits, and exits with 0 when the task succeeded, 1 when it failed or\n"
        "was cancelled, 75 when it had not ended.\n"
        "\n"
        "    lathe submit --handler=sleep --param=ms=50 -n 200 --strategy=async-batch --wait\n"
        "    seq 10 | lathe submit --handler=echo --items=- --strategy=threading --wait --json\n"
        "    seq 1000000 | lathe submit --handler=echo --ndjson=- --batch-size=10000 --wait\n",
    .handlers = true,
    .run = run,
};
