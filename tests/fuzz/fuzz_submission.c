/*
 * model/submission.h: a strategy's name (none: /compare), behind a line end a query string, behind another the body. What
 * is accepted lies in its ranges, is whole, and is read again from what it says of itself.
 */
#include "fuzz/replay.h"

#include "handlers/registry.h"
#include "model/submission.h"

static void check_labels(const struct submission *s)
{
    MUST(!s->tags || (json_type(s->tags) == JSON_LIST && json_len(s->tags) <= LIMIT_TAGS));
    MUST(!s->meta || json_type(s->meta) == JSON_OBJECT);
}

static void check_how(const struct submission *s, const struct strategy *strategy)
{
    MUST(s->strategy == strategy);
    MUST((s->compared[0] != NULL) == (strategy == NULL));
    MUST((s->inner != NULL) == (!strategy || strategy->kind == STRATEGY_QUEUED));
    MUST(!s->inner || s->inner->kind != STRATEGY_QUEUED);
    MUST(s->batch_size >= 1 && s->batch_size <= LIMIT_BATCH_SIZE);
    MUST(s->workers >= 1 && s->workers <= LIMIT_WORKERS);
    MUST(s->priority >= 0 && s->priority <= 9);
    MUST(s->item_timeout_ms >= 0 && s->item_timeout_ms <= LIMIT_TIMEOUT_MS);
    MUST(s->timeout_ms >= 0 && s->timeout_ms <= LIMIT_TIMEOUT_MS);
    MUST(s->queue[0] && !strpbrk(s->queue, ",* \"'"));
    if (s->has_shape)
        MUST(shape_threads(&s->shape) >= 1 && s->shape.width >= 1 && s->shape.grain >= 1);
}

static int64_t count_lines(struct span text)
{
    int64_t n = 0;
    for (; text.len > 0; n++)
        MUST(json_check(span_cut(&text, '\n'), NULL));
    return n;
}

static void check_what(const struct submission *s)
{
    MUST(s->handler && !s->handler->hidden && s->args);
    MUST(s->items >= 1 && s->items <= LIMIT_ITEMS);
    MUST(!s->items_json || count_lines(s->lines) == s->items);
    MUST(json_check(s->params, NULL));
    MUST(!s->handler->check || s->handler->check(s->args, NULL));
}

/* The canonical params lead to the same canonical params, and so to the same profile. */
static void check_again(struct arena *a, const struct submission *s)
{
    struct submission again;
    const struct json *v;
    char *body =
        arena_printf(a, "{\"handler\":\"%s\",\"params\":" SPAN_FMT "}", s->handler_name, SPAN_ARG(s->params));

    MUST(json_read(a, span_of(body), &v, NULL));
    MUST(submission_read(a, &strategy_hybrid, v, SPAN(""), handler_find, &again, NULL));
    MUST(span_eq(again.params, s->params) && again.digest == s->digest);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena a CLEANUP(arena_release) = ARENA_INIT;
    struct span body = {(const char *)data, size};
    const struct strategy *strategy = strategy_find(span_cut(&body, '\n'));
    struct span query = span_cut(&body, '\n');
    const struct json *v = NULL;
    struct submission s;
    struct err e = ERR_INIT;

    if (body.len > 0 && !json_read_lines(&a, body, "items", &v, &e))
        return 0;
    if (!submission_read(&a, strategy, v, query, handler_find, &s, &e)) {
        MUST(e.code != ERR_NONE && e.text[0]);
        MUST(err_status(e.code) >= 400 && err_status(e.code) < 500);
        return 0;
    }
    check_how(&s, strategy);
    check_what(&s);
    check_labels(&s);
    check_again(&a, &s);
    return 0;
}

FUZZ_MAIN("submission")
