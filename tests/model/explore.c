/*
 * Walks through every state that the model can come to, and looks at each and at each step: nothing is wrong, and from
 * everywhere the task can still be worked off. `explore edges` prints what a unit may do, for replay.py, a line a move:
 * verb, place before and after, what was added to attempt and tries.
 */
#include "../lib/test.h"

#include <stdlib.h>
#include <string.h>

#include "model.h"

#define SLOTS (1u << 22) /* of the hash table */
#define MOST (SLOTS / 2)
#define FULL 0xffffffffu

struct walk {
    struct state *states;
    uint32_t *slots, *parents; /* parents: how a state was first come to */
    struct action *by;
    uint32_t n, at;
    uint32_t *from, *to; /* the steps, to walk them backwards */
    size_t steps, room;
    const char *wrong; /* what was found, if anything */
    struct action wrong_by;
    bool edges[VERBS][PLACES][PLACES][3][2];
};

static uint32_t hash(const struct state *s)
{
    const unsigned char *p = (const void *)s;
    uint32_t h = 2166136261u;
    for (size_t i = 0; i < sizeof *s; i++)
        h = (h ^ p[i]) * 16777619u;
    return h ^ h >> 15;
}

static uint32_t find_or_add(struct walk *w, const struct state *s, struct action by)
{
    _Static_assert(sizeof(struct state) == UNITS * 5 + LEASES * 3 + WORKERS * 7 + 3,
                   "no padding: states are compared as bytes");
    uint32_t i = hash(s) % SLOTS;
    for (; w->slots[i] != FULL; i = (i + 1) % SLOTS)
        if (memcmp(&w->states[w->slots[i]], s, sizeof *s) == 0)
            return w->slots[i];
    if (w->n == MOST)
        fail_msg("more than %u states", MOST);
    w->slots[i] = w->n;
    w->states[w->n] = *s;
    w->parents[w->n] = w->at;
    w->by[w->n] = by;
    return w->n++;
}

static void print_way(const struct walk *w, uint32_t at)
{
    if (at != 0)
        print_way(w, w->parents[at]);
    if (at != 0)
        print_message("  %s %d %d%s\n", verb_names[w->by[at].verb], w->by[at].who, w->by[at].unit,
                      w->by[at].lost ? " (its answer is lost)" : "");
}

static void note_edges(struct walk *w, const struct state *was, enum verb v, const struct state *is)
{
    for (int u = 0; u < UNITS; u++) {
        const struct unit_state *a = &was->unit[u], *b = &is->unit[u];
        if (v != RETRY && memcmp(a, b, sizeof *a) != 0)
            w->edges[v][a->place][b->place][b->attempt - a->attempt][b->tries - a->tries] = true;
    }
}

static void add_step(struct walk *w, uint32_t to)
{
    if (w->steps == w->room) {
        w->room = w->room ? 2 * w->room : 1u << 20;
        w->from = realloc(w->from, w->room * sizeof *w->from);
        w->to = realloc(w->to, w->room * sizeof *w->to);
        assert_true(w->from != NULL && w->to != NULL);
    }
    w->from[w->steps] = w->at;
    w->to[w->steps++] = to;
}

static void step(void *arg, struct action a)
{
    struct walk *w = arg;
    struct state was = w->states[w->at], is;
    if (w->wrong || !model_act(&was, a, &is))
        return;
    w->wrong = model_wrong(&is);
    w->wrong = w->wrong ? w->wrong : model_wrong_step(&was, a, &is);
    w->wrong_by = a;
    if (w->wrong)
        return;
    note_edges(w, &was, a.verb, &is);
    is = model_named(&is);
    uint32_t to = find_or_add(w, &is, a);
    if (a.verb != CANCEL && a.verb != RETRY && a.verb != DIE && !a.lost) /* nobody has to be lucky */
        add_step(w, to);
}

static void walk(struct walk *w)
{
    struct state begin = model_begin();
    *w = (struct walk){.states = calloc(MOST, sizeof *w->states),
                       .slots = malloc(SLOTS * sizeof *w->slots),
                       .parents = calloc(MOST, sizeof *w->parents),
                       .by = calloc(MOST, sizeof *w->by)};
    assert_true(w->states && w->slots && w->parents && w->by);
    memset(w->slots, 0xff, SLOTS * sizeof *w->slots);
    find_or_add(w, &begin, (struct action){VERBS, 0, 0, false});
    for (w->at = 0; w->at < w->n; w->at++) {
        model_actions(step, w);
        if (w->wrong)
            return;
    }
}

static void walk_release(struct walk *w)
{
    free(w->states);
    free(w->slots);
    free(w->parents);
    free(w->by);
    free(w->from);
    free(w->to);
}

/* Backwards from where it is over, along steps that nobody has to be unlucky or ill-willed for. */
static void check_ends(struct walk *w)
{
    bool *ends = calloc(w->n, sizeof *ends), more = true;
    assert_non_null(ends);
    for (uint32_t i = 0; i < w->n; i++)
        ends[i] = w->states[i].over != RESULT_NONE;
    while (more) {
        more = false;
        for (size_t i = w->steps; i-- > 0;)
            if (ends[w->to[i]] && !ends[w->from[i]])
                more = ends[w->from[i]] = true;
    }
    for (w->at = 0; w->at < w->n && ends[w->at]; w->at++)
        ;
    if (w->at < w->n)
        w->wrong = "from here it never ends";
    free(ends);
}

/* As `make check` shows it, with what it came to. */
static char every_order[96] = "t01_every_order";

static void t01_every_order(void **unused)
{
    (void)unused;
    struct walk w;
    walk(&w);
    if (!w.wrong)
        check_ends(&w);
    if (w.wrong) {
        print_way(&w, w.at);
        fail_msg("%s, after %s %d", w.wrong, verb_names[w.wrong_by.verb], w.wrong_by.who);
    }
    snprintf(every_order, sizeof every_order, "t01_every_order: %u states explored, by %zu steps", w.n,
             w.steps);
    assert_true(w.n > 100000); /* it was not cut short */
    walk_release(&w);
}

/* A model that could not find anything would be worth nothing. */
static void t02_finds_mistakes(void **unused)
{
    (void)unused;
    for (enum mistake m = MISTAKE_NONE + 1; m < MISTAKES; m++) {
        struct walk w;
        model_mistake = m;
        walk(&w);
        if (!w.wrong)
            check_ends(&w);
        model_mistake = MISTAKE_NONE;
        print_message("mistake %d after %u states: %s\n", (int)m, w.n, w.wrong ? w.wrong : "not found");
        assert_non_null(w.wrong);
        walk_release(&w);
    }
}

static void print_edges(void)
{
    struct walk w;
    walk(&w);
    for (int v = 0; v < VERBS; v++)
        for (int i = 0; i < PLACES * PLACES * 6; i++) {
            int from = i / 6 / PLACES, to = i / 6 % PLACES, attempt = i / 2 % 3, tries = i % 2;
            if (w.edges[v][from][to][attempt][tries])
                printf("%s %s %s %d %d\n", verb_names[v], place_names[from], place_names[to], attempt, tries);
        }
    walk_release(&w);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {{.name = every_order, .test_func = t01_every_order},
                                       cmocka_unit_test(t02_finds_mistakes)};
    if (argc > 1 && strcmp(argv[1], "edges") == 0) {
        print_edges();
        return 0;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
