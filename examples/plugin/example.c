/*
 * example.c: a complete plug-in with two handlers, to begin your own from. One computes, the other waits.
 *
 *     make && sudo make install        # then start Lathe again
 *     curl -s $LATHE/api/v1/tasks/hybrid -H 'content-type: application/json' -d '{"handler": "example.primes", "items": [10, 100]}'
 */
#include <lathe/handler.h>

/* ---- example.primes: how many primes there are below n */

struct primes_params {
    int64_t below;
};

static bool is_prime(int64_t n)
{
    for (int64_t d = 2; d * d <= n; d++)
        if (n % d == 0)
            return false;
    return n > 1;
}

static enum lathe_step primes(struct lathe_item *it)
{
    const struct primes_params *params = (const struct primes_params *)it->params;
    int64_t below = params->below, found = 0;

    if (!lathe_input_int(it, 0, 1000000000, &below))
        return LATHE_FAIL;
    for (int64_t n = 0; n < below; n++) {
        if (n % 16 == 0 && lathe_stopping(it))
            return lathe_fail(it, LATHE_FAILED, "told to stop at %lld", (long long)n);
        found += is_prime(n);
    }
    lathe_print(it, "{\"below\":%lld,\"primes\":%lld}", (long long)below, (long long)found);
    return LATHE_DONE;
}

static const struct lathe_field primes_fields[] = {
    {.name = "below",
     .summary = "primes below this are counted, for an item without an input",
     .type = LATHE_INT,
     .offset = offsetof(struct primes_params, below),
     .max = 1000000000,
     .def = 1000},
};

/* ---- example.greet: takes its time, tells how far it is, and says hello */

#define TURNS 4
#define NAME_MOST 100

struct greet_params {
    int64_t pause_ms;
    int language;
    char who[NAME_MOST + 1];
};

static const char *const languages[] = {"english", "french", "german", NULL};
static const char *const hellos[] = {"Hello", "Bonjour", "Guten Tag"};

struct greet {
    int64_t until;
    int turn;
    char who[NAME_MOST + 1];
};

static size_t length(const char *text)
{
    size_t n = 0;
    while (text[n] != '\0')
        n++;
    return n;
}

static bool begin(struct lathe_item *it, struct greet *state)
{
    const struct greet_params *params = (const struct greet_params *)it->params;

    for (size_t i = 0; i < sizeof state->who; i++)
        state->who[i] = params->who[i];
    return lathe_input_text(it, state->who, sizeof state->who);
}

static enum lathe_step greet(struct lathe_item *it)
{
    const struct greet_params *params = (const struct greet_params *)it->params;
    struct greet *state = (struct greet *)it->state;

    if (state->until == 0) {
        if (!begin(it, state))
            return LATHE_FAIL;
        state->until = lathe_now(it) + params->pause_ms * LATHE_MS;
    }
    while (lathe_now(it) >= state->until) {
        if (++state->turn == TURNS) {
            lathe_progress(it, 1);
            lathe_log(it, "said hello after %d pauses", TURNS);
            lathe_print(it, "{\"hello\":\"%s\",\"who\":", hellos[params->language]);
            lathe_text(it, state->who, length(state->who));
            lathe_write(it, "}", 1);
            return LATHE_DONE;
        }
        lathe_progress(it, (double)state->turn / TURNS);
        state->until += params->pause_ms * LATHE_MS;
    }
    return lathe_wait_until(it, state->until);
}

static const struct lathe_field greet_fields[] = {
    {.name = "pause_ms",
     .summary = "each of its four pauses, in milliseconds",
     .type = LATHE_INT,
     .offset = offsetof(struct greet_params, pause_ms),
     .max = 60000,
     .def = 10},
    {.name = "language",
     .summary = "of the greeting",
     .type = LATHE_WORD,
     .offset = offsetof(struct greet_params, language),
     .words = languages},
    {.name = "who",
     .summary = "who is greeted by an item without an input",
     .type = LATHE_TEXT,
     .offset = offsetof(struct greet_params, who),
     .max = NAME_MOST,
     .def_text = "world"},
};

/* ---- the plug-in */

static const struct lathe_handler handlers[] = {
    {.name = "example.primes",
     .summary = "counts primes",
     .item = "an integer: primes below it are counted",
     .fields = primes_fields,
     .fields_n = 1,
     .params_size = sizeof(struct primes_params),
     .step = primes},
    {.name = "example.greet",
     .summary = "says hello after four pauses",
     .item = "a string: who is greeted",
     .fields = greet_fields,
     .fields_n = 3,
     .params_size = sizeof(struct greet_params),
     .state_size = sizeof(struct greet),
     .step = greet},
};

LATHE_PLUGIN(handlers);
