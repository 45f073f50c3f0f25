/* Running again from the command line. */
#include "cmd/client.h"
#include "cmd/cmd.h"
#include "cmd/options.h"

enum { PAGE = 500 };

struct retry {
    bool all, failed_only;
    char handler[LIMIT_NAME + 1], queue[LIMIT_NAME + 1], error[33];
};

#define AT(member) .offset = offsetof(struct retry, member)

static const struct field fields[] = {
    {.name = "failed_only",
     .type = FIELD_BOOL,
     AT(failed_only),
     .summary = "only the units in which not every item succeeded"},
    {.name = "all",
     .type = FIELD_BOOL,
     AT(all),
     .summary = "all tasks that failed, or those of them that the next ones name"},
    {.name = "handler",
     .type = FIELD_TEXT,
     AT(handler),
     .max = LIMIT_NAME,
     .def_text = "",
     .summary = "with --all: only of this handler"},
    {.name = "queue",
     .type = FIELD_TEXT,
     AT(queue),
     .max = LIMIT_NAME,
     .def_text = "",
     .summary = "with --all: only of this queue"},
    {.name = "error",
     .type = FIELD_TEXT,
     AT(error),
     .max = 32,
     .def_text = "",
     .summary = "with --all: only with this error, as in item-failed"},
};
static const struct fields options = FIELDS(fields, struct retry);

static bool retry_all(struct queue *q, const struct retry *s, struct err *e)
{
    struct task_filter f = {.handler = span_of(s->handler),
                            .queue = span_of(s->queue),
                            .error = span_of(s->error),
                            .by_state = true,
                            .state = TASK_failed,
                            .limit = PAGE};
    struct retried r;
    int64_t count = 0, refused = 0;
    char why[sizeof r.why.text] = "";
    do {
        struct arena a CLEANUP(arena_release) = ARENA_INIT;
        if (!queue_retry_all(q, &a, &f, s->failed_only, &r, e))
            return false;
        count += r.count;
        refused += r.refused;
        if (r.refused > 0)
            snprintf(why, sizeof why, "%s", r.why.text);
        f.before = r.next;
    } while (!uuid_is_nil(f.before));
    printf("%lld tasks run again\n", (long long)count);
    if (refused > 0)
        printf("%lld do not, the last of them because %s\n", (long long)refused, why);
    return true;
}

static bool run(struct cmd *c, int argc, char **argv, struct err *e)
{
    struct queue *q CLEANUP(client_close) = NULL;
    struct retry s;
    struct uuid id;
    fields_defaults(&options, &s);
    if (!options_take(&options, NULL, &argc, argv, &s, e) ||
        !options_words(argc, argv, s.all ? 0 : 1, s.all ? 0 : 1, e) ||
        (!s.all && !client_id(argv[argc - 1], &id, e)) || !queue_open(&c->conf, QUEUE_CLIENT, &q, e))
        return false;
    if (s.all)
        return retry_all(q, &s, e);
    if (!queue_retry(q, id, s.failed_only, e))
        return false;
    puts("it runs again; lathe status --wait tells when it is over");
    return true;
}

const struct command command_retry = {
    .name = "retry",
    .summary = "runs again what failed or was cancelled",
    .usage = "lathe retry [--failed-only] ID | --all [--handler=NAME] [--queue=NAME] [--error=WORD]",
    .options = &options,
    .help =
        "A task runs again under its id. Without --failed-only all of it does, and its results are deleted.\n",
    .run = run,
};
