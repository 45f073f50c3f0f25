/* Queues from the command line. */
#include "api/queue_document.h"
#include "cmd/client.h"
#include "cmd/cmd.h"
#include "cmd/options.h"

struct queues {
    bool json;
    char reason[LIMIT_REASON + 1];
};

static const struct field fields[] = {
    {.name = "json",
     .type = FIELD_BOOL,
     .offset = offsetof(struct queues, json),
     .summary = "print the documents of the HTTP API, one a line"},
    {.name = "reason",
     .type = FIELD_TEXT,
     .offset = offsetof(struct queues, reason),
     .max = LIMIT_REASON,
     .def_text = "",
     .summary = "why it is paused: shown to whoever looks"},
};
static const struct fields options = FIELDS(fields, struct queues);

static void print(const struct queue_info *q, bool json)
{
    struct buf b CLEANUP(buf_release) = BUF_INIT(LIMIT_RESPONSE);
    struct json_out o = json_out(&b);
    if (json) {
        queue_write(q, q->gates_n > 0, &o);
        buf_char(&b, '\n');
        fwrite(b.ptr, 1, b.len, stdout);
        return;
    }
    printf("%-24.*s  %lld queued, %lld waiting, %lld running", SPAN_ARG(q->name), (long long)q->queued,
           (long long)q->waiting, (long long)q->running);
    if (q->queued > 0)
        printf(", oldest %.1f s", q->oldest_s);
    if (q->limit.concurrency > 0)
        printf(", %lld at once", (long long)q->limit.concurrency);
    if (q->limit.rate > 0)
        printf(", %lld in %g s", (long long)q->limit.rate, q->limit.per_s);
    if (q->paused)
        printf(", paused%s" SPAN_FMT, q->reason.len > 0 ? ": " : "", SPAN_ARG(q->reason));
    putchar('\n');
}

static bool list(struct store *store, bool json, struct err *e)
{
    struct arena a CLEANUP(arena_release) = ARENA_INIT;
    struct queue_info *found;
    size_t n;
    if (!store_queues(store, &a, &found, &n, e))
        return false;
    for (size_t i = 0; i < n; i++)
        print(&found[i], json);
    return true;
}

static bool act(struct queue *q, struct span verb, struct span name, const struct queues *s, struct err *e)
{
    struct arena a CLEANUP(arena_release) = ARENA_INIT;
    struct queue_info found;
    if (!queue_named(name, e))
        return false;
    if (!span_is(verb, "show") && !queue_pause(q, name, span_is(verb, "pause"), span_of(s->reason), e))
        return false;
    if (!store_queue(queue_store(q), &a, name, &found, e))
        return false;
    print(&found, s->json);
    return true;
}

static bool run(struct cmd *c, int argc, char **argv, struct err *e)
{
    struct queue *q CLEANUP(client_close) = NULL;
    struct queues s;
    fields_defaults(&options, &s);
    if (!options_take(&options, NULL, &argc, argv, &s, e) || !options_words(argc, argv, 0, 2, e))
        return false;
    struct span verb = argc > 1 ? span_of(argv[1]) : SPAN("");
    if (argc == 2 ||
        (argc == 3 && !span_is(verb, "show") && !span_is(verb, "pause") && !span_is(verb, "resume")))
        return err_set(e, ERR_USAGE, "lathe queues has show, pause and resume NAME");
    if (!queue_open(&c->conf, QUEUE_CLIENT, &q, e))
        return false;
    return argc == 3 ? act(q, verb, span_of(argv[2]), &s, e) : list(queue_store(q), s.json, e);
}

const struct command command_queues = {
    .name = "queues",
    .summary = "lists the queues, pauses and resumes them",
    .usage = "lathe queues [--json] [show NAME | pause [--reason=TEXT] NAME | resume NAME]",
    .options = &options,
    .help =
        "Without a word it lists those that have units, limits, or are paused. What runs of a paused queue goes on; nothing\n"
        "more of it is begun. Limits are set by PUT /api/v1/queues/NAME.\n",
    .run = run,
};
