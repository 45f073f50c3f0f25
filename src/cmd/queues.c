/* Queues from the command line. */
#include "api/queue_document.h"
#include "cmd/client.h"
#include "cmd/cmd.h"
#include "cmd/options.h"

struct queues {
    bool json;
    char reason[LIMIT_REASON + 1];
    struct limit limit;
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
     .summary = "pause: why, shown to whoever looks"},
    LIMIT_NUMBERS(struct queues, limit.),
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

static bool show_queue(struct queue *q, struct span name, const struct queues *s, struct err *e)
{
    (void)q, (void)name, (void)s, (void)e;
    return true;
}

static bool pause_queue(struct queue *q, struct span name, const struct queues *s, struct err *e)
{
    return queue_pause(q, name, true, span_of(s->reason), e);
}

static bool resume_queue(struct queue *q, struct span name, const struct queues *s, struct err *e)
{
    (void)s;
    return queue_pause(q, name, false, SPAN(""), e);
}

/* Workers that have nothing to do look again: what waited may have room now. */
static bool limit_queue(struct queue *q, struct span name, const struct queues *s, struct err *e)
{
    if (!limit_check(&s->limit, "", e) || !store_limit_queue(queue_store(q), name, &s->limit, e))
        return false;
    queue_look(q, name);
    return true;
}

static const struct verb {
    const char *name;
    bool (*act)(struct queue *q, struct span name, const struct queues *s, struct err *e);
} verbs[] = {{"show", show_queue}, {"pause", pause_queue}, {"resume", resume_queue}, {"limit", limit_queue}};

static const struct verb *verb_named(const char *name)
{
    for (size_t i = 0; i < COUNT_OF(verbs); i++)
        if (strcmp(verbs[i].name, name) == 0)
            return &verbs[i];
    return NULL;
}

static bool act(struct queue *q, const struct verb *verb, struct span name, const struct queues *s,
                struct err *e)
{
    struct arena a CLEANUP(arena_release) = ARENA_INIT;
    struct queue_info found;
    if (!queue_named(name, e) || !verb->act(q, name, s, e) ||
        !store_queue(queue_store(q), &a, name, &found, e))
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
    const struct verb *verb = argc == 3 ? verb_named(argv[1]) : NULL;
    if (argc > 1 && !verb)
        return err_set(e, ERR_USAGE, "lathe queues has show, pause, resume and limit, each with a NAME");
    if (!queue_open(&c->conf, QUEUE_CLIENT, &q, e))
        return false;
    return verb ? act(q, verb, span_of(argv[2]), &s, e) : list(queue_store(q), s.json, e);
}

const struct command command_queues = {
    .name = "queues",
    .summary = "lists the queues, pauses, resumes and limits them",
    .usage = "lathe queues [--json] [show NAME | pause [--reason=TEXT] NAME | resume NAME |\n"
             "                               limit [--concurrency=N] [--rate=N] [--per-s=S] NAME]",
    .options = &options,
    .help =
        "Without a word it lists those that have units, limits, or are paused. What runs of a paused queue goes on; nothing\n"
        "more of it is begun. `limit` sets how many of its units run at once on all workers together, and how many begin in\n"
        "so many seconds; what is left out has no limit.\n",
    .run = run,
};
