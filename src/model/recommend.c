/* recommend.c: the strategies and the best free shapes, ranked by what is predicted of them. */
#include "model/profile.h"

#include "core/limits.h"

#define TIE \
    1.02 /* a prediction is not sharper than this: within it a name wins over a shape, and then less memory */

static struct candidate make(const struct profile *p, const struct host *h, const struct strategy *strategy,
                             struct shape shape, const struct correction *c, int64_t items)
{
    struct candidate r = {.strategy = strategy, .shape = shape};

    r.prediction = predict_corrected(p, h, &shape, items, c, &r.correction);
    return r;
}

/* Among candidates that predictions cannot tell apart: a name before none, less memory, then fewer of everything. */
static bool simpler(const struct candidate *a, const struct candidate *b)
{
    if (!a->strategy != !b->strategy)
        return a->strategy != NULL;
    if (a->prediction.memory_kib != b->prediction.memory_kib)
        return a->prediction.memory_kib < b->prediction.memory_kib;
    if (a->shape.processes != b->shape.processes)
        return a->shape.processes < b->shape.processes;
    return shape_threads(&a->shape) < shape_threads(&b->shape);
}

/* The index of the one to put first. */
static int best_of(const struct candidate *list, int n)
{
    int best = 0;

    for (int i = 1; i < n; i++)
        if (list[i].prediction.wall < list[best].prediction.wall)
            best = i;

    double limit = list[best].prediction.wall * TIE;

    for (int i = 0; i < n; i++)
        if (list[i].prediction.wall <= limit && simpler(&list[i], &list[best]))
            best = i;
    return best;
}

static void rank(struct candidate *list, int n)
{
    for (int i = 0; i < n - 1; i++) {
        int best = i + best_of(list + i, n - i);
        struct candidate first = list[best];

        for (int j = best; j > i; j--) /* the others keep their order: that of the registry */
            list[j] = list[j - 1];
        list[i] = first;
    }
}

static bool shape_same(const struct shape *a, const struct shape *b)
{
    return a->processes == b->processes && a->threads == b->threads && a->width == b->width &&
           a->grain == b->grain;
}

struct search {
    const struct profile *profile;
    const struct host *host;
    const struct ask *ask;
    struct candidate best;
    bool found;
};

static void try_shape(struct search *s, struct shape shape)
{
    struct candidate pair[2];

    pair[1] =
        make(s->profile, s->host, NULL, shape_fit(shape, s->ask->items, LIMIT_WORKERS), NULL, s->ask->items);
    pair[0] = s->found ? s->best : pair[1];
    s->best = pair[best_of(pair, 2)];
    s->found = true;
}

static void try_widths(struct search *s, int64_t processes, int64_t threads)
{
    int64_t all = (processes > 0 ? processes : 1) * threads;
    int64_t own = (s->ask->items + all - 1) / all, grain = processes > 0 ? own / 4 : 1;

    for (int64_t width = 1; width < 2 * own && width < 2 * (int64_t)LIMIT_WIDTH; width *= 2)
        try_shape(s, (struct shape){processes, threads, width, grain > 0 ? grain : 1});
}

/* Shapes of powers of two, and of as many threads or children as there are cores, up to what the caller allowed. */
static struct candidate search_shape(struct search s, bool in_children)
{
    int64_t most = s.ask->workers > s.ask->cores ? s.ask->workers : s.ask->cores;

    if (in_children) {
        for (int64_t processes = 1; processes <= most; processes *= 2)
            try_widths(&s, processes, 1);
        try_widths(&s, s.ask->cores, 1);
    } else {
        for (int64_t threads = 1; threads <= most; threads *= 2)
            try_widths(&s, 0, threads);
        try_widths(&s, 0, s.ask->cores);
    }
    return s.best;
}

static int add_free(struct candidate *out, int n, int room, const struct candidate *free)
{
    for (int i = 0; i < n; i++)
        if (shape_same(&out[i].shape, &free->shape))
            return n;
    if (n < room)
        out[n++] = *free;
    return n;
}

int recommend(const struct profile *p, const struct host *h, const struct ask *a,
              const struct correction *corrections, struct candidate *out, int room)
{
    /* Without evidence the order still has to be one: a millisecond of CPU and ten of waiting are neither extreme. */
    const struct profile guess = {.items = 1, .cpu = 1e6, .wait = 1e7};
    const struct profile *used = p->items > 0 ? p : &guess;
    const struct search search = {.profile = used, .host = h, .ask = a};
    int n = 0;

    for (int i = 0; strategies[i] && n < room; i++)
        if (strategies[i]->kind == STRATEGY_SHAPED)
            out[n++] = make(used, h, strategies[i],
                            shape_fit(strategy_shape(strategies[i], a), a->items, LIMIT_WORKERS),
                            corrections ? &corrections[i] : NULL, a->items);

    struct candidate inside = search_shape(search, false), outside = search_shape(search, true);

    if (!a->process_only)
        n = add_free(out, n, room, &inside);
    n = add_free(out, n, room, &outside);
    rank(out, n);
    for (int i = 0; i < n && used == &guess; i++)
        out[i].prediction = predict(p, h, &out[i].shape, a->items);
    return n;
}
