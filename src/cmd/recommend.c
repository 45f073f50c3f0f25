#include <inttypes.h>

#include "api/recommendation.h"
#include "cmd/client.h"
#include "cmd/cmd.h"
#include "cmd/options.h"
#include "cmd/work.h"

struct asking {
    bool probe, json;
};

static const struct field fields[] = {
    {.name = "probe",
     .type = FIELD_BOOL,
     .offset = offsetof(struct asking, probe),
     .summary = "run some items first, one after another, and measure them"},
    {.name = "json",
     .type = FIELD_BOOL,
     .offset = offsetof(struct asking, json),
     .summary = "print the document of the HTTP API"},
};
static const struct fields options = FIELDS(fields, struct asking);

static void print_json(const struct recommendation *r)
{
    struct buf b CLEANUP(buf_release) = BUF_INIT(LIMIT_RESPONSE);
    struct json_out o = json_out(&b);
    recommendation_write(r, &o);
    fwrite(b.ptr, 1, b.len, stdout);
    putchar('\n');
}

static void print_candidate(const struct recommendation *r, int i)
{
    const struct candidate *k = &r->list[i];
    char wall[DURATION_TEXT] = "-";
    if (r->profile.runs)
        format_duration(k->prediction.wall / 1e6, wall);
    printf("%2d  %-19s %10s", i + 1, candidate_name(k), wall);
    if (r->profile.runs)
        printf(" %10.1f %9.1f  %-9s", k->prediction.items_per_s, k->prediction.memory_kib / 1024,
               k->prediction.bound);
    else
        printf(" %10s %9s  %-9s", "-", "-", "-");
    printf(" %" PRId64 " x %" PRId64 " x %" PRId64 "\n", k->shape.processes, k->shape.threads,
           k->shape.width);
}

/* Between single quotes, for a shell. */
static void put_quoted(struct span text)
{
    putchar('\'');
    for (size_t i = 0; i < text.len; i++)
        if (text.ptr[i] == '\'')
            fputs("'\\''", stdout);
        else
            putchar(text.ptr[i]);
    putchar('\'');
}

/* What to type to run the recommended one. */
static void print_command(const struct recommendation *r)
{
    const struct submission *s = r->asked;
    const struct candidate *best = &r->list[0];
    printf("\n    lathe submit --wait --strategy=%s --handler=%s --params=",
           best->strategy ? best->strategy->name : strategy_auto.name, s->handler->name);
    put_quoted(s->params);
    printf(" -n %" PRId64 " -b %" PRId64 " -w %" PRId64, s->items, s->batch_size, s->workers);
    if (!best->strategy) {
        struct buf shape CLEANUP(buf_release) = BUF_INIT(KIB);
        struct json_out o = json_out(&shape);
        shape_write(&best->shape, &o);
        fputs(" --shape=", stdout);
        put_quoted(buf_view(&shape));
    }
    putchar('\n');
}

static void print(const struct recommendation *r)
{
    printf("%s, %" PRId64 " items on %" PRId64 " cores; evidence: %s\n\n", r->asked->handler->name,
           r->asked->items, r->host.cores, r->evidence);
    printf("    %-19s %10s %10s %9s  %-9s %s\n", "strategy", "duration", "items/s", "+MiB", "limit",
           "processes x threads x in flight");
    for (int i = 0; i < r->count; i++)
        print_candidate(r, i);
    printf("\nrecommended: %s. %s\n", candidate_name(&r->list[0]), r->reason);
    print_command(r);
}

static bool answer(struct cmd *c, struct arena *a, const struct submission *work, const struct asking *s,
                   struct err *e)
{
    struct queue *q CLEANUP(client_close) = NULL;
    struct recommendation r;
    struct task probe;
    struct uuid id;
    if (!queue_open(&c->conf, s->probe ? QUEUE_API : QUEUE_CLIENT, &q, e))
        return false;
    if (s->probe) {
        struct submission few = probe_of(work);
        if (!client_put(q, a, &few, &id, e) || !client_watch(q, a, id, 0, &probe, e))
            return false;
    }
    if (!recommendation_make(a, queue_store(q), work, s->probe ? &probe : NULL, &r, e))
        return false;
    if (s->json)
        print_json(&r);
    else
        print(&r);
    return true;
}

static bool run(struct cmd *c, int argc, char **argv, struct err *e)
{
    struct arena a CLEANUP(arena_release) = ARENA_INIT;
    struct asking s;
    struct submission work;
    fields_defaults(&options, &s);
    return options_take(&options, NULL, &argc, argv, &s, e) &&
           work_read(&a, &strategy_auto, &argc, argv, &work, e) && options_words(argc, argv, 0, 0, e) &&
           answer(c, &a, &work, &s, e);
}

const struct command command_recommend = {
    .name = "recommend",
    .summary = "ranks the strategies for a workload, with the evidence",
    .usage = "lathe recommend [--handler=NAME] [--items-count=N] [--param=NAME=VALUE…] [--probe]",
    .options = &options,
    .more_options = work_help,
    .help =
        "From what earlier runs of this handler with these params measured. Where there were none it says so; --probe\n"
        "measures first.\n"
        "\n"
        "    lathe recommend --handler=simulate --simulate-db-delay -n 50000\n",
    .handlers = true,
    .run = run,
};
