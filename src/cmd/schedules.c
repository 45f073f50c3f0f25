/* Schedules from the command line. */
#include "api/schedule.h"
#include "cmd/client.h"
#include "cmd/cmd.h"
#include "cmd/options.h"
#include "core/file.h"

enum { PAGE = 500 };

struct schedules {
    bool json;
};

static const struct field fields[] = {
    {.name = "json",
     .type = FIELD_BOOL,
     .offset = offsetof(struct schedules, json),
     .summary = "print the documents of the HTTP API, one a line"},
};
static const struct fields options = FIELDS(fields, struct schedules);

static void print(const struct schedule *s, bool json)
{
    struct buf b CLEANUP(buf_release) = BUF_INIT(LIMIT_RESPONSE);
    struct json_out o = json_out(&b);
    char next[CLOCK_TEXT] = "never", clock[CRON_TEXT + ZONE_NAME + 2];
    if (json) {
        schedule_write(s, &o);
        buf_char(&b, '\n');
        fwrite(b.ptr, 1, b.len, stdout);
        return;
    }
    if (s->next_us > 0)
        clock_format(s->next_us, next);
    if (s->cron.len > 0)
        snprintf(clock, sizeof clock, SPAN_FMT " " SPAN_FMT, SPAN_ARG(s->cron), SPAN_ARG(s->timezone));
    else if (s->every_s > 0)
        snprintf(clock, sizeof clock, "every %lld s", (long long)s->every_s);
    else
        snprintf(clock, sizeof clock, "once");
    printf("%-24.*s  %-28s  next %s, fired %lld times\n", SPAN_ARG(s->name), clock,
           s->paused ? "when it is resumed" : next, (long long)s->fired);
    if (s->error.len > 0)
        printf("  the last time it made no task: " SPAN_FMT "\n", SPAN_ARG(s->error));
}

static bool list(struct store *store, bool json, struct err *e)
{
    struct arena a CLEANUP(arena_release) = ARENA_INIT;
    struct schedule *found = NULL;
    struct span after = SPAN("");
    size_t n;
    do {
        if (!store_list_schedules(store, &a, after, PAGE, &found, &n, e))
            return false;
        for (size_t i = 0; i < n; i++)
            print(&found[i], json);
        after = n > 0 ? found[n - 1].name : after;
    } while (n == PAGE);
    return true;
}

static bool put(struct store *store, struct arena *a, const char *path, struct schedule *ret, struct err *e)
{
    struct buf text CLEANUP(buf_release) = BUF_INIT(LIMIT_BODY);
    const struct json *body;
    bool is_new;
    return file_read(strcmp(path, "-") == 0 ? "/dev/stdin" : path, &text, e) &&
           json_read(a, arena_copy(a, buf_view(&text)), &body, e) && schedule_read(a, NULL, body, ret, e) &&
           store_put_schedule(store, a, ret, ret, &is_new, e);
}

static bool act(struct store *store, struct span verb, char *what, bool json, struct err *e)
{
    struct arena a CLEANUP(arena_release) = ARENA_INIT;
    struct span name = span_of(what);
    struct schedule s;
    if (!span_is(verb, "put") && !schedule_named(name, e))
        return false;
    if (span_is(verb, "delete"))
        return store_drop_schedule(store, name, e);
    if (span_is(verb, "put")    ? !put(store, &a, what, &s, e)
        : span_is(verb, "show") ? !store_get_schedule(store, &a, name, &s, e)
                                : !store_pause_schedule(store, &a, name, span_is(verb, "pause"), &s, e))
        return false;
    print(&s, json);
    return true;
}

static bool known(struct span verb)
{
    return span_is(verb, "put") || span_is(verb, "show") || span_is(verb, "pause") ||
           span_is(verb, "resume") || span_is(verb, "delete");
}

static bool run(struct cmd *c, int argc, char **argv, struct err *e)
{
    struct queue *q CLEANUP(client_close) = NULL;
    struct schedules s;
    fields_defaults(&options, &s);
    if (!options_take(&options, NULL, &argc, argv, &s, e) || !options_words(argc, argv, 0, 2, e))
        return false;
    if (argc == 2 || (argc == 3 && !known(span_of(argv[1]))))
        return err_set(e, ERR_USAGE, "lathe schedules has put FILE, and show, pause, resume and delete NAME");
    if (!queue_open(&c->conf, QUEUE_CLIENT, &q, e))
        return false;
    return argc == 3 ? act(queue_store(q), span_of(argv[1]), argv[2], s.json, e)
                     : list(queue_store(q), s.json, e);
}

const struct command command_schedules = {
    .name = "schedules",
    .summary = "lists, makes and changes tasks that come by the clock",
    .usage = "lathe schedules [--json] [put FILE | show NAME | pause NAME | resume NAME | delete NAME]",
    .options = &options,
    .help =
        "Without a word it lists them. put reads the document of POST /api/v1/schedules, from - the standard input.\n"
        "\n"
        "    echo '{\"name\": \"night\", \"cron\": \"0 3 * * *\", \"timezone\": \"Europe/Berlin\",\n"
        "           \"task\": {\"strategy\": \"background\", \"handler\": \"echo\", \"items_count\": 10}}' |\n"
        "    lathe schedules put -\n",
    .run = run,
};
