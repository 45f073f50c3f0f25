/*
 * word.c: ten steps on a word, each a wait and then one fact about the word, with progress. Letters are those of ASCII;
 * length and reversed count code points.
 */
#include <stdlib.h>

#include "core/json.h"
#include "core/utf8.h"
#include "handlers/input.h"
#include "handlers/registry.h"

struct args {
    int64_t step_ms;
};

/* drop() frees what the arena and the buffer hold. */
struct state {
    struct arena arena;
    struct buf facts;
    struct json_out out;
    struct span word;
    int64_t until;
    size_t done;
};

static bool is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

static char upper(char c)
{
    return c >= 'a' && c <= 'z' ? (char)(c - 'a' + 'A') : c;
}

static void put_word(struct state *s)
{
    json_put_text(&s->out, s->word);
}

static size_t code_points(struct span text)
{
    size_t n = 0;

    for (; text.len > 0; n++)
        span_take(&text, utf8_length(text));
    return n;
}

static void put_length(struct state *s)
{
    json_put_int(&s->out, (int64_t)code_points(s->word));
}

static void put_mapped(struct state *s, char (*map)(char))
{
    char *text = arena_alloc(&s->arena, s->word.len + 1);

    for (size_t i = 0; i < s->word.len; i++)
        text[i] = map(s->word.ptr[i]);
    json_put_text(&s->out, (struct span){text, s->word.len});
}

static void put_upper(struct state *s)
{
    put_mapped(s, upper);
}

static void put_lower(struct state *s)
{
    put_mapped(s, lower);
}

static struct span reverse(struct state *s)
{
    char *text = arena_alloc(&s->arena, s->word.len + 1), *end = text + s->word.len;

    for (struct span rest = s->word; rest.len > 0;) {
        struct span one = span_take(&rest, utf8_length(rest));

        end -= one.len;
        memcpy(end, one.ptr, one.len);
    }
    return (struct span){text, s->word.len};
}

static void put_reversed(struct state *s)
{
    json_put_text(&s->out, reverse(s));
}

static void put_palindrome(struct state *s)
{
    json_put_bool(&s->out, span_eq(reverse(s), s->word));
}

static int64_t count(struct span word, const char *which)
{
    int64_t n = 0;

    for (size_t i = 0; i < word.len; i++)
        n += is_letter(word.ptr[i]) && (!which || strchr(which, lower(word.ptr[i])));
    return n;
}

static void put_letters(struct state *s)
{
    json_put_int(&s->out, count(s->word, NULL));
}

static void put_vowels(struct state *s)
{
    json_put_int(&s->out, count(s->word, "aeiou"));
}

static int by_value(const void *a, const void *b)
{
    return *(const char *)a - *(const char *)b;
}

/* Its letters in order, in lower case. */
static void put_sorted(struct state *s)
{
    char *text = arena_alloc(&s->arena, s->word.len + 1);
    size_t n = 0;

    for (size_t i = 0; i < s->word.len; i++)
        if (is_letter(s->word.ptr[i]))
            text[n++] = lower(s->word.ptr[i]);
    qsort(text, n, 1, by_value);
    json_put_text(&s->out, (struct span){text, n});
}

/* FNV-1a of its bytes, 32 bits. */
static void put_hash(struct state *s)
{
    uint32_t h = 2166136261u;

    for (size_t i = 0; i < s->word.len; i++)
        h = (h ^ (unsigned char)s->word.ptr[i]) * 16777619u;
    json_put_int(&s->out, h);
}

static const struct {
    const char *fact;
    void (*put)(struct state *s);
} steps[] = {
    {"word", put_word},       {"length", put_length},     {"upper", put_upper},
    {"lower", put_lower},     {"reversed", put_reversed}, {"palindrome", put_palindrome},
    {"letters", put_letters}, {"vowels", put_vowels},     {"sorted", put_sorted},
    {"hash", put_hash},
};

_Static_assert(COUNT_OF(steps) == 10, "the ten steps that callers know");

static bool begin(struct item *it, struct state *s)
{
    const struct args *args = it->args;

    buf_init(&s->facts, it->out.max);
    s->word = span_of(arena_printf(&s->arena, "item-%lld", (long long)it->index));
    if (!input_text(it, &s->arena, &s->word))
        return false;
    s->until = clock_after_ms(args->step_ms);
    return true;
}

static enum step finish(struct item *it, struct state *s)
{
    json_close(&s->out, '}');
    if (s->facts.failed) {
        err_set(&it->err, ERR_ITEM_TOO_LARGE, "the word is too long for its facts");
        return STEP_FAIL;
    }
    buf_span(&it->out, buf_view(&s->facts));
    return STEP_DONE;
}

static enum step step(struct item *it)
{
    const struct args *args = it->args;
    struct state *s = it->state;

    if (s->until == 0) {
        if (!begin(it, s))
            return STEP_FAIL;
        s->out = json_out(&s->facts);
        json_open(&s->out, '{');
    }
    while (s->done < COUNT_OF(steps)) {
        if (clock_now() < s->until)
            return item_wait_until(it, s->until);
        json_key(&s->out, steps[s->done].fact);
        item_log(it, "%s", steps[s->done].fact);
        steps[s->done++].put(s);
        it->progress = (double)s->done / (double)COUNT_OF(steps);
        s->until = clock_after_ms(args->step_ms);
    }
    return finish(it, s);
}

static void drop(struct item *it)
{
    struct state *s = it->state;

    buf_release(&s->facts);
    arena_release(&s->arena);
}

static const struct field fields[] = {
    {.name = "step_ms",
     .type = FIELD_INT,
     .offset = offsetof(struct args, step_ms),
     .min = 0,
     .max = 600000,
     .def = 100,
     .summary = "how long each of the ten steps waits, milliseconds"},
};

const struct handler handler_word = {
    .name = "word",
    .summary = "ten steps on a word, a fact each, with progress",
    .item = "a string: the word; without one it is item-<index>",
    .params = FIELDS(fields, struct args),
    .state_size = sizeof(struct state),
    .step = step,
    .drop = drop,
};
