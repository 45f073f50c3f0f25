/* command.c: handlers that are programs, from the settings. What happens to their processes is the engine's: model/command.h. */
#include "handlers/command.h"

#include <stdio.h>

#include "core/limits.h"
#include "core/mem.h"
#include "handlers/registry.h"
#include "model/command.h"

struct state {
    struct command_call *call;
};

static enum step step(struct item *it)
{
    struct state *s = it->state;
    const struct fields_free *params = it->args;
    if (!s->call)
        s->call = command_start(it, it->handler->own, (struct span){params->text, (size_t)params->len});
    if (!s->call)
        return STEP_FAIL;
    it->progress = s->call->progress;
    if (!s->call->done)
        return s->call->turn ? item_wait_call(it) : item_wait_turn(it);
    if (s->call->err.code != ERR_NONE) {
        it->err = s->call->err;
        return STEP_FAIL;
    }
    buf_span(&it->out, s->call->result);
    return STEP_DONE;
}

static void drop(struct item *it)
{
    command_drop(((struct state *)it->state)->call);
}

/* ---- from the settings */

static bool is_gap(char c)
{
    return c == ' ' || c == '\t' || c == '\n';
}

/* One word off the front of *line, which begins with it. */
static bool take_word(struct span *line, struct buf *word, struct err *e)
{
    char quote = 0;
    for (; line->len && (quote || !is_gap(*line->ptr)); span_take(line, 1)) {
        char c = *line->ptr;
        if (c == quote)
            quote = 0;
        else if (!quote && (c == '\'' || c == '"'))
            quote = c;
        else
            buf_char(word, c);
    }
    return !quote || err_set(e, ERR_CONFIG, "a quote (%c) is not closed", quote);
}

char **command_words(struct arena *a, struct span line, struct err *e)
{
    char **words = arena_array(a, LIMIT_COMMAND_WORDS + 1, sizeof *words);
    size_t n = 0;
    for (;;) {
        struct buf word CLEANUP(buf_release) = BUF_INIT(8 * KIB);
        while (line.len && is_gap(*line.ptr))
            span_take(&line, 1);
        if (!line.len)
            break;
        if (!take_word(&line, &word, e))
            return NULL;
        if (n == LIMIT_COMMAND_WORDS) {
            err_set(e, ERR_CONFIG, "a program has at most %u words", LIMIT_COMMAND_WORDS);
            return NULL;
        }
        words[n++] = arena_text(a, buf_view(&word));
    }
    if (n > 0 && words[0][0] == '/')
        return words;
    err_set(e, ERR_CONFIG, "a program begins with its whole path, and so with a slash");
    return NULL;
}

/* For the life of the process, as handlers are. */
static struct arena kept = ARENA_INIT;

static const char *keep(const char *text)
{
    return *text ? arena_text(&kept, span_of(text)) : NULL;
}

static bool add(const struct conf_command *c, struct err *e)
{
    struct command *own = arena_alloc(&kept, sizeof *own);
    struct handler *h = arena_alloc(&kept, sizeof *h);
    const char *user = keep(c->user), *summary = keep(c->summary);
    char **words = command_words(&kept, span_of(c->program), e);
    if (!words)
        return false;
    *own = (struct command){.name = keep(c->name),
                            .words = words,
                            .user = user ? user : "",
                            .width = c->width,
                            .memory = c->memory,
                            .cpu_s = c->cpu_s,
                            .files = c->files,
                            .idle_ms = c->idle,
                            .restart_ms = c->restart,
                            .luck = command_luck_make()};
    *h = (struct handler){.name = own->name,
                          .summary = summary ? summary : "a program of this installation",
                          .item = keep(c->item),
                          .params = FIELDS_FREE,
                          .state_size = sizeof(struct state),
                          .step = step,
                          .drop = drop,
                          .unremembered = true, /* nobody here knows what it does */
                          .own = own};
    return handlers_add(h, e);
}

bool commands_open(const struct conf *c, struct err *e)
{
    for (size_t i = 0; i < c->command_count; i++) {
        struct err why = ERR_INIT;
        const struct conf_command *one = &c->commands[i];
        if (!add(one, &why))
            return err_set(e, ERR_CONFIG, "%.200s line %lld: [command %s]: %s", c->path, (long long)one->line,
                           one->name, why.text);
    }
    return true;
}
